"""Insert a row unless it is there: the statement that the two databases spell differently."""

from sqlalchemy import inspect
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Session

from authsvc.db.tables import Base


def ensure(session: Session, table: type[Base], **values: object) -> None:
    """Insert the row unless its primary key is taken. Either way it is ours until the end of the unit of work.

    Lock rows in the order of their keys, as everywhere, and no two units of work wait for each other.
    """
    connection = session.connection()
    if connection.dialect.name == "sqlite":
        connection.execute(sqlite.insert(table).values(**values).on_conflict_do_nothing())
        return
    # Not INSERT IGNORE: it takes a shared lock, and two that hold one and then update are a deadlock.
    key = inspect(table).primary_key[0]
    connection.execute(mysql.insert(table).values(**values).on_duplicate_key_update({key.name: key}))
