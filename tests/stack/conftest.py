"""A data directory, free ports, and nginx before a stub of what lies behind it."""

import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from authsvc import settings as settings_module
from authsvc.settings import Settings
from authsvc.stack import home, places, render

NOW = 1_800_000_000

MakeSettings = Callable[..., Settings]


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def make_settings(tmp_path: Path) -> Iterator[MakeSettings]:
    """Settings with a data directory of the test's own; keywords are environment variables without their prefix."""
    directory = tmp_path / "home"

    def make(**environment: str) -> Settings:
        given = {"HOME": str(directory), "PORT": str(free_port()), **environment}
        return settings_module.load({f"AUTHSVC_{name}": value for name, value in given.items()})

    yield make
    shutil.rmtree((directory / "run").resolve(), ignore_errors=True)


@pytest.fixture
def make_home(make_settings: MakeSettings) -> MakeSettings:
    """The same, with the data directory made and the configuration written."""

    def make(**environment: str) -> Settings:
        settings = make_settings(**environment)
        home.make(settings, NOW)
        render.write(settings)
        return settings

    return make


@dataclass
class Stub:
    """What stands behind nginx: answers with what the test sets, and keeps what it was sent."""

    port: int
    status: int = 200
    drops: int = 0
    """How many of the next requests are dropped unanswered, as by a process that was killed."""
    headers: dict[str, str] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)
    received: list[HTTPMessage] = field(default_factory=list)


@pytest.fixture
def stub() -> Iterator[Stub]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            kept.paths.append(self.path)
            kept.received.append(self.headers)
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if kept.drops:
                kept.drops -= 1
                self.close_connection = True
                return
            self.send_response(kept.status)
            for name, value in kept.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        kept = Stub(server.server_port)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield kept
        server.shutdown()
        thread.join()


@dataclass
class Answer:
    """What a client of nginx got."""

    status: int
    headers: HTTPMessage
    body: str


@dataclass
class Front:
    """nginx, and where it logs."""

    port: int
    log: Path

    def ask(self, path: str, *, method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
        """One request; a keyword `x_forwarded_for` is the header `X-Forwarded-For`."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read().decode())
        finally:
            connection.close()


@pytest.fixture
def start_front(make_home: MakeSettings, stub: Stub, tmp_path: Path) -> Iterator[Callable[..., Front]]:
    """Start nginx; web and registry are the stub unless a keyword says otherwise."""
    running = []

    def start(**environment: str) -> Front:
        behind = f"127.0.0.1:{stub.port}"
        settings = make_home(**{"WEB__BIND": behind, "REGISTRY__BIND": behind, **environment})
        log = tmp_path / "nginx.log"
        config = settings.paths.rendered / "nginx" / "nginx.conf"
        with log.open("w") as output:
            process = subprocess.Popen([*NGINX, "-c", str(config), "-e", "stderr"], stdout=output, stderr=output)
        running.append(process)
        port = settings.port if places.is_embedded(settings) else render.CONTAINER_PORT
        wait_until(lambda: listens(port) or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        return Front(port, log)

    yield start
    for process in running:
        process.terminate()
        process.wait()


NGINX = (shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin") or "nginx",)


def listens(port: int) -> bool:
    """Whether something accepts connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(is_true: Callable[[], object]) -> None:
    """Ask until it is so; a minute is no promise about speed, only the end of patience."""
    pause = threading.Event()
    for _ in range(1200):
        if is_true():
            return
        pause.wait(0.05)
    pytest.fail("what was waited for did not happen within a minute")
