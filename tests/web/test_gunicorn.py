"""Counting over the processes of a real gunicorn."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from types import SimpleNamespace

import pytest
from gunicorn.workers.gthread import ThreadWorker
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.parser import text_string_to_metric_families

from authsvc.web import gunicorn
from tests.conftest import free_port, wait_until

BATCH = 40


def test_an_answer_leaves_in_one_piece(monkeypatch):
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)

    def answer(_worker: object, _request: object, connection: SimpleNamespace) -> bool:
        connection.sock.sendall(b"head ")
        connection.sock.sendall(b"body")
        with pytest.raises(BlockingIOError):
            theirs.recv(100)
        return True

    monkeypatch.setattr(ThreadWorker, "handle_request", answer)
    with ours, theirs:
        assert gunicorn.Worker.handle_request(
            gunicorn.Worker.__new__(gunicorn.Worker), None, SimpleNamespace(sock=ours)
        )
        assert theirs.recv(100) == b"head body"


def test_a_long_answer_leaves_in_pieces():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        gunicorn._Whole(ours).sendall(bytes(70_000))
        assert theirs.recv(100) == bytes(100)


def test_a_file_leaves_after_its_head(tmp_path):
    (tmp_path / "file").write_bytes(b"body")
    ours, theirs = socket.socketpair()
    with ours, theirs, (tmp_path / "file").open("rb") as file:
        whole = gunicorn._Whole(ours)
        whole.sendall(b"head ")
        whole.sendfile(file, offset=0, count=4)
        assert theirs.recv(9, socket.MSG_WAITALL) == b"head body"


@dataclass
class Web:
    port: int
    process: subprocess.Popen
    log: Path
    counts: Path
    asked: int = 0

    def ask(self, path: str) -> tuple[int, str]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        except OSError:
            return 0, ""
        finally:
            connection.close()

    def ask_a_lot(self) -> None:
        """Tokens for nobody, several at a time."""
        with ThreadPoolExecutor(8) as pool:
            statuses = [status for status, _ in pool.map(self.ask, ["/service/token"] * BATCH)]
        assert statuses == [200] * BATCH
        self.asked += BATCH

    def granted(self) -> float:
        return sum(value for name, value in self._samples() if name == "authsvc_token_requests_total")

    def timed(self) -> float:
        return sum(value for name, value in self._samples() if name.endswith("duration_seconds_count"))

    def up(self) -> list[float]:
        return [value for name, value in self._samples() if name == "authsvc_database_up"]

    def busy(self) -> list[int]:
        """The processes that have granted a token."""
        return [
            int(path.stem.removeprefix("counter_")) for path in self.counts.glob("counter_*.db") if granted_in(path)
        ]

    def _samples(self) -> list[tuple[str, float]]:
        families = text_string_to_metric_families(self.ask("/metrics")[1])
        return [(found.name, found.value) for family in families for found in family.samples]


def granted_in(path: Path) -> float:
    values = MmapedDict.read_all_values_from_file(str(path))
    return sum(value for key, value, *_ in values if "authsvc_token_requests_total" in key)


@pytest.fixture
def database_url(sqlite_url) -> str:
    return sqlite_url


@pytest.fixture
def web(built, settings, tmp_path) -> Iterator[Web]:
    """`authsvc web` with two processes."""
    port, log = free_port(), tmp_path / "web.log"
    counts = settings.paths.run / f"metrics-127.0.0.1-{port}"
    counts.mkdir(parents=True)
    (counts / "counter_1.db").write_text("of the start before")
    environment = {
        **os.environ, "AUTHSVC_HOME": str(settings.home), "AUTHSVC_WEB__BIND": f"127.0.0.1:{port}",
        "AUTHSVC_WEB__PROCESSES": "2",
    }  # fmt: skip
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "authsvc", "web"], env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    found = Web(port, process, log, counts)
    wait_until(lambda: found.ask("/healthz")[0] == 200, process, log)
    yield found
    process.terminate()
    process.wait()


@pytest.fixture
def busy_web(web: Web) -> Web:
    """The same, after both processes have granted tokens."""

    def both() -> bool:
        web.ask_a_lot()
        return len(web.busy()) == 2

    wait_until(both, web.process, web.log)
    return web


def test_the_sum_over_all_processes_is_exact(busy_web: Web):
    assert (busy_web.granted(), busy_web.timed()) == (busy_web.asked, busy_web.asked)


def test_a_gauge_of_the_installation_is_not_multiplied(busy_web: Web):
    assert busy_web.up() == [1]


def test_counts_outlive_the_process_that_counted(busy_web: Web):
    os.kill(busy_web.busy()[0], signal.SIGKILL)
    wait_until(lambda: "was sent SIGKILL" in busy_web.log.read_text(), busy_web.process, busy_web.log)
    busy_web.ask_a_lot()
    assert busy_web.granted() == busy_web.asked


def test_what_is_left_of_a_start_before_is_gone(web: Web):
    assert (web.counts / "counter_1.db").exists() is False


def test_nobody_else_reads_the_counts(web: Web):
    assert web.counts.stat().st_mode & 0o777 == 0o700


def test_live_gauges_of_a_process_end_with_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    for name in ("gauge_livesum_7.db", "counter_7.db"):
        (tmp_path / name).touch()
    gunicorn.child_exit(None, SimpleNamespace(pid=7))
    assert [path.name for path in tmp_path.iterdir()] == ["counter_7.db"]


def test_who_has_connections_leaves_a_new_one_to_others(monkeypatch):
    waited = []
    monkeypatch.setattr(gunicorn.time, "sleep", waited.append)
    monkeypatch.setattr(gunicorn.ThreadWorker, "accept", lambda *_: None)
    for connections in (0, 1, 1_000):
        _accept(connections)
    assert waited == [0, 20e-6, 25 * 20e-6]


def _accept(connections: int) -> None:
    worker = object.__new__(gunicorn.Worker)
    worker.nr_conns = connections
    worker.accept(None)
