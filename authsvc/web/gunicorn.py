"""gunicorn's hooks (its setting `config`). Its settings stand in `cli/run.py`."""

from typing import Protocol

from prometheus_client import multiprocess


class _Worker(Protocol):
    pid: int


def child_exit(_server: object, worker: _Worker) -> None:
    """A process has ended: forget its live gauges. Its counts stay, since a sum must never shrink."""
    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
