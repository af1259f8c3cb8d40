"""Bring a database's schema up to date with Alembic, one process at a time."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from authsvc.db import journal
from authsvc.db.engine import is_away
from authsvc.db.revision import current
from authsvc.errors import Misconfigured, Unavailable

LOCK_SECONDS = 60


def upgrade(engine: Engine) -> list[str]:
    """Run every migration that is missing and return the new revision, or nothing when there was none.

    A migration that was killed goes on where it stopped: on SQLite nothing of it is left, on MariaDB see `journal`.

    Raises:
        Unavailable: the database does not answer, or another process keeps migrating it.
        Misconfigured: the database was made by a newer version, or refuses a migration.
    """
    script = ScriptDirectory.from_config(_config())
    try:
        with engine.execution_options(write=True).connect() as connection, _alone(connection):
            before = current(connection)
            known = {revision.revision for revision in script.walk_revisions()}
            if before is not None and before not in known:
                raise Misconfigured(f"the database is at revision {before}, which a newer authsvc made: install that")
            config = _config()
            config.attributes["connection"] = connection
            with journal.kept(connection):
                command.upgrade(config, "head")
            connection.commit()
            after = current(connection)
    except DBAPIError as exc:
        if is_away(exc) or engine.dialect.name == "sqlite":
            raise Unavailable(f"the database does not answer: {exc.orig}") from exc
        raise Misconfigured(f"the database refuses a migration: {exc.orig}") from exc
    return [f"the database, at revision {after}"] if after != before else []


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    """Hold the migration lock. SQLite needs none: its transaction is IMMEDIATE, and its DDL is part of it."""
    if connection.dialect.name == "sqlite":
        yield
        return
    if connection.scalar(text("SELECT GET_LOCK('authsvc.migrate', :seconds)"), {"seconds": LOCK_SECONDS}) != 1:
        raise Unavailable("another process is migrating the database; try again when it has finished")
    try:
        yield
    finally:
        with suppress(SQLAlchemyError):  # a connection that broke has given it back
            connection.execute(text("SELECT RELEASE_LOCK('authsvc.migrate')"))
