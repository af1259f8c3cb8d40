"""Users: the list, new ones, a user's own page with all that hangs on them, and what may be done to them."""

import secrets
import time
from collections.abc import Callable
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from authsvc.core import access_tokens, directories, groups, rights, sessions, throttle, users
from authsvc.core.users import AddUser, DeleteUser, SetAdmin, SetEnabled, SetPassword
from authsvc.db.engine import Session
from authsvc.domain.permissions import Credential
from authsvc.errors import AppError, Conflict, Invalid, say
from authsvc.identity.local import LocalBackend
from authsvc.web import errors, lists, visitor
from authsvc.web.access import needs
from authsvc.web.forms import require_typed
from authsvc.web.request import services

bp = Blueprint("users", __name__, url_prefix="/admin")
LIST, PAGE, NEW, IMPORT = "users/list.html", "users/show.html", "users/new.html", "users/import.html"
MADE_BYTES = 18
_STATES = {"enabled": True, "disabled": False}
_ROLES = {"administrators": True, "others": False}


@bp.get("")
@needs(users.LIST)
def home() -> ResponseReturnValue:
    """Where the administration begins."""
    return redirect(url_for(".index"), 303)


@bp.get("/users")
@needs(users.LIST)
def index() -> str:
    """Everybody with an account."""
    me, asked, given = visitor.required().actor, lists.asked("name"), request.args
    with services().reading() as unit:
        found = users.list_page(
            unit,
            me,
            asked,
            source=given.get("source", ""),
            enabled=_STATES.get(given.get("state", "")),
            admin=_ROLES.get(given.get("role", "")),
        )
    sources = lists.options(services().settings.every_source)
    return render_template(LIST, asked=asked, found=found, sources=sources, directories=services().directories)


# `-` begins no name, so that no user is hidden by these two.
@bp.get("/users/-/new")
@needs(users.CREATE, fresh=True)
def new() -> str:
    """The form of a new local user."""
    return render_template(NEW, given={"made": "on", "must_change": "on"})


@bp.post("/users/-/new")
@needs(users.CREATE, fresh=True)
def add() -> ResponseReturnValue:
    """Make a local user; a password that was made here is shown by this answer alone."""
    me, given, least = visitor.required().actor, request.form, services().settings.password.min_length
    made = _make_password(least) if "made" in given else ""
    command = AddUser(
        name=given.get("name", "").strip(),
        password=made or given.get("password", ""),
        email=given.get("email", "").strip(),
        admin="admin" in given,
        must_change="must_change" in given,
        min_length=least,
    )
    try:
        name = services().retried(lambda unit: users.add(unit, me, command, int(time.time())).name)
    except AppError as exc:
        return errors.on_form(exc, NEW, field="name", given=given)
    flash(gettext("The user %(name)s was made.", name=name))
    return render_template(PAGE, made=made, **_facts(name)) if made else _to(name)


@bp.get("/users/-/import")
@needs(users.CREATE)
def import_form() -> str:
    """The form that makes an account for somebody of a directory."""
    return render_template(IMPORT, given={}, directories=lists.options(services().directories))


@bp.post("/users/-/import")
@needs(users.CREATE)
def import_user() -> ResponseReturnValue:
    """Make an account for somebody of a directory before they log in, so that they can be given roles."""
    me, given, known = visitor.required().actor, request.form, services().directories
    try:
        directory = known.get(given.get("source", ""))
        if directory is None:
            raise Invalid({"source": say("choose a directory")})
        name = given.get("name", "").strip()
        user = directories.import_user(services().engine, me, directory, name, int(time.time()))
    except AppError as exc:
        return errors.on_form(exc, IMPORT, field="name", given=given, directories=lists.options(known))
    flash(gettext("%(name)s has an account now.", name=user.name))
    return _to(user.name)


@bp.get("/users/<name>")
@needs(users.READ)
def show(name: str) -> str:
    """A user: who they are, what they may do and why, their tokens and sessions."""
    return render_template(PAGE, **_facts(name))


@bp.post("/users/<name>/enabled")
@needs(users.UPDATE)
def set_enabled(name: str) -> ResponseReturnValue:
    """Let somebody in again, or keep them out."""
    me, command = visitor.required().actor, SetEnabled(name=name, enabled=request.form.get("enabled") == "yes")
    said = (
        gettext("%(name)s can log in again.", name=name)
        if command.enabled
        else gettext("%(name)s is disabled and logged out.", name=name)
    )
    return _change(name, said, lambda unit: users.set_enabled(unit, me, command, int(time.time())))


@bp.post("/users/<name>/admin")
@needs(users.UPDATE, fresh=True)
def set_admin(name: str) -> ResponseReturnValue:
    """Make somebody a system administrator, or no longer one."""
    me, command = visitor.required().actor, SetAdmin(name=name, admin=request.form.get("admin") == "yes")
    said = (
        gettext("%(name)s is a system administrator now.", name=name)
        if command.admin
        else gettext("%(name)s is no longer a system administrator.", name=name)
    )
    return _change(name, said, lambda unit: users.set_admin(unit, me, command, int(time.time())))


@bp.post("/users/<name>/unlock")
@needs(users.UPDATE)
def unlock(name: str) -> ResponseReturnValue:
    """Forget somebody's failed logins."""
    me, said = visitor.required().actor, gettext("%(name)s need not wait any longer to log in.", name=name)
    return _change(name, said, lambda unit: throttle.unlock(unit, me, name, int(time.time())))


@bp.post("/users/<name>/password")
@needs(users.UPDATE, fresh=True)
def set_password(name: str) -> ResponseReturnValue:
    """Give somebody a password that is made here and shown by this answer alone; they choose another at their login."""
    me, least = visitor.required().actor, services().settings.password.min_length
    command = SetPassword(name=name, password=_make_password(least), must_change=True, min_length=least)
    try:
        services().retried(lambda unit: users.set_password(unit, me, command, int(time.time())))
    except Conflict as exc:
        return errors.on_form(exc, PAGE, **_facts(name))
    return render_template(PAGE, made=command.password, **_facts(name))


@bp.post("/users/<name>/delete")
@needs(users.DELETE, fresh=True)
def delete(name: str) -> ResponseReturnValue:
    """Delete somebody; whoever does so types the name, since a click is made too easily."""
    me = visitor.required().actor
    try:
        require_typed(name)
        services().retried(lambda unit: users.delete(unit, me, DeleteUser(name=name), int(time.time())))
    except (Invalid, Conflict) as exc:
        return errors.on_form(exc, PAGE, **_facts(name) | {"given": request.form})
    flash(gettext("The user %(name)s was deleted.", name=name))
    return redirect(url_for(".index"), 303)


@bp.post("/users/<name>/tokens/revoke")
@needs(users.UPDATE)
def revoke_token(name: str) -> ResponseReturnValue:
    """Revoke one of somebody's access tokens."""
    me, token = visitor.required().actor, request.form.get("token", "")
    said = gettext("The token %(name)s was revoked.", name=token)
    return _change(name, said, lambda unit: access_tokens.revoke(unit, me, name, token, int(time.time())))


@bp.post("/users/<name>/sessions/<int:session_id>/end")
@needs(users.UPDATE)
def end_session(name: str, session_id: int) -> ResponseReturnValue:
    """End one of somebody's sessions."""
    me, said = visitor.required().actor, gettext("The session was ended.")
    return _change(name, said, lambda unit: sessions.end(unit, me, session_id, int(time.time())))


@bp.post("/users/<name>/sessions/end")
@needs(users.UPDATE)
def end_sessions(name: str) -> ResponseReturnValue:
    """Log somebody out everywhere."""
    me, said = visitor.required().actor, gettext("All sessions of %(name)s were ended.", name=name)
    return _change(name, said, lambda unit: sessions.end_user(unit, me, name, int(time.time())))


def _change(name: str, said: str, work: Callable[[Session], object]) -> ResponseReturnValue:
    """Do something to a user, say so on their page, or say there why it cannot be."""
    try:
        services().retried(work)
    except Conflict as exc:
        return errors.on_form(exc, PAGE, **_facts(name))
    flash(said)
    return _to(name)


def _to(name: str) -> ResponseReturnValue:
    return redirect(url_for(".show", name=name), 303)


def _make_password(least: int) -> str:
    return secrets.token_urlsafe(max(MADE_BYTES, least))


def _facts(name: str) -> dict[str, Any]:
    """What the page of a user shows."""
    me, now, limits = visitor.required().actor, int(time.time()), services().settings.session
    with services().reading() as unit:
        user = users.get_listed(unit, me, name)
        held = rights.get_user_actor(unit, user.name, Credential.PASSWORD, now).grants
        tokens = access_tokens.list_all(unit, me, user.name)
        open_sessions = sessions.list_all(unit, me, limits, now, user.name)
        belongs = groups.of_user(unit, me, user.name)
    seen = [one.last_seen_at for one in open_sessions] + [one.last_used_at or 0 for one in tokens]
    return {
        "user": user,
        "is_local": user.source == LocalBackend.name,
        "is_me": user.name == me.name,
        "grants": sorted(held, key=lambda grant: (grant.project or "", grant.role, grant.pattern)),
        "groups": belongs,
        "tokens": tokens,
        "sessions": open_sessions,
        "last_seen": max(seen, default=0),
        "now": now,
        "given": {},
    }
