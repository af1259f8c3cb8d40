"""Projects: the list, a project's own page, new ones, who may pull without a role, deletion."""

import time
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from authsvc.core import projects
from authsvc.core.groups import OWN
from authsvc.core.projects import AddProject, DeleteProject, SetPublic
from authsvc.errors import AppError, Conflict, Invalid
from authsvc.web import access, errors, lists, visitor
from authsvc.web.access import needs, open_to_all
from authsvc.web.forms import require_typed
from authsvc.web.request import docker_host, services

bp = Blueprint("projects", __name__, url_prefix="/projects")
LIST, PAGE, NEW = "projects/list.html", "projects/show.html", "projects/new.html"
_KINDS = {"public": True, "private": False}


@bp.get("")
@needs(OWN)
def index() -> str:
    """The projects that I may know of."""
    me, asked, kind = visitor.required().actor, lists.asked("name"), request.args.get("kind", "")
    with services().reading() as unit:
        found = projects.list_page(unit, me, asked, _KINDS.get(kind))
    return render_template(LIST, asked=asked, found=found, kind=kind)


@bp.get("/-/new")
@needs(projects.CREATE)
def new() -> str:
    """The form of a new project. No project can be named `-`, while one may well be named `new`."""
    return render_template(NEW, given={})


@bp.post("/-/new")
@needs(projects.CREATE)
def add() -> ResponseReturnValue:
    """Make a project."""
    me, given = visitor.required().actor, request.form
    command = AddProject(name=given.get("project", "").strip(), public="public" in given)
    try:
        services().retried(lambda unit: projects.add(unit, me, command, int(time.time())))
    except AppError as exc:
        return errors.on_form(exc, NEW, field="project", given=given)
    flash(gettext("The project %(name)s was made. Its first members can be added here.", name=command.name))
    return redirect(f"/projects/{command.name}/members", 303)


@bp.get("/<project>")
@open_to_all
def show(project: str) -> str:
    """What this project is, what I may do there, and how."""
    return render_template(PAGE, **facts(project))


@bp.post("/<project>/visibility")
@needs(projects.UPDATE)
def set_public(project: str) -> ResponseReturnValue:
    """Make it public or private."""
    me, command = visitor.required().actor, SetPublic(name=project, public=request.form.get("public") == "yes")
    services().retried(lambda unit: projects.set_public(unit, me, command, int(time.time())))
    flash(gettext("Everybody can pull now.") if command.public else gettext("Only members can pull now."))
    return redirect(f"/projects/{project}", 303)


@bp.post("/<project>/delete")
@needs(projects.DELETE, fresh=True)
def delete(project: str) -> ResponseReturnValue:
    """Delete it; whoever does so types its name, since a click is made too easily."""
    me, settings = visitor.required().actor, services().settings
    command = DeleteProject(name=project, root_project=settings.root_project, token_lifetime=settings.token.lifetime)
    try:
        require_typed(project)
        services().retried(lambda unit: projects.delete(unit, me, command, int(time.time())))
    except (Invalid, Conflict) as exc:
        return errors.on_form(exc, PAGE, field="name", **facts(project) | {"given": request.form})
    flash(gettext("The project %(name)s was deleted. Its images stay in the registry.", name=project))
    return redirect("/projects", 303)


def facts(project: str) -> dict[str, Any]:
    """What the page of a project shows."""
    visit = visitor.current()
    roles = {grant for grant in visit.actor.grants if grant.project == project} if visit else set()
    return {
        "project": access.project(),
        "roles": sorted(roles, key=lambda grant: (grant.role, grant.pattern)),
        "host": docker_host(),
        "root_project": services().settings.root_project,
        "given": {},
    }
