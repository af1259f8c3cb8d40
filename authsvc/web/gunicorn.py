"""gunicorn's hooks (its setting `config`, see `app.py`). Its settings stand in `cli/run.py`."""

import gc
from typing import Protocol

from prometheus_client import multiprocess


class _Worker(Protocol):
    pid: int


def pre_fork(_server: object, _worker: object) -> None:
    """A process is about to be forked: keep the collector from touching, and so copying, what it shares."""
    gc.collect()
    gc.freeze()


def child_exit(_server: object, worker: _Worker) -> None:
    """A process has ended: forget its live gauges. Its counts stay, since a sum must never shrink."""
    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
