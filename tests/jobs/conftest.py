"""The worker is tested on SQLite; what differs between databases is tested below `core`."""

import pytest


@pytest.fixture
def database_url(sqlite_url) -> str:
    return sqlite_url
