"""The audit trail: written in the transaction of the change it tells of, append-only, each row chained to the last.

The head row also counts the changes, by which every process knows when to forget what it remembers of rights.

A row's hash covers the row before it, so that a changed, removed or reordered row shows (`verify`).
"""

import hashlib
import json
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, CompoundSelect, LargeBinary, Select, and_, cast, func, select, union_all, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from authsvc.core import pages
from authsvc.core.rights import require
from authsvc.db.engine import Engine, reading
from authsvc.db.tables import AuditEvent, AuditHead
from authsvc.domain import permissions
from authsvc.domain.permissions import Actor, Right

LIST, LIST_IN_PROJECT = Right("audit-log", "list"), Right("log", "list")
OF_PROJECT: Mapping[str, str] = {"project": "", "member": "/", "robot": "+"}
"""The kinds of action that belong to a project, and what stands behind its name in what they were done to.

Without the kind a name says too little: `acme` may be a user, too, and `acme/ci` one of their tokens.
"""
CHANGES_NOTHING = frozenset({"login", "refresh-token.add", "robot.expiring", "session.begin", "session.end"})
"""Actions after which nobody has other rights than before, so that what processes remember of them stays."""
_HEAD = 1
FEW = 20_000
"""Events that a database sorts in a moment."""
SKEW = 3_600
"""Seconds by which the clocks of several machines may differ."""


def record(
    session: Session, actor: Actor, action: str, target: str, now: int, *, result: str = "ok", detail: str = ""
) -> None:
    """Append one row. The lock on the head row puts concurrent writers in a line until they commit.

    Args:
        action: what was done, such as `user.add`.
        target: what it was done to, such as `alice` or `acme/bob`.
        result: `ok` or `refused`.
        detail: what else a reader wants to know; never a secret.
    """
    session.flush()
    moved = {"length": AuditHead.length + 1, "changes": AuditHead.changes + int(action not in CHANGES_NOTHING)}
    session.execute(update(AuditHead).where(AuditHead.id == _HEAD).values(moved))
    head = session.scalars(
        select(AuditHead).where(AuditHead.id == _HEAD).execution_options(populate_existing=True)
    ).one()
    event = AuditEvent(
        id=head.length,
        at=now,
        actor=_cut(actor.name, 255),
        credential=actor.via.value,
        source=_cut(actor.source, 64),
        action=action,
        object=_cut(target, 512),
        result=result,
        detail=_cut(detail, 512),
        request_id=_cut(actor.request_id, 64),
    )
    event.hash = _hash(head.hash, event)
    head.hash = event.hash
    session.add(event)
    session.flush()


def refused_login(session: Session, actor: Actor, reason: str, now: int) -> None:
    """Append the row of a refused login; `actor` is who somebody said to be."""
    record(session, actor, "login", actor.name, now, result="refused", detail=reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which events somebody asks for; "" and None mean all of them.

    Args:
        actor: who did it.
        action: what was done, such as `user.add`.
        object: how the name begins of what it was done to.
        result: `ok` or `refused`.
        since: UTC seconds from which on they happened.
        until: UTC seconds before which they happened.
        project: the project that they belong to.
    """

    actor: str = ""
    action: str = ""
    object: str = ""
    result: str = ""
    since: int | None = None
    until: int | None = None
    project: str = ""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Some events, newest first.

    Args:
        older: what `before` has to be for the next ones; None when there are none.
        newer: what `after` has to be for those that come before these; None when there are none.
    """

    events: Sequence[AuditEvent]
    older: int | None = None
    newer: int | None = None


def list_newest(session: Session, actor: Actor, limit: int) -> Sequence[AuditEvent]:
    """The newest events, newest first."""
    require(actor, LIST)
    return session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc()).limit(limit)).all()


def list_page(
    session: Session,
    actor: Actor,
    wanted: AuditFilter,
    *,
    before: int | None = None,
    after: int | None = None,
    size: int = pages.DEFAULT_SIZE,
) -> Stretch:
    """The newest events that fit; the newest before one event, or the oldest after one, where its number is given."""
    require(actor, LIST)
    return _stretch(session, wanted, before, after, size)


def list_of_project(
    session: Session,
    actor: Actor,
    project: permissions.Project,
    wanted: AuditFilter,
    *,
    before: int | None = None,
    after: int | None = None,
    size: int = pages.DEFAULT_SIZE,
) -> Stretch:
    """The same for the events of one project, for those who may read its log."""
    require(actor, LIST_IN_PROJECT, project)
    return _stretch(session, replace(wanted, project=project.name), before, after, size)


def list_actions(session: Session, actor: Actor) -> Sequence[str]:
    """Every action that the trail tells of, by name: one short statement for each, where DISTINCT would read all."""
    require(actor, LIST)
    found: list[str] = []
    smallest = select(func.min(AuditEvent.action))
    action = session.scalar(smallest)
    while action is not None:
        found.append(action)
        action = session.scalar(smallest.where(AuditEvent.action > action))
    return found


def export(
    engine: Engine, actor: Actor, wanted: AuditFilter, project: permissions.Project | None = None
) -> Iterator[AuditEvent]:
    """Every event that fits, of all or of one project, oldest first.

    They are read piece by piece while the caller goes on, each in a unit of work of its own: whoever takes their time
    over them holds up nobody else.
    """
    require(actor, LIST_IN_PROJECT if project else LIST, project)
    return _pieces(engine, replace(wanted, project=project.name) if project else wanted)


def _pieces(engine: Engine, wanted: AuditFilter) -> Iterator[AuditEvent]:
    last: int | None = 0
    while last is not None:
        with reading(engine) as session:
            piece = _stretch(session, wanted, None, last, pages.MAX_SIZE)
        yield from reversed(piece.events)
        last = piece.newer


def _stretch(session: Session, wanted: AuditFilter, before: int | None, after: int | None, size: int) -> Stretch:
    """Which events are shown is asked first, then what they hold: an index answers the one, few rows the other."""
    size = min(max(1, size), pages.MAX_SIZE)
    fitting = _fitting(session, wanted).subquery().c.id
    keys = select(fitting).limit(size + 1)
    if after is not None:
        found = session.scalars(keys.where(fitting > after).order_by(fitting)).all()
        shown = _events(session, found[:size])
        return Stretch(shown, older=shown[-1].id if shown else None, newer=shown[0].id if len(found) > size else None)
    if before is not None:
        keys = keys.where(fitting < before)
    found = session.scalars(keys.order_by(fitting.desc())).all()
    shown = _events(session, found[:size])
    older = shown[-1].id if len(found) > size else None
    return Stretch(shown, older=older, newer=shown[0].id if shown and before is not None else None)


def _events(session: Session, numbers: Sequence[int]) -> Sequence[AuditEvent]:
    """Events by their numbers, newest first."""
    wanted = select(AuditEvent).where(AuditEvent.id.in_(numbers)).order_by(AuditEvent.id.desc())
    return session.scalars(wanted).all() if numbers else ()


def _fitting(session: Session, wanted: AuditFilter) -> Select[Any] | CompoundSelect[Any]:
    """The numbers of the events that somebody asks for."""
    conditions = [*_conditions(session, wanted), *_in_time(session, wanted)]
    if not wanted.project:
        return select(AuditEvent.id).where(*conditions)
    # Each kind by itself, since in place of this a database would rather go through the whole trail from its end.
    of_kind = [(_is_of(kind), _is_object(wanted.project, behind)) for kind, behind in OF_PROJECT.items()]
    return union_all(*(select(AuditEvent.id).where(*theirs, *conditions) for theirs in of_kind))


def _conditions(session: Session, wanted: AuditFilter) -> list[ColumnElement[bool]]:
    """What is asked for, so that an index answers the condition that few events fit, and no other one.

    Left to themselves, SQLite guesses, and MariaDB may go through the trail from its end for what is not in it.
    """
    given = {field: value for field in _SEARCHED if (value := getattr(wanted, field))}
    fits = {field: _SEARCHED[field](getattr(AuditEvent, field), value) for field, value in given.items()}
    counts = {field: _count(session, condition) for field, condition in fits.items()}
    narrowest = min(counts, key=counts.__getitem__, default="")
    if wanted.project:
        # Its own events are few beside all, and their index holds action and result, too.
        indexed = {narrowest} & {"actor"}
    elif counts.get(narrowest, FEW) < FEW:
        indexed = {narrowest}
    else:
        # Of what many fit there is a page soon, in the order of the events, which a beginning's index has not.
        indexed = given.keys() - {"object"}
    return [
        fits[field] if field in indexed else _SEARCHED[field](_unindexed(getattr(AuditEvent, field)), value)
        for field, value in given.items()
    ]


def _count(session: Session, condition: ColumnElement[bool]) -> int:
    """How many events fit a condition by itself; no further than what is few."""
    some = select(AuditEvent.id).where(condition).limit(FEW).subquery()
    return session.scalar(select(func.count()).select_from(some)) or 0


def _in_time(session: Session, wanted: AuditFilter) -> list[ColumnElement[bool]]:
    """When they happened, by their numbers first: events are numbered as they come, and clocks differ little."""
    at, number = _unindexed(AuditEvent.at), select(AuditEvent.id).limit(1)
    found: list[ColumnElement[bool]] = []
    if wanted.since is not None:
        found.append(at >= wanted.since)
        sooner = number.where(AuditEvent.at < wanted.since - SKEW).order_by(AuditEvent.at.desc(), AuditEvent.id.desc())
        found.append(AuditEvent.id > (session.scalar(sooner) or 0))
    if wanted.until is not None:
        found.append(at < wanted.until)
        later = session.scalar(
            number.where(AuditEvent.at >= wanted.until + SKEW).order_by(AuditEvent.at, AuditEvent.id)
        )
        found += [AuditEvent.id < later] if later else []
    return found


def _unindexed(column: InstrumentedAttribute[Any]) -> ColumnElement[Any]:
    """A column, so that no index answers what is asked of it."""
    return func.coalesce(column, column)


_SEARCHED: Mapping[str, Callable[[Any, str], ColumnElement[bool]]] = {
    "actor": operator.eq,
    "object": pages.begins,
    "result": operator.eq,
    "action": operator.eq,
}
"""How each field of a filter is compared."""


def _is_of(kind: str) -> ColumnElement[bool]:
    """So that no index of the actions answers it, of which each has too many events."""
    return func.substr(AuditEvent.action, 1, len(kind) + 1) == f"{kind}."


def _is_object(name: str, behind: str) -> ColumnElement[bool]:
    """Byte for byte: MariaDB's index, which finds the row, takes `acmé` for `acme`."""
    exact, column = cast(AuditEvent.object, LargeBinary), AuditEvent.object
    if not behind:
        return and_(column == name, exact == name.encode())
    start = name + behind
    return and_(pages.begins(column, start), exact >= start.encode(), exact < (start + "\U0010ffff").encode())


@dataclass(frozen=True, slots=True)
class Verification:
    """What a walk along the chain found: how many rows are whole, and the first that is not."""

    whole: int
    broken_at: int | None


def verify(session: Session, actor: Actor) -> Verification:
    """Walk the whole chain, in the order of the rows."""
    require(actor, LIST)
    hash_before, number = "", 0
    for event in session.scalars(select(AuditEvent).order_by(AuditEvent.id)).yield_per(1000):
        if event.id != number + 1 or event.hash != _hash(hash_before, event):
            return Verification(whole=number, broken_at=event.id)
        hash_before, number = event.hash, event.id
    head = session.get_one(AuditHead, _HEAD)
    missing = (head.length, head.hash) != (number, hash_before)
    return Verification(whole=number, broken_at=number + 1 if missing else None)


def _hash(before: str, event: AuditEvent) -> str:
    facts = [
        before,
        event.id,
        event.at,
        event.actor,
        event.credential,
        event.source,
        event.action,
        event.object,
        event.result,
        event.detail,
        event.request_id,
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
