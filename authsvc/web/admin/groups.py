"""Groups: the list, new ones, who belongs to one as last seen, and which roles it has."""

import time
from collections.abc import Mapping
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from authsvc.core import groups, users
from authsvc.core.groups import LOCAL, AddGroup, Belonging
from authsvc.core.pages import Asked
from authsvc.db.engine import Session
from authsvc.errors import AppError, Invalid, say
from authsvc.web import errors, lists, visitor
from authsvc.web.access import needs
from authsvc.web.forms import require_typed
from authsvc.web.request import services

bp = Blueprint("groups", __name__, url_prefix="/admin/groups")
LIST, PAGE, NEW, SUGGESTED = "groups/list.html", "groups/show.html", "groups/new.html", "projects/options.html"


@bp.get("")
@needs(groups.LIST)
def index() -> str:
    """Every group, ours and those of directories."""
    me, asked = visitor.required().actor, lists.asked("name")
    with services().reading() as unit:
        found = groups.list_page(unit, me, asked, request.args.get("source", ""))
    return render_template(LIST, asked=asked, found=found, sources=lists.options(services().settings.every_source))


@bp.get("/new")
@needs(groups.CREATE)
def new() -> str:
    """The form of a new group."""
    return render_template(NEW, **_form({}))


@bp.post("/new")
@needs(groups.CREATE)
def add() -> ResponseReturnValue:
    """Make a group of our own, or one of a directory before anybody in it logs in."""
    me, given = visitor.required().actor, request.form
    name, source, key = (given.get(field, "").strip() for field in ("name", "source", "key"))
    try:
        if source not in services().settings.every_source:
            raise Invalid({"source": say("choose a source")})
        command = AddGroup(name=name, source=source, key=key)
        made = services().retried(lambda unit: groups.add(unit, me, command, int(time.time())).id)
    except AppError as exc:
        return errors.on_form(exc, NEW, field="name", **_form(given))
    flash(gettext("The group %(name)s was made.", name=name))
    return _to(made)


@bp.get("/<int:group>")
@needs(groups.READ)
def show(group: int) -> str:
    """A group: who belongs to it, and which roles it has."""
    return render_template(PAGE, **_facts(group))


@bp.get("/<int:group>/suggestions")
@needs(groups.UPDATE)
def suggest(group: int) -> str:  # noqa: ARG001 (its page asks)
    """People whose names have in them what was typed, for the field of the form that adds them."""
    me, text = visitor.required().actor, request.args.get("user", "").strip()
    with services().reading() as unit:
        found = users.list_page(unit, me, Asked(text=text, size=users.SUGGESTIONS)).rows if text else ()
    return render_template(SUGGESTED, found=found)


@bp.post("/<int:group>/users")
@needs(groups.UPDATE)
def add_user(group: int) -> ResponseReturnValue:
    """Put somebody into a group of our own."""
    me, user = visitor.required().actor, request.form.get("user", "").strip()
    try:
        services().retried(
            lambda unit: groups.add_user(unit, me, Belonging(group=_name(unit, group), user=user), int(time.time()))
        )
    except AppError as exc:
        return errors.on_form(exc, PAGE, field="user", **_facts(group) | {"given": request.form})
    flash(gettext("%(name)s is in this group now.", name=user))
    return _to(group)


@bp.post("/<int:group>/users/remove")
@needs(groups.UPDATE)
def remove_user(group: int) -> ResponseReturnValue:
    """Take somebody out of a group of our own."""
    me, user = visitor.required().actor, request.form.get("user", "")
    services().retried(
        lambda unit: groups.remove_user(unit, me, Belonging(group=_name(unit, group), user=user), int(time.time()))
    )
    flash(gettext("%(name)s is no longer in this group.", name=user))
    return _to(group)


@bp.post("/<int:group>/delete")
@needs(groups.DELETE)
def delete(group: int) -> ResponseReturnValue:
    """Delete a group; whoever does so types its name, since a click is made too easily."""
    me, facts = visitor.required().actor, _facts(group)
    name = facts["group"].name
    try:
        require_typed(name)
        services().retried(lambda unit: groups.delete(unit, me, name, int(time.time())))
    except Invalid as exc:
        return errors.on_form(exc, PAGE, **facts | {"given": request.form})
    flash(gettext("The group %(name)s was deleted.", name=name))
    return redirect(url_for(".index"), 303)


def _to(group: int) -> ResponseReturnValue:
    return redirect(url_for(".show", group=group), 303)


def _name(unit: Session, group: int) -> str:
    return groups.get_by_id(unit, visitor.required().actor, group).name


def _form(given: Mapping[str, str]) -> dict[str, Any]:
    return {"given": given, "sources": lists.options(services().settings.every_source)}


def _facts(group: int) -> dict[str, Any]:
    """What the page of a group shows."""
    me, asked = visitor.required().actor, lists.asked("name")
    with services().reading() as unit:
        return {
            "group": groups.get_by_id(unit, me, group),
            "roles": groups.roles_of(unit, me, group, int(time.time())),
            "found": groups.list_users_page(unit, me, group, asked),
            "asked": asked,
            "local": LOCAL,
            "given": {},
        }
