"""The application on SQLite, with the cast. What differs between databases is tested below `core`."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from authsvc.db.tables import AuditEvent, Base
from tests.conftest import free_port
from tests.factories import PASSWORD

_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')


@dataclass
class Browser:
    """A client that fills in forms: it sends the token of the page that it saw last."""

    client: FlaskClient
    base: str = "http://localhost"
    seen: str = ""

    def get(self, path: str, **headers: str) -> TestResponse:
        return self._saw(self.client.get(path, base_url=self.base, headers=headers))

    def post(self, path: str, /, headers: dict[str, str] | None = None, **form: object) -> TestResponse:
        data = {"csrf_token": self.seen} | form
        return self._saw(self.client.post(path, base_url=self.base, headers=headers, data=data))

    def log_in(self, name: str, password: str = PASSWORD, **form: object) -> TestResponse:
        self.get("/login")
        return self.post("/login", name=name, password=password, **form)

    def name(self) -> str:
        """Who it is logged in as."""
        found = re.search(r'<a href="/account">([^<]*)</a>', self.get("/").text)
        return found[1] if found else ""

    def _saw(self, answer: TestResponse) -> TestResponse:
        token = _TOKEN.search(answer.text)
        self.seen = token[1] if token else self.seen
        return answer


@pytest.fixture
def database_url(sqlite_url) -> str:
    return sqlite_url


@pytest.fixture
def environment() -> dict[str, str]:
    # Not a socket: httpcore leaves one that refuses to the garbage collector, which warns.
    return {"AUTHSVC_REGISTRY__URL": f"http://127.0.0.1:{free_port()}"}


@pytest.fixture
def built(built, cast):
    return built


@pytest.fixture
def refusals(built):
    """Name and reason of each refused login in the audit trail."""

    def read() -> list[tuple[str, str]]:
        with built.reading() as session:
            rows = session.scalars(select(AuditEvent).where(AuditEvent.result == "refused").order_by(AuditEvent.id))
            return [(row.actor, row.detail) for row in rows]

    return read


@pytest.fixture
def stored(built) -> Callable[..., dict[str, Any]]:
    """Every row of every table but those named, without the time at which a session was last seen."""

    def read(*but: str) -> dict[str, Any]:
        with built.reading() as unit:
            return {
                table.name: sorted(
                    map(repr, unit.execute(select(*(one for one in table.columns if one.name != "last_seen_at"))))
                )
                for table in Base.metadata.sorted_tables
                if table.name not in but
            }

    return read


@pytest.fixture
def browser(app) -> Browser:
    """A browser in which nobody is logged in."""
    return Browser(app.test_client())


@pytest.fixture
def other_browser(app) -> Browser:
    """Another one."""
    return Browser(app.test_client())


@pytest.fixture
def bobs(browser) -> Browser:
    """The browser, in which bob is logged in."""
    assert browser.log_in("bob").status_code == 303
    return browser
