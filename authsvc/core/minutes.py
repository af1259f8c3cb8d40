"""Requests for tokens by the minute: how they ended and how long they took, over all processes, for a day.

Each process counts in memory and writes what it has counted now and then, so that no token waits for a write. What a
process has not written dies with it. Prometheus, which forgets nothing, is served by core/metrics.py.
"""

import logging
import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Engine, select, update
from sqlalchemy import delete as sql_delete

from authsvc.core import health
from authsvc.core.metrics import SECONDS, Outcome
from authsvc.core.rights import require
from authsvc.db.engine import Session, retried
from authsvc.db.ensure import ensure
from authsvc.db.tables import TokenMinute
from authsvc.domain.permissions import Actor
from authsvc.errors import AppError

log = logging.getLogger(__name__)
MINUTE, KEPT_SECONDS = 60, 86_400
FLUSH_SECONDS = 15
SHOWN = 60
"""Minutes on a picture."""

_Cell = tuple[int, str, int]
"""The begin of a minute, an outcome, and the place of a latency among the limits."""


class Minutes:
    """What this process has counted and not written yet."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._counts: Counter[_Cell] = Counter()
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def count(self, outcome: Outcome, seconds: float, now: int) -> None:
        """Count a request, which is written with others in a while."""
        with self._lock:
            self._counts[now - now % MINUTE, outcome.value, bisect_left(SECONDS, seconds)] += 1
            if self._timer is None:
                self._timer = threading.Timer(FLUSH_SECONDS, self.flush)
                self._timer.daemon = True
                self._timer.start()

    def flush(self) -> None:
        """Write what was counted; what cannot be written now is written the next time."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
            if self._timer is not None:
                self._timer.cancel()
            self._timer = None
        if not counts:
            return
        try:
            retried(self._engine, lambda session: _write(session, counts))
        except AppError as exc:
            log.warning("requests for tokens were not written: %s", exc)
            with self._lock:
                self._counts.update(counts)


def _write(session: Session, counts: Mapping[_Cell, int]) -> None:
    for (minute, outcome, bucket), requests in sorted(counts.items()):
        ensure(session, TokenMinute, minute=minute, outcome=outcome, bucket=bucket, requests=0)
        row = (TokenMinute.minute == minute, TokenMinute.outcome == outcome, TokenMinute.bucket == bucket)
        session.execute(update(TokenMinute).where(*row).values(requests=TokenMinute.requests + requests))


@dataclass(frozen=True, slots=True)
class Minute:
    """One minute.

    Args:
        at: its begin, in UTC seconds.
        requests: how many ended in each way that there was.
        median: seconds that half of them took at most; None where there were none.
        slowest: seconds that 95 of a hundred took at most.
    """

    at: int
    requests: Mapping[Outcome, int] = field(default_factory=dict)
    median: float | None = None
    slowest: float | None = None

    @property
    def total(self) -> int:
        """How many there were."""
        return sum(self.requests.values())


def last_hour(session: Session, actor: Actor, now: int) -> Sequence[Minute]:
    """The last sixty minutes, the one that has begun as the last."""
    require(actor, health.READ)
    newest = now - now % MINUTE
    starts = range(newest - (SHOWN - 1) * MINUTE, newest + 1, MINUTE)
    found: dict[int, list[TokenMinute]] = {}
    for row in session.scalars(select(TokenMinute).where(TokenMinute.minute >= starts[0])):
        found.setdefault(row.minute, []).append(row)
    return [_minute(at, found.get(at, ())) for at in starts]


def purge(session: Session, now: int) -> None:
    """Drop what is older than a day."""
    session.execute(sql_delete(TokenMinute).where(TokenMinute.minute < now - KEPT_SECONDS))


def _minute(at: int, rows: Iterable[TokenMinute]) -> Minute:
    requests: Counter[Outcome] = Counter()
    buckets: Counter[int] = Counter()
    for row in rows:
        requests[Outcome(row.outcome)] += row.requests
        buckets[row.bucket] += row.requests
    return Minute(at, requests, quantile(buckets, 0.5), quantile(buckets, 0.95))


def quantile(buckets: Mapping[int, int], part: float) -> float | None:
    """Seconds that this part of them took at most; None for none.

    Within a bucket they are taken to be spread evenly, as Prometheus' `histogram_quantile` does; those beyond the last
    limit took as long as that.
    """
    wanted = part * sum(buckets.values())
    if not wanted:
        return None
    below = 0
    for place, count in sorted(buckets.items()):
        if below + count >= wanted and place < len(SECONDS):
            start = SECONDS[place - 1] if place else 0.0
            return start + (SECONDS[place] - start) * (wanted - below) / count
        below += count
    return float(SECONDS[-1])
