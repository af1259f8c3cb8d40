import threading

import pytest
from sqlalchemy import event, select

from authsvc.core.standing import Machine
from authsvc.core.usage import FLUSH_SECONDS, Usage
from authsvc.db.connection import Connection
from authsvc.db.engine import reading, transaction
from authsvc.db.tables import AccessToken, RefreshToken, Robot
from authsvc.domain.machine_secrets import Kind
from tests.conftest import NOW
from tests.factories import make_user

TABLES = {Kind.ROBOT: Robot, Kind.ACCESS_TOKEN: AccessToken, Kind.REFRESH_TOKEN: RefreshToken}


@pytest.fixture
def machines(engine) -> dict[Kind, Machine]:
    """One credential of each kind, none of which was used."""
    with transaction(engine) as session:
        alice = make_user(session, "alice")
        robot = {"name": "ci", "secret_hash": "r", "duration_days": 1, "created_by": "root", "created_at": 0}
        access = {"name": "a", "secret_hash": "a", "actions": "pull", "patterns": "", "created_at": 0}
        refresh = {"secret_hash": "f", "family": "f", "service": "s", "client": "c", "password_version": 1}
        rows = {
            Kind.ROBOT: Robot(**robot),
            Kind.ACCESS_TOKEN: AccessToken(user_id=alice.id, **access),
            Kind.REFRESH_TOKEN: RefreshToken(user_id=alice.id, created_at=0, expires_at=NOW, **refresh),
        }
        session.add_all(rows.values())
        session.flush()
        return {kind: Machine(row.id, None) for kind, row in rows.items()}


@pytest.fixture
def usage(engine) -> Usage:
    """One that has just written, so that it writes no more within half a minute."""
    made = Usage(engine)
    made._written_at = NOW
    return made


def written(engine) -> dict[Kind, int | None]:
    with reading(engine) as session:
        return {kind: session.scalars(select(table.last_used_at)).one() for kind, table in TABLES.items()}


def wait_for_writing() -> None:
    for thread in [one for one in threading.enumerate() if one.name == "usage"]:
        thread.join()


@pytest.mark.parametrize("kind", Kind)
def test_a_use_is_written_for_its_own_credential(engine, machines, usage, kind):
    usage.used(kind, machines[kind], NOW + 1)
    usage.flush()
    assert written(engine) == dict.fromkeys(Kind) | {kind: NOW + 1}


def test_nothing_is_written_before_half_a_minute_has_passed(engine, machines, usage):
    usage.used(Kind.ROBOT, machines[Kind.ROBOT], NOW + FLUSH_SECONDS - 1)
    wait_for_writing()
    assert written(engine)[Kind.ROBOT] is None


def test_after_half_a_minute_all_is_written_together(engine, machines, usage):
    usage.used(Kind.ROBOT, machines[Kind.ROBOT], NOW + 1)
    usage.used(Kind.ACCESS_TOKEN, machines[Kind.ACCESS_TOKEN], NOW + FLUSH_SECONDS)
    wait_for_writing()
    assert written(engine) == {
        Kind.ROBOT: NOW + 1,
        Kind.ACCESS_TOKEN: NOW + FLUSH_SECONDS,
        Kind.REFRESH_TOKEN: None,
    }


def test_the_half_minute_begins_anew(engine, machines, usage):
    for seconds in (FLUSH_SECONDS, FLUSH_SECONDS + 1):
        usage.used(Kind.ROBOT, machines[Kind.ROBOT], NOW + seconds)
        wait_for_writing()
    assert written(engine)[Kind.ROBOT] == NOW + FLUSH_SECONDS


def test_a_thousand_uses_are_one_write(engine, machines, usage):
    seen: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda _c, _cursor, statement, *_rest: seen.append(statement))
    for second in range(1000):
        usage.used(Kind.ROBOT, machines[Kind.ROBOT], NOW + second % FLUSH_SECONDS)
    usage.flush()
    assert len([statement for statement in seen if statement.startswith("UPDATE")]) == 1


def test_a_request_itself_writes_nothing(engine, machines, usage, monkeypatch):
    started: list[str] = []
    monkeypatch.setattr(threading.Thread, "start", lambda thread: started.append(thread.name))
    usage.used(Kind.ROBOT, machines[Kind.ROBOT], NOW + FLUSH_SECONDS)
    assert (written(engine)[Kind.ROBOT], started) == (None, ["usage"])


def test_without_a_credential_there_is_no_use(engine, machines, usage):
    usage.used(Kind.ROBOT, None, NOW + FLUSH_SECONDS)
    wait_for_writing()
    assert written(engine) == dict.fromkeys(Kind)


def test_a_credential_that_is_gone_is_no_error(engine, machines, usage):
    usage.used(Kind.ROBOT, Machine(999, None), NOW)
    usage.used(Kind.ACCESS_TOKEN, machines[Kind.ACCESS_TOKEN], NOW)
    usage.flush()
    assert written(engine)[Kind.ACCESS_TOKEN] == NOW


def test_while_the_database_is_away_nothing_is_lost(engine, machines, usage, no_database, caplog):
    usage._engine = no_database
    usage.used(Kind.ROBOT, machines[Kind.ROBOT], NOW + 1)
    usage.used(Kind.ACCESS_TOKEN, machines[Kind.ACCESS_TOKEN], NOW + 1)
    usage.flush()
    usage.used(Kind.ROBOT, machines[Kind.ROBOT], NOW + 2)
    usage._engine = engine
    usage.flush()
    no_database.dispose()
    assert written(engine) == {Kind.ROBOT: NOW + 2, Kind.ACCESS_TOKEN: NOW + 1, Kind.REFRESH_TOKEN: None}


def test_what_came_in_while_writing_failed_is_newer(engine, machines, usage, no_database, monkeypatch):
    usage._engine = no_database
    usage.used(Kind.ROBOT, machines[Kind.ROBOT], NOW + 1)

    def refuse(*_: object, **__: object) -> None:
        usage.used(Kind.ROBOT, machines[Kind.ROBOT], NOW + 2)
        raise no_database.dialect.dbapi.OperationalError(2003, "away")

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(Connection, "__init__", refuse)
        usage.flush()
    usage._engine = engine
    usage.flush()
    no_database.dispose()
    assert written(engine)[Kind.ROBOT] == NOW + 2


def test_a_database_that_is_away_is_said_in_the_log(machines, usage, no_database, caplog):
    usage._engine = no_database
    usage.used(Kind.ROBOT, machines[Kind.ROBOT], NOW)
    usage.flush()
    no_database.dispose()
    assert [(record.levelname, record.message[:36]) for record in caplog.records] == [
        ("WARNING", "times of last use were not written: ")
    ]
