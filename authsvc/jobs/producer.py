"""The queue as web has it: to tell the worker at once of what a row asks, and to see how much waits.

Nothing depends on it: the worker looks for such rows every minute (design decision 12).
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from authsvc.errors import Unavailable, say
from authsvc.settings import Settings

log = logging.getLogger(__name__)


class Producer:
    """Puts jobs into the queue, and counts them. Connects when it is used, which is seldom.

    Args:
        settings: asked for those of the moment.
    """

    def __init__(self, settings: Callable[[], Settings]) -> None:
        self._settings = settings

    def tell(self, job: str) -> None:
        """Let the worker do a job of jobs/queue.py now. What it cannot be told it finds by itself within a minute."""
        try:
            with self._queue() as queue:
                queue.task(name=job)(_by_the_worker)()
        except Unavailable:
            log.warning("the worker was not told to %s: the queue does not answer", job)

    def length(self) -> int:
        """How many jobs wait.

        Raises:
            Unavailable: the queue does not answer.
        """
        with self._queue() as queue:
            return int(queue.pending_count())

    @contextmanager
    def _queue(self) -> Iterator[Any]:
        from authsvc.jobs.queue import ends, make_queue  # noqa: PLC0415 (megabytes in each process of web)

        try:
            queue = make_queue(self._settings())
            try:
                yield queue
            finally:
                ends(queue)
        except Exception as exc:  # SQLite's and Redis' own, which only the queue's library knows
            raise Unavailable(say("the queue does not answer")) from exc


def _by_the_worker() -> None:
    """Stands for a job that is done elsewhere."""


# A job is known by its module and name, and the worker's are those of the module beside this one.
_by_the_worker.__module__ = "authsvc.jobs.queue"
