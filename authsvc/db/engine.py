"""The engine and what each database needs to be told. Everything that differs between the two stands here."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from authsvc.errors import Misconfigured, Unavailable

__all__ = ["Engine", "Session", "make_engine", "reading", "transaction"]

BUSY_SECONDS = 5
CONNECT_SECONDS = 2


def make_engine(url: str, password: str | None, embedded: Path) -> Engine:
    """An engine for MariaDB at `url`, or for SQLite in the file `embedded` when `url` is empty.

    Raises:
        Misconfigured: the URL cannot be read or names another kind of database.
    """
    try:
        parsed = make_url(url) if url else URL.create("sqlite", database=str(embedded))
    except ArgumentError as exc:
        raise Misconfigured("database.url: not a URL such as mysql+pymysql://authsvc@host/authsvc") from exc
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed)
    if parsed.get_backend_name() in {"mysql", "mariadb"}:
        return _mariadb(parsed.set(drivername="mysql+pymysql", password=password or parsed.password))
    raise Misconfigured(f"database.url: {parsed.get_backend_name()} is not supported; use MariaDB or SQLite")


@contextmanager
def transaction(engine: Engine) -> Iterator[Session]:
    """One unit of work that may write: commit on success, roll back on any exception.

    Raises:
        Unavailable: the database does not answer, or its disk is full.
    """
    writing = engine.execution_options(write=True)
    with _as_unavailable(), Session(writing, expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """A unit of work that only reads; on SQLite it waits for nobody.

    Raises:
        Unavailable: the database does not answer.
    """
    with _as_unavailable(), Session(engine, expire_on_commit=False) as session:
        yield session


@contextmanager
def _as_unavailable() -> Iterator[None]:
    try:
        yield
    except DBAPIError as exc:
        if _is_environment(exc):
            raise Unavailable("the database does not answer; try again in a moment") from exc
        raise
    except SQLAlchemyError as exc:
        if type(exc).__name__ == "TimeoutError":
            raise Unavailable("the database is busy; try again in a moment") from exc
        raise


def _is_environment(exc: DBAPIError) -> bool:
    """Whether the server, the network or the disk is at fault, not the statement."""
    return exc.connection_invalidated or type(exc.orig).__name__ in {"OperationalError", "InterfaceError"}


def _sqlite(url: URL) -> Engine:
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def on_connect(connection: sqlite3.Connection, _record: object) -> None:
        # The driver must not open transactions by itself: `on_begin` chooses their kind.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        # Two deferred transactions that read and then write fail with "database is locked" at once, whatever
        # the busy timeout; IMMEDIATE waits in line.
        writes = connection.get_execution_options().get("write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _mariadb(url: URL) -> Engine:
    return create_engine(
        url.update_query_dict({"charset": "utf8mb4"}),
        # From 11.6 on, REPEATABLE READ raises error 1020 where it used to read again.
        isolation_level="READ COMMITTED",
        pool_pre_ping=True,
        pool_recycle=300,
        pool_timeout=CONNECT_SECONDS,
        max_overflow=10,
        connect_args={
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": BUSY_SECONDS,
            "write_timeout": BUSY_SECONDS,
            "init_command": "SET SESSION sql_mode='STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'",
        },
    )
