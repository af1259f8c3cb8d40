"""gunicorn's hooks (its setting `config`, see `app.py`). Its settings stand in `cli/run.py`."""

import gc
import time
from typing import Protocol

from gunicorn.workers.gthread import ThreadWorker
from prometheus_client import multiprocess

_YIELD_SECONDS, _MOST = 20e-6, 25


class _Worker(Protocol):
    pid: int


class Worker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threaded worker, which leaves a new connection to a process that has fewer.

    Every process hears of it and the first one takes it. nginx keeps its connections, so that without this one
    process may come to have them all, and its one lock on Python be what all requests wait for.
    """

    def accept(self, listener: object) -> None:
        """See `ThreadWorker.accept`."""
        time.sleep(min(self.nr_conns, _MOST) * _YIELD_SECONDS)
        super().accept(listener)


def pre_fork(_server: object, _worker: object) -> None:
    """A process is about to be forked: keep the collector from touching, and so copying, what it shares."""
    gc.collect()
    gc.freeze()


def child_exit(_server: object, worker: _Worker) -> None:
    """A process has ended: forget its live gauges. Its counts stay, since a sum must never shrink."""
    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
