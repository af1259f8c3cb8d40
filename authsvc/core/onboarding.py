"""Accounts of people whom a directory or a provider vouches for: made at their first login, refreshed at each.

An account is its subject's, which outlives a change of name. A name that is another account's is never handed on: who
came later would have the roles of who was there before.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from authsvc.core import audit, groups
from authsvc.core.rights import system
from authsvc.core.users import RESERVED, email_or_nothing
from authsvc.db.engine import reading, retried
from authsvc.db.tables import Group, GroupUser, User
from authsvc.domain.names import is_user
from authsvc.domain.permissions import Actor
from authsvc.errors import Conflict, Unauthenticated, say
from authsvc.identity import Group as Seen
from authsvc.identity import Identity

ATTEMPTS = 3
"""How often two logins that make the same account or group at once may get into each other's way."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """The account of somebody who was let in."""

    name: str
    version: int


def admit(engine: Engine, source: str, identity: Identity, now: int, *, newcomers: bool) -> Admitted:
    """The account of somebody whom a source has just vouched for. Writes only if something has changed.

    Args:
        newcomers: whether an account is made for who has none.

    Raises:
        Unauthenticated: they cannot have an account here, with what an administrator can do about it.
        Unavailable: the database does not answer.
    """
    actor = system(source)
    for _ in range(ATTEMPTS - 1):
        try:
            return _admit(engine, actor, source, identity, now, newcomers=newcomers)
        except Conflict:
            continue
    return _admit(engine, actor, source, identity, now, newcomers=newcomers)


def _admit(engine: Engine, actor: Actor, source: str, identity: Identity, now: int, *, newcomers: bool) -> Admitted:
    with reading(engine) as session:
        known = _find(session, identity)
        if known is not None and not _differs(session, known, source, identity):
            return Admitted(known.name, known.password_version)
    if known is None and not newcomers:
        raise Unauthenticated(
            say(
                "%(name)s has no account here yet: an administrator can make it with `authsvc user import`",
                name=identity.name,
            )
        )

    def admit(session: Session) -> Admitted:
        if known is None:
            user = add(session, actor, source, identity, now)
        else:
            user = _still(session, identity)
            refresh(session, actor, source, user, identity, now)
        return Admitted(user.name, user.password_version)

    return retried(engine, admit)


def add(session: Session, actor: Actor, source: str, identity: Identity, now: int) -> User:
    """An account for somebody new.

    Raises:
        Unauthenticated: the name is none, or another account's.
        Conflict: somebody else makes the same at the same time.
    """
    _check_name(session, source, identity)
    user = User(
        name=identity.name,
        source=source,
        subject=identity.subject,
        email=email_or_nothing(identity.email),
        admin_by_source=identity.admin,
        created_at=now,
    )
    session.add(user)
    _flush(session)
    _join(session, user, {group.id for group in _groups(session, source, identity.groups or frozenset(), now)})
    detail = "administrator" if identity.admin else ""
    audit.record(session, actor, "user.onboard", user.name, now, detail=f"{identity.subject} {detail}".strip())
    return user


def refresh(session: Session, actor: Actor, source: str, user: User, identity: Identity, now: int) -> bool:
    """Make an account what its source says of it; says whether anything changed.

    Raises:
        Unauthenticated: the new name is none, or another account's.
        Conflict: somebody else changes the same at the same time.
    """
    changes = [*_new_facts(user, identity), *_new_groups(session, user, source, identity)]
    if not changes:
        return False
    if user.name != identity.name:
        _check_name(session, source, identity)
        audit.record(session, actor, "user.rename", user.name, now, detail=f"is {identity.name} now")
        user.name = identity.name
    user.email, user.admin_by_source = email_or_nothing(identity.email), identity.admin
    if user.vanished_at is not None:
        user.vanished_at, user.enabled = None, True
    if identity.groups is not None:
        _set_groups(session, user, source, identity.groups, now)
    _flush(session)
    audit.record(session, actor, "user.refresh", user.name, now, detail="; ".join(changes))
    return True


def _find(session: Session, identity: Identity) -> User | None:
    return session.scalar(select(User).where(User.subject == identity.subject))


def _still(session: Session, identity: Identity) -> User:
    user = _find(session, identity)
    if user is None:
        raise Conflict(say("the account was deleted a moment ago: try again"))
    return user


def _differs(session: Session, user: User, source: str, identity: Identity) -> bool:
    return any(_new_facts(user, identity)) or any(_new_groups(session, user, source, identity))


def _new_facts(user: User, identity: Identity) -> Iterable[str]:
    """What is not as the source says, for the audit trail."""
    if user.name != identity.name:
        yield f"was {user.name}"
    if user.email != email_or_nothing(identity.email):
        yield f"address {email_or_nothing(identity.email) or 'none'}"
    if user.admin_by_source != identity.admin:
        yield "administrator" if identity.admin else "administrator no more"
    if user.vanished_at is not None:
        yield "is back"


def _new_groups(session: Session, user: User, source: str, identity: Identity) -> Iterable[str]:
    if identity.groups is None:
        return
    held = select(Group.key).join(GroupUser, GroupUser.group_id == Group.id)
    before = {key for key in session.scalars(held.where(GroupUser.user_id == user.id, Group.source == source)) if key}
    now = _by_key(identity.groups).keys()
    yield from (f"into {key}" for key in sorted(now - before))
    yield from (f"out of {key}" for key in sorted(before - now))


def _set_groups(session: Session, user: User, source: str, seen: frozenset[Seen], now: int) -> None:
    """Put a user into these groups of the source, and out of its others."""
    held = select(GroupUser.group_id).join(Group, Group.id == GroupUser.group_id)
    before = set(session.scalars(held.where(GroupUser.user_id == user.id, Group.source == source)))
    wanted = {group.id for group in _groups(session, source, seen, now)}
    gone = GroupUser.group_id.in_(before - wanted)
    session.execute(delete(GroupUser).where(GroupUser.user_id == user.id, gone))
    _join(session, user, wanted - before)


def _join(session: Session, user: User, wanted: Collection[int]) -> None:
    session.add_all(GroupUser(group_id=one, user_id=user.id) for one in sorted(wanted))
    _flush(session)


def _groups(session: Session, source: str, seen: frozenset[Seen], now: int) -> Sequence[Group]:
    """The rows of these groups, made where they are new."""
    by_key = _by_key(seen)
    if not by_key:
        return []
    known = session.scalars(select(Group).where(Group.source == source, Group.key.in_(by_key))).all()
    new = [by_key[key] for key in sorted(by_key.keys() - {group.key for group in known})]
    if not new:
        return known
    names = [group.name for group in new]
    taken = set(session.scalars(select(Group.name).where(Group.name.in_(names))))
    made = [Group(name=_free_name(group, taken), source=source, key=group.key, created_at=now) for group in new]
    session.add_all(made)
    _flush(session)
    return [*known, *made]


def _by_key(seen: frozenset[Seen]) -> dict[str, Seen]:
    """Groups whose keys can be stored."""
    return {group.key: group for group in seen if 0 < len(group.key) <= groups.MAX_KEY}


def _free_name(group: Seen, taken: set[str]) -> str:
    """Its name, or its key where another group has that name."""
    name = group.name if group.name not in taken and groups.is_name(group.name) else group.key[: groups.MAX_NAME]
    taken.add(name)
    return name


def _check_name(session: Session, source: str, identity: Identity) -> None:
    name = identity.name
    if not is_user(name) or name in RESERVED:
        raise Unauthenticated(
            say(
                "%(source)s calls this person %(name)s, which is no user name here: an administrator must choose "
                "another attribute for names",
                source=source,
                name=repr(name[:64]),
            )
        )
    other = session.scalar(select(User).where(User.name == name))
    if other is None:
        return
    if other.subject == identity.subject:
        raise Conflict(say("the same account was made a moment ago: try again"))
    raise Unauthenticated(
        say(
            "the name %(name)s is that of another account (from %(source)s): an administrator must delete that one "
            "first, or change one of the two names",
            name=name,
            source=other.source,
        )
    )


def _flush(session: Session) -> None:
    try:
        session.flush()
    except IntegrityError as exc:
        raise Conflict(say("somebody else changes the same account or group: try again")) from exc
