"""Installations to break: each with its cast, under load."""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import CompletedProcess

import httpx
from sqlalchemy import Engine, insert

from authsvc import settings as settings_module
from authsvc.db import tables
from authsvc.db.engine import HURRIED, make_engine
from authsvc.identity import passwords
from tests.bench import processes
from tests.e2e import native, servers
from tests.e2e.native import Native
from tests.faults.load import DAVE, Cast, push_image

ALICE = "alices-own-secret-7"
STRANGERS = 3_000


@dataclass
class World:
    """An installation under test."""

    site: Native
    pid: int
    engine: Engine
    cast: Cast
    directory: Path
    server: servers.MariaDB | None = None
    kept: ExitStack = field(default_factory=ExitStack)
    """What ends with the servers that were started anew."""
    environment: dict[str, str] = field(default_factory=dict)

    def authsvc(self, *arguments: str) -> CompletedProcess[str]:
        """The command line, with the settings of this world."""
        command = [str(servers.ROOT / ".venv/bin/authsvc"), *arguments]
        return servers.run(*command, env=self.site.environment | self.environment, check=False)

    @property
    def web(self) -> list[int]:
        return processes.named(self.pid, "gunicorn")

    @property
    def gunicorn(self) -> int:
        """gunicorn's main process."""
        return self.web[0]

    @property
    def nginx(self) -> int:
        return processes.named(self.pid, "nginx: master")[0]

    @property
    def registry(self) -> int:
        return processes.named(self.pid, "docker-registry")[0]


@contextmanager
def world(
    directory: Path, *, url: str = "", password: str = "", host: str = "127.0.0.1", **environment: str
) -> Iterator[World]:
    """A running installation with its cast, which reaches its database by the name `host`."""
    site = native.new(directory)
    given = site.environment | {
        "AUTHSVC_DATABASE__URL": url.replace("127.0.0.1", host), "AUTHSVC_DATABASE__PASSWORD": password, **environment,
    }  # fmt: skip
    with site.running(**given) as started:
        settings = settings_module.load(given)
        engine = make_engine(url, password or None, settings.paths.database, HURRIED)
        cast = _cast(engine, given)
        made = World(site, started.pid, engine, cast, directory, environment=given)
        _push_kept(site)
        yield made
        engine.dispose()


def _cast(engine: Engine, environment: dict[str, str]) -> Cast:
    def authsvc(*arguments: str, stdin: str | None = None) -> str:
        command = [str(servers.ROOT / ".venv/bin/authsvc"), *arguments]
        return servers.run(*command, stdin=stdin, env=environment).stdout

    for project in (("acme",), ("open", "--public")):
        authsvc("project", "add", *project)
    authsvc("user", "add", "alice", "--password-stdin", stdin=ALICE)
    authsvc("member", "set", "acme", "alice", "developer")
    allowed = ("--allow", "acme:repository:pull", "--json")
    made = authsvc("robot", "add", "ci", "--project", "acme", *allowed)
    secret = json.loads(made)["secret"]
    phc, names = passwords.hash_password(DAVE), [f"stranger{number}" for number in range(STRANGERS)]
    common = {
        "email": "",
        "source": "local",
        "password_hash": phc,
        "password_version": 1,
        "enabled": True,
        "admin": False,
    }
    with engine.execution_options(write=True).begin() as connection:
        connection.execute(insert(tables.User), [{"name": name, "created_at": 1, **common} for name in names])
    return Cast(("robot$acme+ci", secret), ("alice", ALICE), names)


def _push_kept(site: Native) -> None:
    admin = ("admin", (site.home / "secrets" / "admin.password").read_text().strip())
    for repository in ("acme/kept", "open/kept"):
        asked = {"service": "authsvc", "scope": f"repository:{repository}:pull,push"}
        with httpx.Client(base_url=f"http://{site.host}", timeout=30) as client:
            token = client.get("/service/token", params=asked, auth=admin).raise_for_status().json()["token"]
            client.headers["Authorization"] = f"Bearer {token}"
            pushed, _ = push_image(client, repository, "1", os.urandom(50_000))
            assert pushed == "201", pushed
