"""How long the server needs for each page of the site, and what a page weighs, in a large installation.

The application is asked in this process, without a network: what is measured is its own time and the database's.
"""

import gzip
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from flask import Flask, url_for
from werkzeug.routing import Rule
from werkzeug.test import EnvironBuilder

from authsvc import services as services_module
from authsvc import settings as settings_module
from authsvc.app import create_app
from authsvc.core import rights, sessions, setup, users
from authsvc.core.sessions import Begin
from authsvc.domain.permissions import Credential
from authsvc.services import Services
from authsvc.stack import home
from tests.bench import crowd, sites
from tests.bench.crowd import Numbers
from tests.bench.fill import DAY
from tests.e2e import servers
from tests.e2e.servers import clean_environment

ADMIN = "admin"
MARK_MS, MARK_KB = 100, 200
REQUESTS = 7
LONG_AGO = 300 * DAY
NO_PAGES = {
    "events.receive": "for the registry",
    "health.components": "for programs",
    "health.live": "for programs",
    "health.ping": "for programs",
    "health.ready": "for programs",
    "login.finish": "asks a provider",
    "login.start": "asks a provider",
    "metrics.show": "for programs",
    "site.static": "a file",
    "token.get": "for programs, and measured by itself",
}
"""Why a route that can be read is not among the pages."""
FILES = re.compile(r'(?:href|src)="(/static/[^"]+)"')
LISTED = ("page=999999", "text=9", "text=nothing-like-it")
VARIANTS: Mapping[str, tuple[str, ...]] = {
    "users.index": (
        *(*LISTED, "sort=-name", "sort=created", "sort=-created", "role=administrators", "role=others"),
        *("state=disabled", "state=enabled&page=999999", "source=ldap", "source=local&text=99"),
    ),
    "groups.index": (*LISTED, "sort=source", "sort=-name", "source=ldap"),
    "groups.show": LISTED,
    "groups.suggest": ("user=user9",),
    "projects.index": (*LISTED, "sort=-name", "sort=created", "sort=-created", "kind=public", "kind=private&text=9"),
    "members.index": (*LISTED, "sort=role", "sort=-role", "sort=-name"),
    "members.suggest": ("kind=person&names=user9", "kind=group&names=dev"),
    "members.edit": (f"kind=person&name={crowd.BOB}&pattern=",),
    "project_robots.index": (*LISTED, "sort=expires", "sort=used", "sort=-created"),
    "project_explain.show_project": (
        f"repository={crowd.PROJECT}/app&action=pull",
        f"repository={crowd.PROJECT}/app&action=push&user={crowd.BOB}",
        f"repository={crowd.PROJECT}/app&action=pull&page=999",
    ),
    "explain.show": (
        f"repository={crowd.PROJECT}/app&action=pull",
        f"repository={crowd.PROJECT}/app&action=push&user={crowd.BOB}",
        f"repository={crowd.PROJECT}/app&action=pull&text=user9",
    ),
    "robots.index": (*LISTED, "sort=expires", "sort=used", "sort=-created"),
    "roles.show": ("sort=project", *LISTED, "sort=made", "sort=-project"),
    "roles.new": ("copy=maintainer",),
    "sources.new": ("kind=ldap",),
    "admin_sessions.index": (*LISTED, "sort=seen", "sort=user", "sort=-begun"),
    "log.index": (
        *("before=2000", "after=1000", "actor=user7", "actor=nobody", "action=login", "action=user.add"),
        *(
            "object=team0",
            "object=u",
            "object=nothing-like-it",
            "result=ok",
            "result=refused",
            "result=nothing-like-it",
        ),
        *(
            "since=2000-01-01&until=2000-01-02",
            "until=2000-01-01",
            "until={old}",
            "since={old}&until={old}",
            "since=2000-01-01&actor=user7&action=login",
        ),
        *(
            "action=login&result=nothing-like-it",
            "action=login&object=user9",
            "action=user.add&result=refused",
            "until={old}&action=user.add&result=refused",
        ),
    ),
    "project_log.index": (
        *("after=1000", "actor=user7", "action=member.set", "action=project.delete", f"object={crowd.PROJECT}/user9"),
        *("result=refused", "until=2000-01-01"),
    ),
    "log.export": ("format=json", "format=csv&result=nothing-like-it"),
    "project_log.export": ("format=json", "format=csv&actor=user7"),
    "search.show": ("q=9", "q=nothing-like-it"),
}
"""What else pages are asked for."""
NEEDS_QUERY = {"members.edit", "sources.new", "search.show", "log.export", "project_log.export"}
"""Pages that are nothing without a query."""


@dataclass(frozen=True)
class Asked:
    """A page, and for whom."""

    path: str
    visitor: str


@dataclass(frozen=True)
class Answer:
    """How long a page took (ms: the median and the worst of some requests), and its weight in bytes."""

    ms: float
    worst: float
    size: int
    files: tuple[str, ...]


Found = dict[Asked, Answer]


class Site:
    """The application on one filled database."""

    def __init__(self, built: Services, numbers: Numbers) -> None:
        self._built, self._numbers = built, numbers
        self._app = create_app(built)

    def measure(self) -> Found:
        """Every page for everybody who may see it."""
        found: Found = {}
        for visitor in (ADMIN, crowd.ALICE, crowd.BOB):
            cookie = self._enter(visitor)
            for endpoint, path in self._paths():
                ask = _asker(self._app, path, cookie)
                status, _ = ask()  # the first time is nobody's
                may = status in {200, 302, 303}
                assert may or visitor != ADMIN, f"{endpoint}: {path} answered {status}"
                if may:
                    found[Asked(path, visitor)] = _answer(ask)
        return found

    def weigh(self, answer: Answer) -> int:
        """The bytes of a page with its files, these as nginx sends them."""
        client = self._app.test_client()
        return answer.size + sum(len(gzip.compress(client.get(path).data, 1)) for path in answer.files)

    def _enter(self, name: str) -> str:
        """A cookie with a session of somebody who was proved just now."""
        now = int(time.time())
        with self._built.transaction() as unit:
            actor = rights.get_user_actor(unit, name, Credential.SESSION, now)
            version = users.get(unit, name).password_version
            secret = sessions.begin(unit, actor, Begin(user=name, password_version=version, how="bench"), now)
        client = self._app.test_client()
        with client.session_transaction() as cookie:
            cookie.update(session=secret, proved=now)
        found = client.get_cookie("authsvc")
        assert found
        return found.value

    def _paths(self) -> Iterator[tuple[str, str]]:
        for rule in sorted(self._app.url_map.iter_rules(), key=lambda rule: rule.rule):
            if "GET" not in (rule.methods or ()) or rule.endpoint in NO_PAGES:
                continue
            path = self._path(rule)
            if rule.endpoint not in NEEDS_QUERY:
                yield rule.endpoint, path
            for query in VARIANTS.get(rule.endpoint, ()):
                yield rule.endpoint, f"{path}?{query.format(old=_day_long_ago())}"
        yield from (("roles.show", f"/admin/roles/developer?{query}") for query in VARIANTS["roles.show"])

    def _path(self, rule: Rule) -> str:
        """The address of a route about something that is there."""
        known: dict[str, Any] = {
            "project": crowd.PROJECT,
            "group": self._numbers.groups[crowd.GROUP],
            "role": crowd.ROLE,
            "robot": f"{crowd.PROJECT}+ci0" if "project" in rule.arguments else crowd.ROBOT,
            "kind": "ldap",
            "name": {"settings": "token.lifetime", "sources": "corp"}.get(rule.endpoint.partition(".")[0], crowd.BOB),
            "code": "en",
        }
        with self._app.test_request_context():
            return url_for(rule.endpoint, **{name: known[name] for name in rule.arguments})


def _day_long_ago() -> str:
    return datetime.fromtimestamp(time.time() - LONG_AGO, UTC).date().isoformat()


def _asker(app: Flask, path: str, cookie: str) -> Callable[[], tuple[int, bytes]]:
    """A request to ask again and again: gives the status and the page, or of a file the first piece."""
    environ = EnvironBuilder(path=path, headers={"Cookie": f"authsvc={cookie}"}).get_environ()
    is_file = "/export" in path

    def ask() -> tuple[int, bytes]:
        said: list[str] = []
        pieces = app.wsgi_app(dict(environ), lambda status, *_: said.append(status))  # type: ignore[arg-type,func-returns-value]
        try:
            body = next(iter(pieces), b"") if is_file else b"".join(pieces)
        finally:
            pieces.close()  # type: ignore[attr-defined]
        return int(said[0][:3]), body

    return ask


def _answer(ask: Callable[[], tuple[int, bytes]]) -> Answer:
    times, body = [], b""
    for _ in range(REQUESTS):
        started = time.perf_counter()
        _, body = ask()
        times.append((time.perf_counter() - started) * 1e3)
    files = FILES.findall(body.decode(errors="replace"))
    return Answer(median(times), max(times), len(body), tuple(dict.fromkeys(files)))


@contextmanager
def _site(directory: Path, database: str = "") -> Iterator[Site]:
    built, numbers = _build(directory, database)
    yield Site(built, numbers)
    built.engine.dispose()


def _build(directory: Path, database: str) -> tuple[Services, Numbers]:
    """A large installation; nothing of it runs but what is asked here."""
    settings = settings_module.load(
        clean_environment(
            AUTHSVC_HOME=str(directory / "data"),
            AUTHSVC_DATABASE__URL=database,
            AUTHSVC_ADMIN_PASSWORD="a-password-of-an-administrator",
            AUTHSVC_REGISTRY__URL=f"http://127.0.0.1:{servers.free_port()}",
            AUTHSVC_TLS__SELF_SIGNED="true",
            AUTHSVC_LOG__LEVEL="error",
            AUTHSVC_LDAP__CORP__URLS=f"ldap://127.0.0.1:{servers.free_port()}",
            AUTHSVC_LDAP__CORP__BASE="dc=example,dc=org",
        )
    )
    now = int(time.time())
    home.make(settings, now)
    setup.prepare(settings, now)
    engine = setup.connect(settings)
    numbers = crowd.settle(engine)
    engine.dispose()
    return services_module.build(settings), numbers


@dataclass(frozen=True)
class Report:
    """The table of pages, and what they weigh at most."""

    rows: list[dict[str, Any]]
    heaviest: str
    kb: float

    @property
    def slowest(self) -> float:
        """The median of the page that took longest (ms)."""
        return max(max(row["sqlite_ms"], row["mariadb_ms"]) for row in self.rows)


def run(directory: Path) -> Report:
    """Measure all pages on SQLite and on MariaDB."""
    for name in ("site-sqlite", "site-mariadb", "mariadb-pages"):
        (directory / name).mkdir()
    with _site(directory / "site-sqlite") as site:
        embedded = site.measure()
        heaviest = max(embedded, key=lambda asked: embedded[asked].size if embedded[asked].files else 0)
        kb = site.weigh(embedded[heaviest]) / 1e3
    with (
        servers.mariadb(directory / "mariadb-pages", *servers.FAST) as server,
        sites.database(server.url, "pages") as url,
        _site(directory / "site-mariadb", url) as site,
    ):
        shared = site.measure()
    rows = [_row(asked, embedded[asked], shared[asked]) for asked in embedded]
    return Report(rows, heaviest.path, kb)


def _row(asked: Asked, embedded: Answer, shared: Answer) -> dict[str, Any]:
    return {
        "page": asked.path, "visitor": asked.visitor, "kb": round(embedded.size / 1e3, 1),
        "sqlite_ms": round(embedded.ms, 1), "sqlite_worst": round(embedded.worst, 1),
        "mariadb_ms": round(shared.ms, 1), "mariadb_worst": round(shared.worst, 1),
        "mark": "above" if max(embedded.ms, shared.ms) > MARK_MS else "kept",
    }  # fmt: skip
