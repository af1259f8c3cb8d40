"""Which revision a database is at. Apart from `migrate.py`, so that what serves requests does not load Alembic."""

from sqlalchemy import Column, Connection, MetaData, String, Table, inspect, select

NEWEST = "0012"
"""The newest migration in `migrations/versions`, after which the tables are as `tables.py` says. Numbers only grow, and
a migration only adds: what an older version reads and writes, a newer schema still has."""

_VERSION = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))


def current(connection: Connection) -> str | None:
    """The revision the database is at; None when it is empty."""
    if not inspect(connection).has_table(_VERSION.name):
        return None
    return connection.scalar(select(_VERSION.c.version_num))
