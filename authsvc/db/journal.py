"""How far a migration has come, on MariaDB, which commits every change of a table at once and cannot undo half of them.

Each statement of a migration that writes is noted, in a table that is there only while a migration is unfinished. When
one that was killed is run again, what is noted as done is passed over. Of a change of a table that was begun and not
noted as done nobody knows, so of that one alone the database may say that it is so already. A statement that failed is
not begun any more: where it says so of that one, somebody else's table is in the way.

Statements are known by their text and values, not by their number, so that a migration that goes through rows may find
fewer the second time. Not here: the lock that lets one process migrate at a time (migrate.py).
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy import Connection, event, inspect, text

TABLE = "migration_steps"
_CREATE = """
    CREATE TABLE migration_steps (id BIGINT AUTO_INCREMENT PRIMARY KEY, digest CHAR(64) NOT NULL, done BOOLEAN NOT NULL)
    ENGINE=InnoDB CHARACTER SET ascii"""
_BEGIN = "INSERT INTO migration_steps (digest, done) VALUES (%s, 0)"
_NOTE = "INSERT INTO migration_steps (digest, done) VALUES (%s, 1)"
_FINISH = "UPDATE migration_steps SET done = 1 WHERE digest = %s"
_FORGET = "DELETE FROM migration_steps WHERE digest = %s AND NOT done"
_FORGET_ALL = "DELETE FROM migration_steps"

_ROWS = frozenset({"INSERT", "UPDATE", "DELETE", "REPLACE"})
_TABLES = frozenset({"CREATE", "ALTER", "DROP", "RENAME", "TRUNCATE"})
_SO_ALREADY = frozenset({1050, 1051, 1054, 1060, 1061, 1068, 1091, 1146, 1359, 1360, 1826})
"""What MariaDB says to the second of two equal changes: a table, column, index, key or trigger is there, or gone."""
_CANNOT_CREATE, _DUPLICATE = 1005, "errno: 121"
"""The same for a foreign key."""


@contextmanager
def kept(connection: Connection) -> Iterator[None]:
    """Note what a migration does on this connection for as long as the block lasts; SQLite undoes it by itself."""
    if connection.dialect.name == "sqlite":
        yield
        return
    journal = _Journal(connection)
    hooks = {"do_execute": journal.execute, "do_executemany": journal.executemany}
    for name, hook in hooks.items():
        event.listen(connection.engine, name, hook)
    try:
        yield
        journal.end()
    finally:
        for name, hook in hooks.items():
            event.remove(connection.engine, name, hook)


class _Journal:
    """What was done and what was begun before, and notes of what is done now. Notes pass SQLAlchemy by."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._is_there = inspect(connection).has_table(TABLE)
        noted = connection.execute(text("SELECT digest, done FROM migration_steps")).all() if self._is_there else []
        self._done = Counter(row.digest for row in noted if row.done)
        self._begun = {row.digest for row in noted if not row.done}

    def execute(self, cursor: Any, statement: str, values: Any, context: Any) -> bool:  # noqa: ANN401 (a driver's)
        """SQLAlchemy's hook in place of the driver: whether this was all, or the driver is still to be asked."""
        return self._run(cursor, statement, values, context, cursor.execute)

    def executemany(self, cursor: Any, statement: str, values: Any, context: Any) -> bool:  # noqa: ANN401
        """The same for many rows."""
        return self._run(cursor, statement, values, context, cursor.executemany)

    def end(self) -> None:
        """Every migration is finished: nothing has to be known any more."""
        if self._is_there:
            self._connection.execute(text("DROP TABLE migration_steps"))

    def _run(self, cursor: Any, statement: str, values: Any, context: Any, run: Callable[..., Any]) -> bool:  # noqa: ANN401
        verb = statement.split(maxsplit=1)[0].upper()
        if context.root_connection is not self._connection or TABLE in statement or verb not in _ROWS | _TABLES:
            return False
        digest = hashlib.sha256(repr((statement, values)).encode()).hexdigest()
        if self._done[digest]:
            self._done[digest] -= 1
            return True
        self._make(cursor)
        if verb in _TABLES:
            self._change_table(cursor, digest, lambda: run(statement, values))
            return True
        run(statement, values)
        if "alembic_version" not in statement:
            self._note(cursor, _NOTE, digest)
            return True
        # In one commit with the number of the revision; the next one may have statements equal to its.
        self._note(cursor, _FORGET_ALL)
        self._done.clear()
        self._begun.clear()
        return True

    def _make(self, cursor: Any) -> None:  # noqa: ANN401
        if not self._is_there:
            self._note(cursor, _CREATE)
            self._is_there = True

    def _change_table(self, cursor: Any, digest: str, run: Callable[[], Any]) -> None:  # noqa: ANN401
        in_doubt = digest in self._begun
        if not in_doubt:
            self._note(cursor, _BEGIN, digest)
        try:
            run()
        except Exception as exc:
            if not (in_doubt and _is_so_already(exc)):
                with suppress(Exception):  # where the connection broke, it stays in doubt
                    self._note(cursor, _FORGET, digest)
                raise
        self._note(cursor, _FINISH, digest)

    @staticmethod
    def _note(cursor: Any, statement: str, *values: str) -> None:  # noqa: ANN401
        with cursor.connection.cursor() as own:
            own.execute(statement, values)
        cursor.connection.commit()


def _is_so_already(exc: Exception) -> bool:
    code, *rest = exc.args or (0,)
    return code in _SO_ALREADY or (code == _CANNOT_CREATE and _DUPLICATE in str(rest))
