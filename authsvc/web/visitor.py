"""Who a page is for: the session that the browser's cookie names, begun at a login, ended at a logout.

One signed cookie (Flask's) holds the session's secret, the token of the forms (web/forms.py) and a login that goes on
at another service (web/login.py), so that none of them can be put beside another browser's. Over HTTPS its name says
`__Host-`, which no other host and no plain page can set.
"""

import hashlib
import time
from contextlib import suppress
from dataclasses import replace

from flask import Flask, Request, g, request, session
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface

from authsvc.core import sessions
from authsvc.core.sessions import Begin, Visit
from authsvc.db.engine import Session
from authsvc.domain.permissions import Credential
from authsvc.errors import NotFound, Unauthenticated, say
from authsvc.settings import MAX_LIFETIME
from authsvc.web.request import is_from_program, is_over_tls, origin, services

NAME, SECURE_NAME = "authsvc", "__Host-authsvc"
_SECRET, _PROVED = "session", "proved"
FRESH_SECONDS = 300
"""How long after somebody was proved what is grave needs no new proof."""


class Cookie(SecureCookieSessionInterface):
    """Flask's signed cookie, named and protected as the scheme of the request allows."""

    digest_method = staticmethod(hashlib.sha256)

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """What the cookie holds. Programs have none, whatever they send, and no time to lose."""
        if is_from_program():
            return None
        return super().open_session(app, request)

    def get_cookie_name(self, app: Flask) -> str:  # noqa: ARG002 (Flask's signature)
        """The name that a browser keeps to this host over HTTPS; a plain one else."""
        return SECURE_NAME if is_over_tls() else NAME

    def get_cookie_secure(self, app: Flask) -> bool:  # noqa: ARG002
        """Whether the cookie must never be sent in the clear."""
        return is_over_tls()


def register(app: Flask) -> None:
    """Give `app` its cookie, and its templates `visit`."""
    app.secret_key = app.extensions["authsvc"].site_key
    app.session_interface = Cookie()
    app.config.update(
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_PATH="/",
        # As long as a session can be; how long it is, its row decides.
        PERMANENT_SESSION_LIFETIME=MAX_LIFETIME,
    )
    app.jinja_env.globals["visit"] = current
    app.before_request(_load)


def _load() -> None:
    """Find out who this request is from, before its view.

    Raises:
        Unavailable: the database does not answer, so it cannot be said.
    """
    if is_from_program() or request.endpoint == "site.static" or _SECRET not in session:
        return
    now = int(time.time())
    with services().reading() as unit:
        found = sessions.find(unit, session[_SECRET], services().settings.session, now)
    if found is None:
        session.pop(_SECRET)
        return
    sessions.note_seen(services().engine, found, now)
    came = origin()
    g.visit = replace(found, actor=replace(found.actor, source=came.source, request_id=came.request_id))


def current() -> Visit | None:
    """Who this request is from; None for somebody who is not logged in."""
    found: Visit | None = g.get("visit")
    return found


def required() -> Visit:
    """Who this request is from.

    Raises:
        Unauthenticated: nobody is logged in, or no longer.
    """
    visit = current()
    if visit is None:
        raise Unauthenticated(say("log in first"))
    return visit


def must_change_password() -> bool:
    """Whether somebody else has chosen the password of whoever is logged in."""
    visit = current()
    return visit is not None and visit.must_change


def log_in(name: str, version: int, via: Credential, how: str) -> None:
    """Begin a session for somebody who has just been proved; what the browser had before ends.

    Args:
        version: of the password that was proved.
        how: where it was proved.

    Raises:
        Conflict: the account has changed meanwhile.
        Unavailable: the database does not answer.
    """
    came, now = origin(), int(time.time())
    newcomer = sessions.newcomer(name, via, came.source, came.request_id)
    command = Begin(user=name, password_version=version, how=how, browser=request.user_agent.string)
    before = current()

    def begin(unit: Session) -> str:
        if before is not None:
            _end(unit, before, now)
        return sessions.begin(unit, newcomer, command, now)

    secret = services().retried(begin)
    session.clear()
    session[_SECRET] = secret
    prove()


def prove() -> None:
    """Remember that whoever is logged in was proved just now."""
    session[_PROVED] = int(time.time())


def is_fresh() -> bool:
    """Whether whoever is logged in was proved a moment ago."""
    return int(time.time()) - int(session.get(_PROVED, 0)) < FRESH_SECONDS


def log_out() -> None:
    """End the session, if there is one, and forget all that the browser holds."""
    visit = current()
    if visit is not None:
        services().retried(lambda unit: _end(unit, visit, int(time.time())))
    session.clear()


def _end(unit: Session, visit: Visit, now: int) -> None:
    with suppress(NotFound):  # another window may have been faster
        sessions.end(unit, visit.actor, visit.id, now)
