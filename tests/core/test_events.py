import json

import pytest
from sqlalchemy import select

from authsvc.core import events
from authsvc.db.engine import transaction
from authsvc.db.tables import RegistryEvent

PUSH = {"id": "1-2-3", "action": "push", "target": {"repository": "acme/app", "tag": "密码🐳"}}


def stored(session) -> dict[str, object]:
    return {row.id: json.loads(row.body) for row in session.scalars(select(RegistryEvent))}


def test_an_event_is_kept_as_it_came(session, now):
    events.store(session, [PUSH], now)
    assert stored(session) == {"1-2-3": PUSH}


def test_an_event_that_comes_again_is_kept_once(engine, now):
    for _ in range(2):
        with transaction(engine) as session:
            events.store(session, [PUSH, {"id": "other"}], now)
    with transaction(engine) as session:
        assert set(stored(session)) == {"1-2-3", "other"}


def test_only_new_events_are_counted(session, now):
    assert [events.store(session, [PUSH], now), events.store(session, [PUSH, {"id": "x"}, PUSH], now)] == [1, 1]


@pytest.mark.parametrize("event", [{}, {"id": ""}, {"action": "push"}])
def test_an_event_without_an_id_is_dropped(session, now, event):
    assert events.store(session, [event], now) == 0


@pytest.mark.parametrize("name", [7, None, ["x"], "x" * 300, "\0", "\ud800", "爱"])
def test_an_event_with_an_odd_id_is_kept(session, now, name):
    assert events.store(session, [{"id": name}], now) == 1


def test_ids_that_differ_in_case_are_two(session, now):
    assert events.store(session, [{"id": "a"}, {"id": "A"}], now) == 2


def test_a_huge_event_is_cut(session, now):
    events.store(session, [{"id": "1", "x": "密" * 100_000}], now)
    assert len(session.scalars(select(RegistryEvent.body)).one()) == events.MAX_BODY


def test_the_newest_event_has_the_newest_time(session, now):
    events.store(session, [{"id": "1"}], now - 5)
    events.store(session, [{"id": "2"}], now - 9)
    assert events.newest_at(session) == now - 5


def test_without_events_there_is_no_newest(session):
    assert events.newest_at(session) is None


def test_events_are_dropped_after_a_week(session, now):
    events.store(session, [{"id": "old"}], now - events.KEEP_SECONDS - 1)
    events.store(session, [{"id": "new"}], now - events.KEEP_SECONDS)
    events.purge(session, now)
    assert set(stored(session)) == {"new"}
