"""My account: who I am, my access tokens, my sessions, and how to log in with docker."""

import time
from typing import Any

from flask import Blueprint, redirect, render_template, request
from flask.typing import ResponseReturnValue

from authsvc.core import access_tokens, groups, sessions, users
from authsvc.core.access_tokens import AddToken
from authsvc.core.groups import OWN
from authsvc.domain.permissions import TOKEN_ACTIONS
from authsvc.errors import AlreadyExists, Invalid
from authsvc.web import errors, visitor
from authsvc.web.access import needs
from authsvc.web.request import docker_host, services

bp = Blueprint("account", __name__, url_prefix="/account")
PAGE = "account.html"
NEW = {"name": "", "days": "90", "actions": ("pull", "push"), "pattern": ""}


@bp.get("")
@needs(OWN)
def show() -> ResponseReturnValue:
    """The page."""
    return render_template(PAGE, **_facts())


@bp.post("/tokens")
@needs(access_tokens.CREATE, fresh=True)
def add_token() -> ResponseReturnValue:
    """Make an access token and show it, this once: this answer is the only one that has it."""
    me, given = visitor.required().actor, _given()
    command = AddToken(
        user=me.name,
        name=given["name"].strip(),
        days=_days(given["days"]),
        actions=tuple(given["actions"]),
        patterns=tuple(given["pattern"].split()),
    )
    try:
        made = services().retried(lambda unit: access_tokens.add(unit, me, command, int(time.time())))
    except (Invalid, AlreadyExists) as exc:
        return errors.on_form(exc, PAGE, field="name", **_facts() | {"given": given})
    return render_template(PAGE, made=made, **_facts())


@bp.post("/tokens/revoke")
@needs(access_tokens.DELETE)
def revoke_token() -> ResponseReturnValue:
    """Revoke an access token."""
    me = visitor.required().actor
    name, now = request.form.get("name", ""), int(time.time())
    services().retried(lambda unit: access_tokens.revoke(unit, me, me.name, name, now))
    return redirect("/account#tokens", 303)


@bp.post("/sessions/<int:session_id>/end")
@needs(sessions.DELETE)
def end_session(session_id: int) -> ResponseReturnValue:
    """End one of my sessions."""
    me = visitor.required().actor
    services().retried(lambda unit: sessions.end(unit, me, session_id, int(time.time())))
    return redirect("/account#sessions", 303)


@bp.post("/sessions/end-others")
@needs(sessions.DELETE)
def end_other_sessions() -> ResponseReturnValue:
    """End all my sessions but this one."""
    visit, now = visitor.required(), int(time.time())
    me = visit.actor
    services().retried(lambda unit: sessions.end_user(unit, me, me.name, now, except_id=visit.id))
    return redirect("/account#sessions", 303)


def _facts() -> dict[str, Any]:
    """What the page shows."""
    visit, now, limits = visitor.required(), int(time.time()), services().settings.session
    me = visit.actor
    with services().reading() as unit:
        return {
            "user": users.get(unit, me.name),
            "groups": groups.of_user(unit, me, me.name),
            "tokens": access_tokens.list_all(unit, me, me.name),
            "sessions": sessions.list_all(unit, me, limits, now, me.name),
            "host": docker_host(),
            "now": now,
            "actions": tuple(TOKEN_ACTIONS),
            "given": NEW,
        }


def _given() -> dict[str, Any]:
    """The form of a new token, as it was filled in."""
    form = request.form
    return {
        "name": form.get("name", ""),
        "days": form.get("days", ""),
        "actions": form.getlist("actions"),
        "pattern": form.get("pattern", ""),
    }


def _days(text: str) -> int | None:
    """A number of days, None for ever, 0 for what is no number."""
    if not text.strip():
        return None
    return int(text) if text.strip().isdecimal() and len(text) < 10 else 0
