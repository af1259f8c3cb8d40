from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from authsvc.core import minutes
from authsvc.core.metrics import SECONDS, Outcome
from authsvc.core.minutes import Minutes
from authsvc.db.engine import reading, transaction
from authsvc.db.tables import TokenMinute
from authsvc.errors import Forbidden
from tests.core.conftest import statements


@pytest.fixture
def counter(engine):
    made = Minutes(engine)
    yield made
    made.flush()


@pytest.fixture
def hour(engine, root, now):
    def read() -> list[minutes.Minute]:
        with reading(engine) as session:
            return list(minutes.last_hour(session, root, now))

    return read


def test_requests_are_counted_by_the_minute_and_how_they_ended(counter, hour, now):
    for outcome, age in [("granted", 0), ("granted", 1), ("refused", 0), ("granted", 120)]:
        counter.count(Outcome(outcome), 0.002, now - age)
    counter.flush()
    found = hour()
    assert found[-1].at == now - now % 60
    assert sum((Counter(minute.requests) for minute in found), Counter()) == {"granted": 3, "refused": 1}
    assert sum(minute.total for minute in found[-3:]) == 4


def test_an_hour_has_sixty_minutes_also_without_requests(hour):
    assert [(len(found), found[0].median, found[0].total) for found in [hour()]] == [(60, None, 0)]


def test_what_is_older_than_an_hour_is_not_shown_and_than_a_day_dropped(engine, counter, hour, now):
    counter.count(Outcome.GRANTED, 0.001, now - 3_700)
    counter.count(Outcome.GRANTED, 0.001, now - 90_000)
    counter.flush()
    assert sum(minute.total for minute in hour()) == 0
    with transaction(engine) as session:
        minutes.purge(session, now)
        assert session.scalar(select(func.count()).select_from(TokenMinute)) == 1


def test_processes_add_up(engine, hour, now):
    def count_one(_: int) -> None:
        one = Minutes(engine)
        one.count(Outcome.GRANTED, 0.001, now)
        one.flush()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(count_one, range(20)))
    assert hour()[-1].requests == {Outcome.GRANTED: 20}


def test_a_request_itself_writes_nothing(engine, counter, now):
    with statements(engine) as seen:
        counter.count(Outcome.GRANTED, 0.001, now)
    assert seen == []


def test_what_is_counted_is_written_by_itself(counter, hour, now, monkeypatch):
    monkeypatch.setattr(minutes, "FLUSH_SECONDS", 0)
    counter.count(Outcome.GRANTED, 0.001, now)
    timer = counter._timer
    assert timer is None or timer.join() is None
    assert sum(minute.total for minute in hour()) == 1


def test_while_the_database_is_away_nothing_is_lost(engine, counter, hour, no_database, now, caplog):
    counter._engine = no_database
    counter.count(Outcome.GRANTED, 0.001, now)
    counter.flush()
    assert "were not written" in caplog.text
    counter._engine = engine
    counter.count(Outcome.GRANTED, 0.001, now)
    counter.flush()
    assert hour()[-1].total == 2


@pytest.mark.parametrize("who", ["alice", "charlie"])
def test_only_administrators_read(session, request, now, who):
    with pytest.raises(Forbidden):
        minutes.last_hour(session, request.getfixturevalue(who), now)


@pytest.mark.parametrize(
    ("buckets", "part", "seconds"),
    [
        ({}, 0.5, None),
        ({0: 10}, 0.5, 0.0005),
        ({0: 10}, 1, 0.001),
        ({2: 50, 5: 50}, 0.5, 0.005),
        ({2: 50, 5: 50}, 0.95, 0.0475),
        ({len(SECONDS): 3}, 0.5, 10),
        ({0: 1, len(SECONDS): 99}, 0.95, 10),
    ],
)
def test_a_quantile_lies_within_its_bucket(buckets, part, seconds):
    assert minutes.quantile(buckets, part) == (pytest.approx(seconds) if seconds is not None else None)
