import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import insert, select, text

from authsvc.core import audit, pages, projects
from authsvc.core.audit import AuditFilter, Stretch, Verification
from authsvc.db.engine import Session, reading, transaction
from authsvc.db.tables import AuditEvent
from authsvc.domain.permissions import Actor, Credential, Project, Role
from authsvc.errors import Forbidden

BOB = Actor("bob", Credential.PASSWORD, Role.USER, source="192.0.2.7", request_id="request-1")


def events(engine) -> list[AuditEvent]:
    with reading(engine) as session:
        return list(session.scalars(select(AuditEvent).order_by(AuditEvent.id)))


def facts(event: AuditEvent) -> dict[str, object]:
    return {column.name: getattr(event, column.name) for column in AuditEvent.__table__.columns}


def write(engine, *targets: str, now: int = 0) -> None:
    for target in targets:
        with transaction(engine) as session:
            audit.record(session, BOB, "user.add", target, now)


def verify(engine, root) -> Verification:
    with reading(engine) as session:
        return audit.verify(session, root)


def tamper(engine, *statements: str) -> None:
    with engine.execution_options(write=True).begin() as connection:
        for verb in ("UPDATE", "DELETE"):
            connection.execute(text(f"DROP TRIGGER audit_events_refuse_{verb}"))
        for statement in statements:
            connection.execute(text(statement))


def test_an_event_says_who_by_what_from_where_and_what(engine, now):
    with transaction(engine) as session:
        audit.record(session, BOB, "login", "bob", now, result="refused", detail="wrong password")
    (event,) = events(engine)
    assert facts(event) | {"hash": ""} == {
        "id": 1,
        "at": now,
        "actor": "bob",
        "credential": "password",
        "source": "192.0.2.7",
        "action": "login",
        "object": "bob",
        "result": "refused",
        "detail": "wrong password",
        "request_id": "request-1",
        "hash": "",
    }


def test_a_change_that_is_rolled_back_leaves_no_event(engine, root, now):
    with engine.execution_options(write=True).connect() as connection, Session(connection) as session:
        projects.add(session, root, projects.AddProject(name="acme"), now)
        session.rollback()
    assert events(engine) == []


def test_an_event_that_cannot_be_written_undoes_its_change(engine, root, now):
    with engine.execution_options(write=True).begin() as connection:
        connection.execute(text("DELETE FROM audit_heads"))
    with pytest.raises(Exception, match="No row"), transaction(engine) as session:
        projects.add(session, root, projects.AddProject(name="acme"), now)
    with reading(engine) as session:
        assert projects.find(session, "acme") is None


def test_a_change_that_is_rolled_back_leaves_no_gap(engine):
    write(engine, "one")
    with engine.execution_options(write=True).connect() as connection, Session(connection) as session:
        audit.record(session, BOB, "user.add", "lost", 0)
        session.rollback()
    write(engine, "two")
    assert [(event.id, event.object) for event in events(engine)] == [(1, "one"), (2, "two")]


@pytest.mark.parametrize(
    ("column", "length"), [("actor", 255), ("source", 64), ("object", 512), ("detail", 512), ("request_id", 64)]
)
def test_a_text_that_is_too_long_is_cut(engine, column, length):
    long = "密" * 600
    actor = Actor(long, Credential.PASSWORD, Role.USER, source=long, request_id=long)
    with transaction(engine) as session:
        audit.record(session, actor, "user.add", long, 0, detail=long)
    assert getattr(events(engine)[0], column) == "密" * (length - 1) + "…"


@pytest.mark.parametrize("hostile", ["", "\0", "\n", "'; DROP TABLE users; --", "\U0010ffff", '","x'])
def test_an_event_with_odd_characters_is_kept_and_whole(engine, root, hostile):
    write(engine, hostile, "next")
    assert ([event.object for event in events(engine)], verify(engine, root)) == (
        [hostile, "next"],
        Verification(whole=2, broken_at=None),
    )


def test_the_newest_events_come_first(engine, root):
    write(engine, "one", "two", "three")
    with reading(engine) as session:
        assert [event.object for event in audit.list_newest(session, root, 2)] == ["three", "two"]


def test_an_empty_trail_is_whole(engine, root):
    assert verify(engine, root) == Verification(whole=0, broken_at=None)


def test_a_trail_that_nobody_touched_is_whole(engine, root):
    write(engine, "one", "two", "three")
    assert verify(engine, root) == Verification(whole=3, broken_at=None)


def test_the_first_hash_is_of_the_facts_in_their_order(engine):
    write(engine, "one")
    hashed = ["", 1, 0, "bob", "password", "192.0.2.7", "user.add", "one", "ok", "", "request-1"]
    assert events(engine)[0].hash == hashlib.sha256(json.dumps(hashed).encode()).hexdigest()


@pytest.mark.parametrize(
    ("statements", "whole", "broken_at"),
    [
        *(
            ([f"UPDATE audit_events SET {column} = '7' WHERE id = 2"], 1, 2)
            for column in (
                "at",
                "actor",
                "credential",
                "source",
                "action",
                "object",
                "result",
                "detail",
                "request_id",
                "hash",
            )
        ),
        (["DELETE FROM audit_events WHERE id = 1"], 0, 2),
        (["DELETE FROM audit_events WHERE id = 2"], 1, 3),
        (["DELETE FROM audit_events WHERE id = 3"], 2, 3),
        (["DELETE FROM audit_events"], 0, 1),
        ([f"UPDATE audit_events SET id = {new} WHERE id = {old}" for old, new in ((1, 9), (2, 1), (9, 2))], 0, 1),
        (["DELETE FROM audit_events WHERE id = 1", "UPDATE audit_events SET id = id - 1"], 0, 1),
        (["DELETE FROM audit_events WHERE id = 3", "UPDATE audit_heads SET length = 2"], 2, 3),
    ],
)
@pytest.mark.parametrize("database_url", [""])
def test_a_trail_that_was_changed_shows_where(engine, root, statements, whole, broken_at):
    write(engine, "one", "two", "three")
    tamper(engine, *statements)
    assert verify(engine, root) == Verification(whole, broken_at)


def test_a_row_that_was_slipped_in_shows(engine, root):
    write(engine, "one", "two")
    (first, _) = events(engine)
    with engine.execution_options(write=True).begin() as connection:
        connection.execute(insert(AuditEvent).values(facts(first) | {"id": 3}))
    assert verify(engine, root).broken_at == 3


def test_concurrent_writers_keep_the_chain_whole(engine, root):
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: write(engine, str(number)), range(80)))
    assert verify(engine, root) == Verification(whole=80, broken_at=None)


READS = {
    "newest": lambda session, actor: audit.list_newest(session, actor, 1),
    "verify": audit.verify,
    "page": lambda session, actor: audit.list_page(session, actor, AuditFilter()),
    "actions": audit.list_actions,
    "export": lambda session, actor: audit.export(session.get_bind(), actor, AuditFilter()),
}


@pytest.mark.parametrize("who", ["alice", "bob", "charlie"])
@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_only_administrators_read_the_trail(session, request, who, read):
    with pytest.raises(Forbidden):
        read(session, request.getfixturevalue(who))


TRAIL = (
    (1, "alice", "project.add", "acme", "ok"),
    (2, "alice", "member.set", "acme/bob", "ok"),
    (3, "bob", "robot.add", "acme+ci", "ok"),
    (4, "root", "user.add", "acme", "ok"),
    (5, "acme", "access-token.add", "acme/ci", "ok"),
    (6, "root", "project.add", "acme-two", "ok"),
    (7, "root", "project.add", "ACME", "ok"),
    (8, "root", "member.set", "acm_/bob", "ok"),
    (9, "root", "group.user.add", "acme/bob", "ok"),
    (10, "bob", "login", "bob", "refused"),
    (11, "root", "robot.add", "acme", "ok"),
    (12, "root", "project.add", "acmé", "ok"),
    (13, "root", "member.set", "acmé/bob", "ok"),
)


@pytest.fixture
def trail(engine):
    for at, name, action, target, result in TRAIL:
        with transaction(engine) as session:
            audit.record(session, Actor(name, Credential.SESSION, Role.USER), action, target, at, result=result)


def numbers(stretch: Stretch) -> list[int]:
    return [event.id for event in stretch.events]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (AuditFilter(), [13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]),
        (AuditFilter(actor="alice"), [2, 1]),
        (AuditFilter(actor="a%"), []),
        (AuditFilter(action="member.set"), [13, 8, 2]),
        (AuditFilter(action="member"), []),
        (AuditFilter(object="acm_"), [8]),
        (AuditFilter(object="acme-"), [6]),
        (AuditFilter(result="refused"), [10]),
        (AuditFilter(since=9), [13, 12, 11, 10, 9]),
        (AuditFilter(until=3), [2, 1]),
        (AuditFilter(since=3, until=6, actor="root"), [4]),
        (AuditFilter(project="acme"), [3, 2, 1]),
        (AuditFilter(project="acm_"), [8]),
        (AuditFilter(project="acme-two"), [6]),
        (AuditFilter(project="acme", action="member.set"), [2]),
        (AuditFilter(project="' OR 1=1 --"), []),
        (AuditFilter(action="project.add", object="acme", actor="alice"), [1]),
    ],
)
@pytest.mark.parametrize("few", [audit.FEW, 1], ids=["few fit", "many fit"])
def test_events_are_found_by_what_they_say(engine, trail, root, monkeypatch, wanted, found, few):
    monkeypatch.setattr(audit, "FEW", few)
    with reading(engine) as session:
        assert numbers(audit.list_page(session, root, wanted)) == found


@pytest.mark.parametrize(
    ("wanted", "found"),
    [(AuditFilter(since=20_000), [4, 3, 1]), (AuditFilter(until=20_000), [2]), (AuditFilter(since=20_001), [4, 3])],
)
def test_events_are_found_by_their_time_where_clocks_differ(engine, root, wanted, found):
    for at in (20_000, 20_000 - audit.SKEW, 20_002, 20_001 + audit.SKEW):
        write(engine, "alice", now=at)
    with reading(engine) as session:
        assert numbers(audit.list_page(session, root, wanted)) == found


@pytest.mark.parametrize(
    ("place", "found", "older", "newer"),
    [
        ({}, [13, 12, 11, 10], 10, None),
        ({"before": 10}, [9, 8, 7, 6], 6, 9),
        ({"before": 4}, [3, 2, 1], None, 3),
        ({"before": 1}, [], None, None),
        ({"after": 4}, [8, 7, 6, 5], 5, 8),
        ({"after": 9}, [13, 12, 11, 10], 10, None),
        ({"after": 13}, [], None, None),
    ],
)
def test_a_stretch_says_where_it_goes_on(engine, trail, root, place, found, older, newer):
    with reading(engine) as session:
        stretch = audit.list_page(session, root, AuditFilter(), size=4, **place)
        assert (numbers(stretch), stretch.older, stretch.newer) == (found, older, newer)


def test_a_project_admin_reads_the_log_of_their_project(engine, trail, alice):
    with reading(engine) as session:
        stretch = audit.list_of_project(session, alice, Project("acme", public=False), AuditFilter(project="acme-two"))
        assert numbers(stretch) == [3, 2, 1]


@pytest.mark.parametrize(("who", "project"), [("bob", "acme"), ("alice", "open"), ("charlie", "open")])
def test_nobody_else_reads_the_log_of_a_project(engine, trail, request, who, project):
    with reading(engine) as session, pytest.raises(Forbidden, match="may not list log"):
        audit.list_of_project(session, request.getfixturevalue(who), Project(project, public=True), AuditFilter())


def test_the_actions_that_the_trail_tells_of_are_listed(engine, trail, root):
    with reading(engine) as session:
        assert audit.list_actions(session, root) == sorted({action for _, _, action, _, _ in TRAIL})


@pytest.mark.parametrize("size", [1, 2, 200])
def test_an_export_has_every_event_that_fits_from_the_oldest_on(engine, trail, root, monkeypatch, size):
    monkeypatch.setattr(pages, "MAX_SIZE", size)
    assert [event.id for event in audit.export(engine, root, AuditFilter(action="project.add"))] == [1, 6, 7, 12]


def test_an_export_of_a_project_has_what_belongs_to_it(engine, trail, alice):
    found = audit.export(engine, alice, AuditFilter(action="project.add"), Project("acme", public=False))
    assert {event.object for event in found} == {"acme"}


@pytest.mark.parametrize("who", ["bob", "charlie"])
def test_an_export_of_a_project_is_for_those_who_read_its_log(engine, request, who):
    with pytest.raises(Forbidden):
        audit.export(engine, request.getfixturevalue(who), AuditFilter(), Project("acme", public=False))


def test_nobody_waits_for_whoever_reads_an_export_slowly(engine, trail, root, now, monkeypatch):
    monkeypatch.setattr(pages, "MAX_SIZE", 1)
    slow = audit.export(engine, root, AuditFilter())
    next(slow)
    with transaction(engine) as session:
        audit.record(session, root, "user.add", "dave", now)
    assert [event.object for event in slow][-1] == "dave"
