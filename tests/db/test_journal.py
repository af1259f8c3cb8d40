import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Engine, inspect, text
from sqlalchemy.exc import OperationalError

from authsvc.db import journal, migrate
from authsvc.db.engine import make_engine
from tests.db.test_migrate import differences

MAKE, FILL, ADD = (
    "CREATE TABLE things (id INTEGER PRIMARY KEY, size INTEGER)",
    "INSERT INTO things VALUES (1, 1)",
    "ALTER TABLE things ADD COLUMN color INTEGER",
)
DOUBLE = "UPDATE things SET size = 2 * size"
Run = Callable[..., None]


class Killed(BaseException):
    """In place of SIGKILL: no `except Exception` tidies up after it."""


@pytest.fixture
def empty(make_mariadb, tmp_path) -> Iterator[Engine]:
    """An empty MariaDB, since only that one needs a journal."""
    engine = make_engine(make_mariadb("journal"), None, tmp_path)
    yield engine
    engine.dispose()


@pytest.fixture
def run(empty) -> Run:
    """Run statements as a migration does."""

    def run(*statements: str) -> None:
        with empty.connect() as connection, journal.kept(connection):
            for statement in statements:
                connection.execute(text(statement))
            connection.commit()

    return run


@pytest.fixture
def killed(run, monkeypatch) -> Run:
    """Run statements until so many notes are made, and die in place of the next one."""

    def killed(notes: int, *statements: str) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(journal._Journal, "_note", dying_after(notes, journal._Journal._note, Killed))
            with pytest.raises(Killed):
                run(*statements)

    return killed


def dying_after(notes: int, note: Run, death: Callable[[], BaseException]) -> staticmethod:
    left = [None] * notes

    def noting(*what: object) -> None:
        if not left:
            raise death()
        left.pop()
        note(*what)

    return staticmethod(noting)


def die() -> BaseException:
    os.kill(os.getpid(), signal.SIGKILL)
    return Killed()


def upgrade_until_killed(url: str, notes: int) -> None:
    journal._Journal._note = dying_after(notes, journal._Journal._note, die)
    migrate.upgrade(make_engine(url, None, "none"))


def upgrade_in_processes_that_die(url: str, notes: int) -> int:
    """Processes migrate one after the other, and each is killed after so many notes; how many were."""
    exit_codes = []
    while not exit_codes or exit_codes[-1] == -signal.SIGKILL:
        process = multiprocessing.get_context("fork").Process(target=upgrade_until_killed, args=(url, notes))
        process.start()
        process.join()
        exit_codes.append(process.exitcode)
    assert exit_codes[-1] == 0
    return len(exit_codes) - 1


def sizes(engine: Engine) -> list[int]:
    with engine.connect() as connection:
        return list(connection.scalars(text("SELECT size FROM things")))


def test_a_migration_that_is_killed_again_and_again_ends_as_one_that_was_not(empty):
    assert upgrade_in_processes_that_die(str(empty.url), 3) > 20
    assert differences(empty) == []


def test_what_is_finished_leaves_no_journal(empty, run):
    run(MAKE, FILL)
    assert inspect(empty).get_table_names() == ["things"]


def test_a_change_that_was_made_but_not_noted_is_taken_as_made(empty, run, killed):
    killed(2, MAKE)
    run(MAKE, FILL)
    assert sizes(empty) == [1]


def test_what_was_noted_is_not_done_again(empty, run, killed):
    killed(6, MAKE, FILL, DOUBLE, ADD)
    run(MAKE, FILL, DOUBLE, ADD)
    assert sizes(empty) == [2]


def test_rows_that_were_written_but_not_noted_are_written_again(empty, run, killed):
    killed(4, MAKE, FILL, DOUBLE)
    run(MAKE, FILL, DOUBLE)
    assert sizes(empty) == [2]


def test_many_rows_at_once_are_one_statement(empty, run, killed):
    with empty.connect() as connection, journal.kept(connection):
        connection.execute(text(MAKE))
        connection.execute(text("INSERT INTO things VALUES (:id, 1)"), [{"id": 1}, {"id": 2}])
        connection.commit()
    assert sizes(empty) == [1, 1]


def test_equal_statements_are_each_done_once(empty, run, killed):
    killed(5, MAKE, FILL, DOUBLE, DOUBLE)
    run(MAKE, FILL, DOUBLE, DOUBLE)
    assert sizes(empty) == [4]


def test_a_table_of_somebody_else_is_in_the_way_each_time(empty, run):
    run(MAKE)
    with pytest.raises(OperationalError, match="already exists"):
        run(MAKE)
    with pytest.raises(OperationalError, match="already exists"):
        run(MAKE)


def test_a_statement_that_is_in_doubt_may_still_be_wrong(empty, run, killed):
    broken = "ALTER TABLE things ADD COLUMN color NONSENSE"
    killed(3, MAKE, ADD)
    with pytest.raises(Exception, match="NONSENSE"):
        run(MAKE, broken)


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE things ADD CONSTRAINT k FOREIGN KEY (size) REFERENCES things (id)",
        "ALTER TABLE things ADD CONSTRAINT u UNIQUE (size)",
        "CREATE INDEX i ON things (size)",
        "ALTER TABLE things CHANGE COLUMN size length INTEGER",
        "ALTER TABLE things DROP COLUMN size",
        "RENAME TABLE things TO objects",
        "DROP TABLE things",
        "CREATE TRIGGER t BEFORE DELETE ON things FOR EACH ROW SET @a = 1",
    ],
)
def test_every_kind_of_change_is_known_again(run, killed, change):
    killed(4, MAKE, change)
    run(MAKE, change)


def test_the_next_revision_may_repeat_a_statement(empty, run, killed):
    version = "CREATE TABLE alembic_version (version_num VARCHAR(32))"
    killed(8, MAKE, FILL, version, DOUBLE, "INSERT INTO alembic_version VALUES ('1')", DOUBLE)
    run(DOUBLE)
    assert sizes(empty) == [4]
