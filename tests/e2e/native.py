"""An installation as `make run` makes it."""

import json
import os
import secrets
import signal
import sqlite3
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from click.testing import CliRunner

from authsvc.cli import main
from tests.e2e.servers import ROOT, answers, clean_environment, free_port, process, run, standing_still, stop, until

PARTS = ("nginx", "registry", "web", "worker")


@dataclass(frozen=True)
class Native:
    """An installation in one data directory."""

    home: Path
    port: int

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        return clean_environment(AUTHSVC_HOME=str(self.home), AUTHSVC_PORT=str(self.port))

    @property
    def output(self) -> Path:
        """What `make run` printed."""
        return self.home.with_suffix(".out")

    def authsvc(
        self, *arguments: str, stdin: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        return run(str(ROOT / ".venv/bin/authsvc"), *arguments, stdin=stdin, env=self.environment, check=check)

    def logs(self, request_id: str) -> Sequence[str]:
        return [part for part in PARTS if any(request_id in log.read_text() for log in self._logs(part))]

    @contextmanager
    def requests(self) -> Iterator[list[dict[str, Any]]]:
        """The requests that nginx logged while the block ran; they are in the list when it has ended."""
        log = self.home / "log" / "nginx.log"
        start, seen = log.stat().st_size, []
        yield seen
        mark = f"/{secrets.token_hex(8)}"
        httpx.get(f"http://{self.host}{mark}")
        until(lambda: mark in log.read_text(), "nginx's log")
        lines = log.read_bytes()[start:].decode().splitlines()
        seen.extend(json.loads(line) for line in lines if line.startswith("{") and mark not in line)

    def web_processes(self) -> list[int]:
        """The processes that answer requests."""
        supervisor = run("pgrep", "-f", f"supervisord.*{self.home}").stdout.split()[-1]
        gunicorn = run("pgrep", "-P", supervisor, "-f", "gunicorn").stdout.strip()
        return [int(pid) for pid in run("pgrep", "-P", gunicorn).stdout.split()]

    @contextmanager
    def only(self, process_id: int) -> Iterator[httpx.Client]:
        """A client of one web process: the others stand still; nginx, which has connections to each, is passed by."""
        socket = str(self.home / "run" / "web.sock")
        with ExitStack() as stack:
            for other in set(self.web_processes()) - {process_id}:
                stack.enter_context(standing_still(other))
            transport = httpx.HTTPTransport(uds=socket)
            yield stack.enter_context(httpx.Client(transport=transport, base_url="http://web", timeout=60))

    def sql(self, statement: str, *values: object) -> None:
        """Change what no command changes, such as the day on which something ends, and count it as a change."""
        with closing(sqlite3.connect(self.home / "authsvc.db", timeout=60)) as connection, connection:
            connection.execute(statement, values)
            connection.execute("UPDATE audit_heads SET changes = changes + 1")

    def secrets(self) -> dict[str, bytes]:
        """Every secret and certificate that was generated."""
        folders = [self.home / "secrets", self.home / "ca"]
        return {path.name: path.read_bytes() for folder in folders for path in folder.iterdir()}

    @contextmanager
    def running(self, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        """`make run`, from its first answer until the end of the block."""
        with process("make", "run", log=self.output, env={**self.environment, **environment}) as started:
            until(lambda: started.poll() is not None or self._is_up(), "the first answer of `make run`", seconds=300)
            assert started.poll() is None, self.output.read_text()[-4000:]
            yield started
            stop(started, signal.SIGTERM)
            assert "Traceback" not in self.output.read_text()

    def _is_up(self) -> bool:
        printed = self.output.read_text() if self.output.exists() else ""
        scheme = "https" if f"https://{self.host}" in printed else "http"
        return f"docker login {self.host}" in printed and answers(f"{scheme}://{self.host}/readyz")

    def _logs(self, part: str) -> Iterator[Path]:
        return (self.home / "log").glob(f"{part}*")


@dataclass(frozen=True)
class Hasty(Native):
    """The same command line without a process for each command, for what must be there before a test begins."""

    def authsvc(
        self, *arguments: str, stdin: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        environment = {name: None for name in os.environ if name.startswith("AUTHSVC_")} | self.environment
        done = CliRunner().invoke(main, arguments, input=stdin, env=environment, catch_exceptions=False)
        assert done.exit_code == 0 or not check, f"{arguments} ended with {done.exit_code}:\n{done.output}"
        return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)


def new(directory: Path) -> Native:
    """An installation that has not been started yet."""
    return Native(directory / "data", free_port())
