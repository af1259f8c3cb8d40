import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, MetaData, Table, insert, inspect, text

from authsvc.db import migrate, revision
from authsvc.db.engine import MIGRATING, make_engine
from authsvc.db.tables import Base
from authsvc.errors import Misconfigured, Unavailable
from tests.conftest import DATABASES

TABLES = {table.name for table in Base.metadata.sorted_tables}

EITHER_OR = {("members", "group_id")}
"""Columns that are empty where another one is filled: a member is a person or a group."""


@pytest.fixture(params=DATABASES)
def empty_url(request) -> str:
    return "" if request.param == "sqlite" else request.getfixturevalue("make_mariadb")("empty")


@pytest.fixture
def empty(empty_url, tmp_path) -> Engine:
    engine = make_engine(empty_url, None, tmp_path / "empty.db")
    yield engine
    engine.dispose()


def migrate_to(engine: Engine, revision: str) -> None:
    config = migrate._config()
    with engine.execution_options(write=True).connect() as connection:
        config.attributes["connection"] = connection
        move = command.downgrade if revision == "base" else command.upgrade
        move(config, revision)
        connection.commit()


def tables(engine: Engine) -> set[str]:
    return set(inspect(engine).get_table_names())


def differences(engine: Engine) -> list[object]:
    """What a database has, and what the code says that it should have."""
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, Base.metadata))


def a_row(table: Table) -> dict[str, object]:
    """Something for every column; whatever refers to another row refers to the one that was made so."""
    values = {int: 7, bool: True, str: "x", bytes: b"x"}
    filled = [column for column in table.columns if (table.name, column.name) not in EITHER_OR]
    return {column.name: values[column.type.python_type] for column in filled}


def wait_for_the_others(together: Barrier) -> None:
    together.wait()


def upgrade_in_a_process(url: str, path: Path) -> list[str]:
    engine = make_engine(url, None, path, MIGRATING)
    try:
        return migrate.upgrade(engine)
    finally:
        engine.dispose()


def test_an_empty_database_is_brought_to_the_newest_revision(empty):
    migrate.upgrade(empty)
    with empty.connect() as connection:
        assert revision.current(connection) == revision.NEWEST


def test_an_upgrade_says_what_it_made(empty):
    assert migrate.upgrade(empty) == [f"the database, at revision {revision.NEWEST}"]


def test_a_second_upgrade_does_nothing(empty):
    migrate.upgrade(empty)
    assert migrate.upgrade(empty) == []


def test_the_migrations_make_the_tables_that_the_code_describes(empty):
    migrate.upgrade(empty)
    assert differences(empty) == []


def test_the_version_before_can_write_to_the_tables_of_this_one(empty):
    migrate_to(empty, [step.revision for step in ScriptDirectory.from_config(migrate._config()).walk_revisions()][1])
    before = MetaData()
    before.reflect(empty)
    migrate.upgrade(empty)
    with empty.execution_options(write=True).begin() as connection:
        written = [connection.execute(insert(table).values(a_row(table))).rowcount for table in before.sorted_tables]
    assert set(written) == {1}


def test_a_downgrade_leaves_no_table(empty):
    migrate.upgrade(empty)
    migrate_to(empty, "base")
    assert tables(empty) == {"alembic_version"}


def test_after_a_downgrade_the_way_up_is_open(empty):
    migrate.upgrade(empty)
    migrate_to(empty, "base")
    migrate.upgrade(empty)
    assert tables(empty) >= TABLES


def test_a_database_from_the_future_is_refused(empty):
    migrate.upgrade(empty)
    with empty.execution_options(write=True).begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Misconfigured, match="revision 9999, which a newer authsvc made"):
        migrate.upgrade(empty)


def test_processes_that_migrate_at_once_migrate_once(empty_url, tmp_path):
    spawned = multiprocessing.get_context("spawn")
    together = spawned.Barrier(3, timeout=60)
    with ProcessPoolExecutor(3, spawned, initializer=wait_for_the_others, initargs=(together,)) as processes:
        made = list(processes.map(upgrade_in_a_process, [empty_url] * 3, [tmp_path / "empty.db"] * 3))
    assert sorted(made) == [[], [], [f"the database, at revision {revision.NEWEST}"]]


def test_a_table_of_somebody_else_is_refused_by_name(make_mariadb, tmp_path):
    engine = make_engine(make_mariadb("taken"), None, tmp_path)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE projects (id INTEGER)"))
    with pytest.raises(Misconfigured, match=r"refuses a migration.*'projects' already exists"):
        migrate.upgrade(engine)
    engine.dispose()


def test_a_server_that_is_down_is_unavailable(no_database):
    with pytest.raises(Unavailable, match="does not answer"):
        migrate.upgrade(no_database)
