"""Refresh tokens: what docker keeps in place of a password, where the setting allows it (OAuth2, RFC 6749 section 6).

By itself a refresh gives the same token back, as distribution's specification wants. With `token.refresh_rotation` each
use replaces it; a replaced one that comes back was copied, so its whole family is revoked (RFC 9700, 4.14.2).
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Update, select, update
from sqlalchemy.orm import Session

from authsvc.core import audit, users
from authsvc.core.rights import require
from authsvc.core.standing import Standing
from authsvc.db.tables import RefreshToken, User
from authsvc.domain import machine_secrets
from authsvc.domain.machine_secrets import Kind
from authsvc.domain.permissions import Actor, Right
from authsvc.errors import NotFound, say

LIST, DELETE = Right("refresh-token", "list"), Right("refresh-token", "delete")
DAY = 86_400


@dataclass(frozen=True, kw_only=True)
class NewToken:
    """What a refresh token is bound to."""

    user: str
    service: str
    client: str
    password_version: int
    days: int
    family: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """A token as people want to see one."""

    id: int
    user: str
    service: str
    client: str
    created_at: int
    expires_at: int
    last_used_at: int | None


def add(session: Session, actor: Actor, command: NewToken, now: int) -> str:
    """Make a refresh token for a login that was just proved, and return its secret."""
    secret = machine_secrets.render(Kind.REFRESH_TOKEN, os.urandom(machine_secrets.RANDOM_BYTES))
    user = users.get(session, command.user)
    session.add(
        RefreshToken(
            user_id=user.id,
            secret_hash=machine_secrets.digest(secret),
            family=command.family or os.urandom(8).hex(),
            service=command.service,
            client=command.client[:255],
            password_version=command.password_version,
            created_at=now,
            expires_at=now + command.days * DAY,
        )
    )
    action = "refresh-token.replace" if command.family else "refresh-token.add"
    audit.record(session, actor, action, user.name, now, detail=command.client[:64])
    return secret


def replace(session: Session, actor: Actor, standing: Standing, command: NewToken, now: int) -> str | None:
    """Revoke a token that was just used and make its successor; None when somebody else was faster."""
    if standing.machine is None:
        return None
    mine = update(RefreshToken).where(RefreshToken.id == standing.machine.id, RefreshToken.revoked_at.is_(None))
    won = session.connection().execute(mine.values(revoked_at=now))
    return add(session, actor, command, now) if won.rowcount == 1 else None


def revoke_family(session: Session, actor: Actor, family: str, now: int) -> None:
    """Revoke every token of a family, because one of them came back after its end."""
    session.execute(_revoked(now).where(RefreshToken.family == family))
    audit.record(session, actor, "refresh-token.reuse", actor.name, now, result="refused", detail=f"family {family}")


def list_all(session: Session, actor: Actor, user: str = "") -> Sequence[Listed]:
    """The tokens that are good, or those of one user.

    Raises:
        NotFound: there is no such user.
    """
    require(actor, LIST)
    good = (
        select(RefreshToken, User.name)
        .join(User, User.id == RefreshToken.user_id)
        .where(RefreshToken.revoked_at.is_(None))
        .order_by(User.name, RefreshToken.id)
    )
    if user:
        good = good.where(RefreshToken.user_id == users.get(session, user).id)
    return [
        Listed(token.id, name, token.service, token.client, token.created_at, token.expires_at, token.last_used_at)
        for token, name in session.execute(good)
    ]


def revoke(session: Session, actor: Actor, token_id: int, now: int) -> None:
    """Revoke one token; it is refused at once.

    Raises:
        NotFound: there is no such token, or it was revoked before.
    """
    require(actor, DELETE)
    token = session.get(RefreshToken, token_id)
    if token is None or token.revoked_at is not None:
        raise NotFound(say("there is no refresh token %(token_id)s", token_id=token_id))
    token.revoked_at = now
    audit.record(session, actor, "refresh-token.revoke", str(token_id), now)


def revoke_user(session: Session, actor: Actor, user: str, now: int) -> None:
    """Revoke every token of a user.

    Raises:
        NotFound: there is no such user.
    """
    require(actor, DELETE)
    owner = users.get(session, user)
    session.execute(_revoked(now).where(RefreshToken.user_id == owner.id))
    audit.record(session, actor, "refresh-token.revoke", owner.name, now, detail="all of this user")


def revoke_all(session: Session, actor: Actor, now: int) -> None:
    """Revoke every token there is."""
    require(actor, DELETE)
    session.execute(_revoked(now))
    audit.record(session, actor, "refresh-token.revoke", "*", now)


def _revoked(now: int) -> Update:
    return update(RefreshToken).where(RefreshToken.revoked_at.is_(None)).values(revoked_at=now)
