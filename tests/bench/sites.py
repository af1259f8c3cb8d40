"""Installations to measure: with one database or the other, with few users or many."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import create_engine, text

from authsvc import settings as settings_module
from authsvc.core import setup
from authsvc.stack import home
from tests.bench import processes
from tests.bench.fill import Filled, fill
from tests.e2e import native
from tests.e2e.native import Native
from tests.e2e.servers import clean_environment, free_port


@dataclass(frozen=True)
class Bench:
    """A running installation, full of users, and where its web is reached past nginx."""

    site: Native
    web_port: int
    pid: int
    filled: Filled
    database: str

    @property
    def port(self) -> int:
        return self.site.port

    @property
    def users(self) -> int:
        return len(self.filled.people)

    @property
    def web(self) -> list[int]:
        return processes.named(self.pid, "gunicorn")

    @property
    def nginx(self) -> list[int]:
        return processes.named(self.pid, "nginx: ", "sbin/nginx")

    @property
    def worker(self) -> list[int]:
        return processes.named(self.pid, "authsvc worker")

    @property
    def registry(self) -> list[int]:
        return processes.named(self.pid, "docker-registry")


@contextmanager
def running(directory: Path, *, users: int, projects: int, database: str = "", **environment: str) -> Iterator[Bench]:
    """Make an installation, fill it and start it; `database` is the URL of a MariaDB of its own."""
    site = native.new(directory)
    web_port = free_port()
    given = {
        "AUTHSVC_WEB__BIND": f"127.0.0.1:{web_port}",
        "AUTHSVC_DATABASE__URL": database,
        "AUTHSVC_TOKEN__REFRESH_TOKENS": "true",
        **environment,
    }
    settings = settings_module.load(clean_environment(**(site.environment | given)))
    home.make(settings, int(time.time()))
    setup.prepare(settings, int(time.time()))
    engine = setup.connect(settings)
    filled = fill(engine, users, projects)
    engine.dispose()
    with site.running(**given) as started:
        yield Bench(site, web_port, started.pid, filled, "MariaDB" if database else "SQLite")


@contextmanager
def database(server: str, name: str) -> Iterator[str]:
    """The URL of an empty database in a MariaDB."""
    engine = create_engine(f"{server}/mysql")
    with engine.begin() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield f"{server}/{name}"
    engine.dispose()  # the server may have been started anew
    with engine.begin() as connection:
        connection.execute(text(f"DROP DATABASE {name}"))
    engine.dispose()
