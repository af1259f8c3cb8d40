"""Accounts and their directories: asking them about everybody whom they vouched for, and about people ahead of time.

A directory is asked between units of work, never inside one: it may take its time, and the database must not wait.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Engine, select

from authsvc.core import audit, onboarding
from authsvc.core.rights import require
from authsvc.core.users import CREATE, UPDATE, end_sessions
from authsvc.db.engine import Session, reading, retried, transaction
from authsvc.db.tables import User
from authsvc.domain.permissions import Actor
from authsvc.errors import Conflict, NotFound, Unauthenticated, say
from authsvc.identity import Directory, Identity

BATCH = 200
FEW = 10
"""So many may vanish at once; of more, at most half may, because a wrong base must not lock everybody out."""


@dataclass(frozen=True, slots=True)
class Synced:
    """What a directory said of the accounts that came from it.

    Args:
        asked: how many there are.
        changed: who was not as the directory says, by name.
        vanished: who is no longer there and was disabled.
        refused: who could not be made what it says, each with the reason.
    """

    asked: int = 0
    changed: tuple[str, ...] = ()
    vanished: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


def sync(
    engine: Engine,
    actor: Actor,
    directory: Directory,
    now: int,
    *,
    force: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Synced:
    """Refresh every account that came from a directory, and disable those whom it no longer knows.

    Args:
        force: whether even most of them may vanish.
        progress: told after each batch how many accounts of how many were asked for.

    Raises:
        Unavailable: the directory or the database does not answer; nothing was changed for this reason.
        Conflict: too many would vanish.
    """
    require(actor, UPDATE)
    known, found = _accounts(engine, directory.name), dict[str, Identity]()
    for start in range(0, len(known), BATCH):
        found |= directory.look_up(list(known)[start : start + BATCH])
        progress(min(start + BATCH, len(known)), len(known))
    gone = [subject for subject, is_active in known.items() if is_active and subject not in found]
    if len(gone) > FEW and len(gone) * 2 > sum(known.values()) and not force:
        raise Conflict(
            say(
                "%(directory)s no longer knows %(gone)s of %(all)s people: nothing was changed. Look at its base and "
                "filter, or say `authsvc user sync --force`",
                directory=directory.name,
                gone=len(gone),
                all=sum(known.values()),
            )
        )
    vanished = [name for batch in _batches(gone) for name in _vanish(engine, actor, batch, now)]
    changed, refused = _refresh(engine, actor, directory.name, found, now)
    return Synced(len(known), tuple(changed), tuple(vanished), tuple(refused))


def import_user(engine: Engine, actor: Actor, directory: Directory, name: str, now: int) -> User:
    """An account for somebody who has not logged in yet, or the one that there is.

    Raises:
        NotFound: the directory knows no such person.
        Conflict: they cannot have an account here, with the reason.
        Unavailable: the directory or the database does not answer.
    """
    require(actor, CREATE)
    identity = directory.find(name)
    if identity is None:
        raise NotFound(say("%(directory)s knows nobody of the name %(name)s", directory=directory.name, name=name))
    with transaction(engine) as session:
        user = session.scalar(select(User).where(User.subject == identity.subject))
        try:
            if user is None:
                return onboarding.add(session, actor, directory.name, identity, now)
            onboarding.refresh(session, actor, directory.name, user, identity, now)
        except Unauthenticated as exc:
            raise Conflict(str(exc)) from exc
        return user


def _accounts(engine: Engine, source: str) -> dict[str, bool]:
    """The subjects of a source's accounts, and whether each may log in."""
    mine = select(User.subject, User.enabled).where(User.source == source, User.subject.is_not(None))
    with reading(engine) as session:
        return {str(row.subject): row.enabled for row in session.execute(mine.order_by(User.id))}


def _batches(subjects: Sequence[str]) -> Iterator[Sequence[str]]:
    return (subjects[start : start + BATCH] for start in range(0, len(subjects), BATCH))


def _vanish(engine: Engine, actor: Actor, subjects: Sequence[str], now: int) -> list[str]:
    def vanish(session: Session) -> list[str]:
        users = session.scalars(select(User).where(User.subject.in_(subjects), User.enabled)).all()
        for user in users:
            user.enabled, user.vanished_at, user.admin_by_source = False, now, False
            end_sessions(session, user)
        session.flush()  # see `robots.announce_expiring`
        for user in users:
            audit.record(session, actor, "user.vanish", user.name, now, detail=f"{user.source} knows them no longer")
        return [user.name for user in users]

    return retried(engine, vanish)


def _refresh(
    engine: Engine, actor: Actor, source: str, found: Mapping[str, Identity], now: int
) -> tuple[list[str], list[str]]:
    changed, refused = [], []
    for batch in _batches(list(found)):
        with transaction(engine) as session:
            for user in session.scalars(select(User).where(User.subject.in_(batch))).all():
                identity = found[str(user.subject)]
                try:
                    if onboarding.refresh(session, actor, source, user, identity, now):
                        changed.append(user.name)
                except Unauthenticated as exc:
                    refused.append(f"{user.name}: {exc}")
                    onboarding.refresh(session, actor, source, user, replace(identity, name=user.name), now)
    return changed, refused
