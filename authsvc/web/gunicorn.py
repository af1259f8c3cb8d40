"""gunicorn's hooks (its setting `config`, see `app.py`). Its settings stand in `cli/run.py`."""

import copy
import gc
import socket
import time
from typing import Any, Protocol

from flask import Flask
from gunicorn.workers.gthread import ThreadWorker
from prometheus_client import multiprocess

_YIELD_SECONDS, _MOST = 20e-6, 25
_PIECE = 64 * 1024


class _Worker(Protocol):
    pid: int
    wsgi: Flask


class Worker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threaded worker, which leaves a new connection to a process that has fewer.

    Every process hears of it and the first one takes it. nginx keeps its connections, so that without this one
    process may come to have them all, and its one lock on Python be what all requests wait for.
    """

    def accept(self, listener: object) -> None:
        """See `ThreadWorker.accept`."""
        time.sleep(min(self.nr_conns, _MOST) * _YIELD_SECONDS)
        super().accept(listener)

    def handle_request(self, req: object, conn: Any) -> bool:  # noqa: ANN401 (gunicorn's)
        """See `ThreadWorker.handle_request`. The answer leaves in one piece.

        gunicorn sends the head and then the body. Where a process is killed between the two, nginx has begun an answer
        and can ask no other process.
        """
        answered = copy.copy(conn)
        answered.sock = _Whole(conn.sock)
        goes_on: bool = super().handle_request(req, answered)
        answered.sock.flush()
        return goes_on


class _Whole:
    """A socket that keeps what is sent, up to a limit, until it is flushed."""

    def __init__(self, inner: socket.socket) -> None:
        self._inner = inner
        self._kept = bytearray()

    def sendall(self, data: bytes) -> None:
        self._kept += data
        if len(self._kept) > _PIECE:
            self.flush()

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:  # noqa: ANN401 (socket's own)
        self.flush()
        return self._inner.sendfile(file, offset, count)

    def flush(self) -> None:
        self._inner.sendall(self._kept)
        self._kept.clear()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._inner, name)


def pre_fork(_server: object, _worker: object) -> None:
    """A process is about to be forked: keep the collector from touching, and so copying, what it shares."""
    gc.collect()
    gc.freeze()


def post_worker_init(worker: _Worker) -> None:
    """A process is about to serve: let it look for changes of the settings."""
    worker.wsgi.extensions["authsvc"].watch()


def child_exit(_server: object, worker: _Worker) -> None:
    """A process has ended: forget its live gauges. Its counts stay, since a sum must never shrink."""
    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
