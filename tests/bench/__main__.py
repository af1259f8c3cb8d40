"""`make bench`: how fast, side by side in one run, as a table, as JSON and as a picture.

`make bench PART=pages` measures the pages of the site alone.

Absolute figures are this machine's; what is promised are ratios within one run.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import httpx

from authsvc.cli.output import show
from authsvc.cli.run import gunicorn
from authsvc.settings import LdapSettings, WebSettings
from tests.bench import directory, pages, picture, processes, pulls, sites
from tests.bench.fill import PASSWORD
from tests.bench.load import SECONDS, Measured, Request, basic, compare, measure, storm
from tests.bench.sites import Bench
from tests.e2e import servers

TOKEN = "/service/token?service=authsvc"
FEW, MANY = (10, 10), (100_000, 10_000)
CONNECTIONS = (1, 16, 64)
STORM = 1_000
PATIENCE = 14
"""Seconds: docker gives up after 15."""
COMPARED = ("robot", "access token", "user, repeated")


@dataclass(frozen=True)
class Row:
    """One line of the table of tokens."""

    what: str
    database: str
    users: int
    way: str
    connections: int
    per_second: int
    p50_ms: float
    p99_ms: float
    cpu_us: int
    failures: int


@dataclass(frozen=True)
class Promise:
    """A ratio or a bound, and what was measured."""

    what: str
    wanted: str
    measured: str
    kept: bool


class Served(Protocol):
    """What answers requests, and through which processes."""

    web_port: int
    port: int
    web: list[int]
    nginx: list[int]
    database: str
    users: int


@dataclass(frozen=True)
class Constant:
    """The yardstick, running."""

    web_port: int
    pid: int
    database: str = "none"
    users: int = 0
    port: int = 0
    nginx: list[int] = field(default_factory=list)

    @property
    def web(self) -> list[int]:
        return list(processes.tree(self.pid))


class Bencher:
    """One run."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.rows: list[Row] = []
        self.pulls: list[dict[str, Any]] = []
        self.storms: list[dict[str, Any]] = []
        self.memory: dict[str, float] = {}
        self.cpu = 0.0
        self.sizes: dict[tuple[str, str], float] = {}
        self.directory: dict[str, float] = {}
        self.connections = 0

    def run(self) -> None:
        self._say("the constant Flask view, and SQLite with 10 users")
        with self._constant() as constant, self._site("few", FEW) as bench:
            self.memory = {
                part: round(processes.proportional_kib(getattr(bench, part)) / 1024, 1)
                for part in ("web", "worker", "nginx", "registry")
            }
            for connections in CONNECTIONS:
                self._measure(constant, "constant Flask view", [Request(TOKEN)], "direct", connections)
                self._tokens(bench, "direct", connections)
                self._tokens(bench, "nginx", connections)
            self._say("a repeated login against the constant view")
            user = self._user(bench)
            self.cpu = compare(
                lambda: self._once(bench, user, "direct").cpu_us,
                lambda: self._once(constant, [Request(TOKEN)], "direct").cpu_us,
            )
            self._say(f"storms of {STORM}")
            self._storms(bench)
            self._say("pulls")
            self._pulls(bench, "http")
        self._say("first logins, each one hashed")
        with self._site("first", FEW, AUTHSVC_TOKEN__PROOF_TTL="0") as bench:
            for connections in (1, 16):
                self._measure(bench, "user, first", self._user(bench), "direct", connections)
        self._say(f"a directory of {directory.ENTRIES} entries")
        self._directories()
        self._say("pulls over TLS")
        with self._site("tls", FEW, AUTHSVC_TLS__SELF_SIGNED="true") as bench:
            self._pulls(bench, "https")
        self._say(f"SQLite, 10 users and {MANY[0]}")
        self._sizes("", "")
        self._say(f"MariaDB, 10 users and {MANY[0]}")
        with (
            servers.mariadb(self._directory / "mariadb") as server,
            sites.database(server.url, "few") as few,
            sites.database(server.url, "many") as many,
        ):
            self._sizes(few, many)

    def _sizes(self, few_url: str, many_url: str) -> None:
        """One database with few users beside one with many."""
        name = "MariaDB" if few_url else "SQLite"
        with (
            self._site(f"{name}-few", FEW, few_url) as few,
            self._site(f"{name}-many", MANY, many_url) as many,
        ):
            for bench in (few, many) if few_url else (many,):
                for way in ("direct", "nginx"):
                    self._tokens(bench, way, 16)
            for what, requests in self._kinds(few).items():
                if what in COMPARED:
                    mine = self._kinds(many)[what]
                    self.sizes[what, name] = compare(
                        lambda mine=mine: self._once(many, mine, "direct").p50_ms,
                        lambda requests=requests: self._once(few, requests, "direct").p50_ms,
                    )

    def _directories(self) -> None:
        """First and repeated logins of people in few groups and in many, and a storm of people."""
        with directory.running(self._directory / "directory") as corp:
            kinds = {
                f"LDAP, {count} groups": [Request(f"{TOKEN}&scope=repository:team0/app:pull", basic(name, PASSWORD))]
                for name, count in zip(corp.people, directory.GROUPS, strict=False)
            }
            with self._site("ldap-first", FEW, AUTHSVC_TOKEN__PROOF_TTL="0", **corp.environment) as bench:
                for what, requests in kinds.items():
                    for connections in (1, 16):
                        self._measure(bench, f"{what}, first", requests, "direct", connections)
            with self._site("ldap", FEW, **corp.environment) as bench:
                for what, requests in kinds.items():
                    self._measure(bench, f"{what}, repeated", requests, "direct", 16)
                    self.directory[what] = compare(
                        lambda requests=requests: self._once(bench, requests, "direct").cpu_us,
                        lambda: self._once(bench, self._user(bench), "direct").cpu_us,
                    )
                path = f"{TOKEN}&scope=repository:team0/app:pull"
                people = [Request(path, basic(name, PASSWORD)) for name in corp.people[:STORM]]
                with directory.Watch(corp.port).running() as watch:
                    self._storm(bench, f"{STORM} people of a directory at once, the first time", people, PATIENCE)
                    self._storm(bench, f"{STORM} people of a directory at once, the second time", people, 3)
                self.connections = watch.most

    def promises(self) -> Iterator[Promise]:
        yield _at_most("CPU of a repeated login, in constant views", self.cpu, 2.5)
        front, web = self._find("anonymous", "nginx", 16).per_second, self._find("anonymous", "direct", 16).per_second
        yield _at_least("anonymous tokens by nginx, in those by web", front / web, 5)
        for (what, database), ratio in self.sizes.items():
            yield _at_most(f"median with {MANY[0]} users, in that with 10: {what}, {database}", ratio, 1.2)
        for one in self.storms:
            kept = one["seconds"] <= one["at_most"] and set(one["statuses"]) == {"200"}
            yield Promise(one["what"], f"{one['at_most']} s, no error", f"{one['seconds']} s, {one['statuses']}", kept)
        for what, ratio in self.directory.items():
            yield _at_most(f"CPU of a repeated login, in a local user's: {what}", ratio, 1.2)
        pool = LdapSettings.model_fields["pool_size"].default * WebSettings.model_fields["processes"].default
        yield _at_most("connections to the directory in a storm", self.connections, pool)
        idle = sum(self.memory[part] for part in ("web", "worker", "nginx"))
        yield _at_most("idle memory of web, worker and nginx, MB", idle, 200)
        for size, wanted in (("500 MB", 1.2), ("100 kB", 1.5)):
            bare, ours = (self._pull(size, how) for how in ("bare registry", "nginx, http"))
            yield _at_least(
                f"pull of {size} blobs, in the bare registry's MB/s", ours["mb_per_s"] / bare["mb_per_s"], wanted
            )
            yield _at_most(
                f"CPU for a GB of {size} blobs, in the bare registry's", ours["cpu_s_per_gb"] / bare["cpu_s_per_gb"], 1
            )

    @contextmanager
    def _constant(self) -> Iterator[Served]:
        port = servers.free_port()
        settings = sites.settings_module.load(
            {"AUTHSVC_WEB__BIND": f"127.0.0.1:{port}", "AUTHSVC_HOME": "/nonexistent"}
        )
        command = [word for word in gunicorn(settings) if not word.startswith("authsvc.app:")]
        at = command.index("--config")
        command = [*command[:at], *command[at + 2 :], "tests.bench.constant:app"]
        with servers.process(*command, log=self._directory / "constant.log") as started:
            servers.until(
                lambda: servers.answers(f"http://127.0.0.1:{port}{TOKEN}"), "the constant view's first answer"
            )
            yield Constant(port, started.pid)

    def _tokens(self, bench: Bench, way: str, connections: int) -> None:
        for what, requests in self._kinds(bench).items():
            self._measure(bench, what, requests, way, connections)

    def _kinds(self, bench: Bench) -> dict[str, list[Request]]:
        mine, public = f"{TOKEN}&scope=repository:team0/app:pull,push", f"{TOKEN}&scope=repository:team0/app:pull"
        refresh = httpx.get(
            f"http://127.0.0.1:{bench.web_port}{TOKEN}&offline_token=true", auth=(bench.filled.people[0], PASSWORD)
        ).json()["refresh_token"]
        form = f"grant_type=refresh_token&service=authsvc&client_id=bench&refresh_token={refresh}"
        return {
            "anonymous": [Request(public)],
            "robot": [Request(mine, basic(*bench.filled.robots[0]))],
            "access token": [Request(mine, basic(*bench.filled.access_token))],
            "refresh grant": [Request("/service/token", form=f"{form}&scope=repository:team0/app:pull")],
            "user, repeated": self._user(bench),
        }

    @staticmethod
    def _user(bench: Bench) -> list[Request]:
        return [Request(f"{TOKEN}&scope=repository:team0/app:pull,push", basic(bench.filled.people[0], PASSWORD))]

    def _measure(self, served: Served, what: str, requests: list[Request], way: str, connections: int) -> None:
        found = self._once(served, requests, way, connections, SECONDS)
        self.rows.append(
            Row(
                what, served.database, served.users, way, connections, round(found.per_second), round(found.p50_ms, 2),
                round(found.p99_ms, 1), round(found.cpu_us), found.failures,
            )
        )  # fmt: skip

    def _once(
        self, served: Served, requests: list[Request], way: str, connections: int = 16, length: int = 1
    ) -> Measured:
        is_direct = way == "direct"
        port, pids = (served.web_port, served.web) if is_direct else (served.port, [*served.web, *served.nginx])
        return measure(f"http://127.0.0.1:{port}", requests, connections, pids, self._directory, length)

    def _storms(self, bench: Bench) -> None:
        path = f"{TOKEN}&scope=repository:team0/app:pull"
        robots = [Request(path, basic(*one)) for one in bench.filled.robots[:STORM]]
        self._storm(bench, f"{STORM} robots at once", robots, 3)
        with self._site("storm", (STORM, 10)) as crowd:
            people = [Request(path, basic(name, PASSWORD)) for name in crowd.filled.people[:STORM]]
            self._storm(crowd, f"{STORM} people at once, the first time", people, 20)
            self._storm(crowd, f"{STORM} people at once, the second time", people, 3)

    def _storm(self, bench: Bench, what: str, requests: list[Request], at_most: float) -> None:
        found = storm(bench.site.port, requests)
        peak = round(processes.proportional_kib(bench.web) / 1024)
        self.storms.append(
            {
                "what": what, "seconds": round(found.seconds, 2), "at_most": at_most, "statuses": found.statuses,
                "web_mb_afterwards": peak,
            }
        )  # fmt: skip

    def _pulls(self, bench: Bench, scheme: str) -> None:
        storage = bench.site.home / "registry"
        with pulls.bare_registry(storage, self._directory) as (base, pids):
            blobs = pulls.push(base)
            ways = {f"nginx, {scheme}": (f"{scheme}://{bench.site.host}", bench.nginx + bench.registry)}
            if scheme == "http":
                ways = {"bare registry": (base, pids)} | ways
            for how, (address, whose) in ways.items():
                shown = pulls.token(bench, scheme)
                big = pulls.pull_big(address, blobs.big, shown, whose)
                small = pulls.pull_small(address, blobs.small, shown, whose, self._directory)
                for size, found in (("500 MB", big), ("100 kB", small)):
                    self.pulls.append(
                        {
                            "blobs": size, "from": how, "mb_per_s": round(found.mb_per_second),
                            "cpu_s_per_gb": round(found.cpu_per_gb, 2),
                        }
                    )  # fmt: skip

    @contextmanager
    def _site(self, name: str, size: tuple[int, int], database: str = "", **environment: str) -> Iterator[Bench]:
        directory = self._directory / name
        directory.mkdir()
        with sites.running(directory, users=size[0], projects=size[1], database=database, **environment) as bench:
            yield bench

    def _find(self, what: str, way: str, connections: int, database: str = "SQLite", users: int = FEW[0]) -> Row:
        wanted = (what, way, connections, database, users)
        return next(row for row in self.rows if (row.what, row.way, row.connections, row.database, row.users) == wanted)

    def _pull(self, size: str, how: str) -> dict[str, Any]:
        return next(one for one in self.pulls if (one["blobs"], one["from"]) == (size, how))

    @staticmethod
    def _say(what: str) -> None:
        print(f"… {what}", file=sys.stderr, flush=True)


def _at_most(what: str, measured: float, wanted: float) -> Promise:
    return Promise(what, f"at most {wanted:g}", f"{measured:.2f}", measured <= wanted)


def _at_least(what: str, measured: float, wanted: float) -> Promise:
    return Promise(what, f"at least {wanted:g}", f"{measured:.2f}", measured >= wanted)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("part", nargs="?", choices=["pages"], help="this part alone: the pages of the site")
    parser.add_argument("--out", type=Path, default=Path("build/bench"), help="where the JSON and the picture go")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench") as directory:
        sys.exit(_only_pages(Path(directory), given.out) if given.part else _everything(Path(directory), given.out))


def _only_pages(directory: Path, out: Path) -> int:
    report = pages.run(directory)
    promises = list(_of_pages(report))
    tables = {"pages": report.rows, "promises": [asdict(one) for one in promises]}
    return _publish(tables, promises, out / "pages.json")


def _everything(directory: Path, out: Path) -> int:
    bencher = Bencher(directory)
    bencher.run()
    report = pages.run(directory)
    promises = [*bencher.promises(), *_of_pages(report)]
    tables = {
        "pages": report.rows,
        "tokens": [asdict(row) for row in bencher.rows],
        "storms": bencher.storms,
        "pulls": bencher.pulls,
        "idle_mb": [bencher.memory],
        "promises": [asdict(one) for one in promises],
    }
    picture.draw(tables, out / "bench.svg")
    return _publish(tables, promises, out / "bench.json")


def _of_pages(report: pages.Report) -> Iterator[Promise]:
    yield _at_most("the slowest page of the site, ms", report.slowest, pages.MARK_MS)
    yield _at_most(f"the heaviest with its files, kB: {report.heaviest}", report.kb, pages.MARK_KB)


def _publish(tables: dict[str, list[dict[str, Any]]], promises: list[Promise], target: Path) -> int:
    """Show the tables and write them down; returns the exit status."""
    for rows in tables.values():
        print()
        show(rows, as_json=False, empty="nothing")
    target.write_text(json.dumps(tables, indent=2) + "\n")
    print(f"\nwritten: {target}")
    return 0 if all(one.kept for one in promises) else 1


if __name__ == "__main__":
    main()
