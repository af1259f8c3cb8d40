"""A registry's notifications, stored raw before anything is made of them (design decision 7)."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from authsvc.db.tables import RegistryEvent

KEEP_SECONDS = 7 * 86_400
MAX_BODY = 60_000


def store(session: Session, events: Sequence[dict[str, Any]], now: int) -> int:
    """Keep events that are not here yet, and say how many those were. A registry may send one twice."""
    by_id = {_id(event): json.dumps(event)[:MAX_BODY] for event in events}
    by_id.pop("", None)
    known = set(session.scalars(select(RegistryEvent.id).where(RegistryEvent.id.in_(by_id))))
    fresh = [RegistryEvent(id=key, received_at=now, body=body) for key, body in by_id.items() if key not in known]
    session.add_all(fresh)
    return len(fresh)


def newest_at(session: Session) -> int | None:
    """When the newest event came, in UTC seconds."""
    return session.scalar(select(func.max(RegistryEvent.received_at)))


def purge(session: Session, now: int) -> None:
    """Drop events older than a week."""
    session.execute(delete(RegistryEvent).where(RegistryEvent.received_at < now - KEEP_SECONDS))


def _id(event: dict[str, Any]) -> str:
    # JSON can hold half of a surrogate pair, which no database can.
    return str(event.get("id", ""))[:64].encode(errors="replace").decode()
