"""The audit trail: written in the transaction of the change it tells of, append-only, each row chained to the last.

The head row also counts the changes, by which every process knows when to forget what it remembers of rights.

A row's hash covers the row before it, so that a changed, removed or reordered row shows (`verify`).
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from authsvc.core.rights import require
from authsvc.db.tables import AuditEvent, AuditHead
from authsvc.domain.permissions import Actor, Right

LIST = Right("audit-log", "list")
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


def list_newest(session: Session, actor: Actor, limit: int) -> Sequence[AuditEvent]:
    """The newest events, newest first."""
    require(actor, LIST)
    return session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc()).limit(limit)).all()


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
