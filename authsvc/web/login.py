"""In and out: `/login` with a name and a password, whatever source knows them, and `/logout`."""

import time

from flask import Blueprint, redirect, render_template, request
from flask.typing import ResponseReturnValue

from authsvc.core.login import Credentials
from authsvc.domain.permissions import Credential
from authsvc.errors import AppError
from authsvc.web import errors, visitor
from authsvc.web.forms import local
from authsvc.web.request import origin, services

bp = Blueprint("login", __name__)


@bp.get("/login")
def form() -> ResponseReturnValue:
    """The form, for whoever is not logged in yet."""
    target = _target(request.args.get("next"))
    return redirect(target, 303) if visitor.current() else render_template("login.html", target=target)


@bp.post("/login")
def with_password() -> ResponseReturnValue:
    """Log in with a name and a password."""
    name, target = request.form.get("name", ""), _target(request.form.get("next"))
    shown = Credentials(name, request.form.get("password", ""))
    try:
        account = services().callers.person(shown, origin(), int(time.time()))
        visitor.log_in(account.name, account.version, Credential.PASSWORD, account.source)
    except AppError as exc:
        return errors.on_form(exc, "login.html", name=name, target=target)
    return redirect(target, 303)


@bp.post("/logout")
def logout() -> ResponseReturnValue:
    """End the session."""
    visitor.log_out()
    return redirect("/", 303)


def _target(asked: str | None) -> str:
    return local(asked or "/account")
