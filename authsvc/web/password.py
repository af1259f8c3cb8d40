"""My password: change it, and how strong a new one is. Who must change it comes to no other page (web/access.py)."""

import time
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext, lazy_gettext

from authsvc.core import users
from authsvc.core.users import ChangeOwnPassword
from authsvc.domain import passwords
from authsvc.errors import AppError, Invalid, say
from authsvc.web import errors, visitor
from authsvc.web.access import needs
from authsvc.web.request import services

bp = Blueprint("password", __name__, url_prefix="/account/password")
PAGE = "password.html"
WORDS = (
    lazy_gettext("guessed at once"),
    lazy_gettext("very weak"),
    lazy_gettext("weak"),
    lazy_gettext("good"),
    lazy_gettext("strong"),
)


@bp.get("")
@needs(users.OWN)
def form() -> str:
    """The form."""
    return render_template(PAGE, **_facts())


@bp.post("")
@needs(users.OWN)
def change() -> ResponseReturnValue:
    """Change it, which ends my other sessions."""
    visit, now = visitor.required(), int(time.time())
    given, least = request.form, services().settings.password.min_length
    command = ChangeOwnPassword(
        current=given.get("current", ""), password=given.get("password", ""), min_length=least, session_id=visit.id
    )
    try:
        if given.get("again", "") != command.password:
            raise Invalid({"again": say("this is not the same")})
        services().retried(lambda unit: users.change_own_password(unit, visit.actor, command, now))
    except AppError as exc:
        return errors.on_form(exc, PAGE, field="current", **_facts())
    visitor.prove()
    flash(gettext("Your password was changed."))
    return redirect("/account", 303)


@bp.post("/strength")
@needs(users.OWN)
def strength() -> str:
    """A hint, while somebody types."""
    score = passwords.strength(request.form.get("password", ""), visitor.required().actor.name)
    return render_template("strength.html", score=score, words=WORDS[score])


def _facts() -> dict[str, Any]:
    return {"least": services().settings.password.min_length, "must": visitor.required().must_change}
