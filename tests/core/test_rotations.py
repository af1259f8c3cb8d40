from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from authsvc.core import keys, rotations
from authsvc.core.rights import system
from authsvc.db.engine import reading, transaction
from authsvc.db.tables import AuditEvent, KeyRotation, SigningKey
from authsvc.errors import Forbidden, Misconfigured

WORKER = system("worker")


@pytest.fixture
def asked(engine, root, now) -> None:
    with transaction(engine) as session:
        rotations.ask(session, root, now)


def newest(engine) -> KeyRotation:
    with reading(engine) as session:
        return session.scalars(select(KeyRotation).order_by(KeyRotation.id.desc())).first()


def count(engine, table) -> int:
    with reading(engine) as session:
        return session.scalar(select(func.count()).select_from(table))


@pytest.mark.usefixtures("asked")
def test_a_key_that_was_asked_for_is_made(engine, settings, now):
    made = rotations.fulfil(settings, engine, WORKER, now + 1)
    wish = newest(engine)
    assert (wish.key_id, wish.done_at) == (made, now + 1)
    with reading(engine) as session:
        assert keys.get_newest(session).key_id == made


@pytest.mark.usefixtures("asked")
def test_the_trail_says_who_asked_and_who_made_it(engine, settings, now):
    rotations.fulfil(settings, engine, WORKER, now)
    with reading(engine) as session:
        rows = session.scalars(select(AuditEvent).order_by(AuditEvent.id)).all()
        assert [(row.actor, row.action, row.detail) for row in rows] == [
            ("root", "signing-key.ask", ""),
            ("worker", "signing-key.add", "asked for by root"),
        ]


def test_nothing_is_made_that_nobody_asked_for(engine, settings, now):
    assert rotations.fulfil(settings, engine, WORKER, now) == ""
    assert count(engine, SigningKey) == 0


@pytest.mark.usefixtures("asked")
def test_doing_it_again_makes_no_second_key(engine, settings, now):
    rotations.fulfil(settings, engine, WORKER, now)
    assert rotations.fulfil(settings, engine, WORKER, now) == ""
    assert count(engine, SigningKey) == 1


@pytest.mark.usefixtures("asked")
def test_of_several_workers_one_makes_the_key(engine, settings, now):
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(lambda _: rotations.fulfil(settings, engine, WORKER, now), range(8)))
    assert [key for key in made if key] == [newest(engine).key_id]
    assert count(engine, SigningKey) == 1


@pytest.mark.usefixtures("asked")
def test_who_asks_while_another_waits_shares_the_key(engine, root, settings, now):
    with transaction(engine) as session:
        rotations.ask(session, root, now)
    assert count(engine, KeyRotation) == 1
    rotations.fulfil(settings, engine, WORKER, now)
    with transaction(engine) as session:
        rotations.ask(session, root, now)
    assert count(engine, KeyRotation) == 2


@pytest.mark.usefixtures("asked")
def test_without_the_cas_key_the_wish_says_so_and_stays(engine, settings, now):
    kept = settings.paths.ca_key.rename(settings.paths.ca_key.with_suffix(".away"))
    with pytest.raises(Misconfigured):
        rotations.fulfil(settings, engine, WORKER, now)
    wish = newest(engine)
    assert wish.done_at is None
    assert "cannot be read" in wish.trouble
    kept.rename(settings.paths.ca_key)
    assert rotations.fulfil(settings, engine, WORKER, now)
    assert newest(engine).trouble == ""


@pytest.mark.parametrize("who", ["alice", "bob", "charlie"])
def test_only_administrators_ask(session, request, now, who):
    with pytest.raises(Forbidden):
        rotations.ask(session, request.getfixturevalue(who), now)
    with pytest.raises(Forbidden):
        rotations.find_newest(session, request.getfixturevalue(who))
