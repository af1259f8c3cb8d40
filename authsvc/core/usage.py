"""When machine credentials were last used: kept in memory and written together, so that no token waits for a write."""

import logging
import threading
from collections.abc import Mapping

from sqlalchemy import Engine, or_, update

from authsvc.core.standing import Machine
from authsvc.db.engine import Session, retried
from authsvc.db.tables import AccessToken, RefreshToken, Robot
from authsvc.domain.machine_secrets import Kind
from authsvc.errors import AppError

log = logging.getLogger(__name__)
FLUSH_SECONDS = 30

_TABLES: Mapping[Kind, type[AccessToken | RefreshToken | Robot]] = {
    Kind.ACCESS_TOKEN: AccessToken,
    Kind.REFRESH_TOKEN: RefreshToken,
    Kind.ROBOT: Robot,
}


class Usage:
    """Times of last use of this process. They are a convenience: those of the last half minute die with it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._times: dict[tuple[Kind, int], int] = {}
        self._lock = threading.Lock()
        self._written_at = 0

    def used(self, kind: Kind, machine: Machine | None, now: int) -> None:
        """Note a use, and write what was noted when half a minute has passed."""
        if machine is None:
            return
        with self._lock:
            self._times[kind, machine.id] = now
            is_due = now - self._written_at >= FLUSH_SECONDS
            if is_due:
                self._written_at = now
        if is_due:
            threading.Thread(target=self.flush, name="usage", daemon=True).start()

    def flush(self) -> None:
        """Write what was noted; what cannot be written now is written the next time."""
        with self._lock:
            times, self._times = self._times, {}
        try:
            retried(self._engine, lambda session: _write(session, times))
        except AppError as exc:
            log.warning("times of last use were not written: %s", exc)
            with self._lock:
                self._times = times | self._times


def _write(session: Session, times: Mapping[tuple[Kind, int], int]) -> None:
    for (kind, row_id), at in sorted(times.items()):
        table = _TABLES[kind]
        older = or_(table.last_used_at.is_(None), table.last_used_at < at)
        session.execute(update(table).where(table.id == row_id, older).values(last_used_at=at))
