"""Roles: what each may do in one grid, who holds it, and roles of the administrators' own making."""

import time
from collections.abc import Iterable
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from authsvc.core import roles
from authsvc.core.pages import Asked
from authsvc.core.roles import Listed, SetRole
from authsvc.db.engine import Session
from authsvc.domain.permissions import MEMBER_ROLES, PROJECT, ROLE_RIGHTS, Actor, Right, Role
from authsvc.errors import AlreadyExists, AppError, Conflict, NotFound, say
from authsvc.web import errors, lists, visitor
from authsvc.web.access import needs
from authsvc.web.request import services

bp = Blueprint("roles", __name__, url_prefix="/admin/roles")
LIST, PAGE, EDIT = "roles/list.html", "roles/show.html", "roles/edit.html"
BUILT_IN = [Listed(role.value, "", tuple(sorted(PROJECT[role])), 0) for role in (*MEMBER_ROLES, Role.VISITOR)]


@bp.get("")
@needs(roles.LIST)
def index() -> str:
    """Every role, and what it may do."""
    return render_template(LIST, built_in=BUILT_IN, custom=_custom())


@bp.get("/+new")
@needs(roles.CREATE)
def new() -> str:
    """The form of a new role, empty or as another one is."""
    copied = _find(request.args["copy"]).rights if "copy" in request.args else ()
    return render_template(EDIT, **_form(None, {}, copied))


@bp.post("/+new")
@needs(roles.CREATE, fresh=True)
def add() -> ResponseReturnValue:
    """Make a role."""
    me, command, now = visitor.required().actor, _command(request.form.get("name", "").strip()), int(time.time())
    try:
        services().retried(lambda unit: _add(unit, me, command, now))
    except AppError as exc:
        facts = _form(None, request.form, command.rights)
        return errors.on_form(exc, EDIT, field="name", **facts)
    flash(gettext("The role %(name)s was made. Members can be given it now.", name=command.name))
    return redirect(f"/admin/roles/{command.name}", 303)


@bp.get("/<role>")
@needs(roles.LIST)
def show(role: str) -> str:
    """What a role may do, and who holds it."""
    return render_template(PAGE, **_facts(role))


@bp.get("/<role>/edit")
@needs(roles.UPDATE)
def edit(role: str) -> str:
    """The form of a role of one's own."""
    found = _find_own(role)
    return render_template(EDIT, **_form(found, {"description": found.description}, found.rights))


@bp.post("/<role>/edit")
@needs(roles.UPDATE, fresh=True)
def change(role: str) -> ResponseReturnValue:
    """Change what a role may do; where somebody holds it, after they have seen what that changes."""
    me, found, command = visitor.required().actor, _find_own(role), _command(role)
    facts = _form(found, request.form, command.rights)
    try:
        with services().reading() as unit:
            preview = roles.preview(unit, me, command)
        if preview.members and (preview.added or preview.removed) and request.form.get("seen") != _said(command):
            return render_template(EDIT, **facts, preview=preview, seen=_said(command))
        services().retried(lambda unit: roles.set_rights(unit, me, command, int(time.time())))
    except AppError as exc:
        return errors.on_form(exc, EDIT, field="rights", **facts)
    flash(gettext("The role %(name)s was changed. This counts within a second.", name=role))
    return redirect(f"/admin/roles/{role}", 303)


@bp.post("/<role>/delete")
@needs(roles.DELETE, fresh=True)
def delete(role: str) -> ResponseReturnValue:
    """Delete a role that nobody holds."""
    me = visitor.required().actor
    try:
        services().retried(lambda unit: roles.delete(unit, me, role, int(time.time())))
    except Conflict as exc:
        return errors.on_form(exc, PAGE, **_facts(role))
    flash(gettext("The role %(name)s was deleted.", name=role))
    return redirect("/admin/roles", 303)


def _custom() -> list[Listed]:
    me = visitor.required().actor
    with services().reading() as unit:
        return list(roles.list_all(unit, me))


def _find(name: str) -> Listed:
    """A role, built-in or not.

    Raises:
        NotFound: there is none.
    """
    for found in (*BUILT_IN, *_custom()):
        if found.name == name:
            return found
    raise NotFound(say("there is no role %(name)s", name=name[:100]))


def _find_own(name: str) -> Listed:
    """A role that can be changed.

    Raises:
        NotFound: there is none, or it is built in.
    """
    found = _find(name)
    if found in BUILT_IN:
        raise NotFound(say("there is no role %(name)s of your own making", name=name))
    return found


def _facts(name: str) -> dict[str, Any]:
    """What the page of a role shows."""
    me, found, asked = visitor.required().actor, _find(name), lists.asked("project")
    with services().reading() as unit:
        held = roles.who_holds(unit, me, found.name, asked)
        total = roles.who_holds(unit, me, found.name, Asked(size=1)).total if asked.text else held.total
    is_own = found not in BUILT_IN
    return {"role": found, "is_own": is_own, "asked": asked, "found": held, "held": total, "now": int(time.time())}


def _form(role: Listed | None, given: Any, ticked: Iterable[Right]) -> dict[str, Any]:  # noqa: ANN401
    """What the form of a role shows; a new one has no name yet."""
    known = [*BUILT_IN, *_custom()]
    return {"role": role, "given": given, "ticked": frozenset(ticked), "offered": ROLE_RIGHTS, "known": known}


def _command(name: str) -> SetRole:
    given = request.form
    rights = frozenset(Right(*text.partition(":")[::2]) for text in given.getlist("right"))
    return SetRole(name=name, rights=rights, description=given.get("description", "").strip())


def _said(command: SetRole) -> str:
    """The rights of a form, to know whether those that are sent are those whose effects were shown."""
    return " ".join(map(str, sorted(command.rights)))


def _add(unit: Session, me: Actor, command: SetRole, now: int) -> None:
    if roles.exists(unit, command.name):
        raise AlreadyExists(say("there is a role %(name)s already", name=command.name))
    roles.set_rights(unit, me, command, now)
