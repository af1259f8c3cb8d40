"""Sessions of browsers at the site: begun at a login, found at each request, ended by whoever may (OWASP ASVS 5.0, 7).

A session is known by a secret that only its cookie holds. It ends by itself when nothing was asked for a while, at a
certain age, with the user's password, and when the user is disabled or deleted.

Not here: cookies (web/visitor.py), how a login is proved (core/callers.py).
"""

import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Engine, Select, and_, delete, or_, select, update
from sqlalchemy.orm import Session

from authsvc.core import audit, pages, rights, users
from authsvc.core.pages import Asked, Page
from authsvc.core.rights import require
from authsvc.db.engine import retried
from authsvc.db.tables import SiteSession, User
from authsvc.domain import machine_secrets
from authsvc.domain.permissions import Actor, Credential, Right, Role, decide
from authsvc.errors import Conflict, NotFound, Unavailable, say
from authsvc.settings import SessionSettings

log = logging.getLogger(__name__)
LIST, DELETE = Right("session", "list"), Right("session", "delete")
OF_OTHERS = users.UPDATE
SECRET_BYTES = 32
SEEN_SECONDS = 60
"""How much later a request must come than the one that was written down, to be written down."""


@dataclass(frozen=True, kw_only=True)
class Begin:
    """A session for a login that was just proved.

    Args:
        password_version: of the password that proved it, or the account's where another service proved it.
        how: where it was proved, for the audit trail.
    """

    user: str
    password_version: int
    how: str
    browser: str = ""


@dataclass(frozen=True, slots=True)
class Visit:
    """A session that was found, and who it belongs to. `actor` has no address and no request id yet.

    `must_change` says that somebody else has chosen the password, and the site asks for another one first.
    """

    id: int
    actor: Actor
    last_seen_at: int
    must_change: bool = False


@dataclass(frozen=True, slots=True)
class Listed:
    """A session as people want to see one."""

    id: int
    user: str
    address: str
    browser: str
    created_at: int
    last_seen_at: int


def begin(session: Session, actor: Actor, command: Begin, now: int) -> str:
    """Begin a session for a login that was just proved, and return its secret.

    Raises:
        Conflict: the account was disabled or its password changed since the login was proved.
    """
    user = users.get(session, command.user)
    if not user.enabled or user.password_version != command.password_version:
        raise Conflict(say("the account %(name)s has changed: log in again", name=user.name))
    secret = secrets.token_urlsafe(SECRET_BYTES)
    session.add(
        SiteSession(
            user_id=user.id,
            secret_hash=machine_secrets.digest(secret),
            password_version=command.password_version,
            address=actor.source[:64],
            browser=command.browser[:255],
            created_at=now,
            last_seen_at=now,
        )
    )
    audit.record(session, actor, "session.begin", user.name, now, detail=command.how)
    return secret


def find(session: Session, secret: str, limits: SessionSettings, now: int) -> Visit | None:
    """The session of this secret with its user's rights as they are now; None when it has ended."""
    mine = select(SiteSession, User.name, User.must_change).join(User, _is_users())
    row = session.execute(
        mine.where(SiteSession.secret_hash == machine_secrets.digest(secret), _is_good(limits, now))
    ).first()
    if row is None:
        return None
    actor = rights.get_user_actor(session, row.name, Credential.SESSION, now)
    return Visit(row.SiteSession.id, actor, row.SiteSession.last_seen_at, row.must_change)


def note_seen(engine: Engine, visit: Visit, now: int) -> None:
    """Write down that something was asked, once a minute. What cannot be written keeps nobody out."""
    if now - visit.last_seen_at < SEEN_SECONDS:
        return
    older = and_(SiteSession.id == visit.id, SiteSession.last_seen_at < now)
    seen = update(SiteSession).where(older).values(last_seen_at=now)
    try:
        retried(engine, lambda session: session.execute(seen))
    except Unavailable as exc:
        log.warning("when a session was last seen cannot be written: %s", exc)


def list_all(session: Session, actor: Actor, limits: SessionSettings, now: int, user: str = "") -> Sequence[Listed]:
    """A user's sessions that have not ended, or everybody's; the one used last comes first.

    Raises:
        NotFound: there is no such user.
        Forbidden: they are somebody else's.
    """
    require(actor, LIST)
    if user != actor.name:
        require(actor, OF_OTHERS)
    found = _good(limits, now)
    if user:
        found = found.where(User.id == users.get(session, user).id)
    newest_first = found.order_by(SiteSession.last_seen_at.desc(), SiteSession.id.desc())
    return [_listed(*row) for row in session.execute(newest_first)]


def list_page(session: Session, actor: Actor, limits: SessionSettings, asked: Asked, now: int) -> Page[Listed]:
    """Everybody's sessions that have not ended, by when they were `seen` last, `user` or `begun`."""
    require(actor, LIST)
    require(actor, OF_OTHERS)
    found = _good(limits, now)
    if asked.text:
        found = found.where(pages.contains(User.name, asked.text))
    return pages.read(session, found, SiteSession.id, asked, _SORTS, lambda row: _listed(*row), own="-seen")


def end(session: Session, actor: Actor, session_id: int, now: int) -> None:
    """End one session; the browser is out at once.

    Raises:
        NotFound: there is no such session, or it is somebody else's.
    """
    require(actor, DELETE)
    row = session.execute(
        select(SiteSession, User.name).join(User, User.id == SiteSession.user_id).where(SiteSession.id == session_id)
    ).first()
    if row is None or (row.name != actor.name and not decide(actor, OF_OTHERS)):
        raise NotFound(say("there is no session %(session_id)s", session_id=session_id))
    session.delete(row.SiteSession)
    audit.record(session, actor, "session.end", row.name, now)


def end_user(session: Session, actor: Actor, user: str, now: int, *, except_id: int | None = None) -> None:
    """End every session of a user, perhaps except one.

    Raises:
        NotFound: there is no such user.
        Forbidden: they are somebody else's.
    """
    require(actor, DELETE)
    owner = users.get(session, user)
    if owner.name != actor.name:
        require(actor, OF_OTHERS)
    theirs = delete(SiteSession).where(SiteSession.user_id == owner.id)
    session.execute(theirs if except_id is None else theirs.where(SiteSession.id != except_id))
    audit.record(
        session, actor, "session.end", owner.name, now, detail="all of this user" if except_id is None else "all others"
    )


def end_all(session: Session, actor: Actor, now: int) -> None:
    """End every session there is."""
    require(actor, DELETE)
    require(actor, OF_OTHERS)
    session.execute(delete(SiteSession))
    audit.record(session, actor, "session.end", "*", now)


def purge(session: Session, limits: SessionSettings, now: int) -> None:
    """Drop what has ended by itself."""
    idle, old = SiteSession.last_seen_at <= now - limits.idle, SiteSession.created_at <= now - limits.lifetime
    session.execute(delete(SiteSession).where(or_(idle, old)))


def newcomer(name: str, via: Credential, source: str, request_id: str) -> Actor:
    """Whoever has just been proved, before there is a session, for the audit trail."""
    return replace(Actor(name, via, Role.EVERYONE), source=source, request_id=request_id)


_SHOWN: tuple[Any, ...] = (SiteSession, User.name)
_SORTS: pages.Sorts = {
    "seen": (SiteSession.last_seen_at, SiteSession.id),
    "begun": (SiteSession.created_at, SiteSession.id),
    "user": (User.name, SiteSession.id),
}


def _good(limits: SessionSettings, now: int) -> Select[Any]:
    return select(*_SHOWN).join(User, _is_users()).where(_is_good(limits, now))


def _listed(row: SiteSession, user: str) -> Listed:
    return Listed(row.id, user, row.address, row.browser, row.created_at, row.last_seen_at)


def _is_users() -> ColumnElement[bool]:
    """A session and the user it stands for, unless it has ended with the password or the account."""
    return and_(User.id == SiteSession.user_id, User.enabled, User.password_version == SiteSession.password_version)


def _is_good(limits: SessionSettings, now: int) -> ColumnElement[bool]:
    return and_(SiteSession.last_seen_at > now - limits.idle, SiteSession.created_at > now - limits.lifetime)
