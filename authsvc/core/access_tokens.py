"""Personal access tokens: what people give to docker in place of their password. Shown once, limited, expiring."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from authsvc.core import audit, users
from authsvc.core.rights import require
from authsvc.db.tables import AccessToken, User
from authsvc.domain import machine_secrets, patterns
from authsvc.domain.machine_secrets import Kind
from authsvc.domain.permissions import TOKEN_ACTIONS, Actor, Right
from authsvc.errors import AlreadyExists, Invalid, NotFound, say

CREATE, LIST, DELETE = Right("access-token", "create"), Right("access-token", "list"), Right("access-token", "delete")
OF_OTHERS = Right("user", "update")
DAY = 86_400
MAX_PATTERNS = 50

_NAME = re.compile(r"[\w][\w .@+-]{0,99}")


@dataclass(frozen=True, kw_only=True)
class AddToken:
    """A new token. `days` is None for one that never expires, `patterns` empty for every repository."""

    user: str
    name: str
    days: int | None = 90
    actions: tuple[str, ...] = ("pull", "push")
    patterns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Made:
    """A token and its secret, which nobody can read again."""

    token: AccessToken
    secret: str


def add(session: Session, actor: Actor, command: AddToken, now: int) -> Made:
    """Make a token.

    Raises:
        Invalid: the name, the days, an action or a pattern is not allowed.
        NotFound: there is no such user.
        AlreadyExists: the user has a token of that name.
        Forbidden: it is somebody else's account.
    """
    user = _owner(session, actor, CREATE, command.user)
    _check(command)
    secret = machine_secrets.render(Kind.ACCESS_TOKEN, os.urandom(machine_secrets.RANDOM_BYTES))
    token = AccessToken(
        user_id=user.id,
        name=command.name,
        secret_hash=machine_secrets.digest(secret),
        actions=" ".join(sorted(set(command.actions))),
        patterns=" ".join(command.patterns),
        created_at=now,
        expires_at=None if command.days is None else now + command.days * DAY,
    )
    owner = user.name  # which cannot be read any more after a failed flush
    session.add(token)
    try:
        session.flush()
    except IntegrityError as exc:
        raise AlreadyExists(say("%(owner)s has a token %(name)s already", owner=owner, name=command.name)) from exc
    limits = " ".join(filter(None, [token.actions, token.patterns]))
    audit.record(session, actor, "access-token.add", f"{owner}/{token.name}", now, detail=limits)
    return Made(token, secret)


def list_all(session: Session, actor: Actor, user: str) -> Sequence[AccessToken]:
    """A user's tokens, by name.

    Raises:
        NotFound: there is no such user.
        Forbidden: it is somebody else's account.
    """
    owner = _owner(session, actor, LIST, user)
    return session.scalars(select(AccessToken).where(AccessToken.user_id == owner.id).order_by(AccessToken.name)).all()


def revoke(session: Session, actor: Actor, user: str, name: str, now: int) -> None:
    """Delete a token; it is refused at once.

    Raises:
        NotFound: there is no such user or token.
        Forbidden: it is somebody else's account.
    """
    owner = _owner(session, actor, DELETE, user)
    token = session.scalar(select(AccessToken).where(AccessToken.user_id == owner.id, AccessToken.name == name))
    if token is None:
        raise NotFound(say("%(owner)s has no token %(name)s", owner=owner.name, name=name))
    session.delete(token)
    audit.record(session, actor, "access-token.revoke", f"{owner.name}/{name}", now)


def _owner(session: Session, actor: Actor, right: Right, name: str) -> User:
    """The user whose tokens these are: oneself, or anybody for those who may change users."""
    require(actor, right)
    user = users.get(session, name)
    if user.name != actor.name:
        require(actor, OF_OTHERS)
    return user


def _check(command: AddToken) -> None:
    wrong: dict[str, str] = {}
    if not _NAME.fullmatch(command.name):
        wrong["name"] = say("1 to 100 letters, digits, blanks and . _ @ + -")
    if command.days is not None and not 1 <= command.days <= 3650:
        wrong["days"] = say("1 to 3650, or nothing")
    if not command.actions or set(command.actions) - TOKEN_ACTIONS.keys():
        wrong["actions"] = say("some of %(actions)s", actions=", ".join(TOKEN_ACTIONS))
    wrong |= _wrong_patterns(command.patterns)
    if wrong:
        raise Invalid(wrong)


def _wrong_patterns(given: Sequence[str]) -> dict[str, str]:
    if len(given) > MAX_PATTERNS:
        return {"pattern": say("at most %(most)s patterns", most=MAX_PATTERNS)}
    if "" in given:
        return {"pattern": say("an empty pattern says nothing")}
    try:
        for pattern in given:
            patterns.parse(pattern)
    except Invalid as exc:
        return exc.fields
    return {}
