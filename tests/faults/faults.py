"""What goes wrong: each fault is injected, and healed when it is asked to go on. The numbers are README's."""

import json
import math
import multiprocessing
import os
import random
import resource
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
from sqlalchemy import Engine, create_engine, text

from authsvc import services as services_module
from authsvc import settings as settings_module
from tests.bench import processes
from tests.e2e import servers
from tests.faults import invariants
from tests.faults.worlds import World
from tests.faults.writing import write_often

CALM, ANSWER, RECOVERY = 2.0, 2.0, 5.0
"""Seconds of traffic between two blows, those that a refusal may take, and those until everything works again."""
KNOWN = ("robot: token", "robot: pull", "person: token", "person: pull", "nobody: token", "nobody: pull")
TOKENS = ("robot: token", "person: token", "nobody: token", "stranger: token", "writer: project")
EVERYTHING = (*KNOWN, "stranger: token", "pusher: token", "pusher: push", "writer: project")


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong.

    Args:
        inject: makes it so for as long as its block lasts; when that ends, it is healed.
        unharmed: the kinds of request that must not notice.
        during: what the others may be answered meanwhile, beside what is good; which is no error of ours.
        within: seconds within which they are told so; more where the machine has something else to do.
        hold: seconds that it lasts.
        quiet: whether nobody's rights change shortly before.
        crowd: how many times five clients there are.
        kinds: the kinds of request that there are.
        timed: those of them that end within `within` however they end.
        recovery: seconds that everything may take to work again.
        settled: seconds without an error before it does; more where each process of web finds out for itself.
    """

    number: str
    what: str
    inject: Callable[[World], Iterator[None]]
    unharmed: tuple[str, ...] = EVERYTHING
    during: frozenset[str] = frozenset({"503", "Unavailable"})
    within: float = ANSWER
    hold: float = 5.0
    quiet: bool = False
    crowd: int = 1
    kinds: tuple[str, ...] = EVERYTHING
    timed: tuple[str, ...] = ()
    recovery: float = RECOVERY
    settled: float = 0.0


def stopped(world: World) -> Iterator[None]:
    """MariaDB is stopped, and started again."""
    assert world.server
    servers.stop(world.server.process)
    yield
    port = int(world.server.url.rpartition(":")[2])
    world.server = world.kept.enter_context(servers.mariadb(world.directory / "mariadb", port=port))


def frozen(world: World) -> Iterator[None]:
    """MariaDB does not answer, but its connections stand."""
    assert world.server
    with servers.standing_still(world.server.process.pid):
        yield


def killed_connections(world: World) -> Iterator[None]:
    """Every connection to MariaDB is killed, again and again."""
    with killing_connections(world):
        yield


def five_connections(world: World) -> Iterator[None]:
    """MariaDB allows five connections to all processes together."""
    with root(world) as server:
        sql(server, "ALTER USER authsvc WITH MAX_USER_CONNECTIONS 5")
        _kill_connections(server)
        yield
        sql(server, "ALTER USER authsvc WITH MAX_USER_CONNECTIONS 0")


def eight_writers(world: World) -> Iterator[None]:
    """Eight processes write 150 times each, and a long reader looks on."""
    with closing(sqlite3.connect(world.site.home / "authsvc.db")) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM users").fetchone()
        path = world.site.home / "authsvc.db"
        with ProcessPoolExecutor(8, multiprocessing.get_context("spawn")) as pool:
            errors = [error for error in pool.map(write_often, [path] * 8, range(8)) if error]
        reader.rollback()
    assert not errors, errors
    yield


def disk_full(world: World) -> Iterator[None]:
    """The disk of the data directory is full, logs and all."""
    filler = world.site.home / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(64 * 1024))
    yield
    filler.unlink()


def killed_process(world: World) -> Iterator[None]:
    """One process of web is killed, twenty times."""
    for _ in range(20):
        _kill_one(world)
    yield


def starved(world: World) -> Iterator[None]:
    """A new process of web is given less memory than it needs, five times; the kernel ends it."""
    for _ in range(5):
        with _little_memory() as group:
            before = set(world.web)
            os.kill(random.choice(world.web[1:]), signal.SIGTERM)
            servers.until(lambda before=before: set(world.web) - before, "a new process of web")
            victim = (set(world.web) - before).pop()
            (group / "cgroup.procs").write_text(str(victim))
            servers.until(lambda victim=victim: victim not in world.web and len(world.web) == 3, "another process")
            assert "oom_kill 1" in (group / _OOM).read_text(), "it was not the kernel that ended it"
    yield


def hung_process(world: World) -> Iterator[None]:
    """One process of web hangs, until gunicorn notices."""
    hung = random.choice(world.web[1:])
    os.kill(hung, signal.SIGSTOP)
    servers.until(lambda: not Path(f"/proc/{hung}").exists(), "the end of a process that hangs")
    yield


def reloaded(world: World) -> Iterator[None]:
    """web is reloaded twenty times."""
    for _ in range(20):
        before = set(world.web)
        os.kill(world.gunicorn, signal.SIGHUP)
        servers.until(lambda before=before: len(set(world.web) - before) >= 2, "new processes of web")
        servers.until(lambda before=before: len(set(world.web) & before) <= 1, "the end of the old ones")
    yield


def nginx_reloaded(world: World) -> Iterator[None]:
    """nginx is reloaded while a slow upload goes on."""
    with _slow_upload(world) as status:
        os.kill(world.nginx, signal.SIGHUP)
        time.sleep(CALM)  # what is waited for is traffic
    assert status() == 202, f"the upload ended with {status()}"
    yield


def rotated(world: World) -> Iterator[None]:
    """The signing key is rotated three times."""
    for _ in range(3):
        world.authsvc("key", "rotate")
        time.sleep(CALM)
    yield


def slow_clients(world: World) -> Iterator[None]:
    """Three hundred clients send one byte a second, and never end."""
    host, _, port = world.site.host.partition(":")
    slow = [socket.create_connection((host, int(port))) for _ in range(300)]
    for one in slow:
        one.sendall(b"POST /service/token HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
    with _repeating(lambda: [one.sendall(b"a") for one in slow], 1.0):
        yield
    for one in slow:
        one.close()


def few_files(world: World) -> Iterator[None]:
    """The processes of web may open hardly any more files, and a hundred clients hold connections."""
    pids = world.web[1:]
    before = [resource.prlimit(pid, resource.RLIMIT_NOFILE) for pid in pids]
    for pid, limits in zip(pids, before, strict=True):
        soft = max(invariants.descriptors([pid]) + 8, 40)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, limits[1]))
    yield
    for pid, limits in zip(pids, before, strict=True):
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


def registry_stopped(world: World) -> Iterator[None]:
    """The registry is killed, three times; it is started again by itself."""
    for _ in range(3):
        pid = world.registry
        os.kill(pid, signal.SIGKILL)
        servers.until(lambda pid=pid: _registry(world) not in (None, pid), "another registry")
        time.sleep(CALM)
    yield


def registry_frozen(world: World) -> Iterator[None]:
    """The registry does not answer."""
    with servers.standing_still(world.registry):
        yield


def skewed(world: World) -> Iterator[None]:
    """Our clock and the registry's are apart: half a minute does no harm, ten minutes are refused."""
    built = services_module.build(settings_module.load(world.environment))
    client = built.registry
    for seconds, accepted in ((-30, True), (30, True), (-600, False), (600, False)):
        token = built.tokens.probe("authsvc", "acme/kept", int(time.time()) + seconds)
        found = client.challenge(token).status == 200
        assert found is accepted, f"a token of {seconds} s from now: accepted is {found}"
    built.engine.dispose()
    yield


def expired(world: World) -> Iterator[None]:
    """The signing certificate's end comes near, and passes: the doctor says so."""
    for days, state in ((0, "ok"), (80, "warn"), (95, "wrong")):
        faketime = [servers.need("faketime"), "-f", f"+{days}d"] if days else []
        command = [*faketime, str(servers.ROOT / ".venv/bin/authsvc"), "doctor", "--json"]
        answer = servers.run(*command, env=world.site.environment | world.environment, check=False)
        rows = {row["check"]: row["state"] for row in json.loads(answer.stdout)}
        assert rows["signing key"] == state, f"in {days} days the doctor says {rows['signing key']}"
    yield


def wrong_settings(world: World) -> Iterator[None]:
    """A mistake in the settings: a reload refuses it and says which, and what runs goes on."""
    file = world.site.home / "authsvc.toml"
    before = file.read_text()
    file.write_text(before + "\nlifetime_of_tokens = 3\n")
    refused = world.authsvc("reload")
    file.write_text(before)
    assert refused.returncode == 1, refused
    assert "lifetime_of_tokens" in refused.stderr, refused.stderr
    world.authsvc("reload")
    yield


SQLITE = [
    Fault("F6", "SQLite under eight writers and a long reader", eight_writers, within=math.inf),
    Fault("F9", "a process of web killed, twenty times", killed_process, crowd=10),
    Fault("F10", "a process of web hangs", hung_process, within=math.inf),
    Fault("F11", "web reloaded, twenty times", reloaded, crowd=10),
    Fault("F12", "nginx reloaded during an upload", nginx_reloaded),
    Fault("F17", "the registry killed, three times", registry_stopped, TOKENS, frozenset({"502", "ReadError"})),
    Fault("F17", "the registry frozen", registry_frozen, TOKENS),
    Fault("F22", "clocks apart", skewed),
    Fault("F23", "the signing key rotated, three times", rotated),
    Fault("F24", "the signing certificate's end", expired),
    Fault("F27", "three hundred slow clients", slow_clients),
    Fault("F34", "a process of web without memory, five times", starved),
    Fault("F35", "hardly a file left to open", few_files, (), frozenset({"502", "503", "504"}), within=math.inf),
    Fault("F38", "a mistake in the settings, and a reload", wrong_settings),
]  # fmt: skip
FULL = [Fault("F8", "the disk full", disk_full, KNOWN, quiet=True)]
MARIADB = [
    Fault("F1", "MariaDB stopped", stopped, KNOWN, quiet=True),
    Fault("F2", "MariaDB frozen", frozen, KNOWN, quiet=True),
    Fault("F3", "MariaDB's connections killed in a loop", killed_connections, KNOWN, quiet=True),
    Fault("F3", "MariaDB with five connections for all", five_connections, KNOWN),
]


@contextmanager
def root(world: World) -> Iterator[Engine]:
    """MariaDB as its root."""
    assert world.server
    made = create_engine(f"{world.server.url}/mysql")
    yield made
    made.dispose()


@contextmanager
def killing_connections(world: World) -> Iterator[None]:
    """Each connection to MariaDB is killed, for as long as the block lasts."""
    with root(world) as server, _repeating(lambda: _kill_connections(server), 0.1):
        yield


def sql(engine: Engine, statement: str) -> None:
    """Run a statement."""
    with engine.begin() as connection:
        connection.execute(text(statement))


def _kill_connections(server: Engine) -> None:
    with server.connect() as connection:
        mine = text("SELECT id FROM information_schema.processlist WHERE user = 'authsvc'")
        for number in connection.scalars(mine).all():
            with suppress(Exception):  # it may have ended by itself
                connection.execute(text(f"KILL CONNECTION {number}"))


_GROUPS = Path("/sys/fs/cgroup")
_OLD = (_GROUPS / "memory").is_dir()
_LIMIT, _OOM = ("memory.limit_in_bytes", "memory.oom_control") if _OLD else ("memory.max", "memory.events")


@contextmanager
def _little_memory() -> Iterator[Path]:
    """A control group in which processes may take 16 MiB, less than a hash; version 1 or 2, whichever is mounted."""
    if not _OLD:
        (_GROUPS / "cgroup.subtree_control").write_text("+memory")
    group = (_GROUPS / "memory" if _OLD else _GROUPS) / f"authsvc-faults-{os.getpid()}"
    group.mkdir()
    (group / _LIMIT).write_text(str(16 * 1024 * 1024))
    try:
        yield group
    finally:
        for pid in (group / "cgroup.procs").read_text().split():
            (group.parent / "cgroup.procs").write_text(pid)
        group.rmdir()


@contextmanager
def _repeating(work: Callable[[], object], pause: float) -> Iterator[None]:
    end = threading.Event()

    def repeat() -> None:
        while not end.wait(pause):
            with suppress(OSError):
                work()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    yield
    end.set()
    thread.join()


@contextmanager
def _slow_upload(world: World) -> Iterator[Callable[[], int]]:
    """A PATCH that takes some seconds; afterwards, its status."""
    shown = {"service": "authsvc", "scope": "repository:acme/pushed:pull,push"}
    base = f"http://{world.site.host}"
    token = httpx.get(f"{base}/service/token", params=shown, auth=world.cast.person).json()["token"]
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/octet-stream"}
    begun = httpx.post(f"{base}/v2/acme/pushed/blobs/uploads/", headers=headers)
    where = httpx.URL(base).join(begun.headers["location"])

    def body() -> Iterator[bytes]:
        for _ in range(30):
            time.sleep(0.2)
            yield bytes(10_000)

    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(httpx.patch, where, content=body(), headers=headers, timeout=60)
        yield lambda: sent.result().status_code


def _registry(world: World) -> int | None:
    found = processes.named(world.pid, "docker-registry")
    return found[0] if found else None


def _kill_one(world: World) -> None:
    victim = random.choice(world.web[1:])
    os.kill(victim, signal.SIGKILL)
    servers.until(lambda: victim not in world.web and len(world.web) == 3, "another process of web")
