"""`make faults`: break what is around the service while clients work, and see what they notice.

Each fault is injected into a running installation under load, healed, and followed by one check of everything that must
be true whatever happened (invariants.py). A seed makes a run repeatable as far as threads are.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import create_engine, text

from authsvc import settings as settings_module
from authsvc.cli.output import show
from authsvc.core import setup
from authsvc.db.engine import make_engine
from authsvc.stack import home
from tests.bench import processes
from tests.bench.sites import database
from tests.e2e import servers
from tests.faults import databases, directories, invariants, networks
from tests.faults.faults import CALM, FULL, MARIADB, SQLITE, Fault, sql
from tests.faults.load import Event, Load
from tests.faults.worlds import World, world
from tests.faults.writing import write_for_ever

PASSWORD = "authsvc-own-secret"
GOOD = {"200", "201", "ok"}
REFUSED = {"502", "503", "504"}
OWN = "AUTHSVC_FAULTS_NAMESPACES"


@dataclass(frozen=True)
class Outcome:
    """What happened, in words, and what was not as it must be."""

    number: str
    fault: str
    noticed: str
    recovered_s: str
    wrong: str


def try_fault(world: World, fault: Fault, seed: int) -> Outcome:
    """Inject a fault under load, heal it, and look at what is left."""
    chance = random.Random(f"{seed} {fault.what}")
    random.seed(chance.random())
    load = Load(world.site.host, world.cast, world.engine, chance.getrandbits(32))
    before = invariants.descriptors(world.web), processes.proportional_kib(world.web)
    wrong: list[str] = []
    with load.running(crowd=fault.crowd):
        started = _calm(load, fault)
        try:
            injected = fault.inject(world)
            with load.quiet() if fault.quiet else nullcontext():
                time.sleep(CALM)
                next(injected)
            time.sleep(fault.hold)  # how long a fault lasts
            next(injected, None)
        except AssertionError as exc:
            wrong.append(str(exc))
        healed = time.monotonic()
        recovered = _recovery(load, fault, healed)
        time.sleep(CALM)
    wrong += _judge(fault, load.since(started, healed + recovered), load.since(healed + recovered))
    if recovered > fault.recovery:
        wrong.append(f"{recovered:.1f} s until everything worked again")
    wrong += invariants.broken(world, load, before)
    noticed = Counter(f"{event.kind} {event.result}" for event in load.since(started) if event.result not in GOOD)
    total = len(load.since(started))
    words = ", ".join(f"{times} × {what}" for what, times in noticed.most_common(4)) or "nothing"
    return Outcome(fault.number, fault.what, f"{words} of {total}", f"{recovered:.1f}", "; ".join(wrong))


def _calm(load: Load, fault: Fault) -> float:
    """Let the load run until each kind of request went well once, and a little longer; returns when that was."""
    servers.until(lambda: _went_well(load.events) >= set(fault.kinds), "calm")
    start = time.monotonic()
    time.sleep(CALM)
    return start


def _went_well(events: Iterable[Event]) -> set[str]:
    return {event.kind for event in list(events) if event.result in GOOD}


def _recovery(load: Load, fault: Fault, healed: float) -> float:
    """Seconds from the end of a fault until each kind of request that began after it went well."""

    def begun() -> list[Event]:
        return [event for event in load.since(healed) if event.at - event.seconds >= healed]

    def well() -> bool:
        bad = [event for event in load.since(time.monotonic() - fault.settled) if event.result not in GOOD]
        return not bad and _went_well(begun()) >= set(fault.kinds)

    with suppress(AssertionError):
        servers.until(well, "recovery", seconds=25)
    return max(time.monotonic() - healed - fault.settled, 0.0)


def _judge(fault: Fault, during: list[Event], afterwards: list[Event]) -> Iterator[str]:
    harmed = Counter(f"{e.kind}: {e.result}" for e in during if e.kind in fault.unharmed and e.result not in GOOD)
    if harmed:
        yield f"noticed: {dict(harmed)}"
    odd = Counter(
        f"{e.kind}: {e.result}" for e in during if e.result not in GOOD | fault.during and e.kind not in fault.unharmed
    )
    if odd:
        yield f"answered otherwise than it should: {dict(odd)}"
    late = [e for e in during if (e.result in REFUSED or e.kind in fault.timed) and e.seconds > fault.within]
    if late:
        yield f"{len(late)} answers took up to {max(e.seconds for e in late):.1f} s"
    still = Counter(f"{e.kind}: {e.result}" for e in afterwards if e.result not in GOOD)
    if still:
        yield f"still afterwards: {dict(still)}"


def two_instances(directory: Path, seed: int) -> Outcome:
    """One of two instances of web is stopped and started, twenty times."""
    port = servers.free_port()
    with world(directory, AUTHSVC_WEB__PEERS=f"127.0.0.1:{port}") as made:
        environment = made.environment | {"AUTHSVC_WEB__BIND": f"127.0.0.1:{port}"}

        def inject(_: World) -> Iterator[None]:
            for _turn in range(20):
                command = [str(servers.ROOT / ".venv/bin/authsvc"), "web"]
                with servers.process(*command, log=directory / "peer.log", env=environment):
                    servers.until(lambda: servers.answers(f"http://127.0.0.1:{port}/readyz"), "the other instance")
            yield

        return try_fault(
            made, Fault("F11", "one of two instances stopped and started, twenty times", inject, crowd=10), seed
        )


def random_kills(directory: Path, seed: int) -> Outcome:
    """A process that writes is killed at a random moment, two hundred times; what it said was done is there."""
    chance, wrong, said = random.Random(seed), "", 0
    settings = settings_module.load({"AUTHSVC_HOME": str(directory / "data")})
    home.make(settings, int(time.time()))
    setup.prepare(settings, int(time.time()))
    acknowledged = directory / "acknowledged"
    acknowledged.touch()
    for turn in range(200):
        child = os.fork()
        if child == 0:
            write_for_ever(settings.paths.database, acknowledged, turn)
        time.sleep(chance.uniform(0.005, 0.12))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    engine = make_engine("", None, settings.paths.database)
    with engine.connect() as connection:
        there = set(connection.scalars(text("SELECT name FROM projects")))
        rows = connection.scalar(text("SELECT count(*) FROM audit_events WHERE action = 'project.add'"))
        whole = connection.scalar(text("PRAGMA integrity_check"))
    engine.dispose()
    said = len(names := set(acknowledged.read_text().split()))
    trail = servers.run(
        str(servers.ROOT / ".venv/bin/authsvc"), "audit", "verify",
        env=servers.clean_environment(AUTHSVC_HOME=str(settings.home)), check=False,
    )  # fmt: skip
    checks = {
        f"{len(names - there)} acknowledged writes are lost": names <= there,
        f"{rows} audit rows for {len(there)} projects": rows == len(there),
        f"integrity_check says {whole}": whole == "ok",
        f"the audit trail is broken: {trail.stdout}": trail.returncode == 0,
    }
    wrong = "; ".join(sentence for sentence, holds in checks.items() if not holds)
    return Outcome("F7", "a writing process killed, two hundred times", f"{said} writes acknowledged", "–", wrong)


@contextmanager
def _small_disk(directory: Path) -> Iterator[Path]:
    """A file system of 64 MB of its own."""
    directory.mkdir()
    servers.run("mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(directory))
    try:
        yield directory
    finally:
        servers.run("umount", "-l", str(directory))


def run(directory: Path, wanted: Callable[[str], bool], seed: int) -> Iterator[Outcome]:
    """Every fault that is wanted, one at a time."""

    def place(name: str) -> Path:
        made = directory / name
        made.mkdir()
        return made

    if any(wanted(fault.number) for fault in SQLITE):
        with world(place("sqlite")) as made:
            for fault in SQLITE:
                if wanted(fault.number):
                    yield try_fault(made, fault, seed)
    if wanted("F11"):
        yield two_instances(place("two"), seed)
    if wanted("F7"):
        yield random_kills(place("kills"), seed)
    if wanted("F8"):
        storage = place("storage")
        with _small_disk(directory / "disk") as disk, world(disk, AUTHSVC_REGISTRY__STORAGE=str(storage)) as made:
            for fault in FULL:
                yield try_fault(made, fault, seed)
    yield from _with_directories(place, wanted, seed)
    yield from _with_mariadb(place, wanted, seed)


def _with_directories(place: Callable[[str], Path], wanted: Callable[[str], bool], seed: int) -> Iterator[Outcome]:
    if wanted("F13") or wanted("F14"):
        with directories.served(place("directory"), 1) as (made, (only,)):
            for fault in directories.faults(only):
                if wanted(fault.number):
                    yield try_fault(made, fault, seed)
    if wanted("F15"):
        with directories.served(place("directories"), 2) as (made, both):
            for fault in directories.one_of_two(both):
                yield try_fault(made, fault, seed)


def _with_mariadb(place: Callable[[str], Path], wanted: Callable[[str], bool], seed: int) -> Iterator[Outcome]:
    faults = [fault for fault in (*MARIADB, *databases.MORE) if wanted(fault.number)]
    if faults:
        with _on_mariadb(place("mariadb-world")) as made:
            yield from (try_fault(made, fault, seed) for fault in faults)
    if wanted("F5"):
        yield _failed_over(place("pair"), seed)
    if wanted("F36"):
        own = place("names")
        with networks.names(own) as found, _on_mariadb(own, host=networks.NAME) as made:
            yield try_fault(made, networks.unresolved(found), seed)
    if wanted("F37"):
        yield from _parted(place("parted"), seed)


@contextmanager
def _on_mariadb(directory: Path, host: str = "127.0.0.1", **environment: str) -> Iterator[World]:
    """An installation with a MariaDB of its own, which it reaches by that name."""
    with (
        servers.mariadb(directory / "mariadb") as server,
        ExitStack() as kept,  # a server that takes the first one's place outlives the installation, too
        _for_authsvc(server.url) as url,
        world(directory, url=url, password=PASSWORD, host=host, **environment) as made,
    ):
        made.server, made.kept = server, kept
        yield made


@contextmanager
def _for_authsvc(server: str) -> Iterator[str]:
    """The URL of an empty database and its user, without the password."""
    with database(server, "authsvc") as url:
        root = create_engine(f"{server}/mysql")
        sql(root, f"CREATE USER authsvc IDENTIFIED BY '{PASSWORD}'")
        sql(root, "GRANT ALL ON authsvc.* TO authsvc")
        root.dispose()
        yield url.replace("root@", "authsvc@")


def _failed_over(directory: Path, seed: int) -> Outcome:
    with (
        databases.pair(directory / "servers") as both,
        _for_authsvc(f"mysql+pymysql://root@127.0.0.1:{both.port}") as url,
        world(directory, url=url, password=PASSWORD) as made,
    ):
        return try_fault(made, databases.fail_over(both), seed)


def _parted(directory: Path, seed: int) -> Iterator[Outcome]:
    web, registry = servers.free_port(), servers.free_port()
    binds = {"AUTHSVC_WEB__BIND": f"127.0.0.1:{web}", "AUTHSVC_REGISTRY__BIND": f"127.0.0.1:{registry}"}
    with _on_mariadb(directory, **binds) as made:
        assert made.server
        ports = web, registry, int(made.server.url.rpartition(":")[2])
        for fault in networks.partitions(*ports):
            yield try_fault(made, fault, seed)


def _in_own_namespaces() -> None:
    """Go on where this process alone can drop packets and take other files for the machine's names."""
    if OWN in os.environ:
        return
    inner = [sys.executable, "-m", "tests.faults", *sys.argv[1:]]
    # What README advises where nginx and web are on different machines.
    network = 'ip link set lo up && sysctl -qw net.ipv4.tcp_retries2=3 && exec "$@"'
    command = ["unshare", "--net", "--mount", "sh", "-c", network, "sh", *inner]
    os.execvpe(command[0], command, {**os.environ, OWN: "1"})


def main() -> None:
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("numbers", nargs="*", help="only these, such as F1 F9")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    given = parser.parse_args()
    _in_own_namespaces()
    print(f"seed {given.seed}", file=sys.stderr, flush=True)
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="f") as directory:
        for outcome in run(Path(directory), lambda number: not given.numbers or number in given.numbers, given.seed):
            outcomes.append(outcome)
            verdict = f"WRONG: {outcome.wrong}" if outcome.wrong else "well"
            print(f"… {outcome.number} {outcome.fault}: {verdict}", file=sys.stderr, flush=True)
    rows = [
        {
            "number": one.number, "fault": one.fault, "clients noticed": one.noticed,
            "seconds to recover": one.recovered_s, "verdict": one.wrong or "well",
        }
        for one in outcomes
    ]  # fmt: skip
    show(rows, as_json=False, empty="no such fault")
    sys.exit(1 if any(one.wrong for one in outcomes) else 0)


if __name__ == "__main__":
    main()
