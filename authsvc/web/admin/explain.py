"""Why: whether somebody may do something in a repository, with the rows that decide, and who may.

One page for system administrators, and one in each project for those who may ask about it.
"""

import time
from typing import Any

from flask import Blueprint, render_template, request

from authsvc.core import explain
from authsvc.core.explain import Question, Site
from authsvc.domain.permissions import DOCKER
from authsvc.errors import AppError
from authsvc.web import access, errors, lists, visitor
from authsvc.web.access import needs
from authsvc.web.request import services
from authsvc.web.words import action_name

bp = Blueprint("explain", __name__)
project_bp = Blueprint("project_explain", __name__, url_prefix="/projects/<project>")
PAGE, PROJECT_PAGE = "explain.html", "projects/explain.html"


@bp.get("/explain")
@needs(explain.ASK)
def show() -> Any:  # noqa: ANN401 (a page, or one with an error)
    """Ask about any repository."""
    return _page(PAGE, {})


@project_bp.get("/explain")
@needs(explain.ASK)
def show_project(project: str) -> Any:  # noqa: ANN401
    """Ask about a repository of this project."""
    return _page(PROJECT_PAGE, {"project": access.project(), "prefix": f"{project}/"})


def _page(template: str, facts: dict[str, Any]) -> Any:  # noqa: ANN401
    asked, given = lists.asked(""), request.args.to_dict()
    actions = [(name, action_name(name)) for name in DOCKER]
    facts |= {"given": {"action": "push"} | given, "actions": actions, "asked": asked}
    repository = given.get("repository", "").strip()
    if not repository:
        return render_template(template, **facts)
    me, now, site = visitor.required().actor, int(time.time()), Site.of(services().settings)
    user, action = given.get("user", "").strip(), given.get("action", "")
    try:
        with services().reading() as unit:
            if user:
                facts["answer"] = explain.explain(unit, me, Question(user, action, repository), site, now)
            facts["found"] = explain.who_may(unit, me, action, repository, site, asked, now)
    except AppError as exc:
        return errors.on_form(exc, template, field="user", **facts)
    return render_template(template, **facts)
