import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from sqlalchemy import Engine, event, select, text, update
from sqlalchemy.exc import DBAPIError, ProgrammingError

from authsvc.db import engine as engine_module
from authsvc.db.engine import HURRIED, MIGRATING, PATIENT, Session, fetch, make_engine, reading, retried, transaction
from authsvc.db.tables import Heartbeat, User
from authsvc.errors import Misconfigured, Unavailable
from tests.factories import make_user


def names(engine) -> list[str]:
    with reading(engine) as session:
        return list(session.scalars(select(User.name)))


def setting(engine, statement: str) -> object:
    with engine.connect() as connection:
        return connection.exec_driver_sql(statement).scalar()


def test_a_unit_of_work_that_ends_well_is_kept(engine):
    with transaction(engine) as session:
        make_user(session, "alice")
    assert names(engine) == ["alice"]


def test_a_unit_of_work_that_fails_leaves_nothing(engine):
    with pytest.raises(ZeroDivisionError), transaction(engine) as session:
        make_user(session, "alice").email = 1 / 0
    assert names(engine) == []


def test_a_unit_of_work_that_reads_keeps_nothing(engine):
    with reading(engine) as session:
        make_user(session, "alice")
    assert names(engine) == []


def test_a_row_can_be_used_after_its_unit_of_work(engine):
    with transaction(engine) as session:
        alice = make_user(session, "alice")
    assert alice.name == "alice"


def test_what_is_written_is_read_by_others_at_once(engine):
    with reading(engine) as before:
        before.scalar(select(1))
        with transaction(engine) as session:
            make_user(session, "alice")
    assert names(engine) == ["alice"]


def test_concurrent_writers_lose_nothing(engine):
    with transaction(engine) as session:
        session.add(Heartbeat(part="counter", at=0))

    def count(_: int) -> None:
        with transaction(engine) as session:
            counter = session.get_one(Heartbeat, "counter", with_for_update=True)
            counter.at += 1

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(count, range(200)))
    with reading(engine) as session:
        assert session.get_one(Heartbeat, "counter").at == 200


class TestUnitsOfWorkThatWaitForEachOther:
    """Two that lock the same two rows of MariaDB, each in its own order, and have both locked one of them."""

    @pytest.fixture
    def engine(self, mariadb_url, tmp_path) -> Iterator[Engine]:
        made = make_engine(mariadb_url, None, tmp_path)
        with transaction(made) as session:
            session.add_all([Heartbeat(part="a", at=0), Heartbeat(part="b", at=0)])
        yield made
        made.dispose()

    @pytest.fixture
    def cross(self):
        """Count in both rows; those who do so first meet between the two."""
        meeting, late = threading.Barrier(2, timeout=60), threading.local()

        def cross(session: Session, order: str) -> None:
            for part in order:
                session.execute(update(Heartbeat).where(Heartbeat.part == part).values(at=Heartbeat.at + 1))
                if not hasattr(late, "met"):
                    late.met = meeting.wait()

        return cross

    def test_are_both_done(self, engine, cross):
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(lambda order: retried(engine, lambda session: cross(session, order)), ["ab", "ba"]))
        with reading(engine) as session:
            assert list(session.scalars(select(Heartbeat.at))) == [2, 2]

    def test_one_is_told_to_try_again_where_nobody_can_do_it_anew(self, engine, cross):
        def work(order: str) -> None:
            with transaction(engine) as session:
                cross(session, order)

        with ThreadPoolExecutor(2) as threads:
            ends = [threads.submit(work, order).exception for order in ("ab", "ba")]
            assert sorted(str(end()) for end in ends) == ["None", "the database is busy; try again in a moment"]

    def test_a_unit_of_work_is_not_done_anew_for_ever(self, engine):
        asked = []

        def work(session: Session) -> None:
            asked.append(1)
            refuse(session, 1213)

        with pytest.raises(Unavailable, match="busy"):
            retried(engine, work)
        assert len(asked) == 4

    def test_what_fails_in_another_way_is_not_done_anew(self, engine):
        asked = []
        with pytest.raises(ZeroDivisionError):
            retried(engine, lambda _: asked.append(1) or 1 / 0)
        assert len(asked) == 1


def refuse(session: Session, code: int) -> None:
    """Let MariaDB answer with an error of that number."""
    session.execute(text(f"SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {code}, MESSAGE_TEXT = 'no'"))


def connection_id(engine: Engine) -> int:
    with reading(engine) as session:
        return session.scalar(text("SELECT CONNECTION_ID()"))


@pytest.mark.parametrize("code", [1047, 1290, 1836])
def test_a_server_that_is_not_in_charge_is_unavailable_and_left(mariadb_url, tmp_path, code):
    engine = make_engine(mariadb_url, None, tmp_path)
    before = connection_id(engine)
    with pytest.raises(Unavailable), transaction(engine) as session:
        refuse(session, code)
    assert connection_id(engine) != before
    engine.dispose()


@pytest.mark.parametrize("unit_of_work", [transaction, reading])
def test_a_server_that_is_down_is_unavailable(no_database, unit_of_work):
    with pytest.raises(Unavailable, match="the database does not answer"), unit_of_work(no_database) as session:
        session.scalar(select(1))


def test_a_disk_that_cannot_be_written_is_unavailable(tmp_path):
    engine = make_engine("", None, tmp_path / "missing" / "authsvc.db")
    with pytest.raises(Unavailable), reading(engine) as session:
        session.scalar(select(1))


def test_a_pool_without_a_free_connection_is_unavailable(tmp_path):
    engine = make_engine("", None, tmp_path / "authsvc.db")
    engine.pool._timeout = 0
    with ExitStack() as taken:
        for _ in range(15):
            taken.enter_context(engine.connect())
        with pytest.raises(Unavailable, match="busy"), reading(engine) as session:
            session.scalar(select(1))
    engine.dispose()


def test_who_waits_to_write_takes_no_connection_from_readers_and_is_told_in_the_end(engine, monkeypatch):
    line, taken = engine.get_execution_options()["line"], []
    monkeypatch.setattr(line, "_patience", 0.1)
    event.listen(engine, "checkout", lambda *_: taken.append(1))

    def write() -> None:
        with transaction(engine) as session:
            session.scalar(select(1))

    with ExitStack() as others:
        for _ in range(line.writers):
            others.enter_context(line.turn())
        with pytest.raises(Unavailable, match="busy"):
            write()
    assert taken == []
    write()
    assert taken == [1]


def test_a_wrong_statement_is_a_bug_and_not_an_outage(mariadb_url, tmp_path):
    engine = make_engine(mariadb_url, None, tmp_path)
    with pytest.raises(ProgrammingError), reading(engine) as session:
        session.execute(text("SELECT frobnicate("))
    engine.dispose()


@pytest.mark.parametrize(
    ("url", "mistake"),
    [
        ("nonsense", "not a URL such as"),
        ("postgresql://authsvc@host/authsvc", "postgresql is not supported"),
    ],
)
def test_a_url_that_is_no_database_of_ours_is_refused(tmp_path, url, mistake):
    with pytest.raises(Misconfigured, match=mistake):
        make_engine(url, None, tmp_path)


@pytest.mark.parametrize("url", ["mysql://u@h/d", "mariadb://u@h/d", "mysql+pymysql://u:old@h/d"])
def test_a_mariadb_gets_its_driver_and_password_whatever_its_url_says(tmp_path, url):
    made = make_engine(url, "s3cret", tmp_path).url
    assert (made.drivername, made.password) == ("mysql+pymysql", "s3cret")


def test_the_password_of_the_url_is_used_when_no_other_is_given(tmp_path):
    assert make_engine("mysql://u:in-url@h/d", None, tmp_path).url.password == "in-url"


def test_the_password_is_not_shown(tmp_path):
    assert "s3cret" not in repr(make_engine("mysql://u@h/d", "s3cret", tmp_path))


@pytest.mark.parametrize(("pragma", "value"), [("journal_mode", "wal"), ("foreign_keys", 1), ("synchronous", 2)])
def test_sqlite_is_told_to_be_safe(tmp_path, pragma, value):
    engine = make_engine("", None, tmp_path / "authsvc.db")
    assert setting(engine, f"PRAGMA {pragma}") == value
    engine.dispose()


@pytest.mark.parametrize(
    ("answer_within", "milliseconds"), [(HURRIED, 15_000), (PATIENT, 30_000), (MIGRATING, 3_600_000)]
)
def test_sqlite_waits_for_other_writers_as_long_as_for_a_server_and_at_least_a_while(
    tmp_path, answer_within, milliseconds
):
    engine = make_engine("", None, tmp_path / "authsvc.db", answer_within)
    assert setting(engine, "PRAGMA busy_timeout") == milliseconds
    engine.dispose()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("sql_mode", "STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION"),
        ("tx_isolation", "READ-COMMITTED"),
        ("character_set_client", "utf8mb4"),
        ("innodb_lock_wait_timeout", 30),
        ("lock_wait_timeout", 30),
    ],
)
def test_mariadb_is_told_to_be_strict(mariadb_url, tmp_path, variable, value):
    engine = make_engine(mariadb_url, None, tmp_path)
    assert setting(engine, f"SELECT @@{variable}") == value
    engine.dispose()


class TestAServerThatIsAway:
    """Connecting to a server, which this stands for."""

    @pytest.fixture
    def clock(self, monkeypatch) -> list[float]:
        clock = [100.0]
        monkeypatch.setattr(engine_module.time, "monotonic", lambda: clock[0])
        monkeypatch.setattr(engine_module.time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
        return clock

    @pytest.fixture
    def door(self, clock) -> engine_module._Door:  # noqa: ARG002 (a fixture cannot be asked for in another way)
        return engine_module._Door(answer_within=0.8)

    @staticmethod
    def answers(*what: object):
        """Answer with these in turn: raise those that are exceptions. Says how often it was asked."""
        left, asked = list(what), []

        def connect() -> object:
            asked.append(1)
            if isinstance(left[0], Exception):
                raise left.pop(0)
            return left.pop(0)

        return connect, asked

    def test_whoever_comes_next_is_told_at_once(self, door):
        connect, asked = self.answers(ConnectionError("away"), "never")
        for _ in range(3):
            with pytest.raises(ConnectionError, match="away"):
                door.enter(connect)
        assert len(asked) == 1

    def test_after_a_moment_it_is_asked_again(self, door, clock):
        connect, _ = self.answers(ConnectionError("away"), "connection", "another")
        with pytest.raises(ConnectionError):
            door.enter(connect)
        clock[0] += 0.5
        assert [door.enter(connect), door.enter(connect)] == ["connection", "another"]

    def test_while_one_asks_the_others_are_told(self, door, clock):
        inner, _ = self.answers("never")

        def connect() -> object:
            with pytest.raises(ConnectionError):
                door.enter(inner)
            return "connection"

        with pytest.raises(ConnectionError):
            door.enter(self.answers(ConnectionError("away"))[0])
        clock[0] += 0.5
        assert door.enter(connect) == "connection"

    @pytest.mark.parametrize("code", [1040, 1203, 1226])
    def test_one_that_is_full_is_waited_for(self, door, code):
        full = Exception(code, "too many connections")
        assert door.enter(self.answers(full, full, "connection")[0]) == "connection"

    def test_but_not_for_ever(self, door):
        full = Exception(1040, "too many connections")
        with pytest.raises(Exception, match="too many"):
            door.enter(self.answers(*[full] * 1000)[0])


@pytest.mark.parametrize(
    ("reason", "invalidated", "asked"),
    [("killed", True, 2), ("timed out", True, 1), ("syntax", False, 1)],
)
def test_what_only_reads_is_asked_again_where_its_connection_broke(monkeypatch, engine, reason, invalidated, asked):
    calls = []

    def fail(*_: object) -> object:
        calls.append(1)
        cause = type("OperationalError", (Exception,), {})(reason)
        raise DBAPIError("SELECT", None, cause, connection_invalidated=invalidated)

    monkeypatch.setattr(engine_module, "_rows", fail)
    with pytest.raises(Unavailable):
        fetch(engine, select(1))
    assert len(calls) == asked
