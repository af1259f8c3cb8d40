from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import select

from authsvc.db.engine import transaction
from authsvc.db.ensure import ensure
from authsvc.db.tables import Heartbeat


def beats(engine):
    with transaction(engine) as session:
        return [(row.part, row.at) for row in session.scalars(select(Heartbeat))]


def test_a_row_that_is_missing_is_made(engine):
    with transaction(engine) as session:
        ensure(session, Heartbeat, part="worker", at=1)
    assert beats(engine) == [("worker", 1)]


def test_a_row_that_is_there_stays_as_it_is(engine):
    for at in (1, 2):
        with transaction(engine) as session:
            ensure(session, Heartbeat, part="worker", at=at)
    assert beats(engine) == [("worker", 1)]


def test_many_at_once_make_one_row(engine):
    def make(at: int) -> None:
        with transaction(engine) as session:
            ensure(session, Heartbeat, part="worker", at=at)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(make, range(40)))
    assert len(beats(engine)) == 1
