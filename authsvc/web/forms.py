"""Forms: only our own pages' are taken (OWASP ASVS 5.0, 3.5), whoever sends them, logged in or not.

Each holds a token that belongs to the browser's cookie (Flask-WTF), and the browser must not say that another site
sent it. Sec-Fetch-Site, which no page can forge, goes before Origin; browsers leave it out over plain HTTP.
"""

from flask import Flask, request
from flask_wtf.csrf import generate_csrf, validate_csrf
from wtforms import ValidationError

from authsvc.errors import Forbidden, Invalid, say
from authsvc.web.request import is_from_program, is_own_host

STALE = say("this form is too old or comes from another site: go back, load its page again, and repeat")
FIELD = "csrf_token"
MAX_NEXT = 512
_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


def register(app: Flask) -> None:
    """Give the templates of `app` the field `csrf_token()`. It is good as long as the cookie, not for an hour only."""
    app.config["WTF_CSRF_TIME_LIMIT"] = None
    app.jinja_env.globals["csrf_token"] = generate_csrf
    app.before_request(_check)


def _check() -> None:
    """Let a request go on that a program makes, that only reads, or that comes of a form of ours."""
    if request.method in _SAFE or is_from_program():
        return
    if not _is_from_here():
        raise Forbidden(STALE)
    try:
        validate_csrf(request.form.get(FIELD))
    except ValidationError as exc:
        raise Forbidden(STALE) from exc


def require_typed(name: str) -> None:
    """Let what cannot be undone go on for whoever typed the name of what it is done to: a click is made too easily.

    Raises:
        Invalid: something else stands in the form's field `name`.
    """
    if request.form.get("name", "").strip() != name:
        raise Invalid({"name": say("type the name %(name)s", name=name)})


def is_from_elsewhere() -> bool:
    """Whether the browser says that another site sent it here."""
    return request.headers.get("Sec-Fetch-Site", "none") not in {"same-origin", "none"}


def local(target: str) -> str:
    """A path of this site to go on to; the first page in place of anything else."""
    is_path = target.startswith("/") and not target.startswith("//")
    # Browsers drop control characters and read a backslash as a slash.
    is_plain = target.isprintable() and "\\" not in target and len(target) <= MAX_NEXT
    return target if is_path and is_plain else "/"


def _is_from_here() -> bool:
    if "Sec-Fetch-Site" in request.headers:
        return not is_from_elsewhere()
    sender = request.headers.get("Origin")
    return sender is None or is_own_host(sender.partition("://")[2])
