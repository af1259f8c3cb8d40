"""Which of the parts work, and the signs of life of those that answer no requests."""

from dataclasses import dataclass

from sqlalchemy import Engine, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from authsvc.core.rights import require
from authsvc.db import revision
from authsvc.db.engine import reading
from authsvc.db.tables import Heartbeat
from authsvc.domain.permissions import Actor, Right
from authsvc.errors import AppError, say

READ = Right("configuration", "read")
BEAT_SECONDS = 60
WORKER = "jobservice"
"""Harbor's name for what is our worker."""
NOT_MIGRATED = say("the database is not migrated: run `authsvc migrate`")


def beat(session: Session, part: str, now: int) -> None:
    """Say that a part is alive."""
    session.merge(Heartbeat(part=part, at=now))


def is_alive(session: Session, part: str, now: int) -> bool:
    """Whether a part gave a sign of life within three beats."""
    at = session.scalar(select(Heartbeat.at).where(Heartbeat.part == part))
    return at is not None and now - at <= 3 * BEAT_SECONDS


@dataclass(frozen=True, slots=True)
class Report:
    """What the database knows of the parts.

    Args:
        revision: of its schema; "" where it has none.
        is_migrated: whether that is what this version needs.
        worker_at: when the worker gave its last sign of life, in UTC seconds; None for never.
        has_worker: whether that was lately.
    """

    revision: str
    is_migrated: bool
    worker_at: int | None
    has_worker: bool


def report(session: Session, actor: Actor, now: int) -> Report:
    """How the parts are, for administrators."""
    require(actor, READ)
    revision_found = revision.current(session.connection())
    worker_at = session.scalar(select(Heartbeat.at).where(Heartbeat.part == WORKER))
    is_new = revision_found is not None and revision_found >= revision.NEWEST
    return Report(revision_found or "", is_new, worker_at, is_alive(session, WORKER, now))


def is_migrated(engine: Engine) -> bool:
    """Whether the schema is the one this version needs, or a newer one, which only adds to it.

    Raises:
        Unavailable: the database does not answer.
    """
    with reading(engine) as session:
        found = revision.current(session.connection())
    return found is not None and found >= revision.NEWEST


def components(engine: Engine, now: int) -> dict[str, bool]:
    """For each part, whether it is healthy."""
    try:
        with reading(engine) as session:
            return {"database": True, WORKER: is_alive(session, WORKER, now)}
    except (AppError, DBAPIError):  # MariaDB says a missing table is no outage
        return {"database": False, WORKER: False}
