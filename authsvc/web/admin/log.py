"""The audit log, of everything and of one project: read newest first, filtered, exported, and its chain verified."""

import time
from datetime import UTC, date, datetime

from flask import Blueprint, Response, render_template, request
from flask.typing import ResponseReturnValue

from authsvc.core import audit
from authsvc.core.audit import AuditFilter
from authsvc.domain.permissions import Project
from authsvc.errors import Invalid, say
from authsvc.web import access, errors, visitor
from authsvc.web.access import needs
from authsvc.web.admin import exports
from authsvc.web.request import services

bp = Blueprint("log", __name__, url_prefix="/admin/log")
of_project = Blueprint("project_log", __name__, url_prefix="/projects/<project>/log")
PAGE, PAGE_OF_PROJECT = "log/list.html", "log/project.html"
DAY = 86_400
ACTIONS_OF_PROJECT = (
    *("member.remove", "member.set", "project.add", "project.delete", "project.set"),
    *("robot.add", "robot.delete", "robot.secret", "robot.set", "robot.trust.add", "robot.trust.remove"),
)
"""What a project's log may tell of."""


@bp.get("")
@needs(audit.LIST)
def index() -> ResponseReturnValue:
    """What was done, newest first."""
    me = visitor.required().actor
    with services().reading() as unit:
        known = audit.list_actions(unit, me)
        try:
            found = audit.list_page(unit, me, _wanted(), before=_row("before"), after=_row("after"))
        except Invalid as exc:
            return errors.on_form(exc, PAGE, known=known)
    return render_template(PAGE, found=found, known=known)


@bp.get("/export")
@needs(audit.LIST)
def export() -> Response:
    """All that fits, as a file."""
    return _export("audit")


@bp.post("/verify")
@needs(audit.LIST)
def verify() -> str:
    """Whether a row was changed, removed or reordered since it was written."""
    me = visitor.required().actor
    with services().reading() as unit:
        verified = audit.verify(unit, me)
        found, known = audit.list_page(unit, me, AuditFilter()), audit.list_actions(unit, me)
    return render_template(PAGE, found=found, known=known, verified=verified)


@of_project.get("", endpoint="index")
@needs(audit.LIST_IN_PROJECT)
def index_of_project(project: str) -> ResponseReturnValue:  # noqa: ARG001 (see access.project)
    """What was done in a project, newest first."""
    me, where, known = visitor.required().actor, access.project(), ACTIONS_OF_PROJECT
    try:
        wanted = _wanted()
    except Invalid as exc:
        return errors.on_form(exc, PAGE_OF_PROJECT, project=where, known=known)
    with services().reading() as unit:
        found = audit.list_of_project(unit, me, where, wanted, before=_row("before"), after=_row("after"))
    return render_template(PAGE_OF_PROJECT, project=where, found=found, known=known)


@of_project.get("/export", endpoint="export")
@needs(audit.LIST_IN_PROJECT)
def export_of_project(project: str) -> Response:
    """All that fits of a project, as a file."""
    return _export(f"audit-{project}", access.project())


def _export(name: str, where: Project | None = None) -> Response:
    events = audit.export(services().engine, visitor.required().actor, _wanted(), where)
    today = datetime.fromtimestamp(int(time.time()), UTC).date()
    return exports.respond(request.args.get("format", ""), f"{name}-{today}", events)


def _wanted() -> AuditFilter:
    """What the address asks for.

    Raises:
        Invalid: a day is none.
    """
    given = request.args
    wrong, days = {}, {}
    for field in ("since", "until"):
        try:
            days[field] = _day(given.get(field, ""))
        except ValueError:
            wrong[field] = say("a day such as 2026-01-31")
    if wrong:
        raise Invalid(wrong)
    return AuditFilter(
        **{field: given.get(field, "").strip() for field in ("actor", "action", "object", "result")},
        since=days["since"],
        until=None if days["until"] is None else days["until"] + DAY,
    )


def _day(text: str) -> int | None:
    """The first second of a day in UTC, None for no day at all."""
    if not text.strip():
        return None
    day = date.fromisoformat(text.strip())
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def _row(field: str) -> int | None:
    """The number of a row of the log, None for what is none."""
    text = request.args.get(field, "")
    return int(text) if text.isdecimal() and len(text) < 19 else None
