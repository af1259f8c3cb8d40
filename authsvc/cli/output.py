"""What the commands share: a unit of work as whoever runs them, tables, JSON."""

import getpass
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, TypeVar
from unicodedata import east_asian_width

import click

from authsvc import services, settings
from authsvc.core import rights, settings_store, setup
from authsvc.db.engine import Engine, Session, transaction
from authsvc.domain.permissions import Actor
from authsvc.services import Services
from authsvc.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Work:
    """A unit of work of the command line: commits when the command ends well.

    Args:
        given: the settings of the file and the environment, for what the table cannot say.
    """

    session: Session
    actor: Actor
    given: Settings
    engine: Engine
    now: int

    @cached_property
    def settings(self) -> Settings:
        """The settings as the service runs by them.

        Raises:
            Misconfigured: what is stored does not open or does not fit.
        """
        return settings_store.load(self.given, self.engine)


@contextmanager
def work() -> Iterator[Work]:
    """Open the database as whoever runs the command on this machine.

    Raises:
        Misconfigured: the settings need a person's hand.
        Unavailable: the database does not answer.
    """
    found = settings.load()
    engine = setup.connect(found)
    with transaction(engine) as session:
        yield Work(session, rights.console(_person()), found, engine, int(time.time()))


@dataclass(frozen=True, slots=True)
class Whole:
    """Everything, for commands that ask other servers between their units of work."""

    services: Services
    engine: Engine
    actor: Actor
    now: int


@contextmanager
def whole() -> Iterator[Whole]:
    """Build everything as whoever runs the command on this machine.

    Raises:
        Misconfigured: the settings need a person's hand.
        Unavailable: the database does not answer.
    """
    found = settings.load()
    engine = setup.connect(found)
    built = services.build(settings_store.load(found, engine))
    yield Whole(built, engine, rights.console(_person()), int(time.time()))


def progress(what: str) -> Callable[[int, int], None]:
    """Something to tell how far a command is; people see it, scripts do not."""

    def tell(part: int, total: int) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r{what}: {part} of {total}", err=True, nl=part >= total)

    return tell


def json_option(command: F) -> F:
    """`--json`, as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="JSON, for scripts.")(command)


def show(rows: Sequence[Mapping[str, object]], *, as_json: bool, empty: str) -> None:
    """Print rows as a table for people, or as a JSON list.

    Args:
        empty: the sentence for no rows.
    """
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    if not rows:
        click.echo(empty)
        return
    lines = [
        [name.upper().replace("_", " ") for name in rows[0]],
        *([_word(cell) for cell in row.values()] for row in rows),
    ]
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell + " " * (width - _width(cell)) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def done(fact: Mapping[str, object], sentence: str, *, as_json: bool) -> None:
    """Say what was done."""
    click.echo(json.dumps(fact, ensure_ascii=False) if as_json else sentence)


def moment(seconds: int) -> str:
    """A time as people and scripts read it (RFC 3339)."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _person() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "console"


def _word(cell: object) -> str:
    return ("yes" if cell else "no") if isinstance(cell, bool) else str(cell)


def _width(text: str) -> int:
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)
