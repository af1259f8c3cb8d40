"""In and out: `/login` with a password, whatever source knows it, or at another service, and `/logout`."""

import time
from dataclasses import asdict
from typing import Any

from flask import Blueprint, redirect, render_template, request, session
from flask.typing import ResponseReturnValue

from authsvc.core.groups import OWN
from authsvc.core.login import Credentials
from authsvc.domain.permissions import Credential
from authsvc.errors import AppError
from authsvc.identity import Pending
from authsvc.web import errors, visitor
from authsvc.web.access import needs, open_to_all
from authsvc.web.forms import is_from_elsewhere, local
from authsvc.web.request import origin, services

bp = Blueprint("login", __name__)
PAGE = "login.html"
_PENDING = "login"


@bp.get("/login")
@open_to_all
def form() -> ResponseReturnValue:
    """The form, for whoever is not logged in yet."""
    target = _target(request.args.get("next"))
    return redirect(target, 303) if visitor.current() else render_template(PAGE, **_facts(target))


@bp.post("/login")
@open_to_all
def with_password() -> ResponseReturnValue:
    """Log in with a name and a password."""
    name, target = request.form.get("name", ""), _target(request.form.get("next"))
    shown = Credentials(name, request.form.get("password", ""))
    try:
        account = services().callers.person(shown, origin(), int(time.time()))
        visitor.log_in(account.name, account.version, Credential.PASSWORD, account.source)
    except AppError as exc:
        return errors.on_form(exc, PAGE, name=name, **_facts(target))
    return redirect(target, 303)


@bp.get("/login/<source>")
@open_to_all
def start(source: str) -> ResponseReturnValue:
    """Send the browser to another service. A link and no form, whose redirect its page's policy would have to name."""
    target = _target(request.args.get("next"))
    if is_from_elsewhere():
        return redirect("/login", 303)
    try:
        url, pending = services().redirects.start(source, int(time.time()))
    except AppError as exc:
        return errors.on_form(exc, PAGE, **_facts(target))
    session[_PENDING] = {"source": source, "target": target, "pending": asdict(pending)}
    return redirect(url, 303)


@bp.get("/login/<source>/callback")
@open_to_all
def finish(source: str) -> ResponseReturnValue:
    """Take back the browser, which brings the service's answer. What it kept is good for one answer."""
    kept = session.pop(_PENDING, None) or {}
    target = _target(kept.get("target"))
    try:
        account = services().redirects.finish(
            source, _pending(kept, source), request.args.to_dict(), origin(), int(time.time())
        )
        visitor.log_in(account.name, account.version, Credential.SESSION, account.source)
    except AppError as exc:
        return errors.on_form(exc, PAGE, **_facts(target))
    return redirect(target, 303)


@bp.post("/confirm")
@needs(OWN, fresh=True)
def confirm() -> ResponseReturnValue:
    """Go on to the page that asked for the password again (web/access.py)."""
    return redirect(local(request.form.get("next", "")), 303)


@bp.post("/logout")
@open_to_all
def logout() -> ResponseReturnValue:
    """End the session."""
    visitor.log_out()
    return redirect("/", 303)


def _pending(kept: dict[str, Any], source: str) -> Pending | None:
    """What the browser kept of a login at this very service."""
    return Pending(**kept["pending"]) if kept.get("source") == source else None


def _facts(target: str) -> dict[str, Any]:
    """What the page shows beside a name and an error. Other services send browsers back to one address alone."""
    address = services().settings.address
    is_there = address.partition("://")[2] == request.host
    return {"target": target, "providers": services().redirects.labels(), "elsewhere": "" if is_there else address}


def _target(asked: str | None) -> str:
    return local(asked or "/account")
