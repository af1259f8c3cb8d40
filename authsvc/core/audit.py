"""The audit trail: written in the transaction of the change it tells of, append-only, each row chained to the last.

The head row also counts the changes, by which every process knows when to forget what it remembers of rights.

A row's hash covers the row before it, so that a changed, removed or reordered row shows (`verify`).
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, LargeBinary, Select, Subquery, and_, cast, func, select, union_all, update
from sqlalchemy.orm import Session

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
    size = min(max(1, size), pages.MAX_SIZE)
    fitting = _fitting(wanted)
    if after is not None:
        found = list(session.scalars(fitting.where(AuditEvent.id > after).order_by(AuditEvent.id).limit(size + 1)))
        shown = found[:size][::-1]
        return Stretch(shown, older=shown[-1].id if shown else None, newer=shown[0].id if len(found) > size else None)
    if before is not None:
        fitting = fitting.where(AuditEvent.id < before)
    found = list(session.scalars(fitting.order_by(AuditEvent.id.desc()).limit(size + 1)))
    shown = found[:size]
    older = shown[-1].id if len(found) > size else None
    return Stretch(shown, older=older, newer=shown[0].id if shown and before is not None else None)


def _fitting(wanted: AuditFilter) -> Select[Any]:
    fitting = select(AuditEvent).where(*_conditions(wanted))
    if not wanted.project:
        return fitting
    theirs = _of_project(wanted.project)
    return fitting.join(theirs, theirs.c.id == AuditEvent.id)


def _conditions(wanted: AuditFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.actor:
        found.append(AuditEvent.actor == wanted.actor)
    if wanted.action:
        found.append(AuditEvent.action == wanted.action)
    if wanted.object:
        found.append(pages.begins(AuditEvent.object, wanted.object))
    if wanted.result:
        found.append(AuditEvent.result == wanted.result)
    if wanted.since is not None:
        found.append(AuditEvent.at >= wanted.since)
    if wanted.until is not None:
        found.append(AuditEvent.at < wanted.until)
    return found


def _of_project(name: str) -> Subquery:
    """The numbers of a project's events. Found by themselves, since in place of this a database would rather go
    through the whole trail from its end until it has a page of them."""
    found = [select(AuditEvent.id).where(_is_of(kind), _is_object(name, behind)) for kind, behind in OF_PROJECT.items()]
    return union_all(*found).subquery()


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
