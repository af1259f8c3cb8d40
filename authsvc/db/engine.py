"""The engine and what each database needs to be told. Everything that differs between the two stands here."""

import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, ExceptionContext, Executable, Row, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from authsvc.errors import Misconfigured, Unavailable, say

__all__ = ["Engine", "Session", "fetch", "is_away", "make_engine", "reading", "retried", "transaction"]

T = TypeVar("T")
BUSY_SECONDS, LOCKED_SECONDS = 5, 15
"""How long to wait for a connection of the pool, and at least for other writers on SQLite."""
CONNECT_SECONDS = 1
_RETRY_SECONDS, _ROOM_SECONDS = 0.5, 0.02
_TOO_MANY = {(1040,), (1203,), (1226,)}
_OUTDONE = {1205, 1213}
"""MariaDB ended a transaction in favour of others: it waited too long for a lock, or they waited for each other."""
_OUTDONE_TIMES, _OUTDONE_SECONDS = 3, 0.05
_LINE, _WRITERS = "line", 3
"""Whose turn it is to write, and how many at a time have one on MariaDB, where the audit trail lets one go on."""
_NOT_IN_CHARGE = {1047, 1290, 1836}
"""A server that does not take changes, because it is or has become a replica, or has lost its cluster."""
HURRIED, PATIENT, MIGRATING = 0.8, 30.0, 3_600.0
"""Seconds in which MariaDB has to answer: to web, where a ping and a new connection must be over within two; to
others; and to changes of its tables."""


def make_engine(url: str, password: str | None, embedded: Path, answer_within: float = PATIENT) -> Engine:
    """An engine for MariaDB at `url`, or for SQLite in the file `embedded` when `url` is empty.

    Args:
        answer_within: seconds after which MariaDB is taken to be away, and other writers on SQLite to be stuck.

    Raises:
        Misconfigured: the URL cannot be read or names another kind of database.
    """
    try:
        parsed = make_url(url) if url else URL.create("sqlite", database=str(embedded))
    except ArgumentError as exc:
        raise Misconfigured("database.url: not a URL such as mysql+pymysql://authsvc@host/authsvc") from exc
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed, max(LOCKED_SECONDS, answer_within))
    if parsed.get_backend_name() in {"mysql", "mariadb"}:
        return _mariadb(parsed.set(drivername="mysql+pymysql", password=password or parsed.password), answer_within)
    raise Misconfigured(f"database.url: {parsed.get_backend_name()} is not supported; use MariaDB or SQLite")


@contextmanager
def transaction(engine: Engine) -> Iterator[Session]:
    """One unit of work that may write: commit on success, roll back on any exception.

    Raises:
        Unavailable: the database does not answer, its disk is full, or others hold what this needs.
    """
    with _as_unavailable(), _writing(engine) as session:
        yield session


def retried(engine: Engine, work: Callable[[Session], T]) -> T:
    """What `work` returns, as a unit of work that may write; done anew, up to thrice, when it met others half-way.

    Raises:
        Unavailable: as `transaction` does.
    """
    with _as_unavailable():
        for _ in range(_OUTDONE_TIMES):
            try:
                with _writing(engine) as session:
                    return work(session)
            except DBAPIError as exc:
                if _code(exc) not in _OUTDONE:
                    raise
            time.sleep(random.uniform(0, _OUTDONE_SECONDS))  # noqa: S311 (no secret)
        with _writing(engine) as session:
            return work(session)


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """A unit of work that only reads; on SQLite it waits for nobody.

    Raises:
        Unavailable: the database does not answer.
    """
    with _as_unavailable(), Session(engine, expire_on_commit=False) as session:
        yield session


def fetch(engine: Engine, statement: Executable, values: Mapping[str, Any] | None = None) -> Sequence[Row[Any]]:
    """The rows of a statement that only reads, asked once more when the connection broke under it.

    Raises:
        Unavailable: the database does not answer.
    """
    with _as_unavailable():
        try:
            return _rows(engine, statement, values)
        except DBAPIError as exc:
            if not exc.connection_invalidated or "timed out" in str(exc.orig):
                raise
        return _rows(engine, statement, values)


def _rows(engine: Engine, statement: Executable, values: Mapping[str, Any] | None) -> Sequence[Row[Any]]:
    with engine.connect() as connection:
        return connection.execute(statement, values).all()


@contextmanager
def _writing(engine: Engine) -> Iterator[Session]:
    line: _Line = engine.get_execution_options()[_LINE]
    with (
        line.turn(),
        Session(engine.execution_options(write=True), expire_on_commit=False) as session,
        session.begin(),
    ):
        yield session


def is_away(exc: DBAPIError) -> bool:
    """Whether MariaDB could not be reached or broke off, in place of answering that it does not want to."""
    return exc.connection_invalidated or 2000 <= _code(exc) < 3000 or (_code(exc),) in _TOO_MANY


def _code(exc: DBAPIError) -> int:
    """MariaDB's number of an error; 0 where there is none."""
    code = exc.orig.args[0] if exc.orig and exc.orig.args else 0
    return code if isinstance(code, int) else 0


@contextmanager
def _as_unavailable() -> Iterator[None]:
    try:
        yield
    except DBAPIError as exc:
        if _code(exc) in _OUTDONE:
            raise Unavailable(say("the database is busy; try again in a moment")) from exc
        if _is_environment(exc):
            raise Unavailable(say("the database does not answer; try again in a moment")) from exc
        raise
    except SQLAlchemyError as exc:
        if type(exc).__name__ == "TimeoutError":
            raise Unavailable(say("the database is busy; try again in a moment")) from exc
        raise


def _is_environment(exc: DBAPIError) -> bool:
    """Whether the server, the network or the disk is at fault, not the statement."""
    return exc.connection_invalidated or type(exc.orig).__name__ in {"OperationalError", "InterfaceError"}


class _Line:
    """Lets few threads of this process write at a time, since writers wait for each other in any case.

    Who waits here holds no connection, so that those who only read find one however many write.
    """

    def __init__(self, writers: int, patience: float) -> None:
        self._patience = patience
        self.writers = writers
        self._places = threading.Semaphore(writers)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """The right to write.

        Raises:
            Unavailable: others had it for too long.
        """
        if not self._places.acquire(timeout=self._patience):
            raise Unavailable("the database is busy; try again in a moment")
        try:
            yield
        finally:
            self._places.release()


def _sqlite(url: URL, patience: float) -> Engine:
    engine = create_engine(
        url,
        pool_timeout=BUSY_SECONDS,
        # Whoever finds it locked tries again after a pause, and among many it may take some to find it free.
        connect_args={"timeout": patience, "check_same_thread": False},
        execution_options={_LINE: _Line(1, patience)},
    )

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


def _mariadb(url: URL, answer_within: float) -> Engine:
    from authsvc.db.connection import Connection as Connected  # noqa: PLC0415 (who has SQLite needs no driver)

    patience = max(1, int(answer_within))
    engine = create_engine(
        url.update_query_dict({"charset": "utf8mb4"}),
        # From 11.6 on, REPEATABLE READ raises error 1020 where it used to read again.
        isolation_level="READ COMMITTED",
        pool_pre_ping=True,
        pool_recycle=300,
        pool_timeout=BUSY_SECONDS,
        # Few are kept, since each process keeps its own and a server may allow few to all of them.
        pool_size=2,
        max_overflow=8,
        execution_options={_LINE: _Line(_WRITERS, max(LOCKED_SECONDS, answer_within))},
        connect_args={
            "connect_timeout": min(CONNECT_SECONDS, answer_within),
            "read_timeout": answer_within,
            "write_timeout": answer_within,
            "init_command": "SET SESSION sql_mode='STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'"
            # Who has given up waiting for an answer must not go on waiting in the server, for rows or for tables.
            f", innodb_lock_wait_timeout={patience}, lock_wait_timeout={patience}",
        },
    )
    door = _Door(answer_within)

    @event.listens_for(engine, "do_connect")
    def on_do_connect(_dialect: object, _record: object, args: list[Any], options: dict[str, Any]) -> object:
        return door.enter(lambda: Connected(*args, **options))

    @event.listens_for(engine, "handle_error")
    def on_error(context: ExceptionContext) -> None:
        # After a fail-over the next connection may lead to the server that is in charge now.
        if context.original_exception.args[:1] and context.original_exception.args[0] in _NOT_IN_CHARGE:
            context.is_disconnect = True

    return engine


class _Door:
    """Connects to a server. While it is away one caller at a time tries; whoever else comes is told at once."""

    def __init__(self, answer_within: float) -> None:
        self._answer_within = answer_within
        self._lock = threading.Lock()
        self._failure: Exception | None = None
        self._next_at = 0.0

    def enter(self, connect: Callable[[], object]) -> object:
        """A connection.

        Raises:
            Exception: the driver's, from this attempt or the one before.
        """
        with self._lock:
            if self._failure is not None:
                if time.monotonic() < self._next_at:
                    raise type(self._failure)(*self._failure.args)
                self._next_at = time.monotonic() + CONNECT_SECONDS + self._answer_within
        try:
            connection = self._wait_for_room(connect)
        except Exception as exc:
            with self._lock:
                self._failure, self._next_at = exc, time.monotonic() + _RETRY_SECONDS
            raise
        self._failure = None
        return connection

    def _wait_for_room(self, connect: Callable[[], object]) -> object:
        """A server that has too many connections may soon have one less."""
        deadline = time.monotonic() + CONNECT_SECONDS
        while True:
            try:
                return connect()
            except Exception as exc:
                if exc.args[:1] not in _TOO_MANY or time.monotonic() > deadline:
                    raise
            time.sleep(_ROOM_SECONDS)
