"""How callers stand, read once and remembered until something changes. What is read: core/standing.py."""

import math
import threading
import time
from collections.abc import Callable, Collection

from cachetools import LRUCache
from sqlalchemy import Engine

from authsvc.core import metrics, standing
from authsvc.core.last_known import LastKnown
from authsvc.core.standing import Key, Standing, Way
from authsvc.errors import Unavailable

CHECK_SECONDS = 1.0
"""How long what is remembered is believed without asking whether anything has changed."""
MAX_KNOWN = 10_000


class Standings:
    """Reads how callers stand, and remembers it until something changes.

    Every change of an account or a right moves one counter (`core/audit.py`). What is remembered is believed for
    `CHECK_SECONDS` after the counter was last read; the statement that reads a standing reads the counter, too, so a
    request costs one statement at most. While the database does not answer, what any process knew when it last did is
    good for pulls for `grace` seconds (design decision 15).

    Args:
        grace: seconds; 0 for not at all.
        last_known: what processes share; None for nothing.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        engine: Engine,
        grace: int,
        last_known: LastKnown | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._grace = grace
        self._last_known = last_known or LastKnown()
        self._clock = clock
        self._known: LRUCache[Key, Standing] = LRUCache(MAX_KNOWN)
        self._changes = -1
        self._checked_at = -math.inf
        self._lock = threading.Lock()

    def of_user(self, name: str, projects: Collection[str], now: int, *, anew: bool = False) -> Standing:
        """A person by name; "" for nobody.

        Args:
            anew: whether to ask the database whatever is remembered.

        Raises:
            Unavailable: the database does not answer, and this is not known well enough to go on without it.
        """
        return self._find(Key(Way.USER, name, "", frozenset(projects)), now, anew=anew)

    def of_access_token(self, digest: str, projects: Collection[str], now: int) -> Standing:
        """The person whose access token has this digest, limited to what the token is. Raises as `of_user` does."""
        return self._find(Key(Way.ACCESS_TOKEN, "", digest, frozenset(projects)), now)

    def of_refresh_token(self, digest: str, projects: Collection[str], now: int) -> Standing:
        """The person whose refresh token has this digest. Raises as `of_user` does."""
        return self._find(Key(Way.REFRESH_TOKEN, "", digest, frozenset(projects)), now)

    def of_robot(self, name: str, digest: str, projects: Collection[str], now: int) -> Standing:
        """The robot of this name (without the prefix) whose secret has this digest. Raises as `of_user` does."""
        return self._find(Key(Way.ROBOT, name, digest, frozenset(projects)), now)

    def of_robot_with_trusts(self, name: str, projects: Collection[str], now: int) -> Standing:
        """The robot of this name (without the prefix), which showed no secret, with its trusts. Raises as `of_user`."""
        return self._find(Key(Way.ROBOT_TRUSTS, name, "", frozenset(projects)), now)

    def _find(self, key: Key, now: int, *, anew: bool = False) -> Standing:
        asked_at = self._clock()
        with self._lock:
            known = self._known.get(key)
            age = asked_at - self._checked_at
        if known is not None and age < CHECK_SECONDS and not anew:
            metrics.STANDING_HITS.inc()
            return known.at(now)
        metrics.STANDING_MISSES.inc()
        try:
            found, changes = standing.read(self._engine, key)
        except Unavailable:
            before = self._last_known.find(key, asked_at - self._grace) if self._grace else None
            if before is None:
                raise
            return before.at(now)
        self._remember(key, found, changes, asked_at)
        return found.at(now)

    def _remember(self, key: Key, found: Standing, changes: int, asked_at: float) -> None:
        self._last_known.saw(changes, asked_at)
        with self._lock:
            if changes != self._changes:
                self._known.clear()
            if changes < self._changes:
                # Another thread was faster, or the database was put back from a backup: begin anew.
                self._changes = -1
                return
            self._changes = changes
            self._checked_at = max(self._checked_at, asked_at)
            if _exists(key, found):
                self._known[key] = found
                self._last_known.keep(key, found, changes, asked_at)


def _exists(key: Key, found: Standing) -> bool:
    """Whether everything asked for does: what does not can be asked for without end, and would push out what does."""
    nobody = Key(Way.USER, "", "", key.projects)
    return found.projects.keys() == key.projects and (found.account is not None or key == nobody)
