"""The application on SQLite, with the cast. What differs between databases is tested below `core`."""

import pytest
from sqlalchemy import select

from authsvc.db.tables import AuditEvent
from tests.conftest import free_port


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
