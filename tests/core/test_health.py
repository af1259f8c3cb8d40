import pytest
from sqlalchemy import text

from authsvc.core import health
from authsvc.db import revision
from authsvc.db.engine import make_engine, transaction
from authsvc.errors import Unavailable


@pytest.mark.parametrize(("passed", "alive"), [(0, True), (180, True), (181, False)])
def test_a_part_is_alive_for_three_beats(session, now, passed, alive):
    health.beat(session, "jobservice", now)
    session.flush()
    assert health.is_alive(session, "jobservice", now + passed) is alive


def test_a_part_that_never_gave_a_sign_is_not_alive(session, now):
    assert not health.is_alive(session, "jobservice", now)


def test_a_later_beat_takes_the_place_of_the_earlier_one(engine, now):
    for at in (now - 1000, now):
        with transaction(engine) as session:
            health.beat(session, "jobservice", at)
    with transaction(engine) as session:
        assert health.is_alive(session, "jobservice", now)


def test_a_database_of_this_version_is_migrated(engine):
    assert health.is_migrated(engine)


@pytest.mark.parametrize(("version", "migrated"), [("0001", False), ("9999", True)])
def test_a_database_of_an_older_version_is_not_and_of_a_newer_one_is(engine, version, migrated):
    with engine.execution_options(write=True).begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": version})
    try:
        assert health.is_migrated(engine) is migrated
    finally:
        with engine.execution_options(write=True).begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = :head"), {"head": revision.NEWEST})


def test_an_empty_database_is_not_migrated(tmp_path):
    engine = make_engine("", None, tmp_path / "empty.db")
    assert not health.is_migrated(engine)
    engine.dispose()


def test_whether_a_database_that_is_down_is_migrated_nobody_knows(no_database):
    with pytest.raises(Unavailable):
        health.is_migrated(no_database)


@pytest.mark.parametrize(("beats", "alive"), [([], False), ([0], True)])
def test_the_parts_are_the_database_and_the_worker(engine, now, beats, alive):
    for passed in beats:
        with transaction(engine) as session:
            health.beat(session, health.WORKER, now - passed)
    assert health.components(engine, now) == {"database": True, "jobservice": alive}


def test_a_database_that_is_down_is_unhealthy_and_no_error(no_database, now):
    assert health.components(no_database, now) == {"database": False, "jobservice": False}


@pytest.mark.parametrize("kind", ["sqlite", "mariadb"])
def test_a_database_without_tables_is_no_error(request, tmp_path, now, kind):
    url = "" if kind == "sqlite" else request.getfixturevalue("make_mariadb")("tableless")
    engine = make_engine(url, None, tmp_path / "empty.db")
    assert health.components(engine, now)["jobservice"] is False
    engine.dispose()
