"""The command line, on a data directory with the cast."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from authsvc.cli import main
from authsvc.db.engine import reading
from authsvc.db.tables import AuditEvent

Run = Callable[..., Result]


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


@pytest.fixture
def run(home: Path, cast: None) -> Run:
    """Run `authsvc`, its arguments given as one text."""

    def run(line: str, stdin: str | None = None, **environment: str) -> Result:
        return CliRunner().invoke(main, line.split(), input=stdin, env={"AUTHSVC_HOME": str(home)} | environment)

    return run


@pytest.fixture
def read(run: Run) -> Callable[[str], object]:
    """Run `authsvc … --json` and read what it prints."""
    return lambda line, **how: json.loads(run(f"{line} --json", **how).stdout)


@pytest.fixture
def actors(engine) -> Callable[[], list[tuple[str, str, str]]]:
    """Credential, action and object of each audit row."""

    def read_rows() -> list[tuple[str, str, str]]:
        with reading(engine) as session:
            return [(row.credential, row.action, row.object) for row in session.scalars(select(AuditEvent))]

    return read_rows
