from dataclasses import replace

import pytest
from sqlalchemy import func, select

from authsvc.core import sessions, users
from authsvc.core.pages import Asked
from authsvc.core.sessions import Begin
from authsvc.db.engine import reading, transaction
from authsvc.db.tables import AuditEvent, AuditHead, SiteSession, User
from authsvc.domain.permissions import Credential, Role
from authsvc.errors import Conflict, Forbidden, NotFound
from authsvc.settings import SessionSettings
from tests.factories import make_session

LIMITS = SessionSettings()


@pytest.fixture
def session(session, cast):
    return session


@pytest.fixture
def login(session, now):
    """Log somebody in; returns the secret."""

    def begin(name: str = "bob", at: int = now) -> str:
        newcomer = sessions.newcomer(name, Credential.PASSWORD, "192.0.2.7", "request-1")
        version = users.get(session, name).password_version
        return sessions.begin(
            session, newcomer, Begin(user=name, password_version=version, how="local", browser="Firefox"), at
        )

    return begin


@pytest.fixture
def visit(session, now):
    return lambda secret, at=now: sessions.find(session, secret, LIMITS, at)


def listed(session, actor, now, user="") -> list[str]:
    return [row.user for row in sessions.list_all(session, actor, LIMITS, now, user)]


def test_a_session_is_found_by_its_secret(login, visit):
    actor = visit(login()).actor
    assert (actor.name, actor.via, actor.system, actor.grants[0].role) == (
        "bob",
        Credential.SESSION,
        Role.USER,
        Role.DEVELOPER,
    )


def test_an_administrators_session_is_one(login, visit):
    assert visit(login("root")).actor.system is Role.SYSTEM_ADMIN


@pytest.mark.parametrize("secret", ["", "x", "bob", "' OR 1=1 --"])
def test_a_wrong_secret_finds_no_session(login, visit, secret):
    login()
    assert visit(secret) is None


def test_a_secret_is_256_random_bits_and_only_its_hash_is_stored(session, login):
    first, second = login(), login()
    stored = session.scalars(select(SiteSession.secret_hash)).all()
    assert (len(first) >= 43, first != second, {first, second} & set(stored)) == (True, True, set())


@pytest.mark.parametrize(
    ("later", "is_there"), [(LIMITS.idle - 1, True), (LIMITS.idle, False), (LIMITS.lifetime, False)]
)
def test_a_session_ends_when_nothing_was_asked_for_a_while(login, visit, now, later, is_there):
    secret = login()
    assert (visit(secret, now + later) is not None) == is_there


@pytest.mark.parametrize(("later", "is_there"), [(LIMITS.lifetime - 1, True), (LIMITS.lifetime, False)])
def test_a_session_ends_at_its_age_however_much_it_is_used(session, visit, now, later, is_there):
    make_session(session, users.get(session, "bob"), "secret", created_at=now, last_seen_at=now + later)
    assert (visit("secret", now + later) is not None) == is_there


def disable(session, root, now):
    users.set_enabled(session, root, users.SetEnabled(name="bob", enabled=False), now)


def disable_and_enable(session, root, now):
    disable(session, root, now)
    users.set_enabled(session, root, users.SetEnabled(name="bob", enabled=True), now)


def disable_elsewhere(session, root, now):
    session.get(User, users.get(session, "bob").id).enabled = False
    session.flush()


def change_password(session, root, now):
    users.set_password(session, root, users.SetPassword(name="bob", password="another-horse-battery"), now)


def change_password_elsewhere(session, root, now):
    session.get(User, users.get(session, "bob").id).password_version += 1
    session.flush()


def delete(session, root, now):
    users.delete(session, root, users.DeleteUser(name="bob"), now)


@pytest.mark.parametrize(
    "change",
    [disable, disable_and_enable, disable_elsewhere, change_password, change_password_elsewhere, delete],
    ids=lambda change: change.__name__,
)
def test_a_session_ends_with_what_it_stands_for(session, login, visit, root, now, change):
    secret, of_charlie = login(), login("charlie")
    change(session, root, now)
    session.flush()
    assert (visit(secret), visit(of_charlie) is None) == (None, False)


def test_a_role_that_is_taken_away_is_gone_at_the_next_request(session, login, visit):
    secret = login("root")
    users.get(session, "root").admin = False
    session.flush()
    assert visit(secret).actor.system is Role.USER


@pytest.mark.parametrize("change", [disable_elsewhere, change_password_elsewhere])
def test_a_login_of_an_account_that_has_changed_since_begins_no_session(session, login, root, now, change):
    bob = users.get(session, "bob")
    command = Begin(user="bob", password_version=bob.password_version, how="local")
    change(session, root, now)
    with pytest.raises(Conflict, match="has changed"):
        sessions.begin(session, root, command, now)


def test_a_session_is_marked_as_seen_once_a_minute(engine, cast, now):
    with transaction(engine) as session:
        made = make_session(session, users.get(session, "bob"), "secret", created_at=now, last_seen_at=now)
        found = sessions.find(session, "secret", LIMITS, now)
    for later in (0, 59, 60, 61):
        sessions.note_seen(engine, found, now + later)
        with reading(engine) as session:
            found = replace(found, last_seen_at=session.get(SiteSession, made.id).last_seen_at)
    assert found.last_seen_at == now + 60


def test_what_cannot_be_written_keeps_nobody_out(no_database, bob, now, caplog):
    sessions.note_seen(no_database, sessions.Visit(1, bob, now - 60), now)
    assert "cannot be written" in caplog.text


def test_somebody_sees_their_own_sessions(session, login, bob, now):
    login()
    login("charlie")
    assert listed(session, bob, now, "bob") == ["bob"]


@pytest.mark.parametrize("user", ["charlie", ""])
def test_somebody_does_not_see_others_sessions(session, login, bob, now, user):
    login("charlie")
    with pytest.raises(Forbidden):
        listed(session, bob, now, user)


def test_an_administrator_sees_all_sessions_and_the_newest_first(session, login, root, now):
    login("bob", now - 2)
    login("charlie", now - 1)
    assert (listed(session, root, now), listed(session, root, now, "bob")) == (["charlie", "bob"], ["bob"])


def test_a_session_that_has_ended_is_not_listed(session, login, root, now):
    login("bob", now - LIMITS.idle)
    assert listed(session, root, now) == []


def test_a_list_for_nobody_is_not_found(session, root, now):
    with pytest.raises(NotFound):
        listed(session, root, now, "nobody")


@pytest.mark.parametrize("who", ["bob", "root"])
def test_a_session_is_ended_by_its_user_and_by_administrators(request, session, login, visit, now, who):
    secret = login()
    sessions.end(session, request.getfixturevalue(who), visit(secret).id, now)
    session.flush()
    assert visit(secret) is None


@pytest.mark.parametrize("session_id", [None, 999])
def test_others_sessions_are_as_if_they_were_not_there(session, login, visit, charlie, now, session_id):
    secret = login()
    with pytest.raises(NotFound, match="there is no session"):
        sessions.end(session, charlie, session_id or visit(secret).id, now)
    assert visit(secret)


def test_all_sessions_of_a_user_are_ended_but_one(session, login, visit, bob, now):
    first, second, of_charlie = login(), login(), login("charlie")
    sessions.end_user(session, bob, "bob", now, except_id=visit(first).id)
    assert [visit(one) is not None for one in (first, second, of_charlie)] == [True, False, True]


def test_all_sessions_of_a_user_are_ended(session, login, visit, root, now):
    first, of_charlie = login(), login("charlie")
    sessions.end_user(session, root, "bob", now)
    assert [visit(one) is not None for one in (first, of_charlie)] == [False, True]


def test_others_sessions_are_not_ended_at_once(session, bob, now):
    with pytest.raises(Forbidden):
        sessions.end_user(session, bob, "charlie", now)
    with pytest.raises(Forbidden):
        sessions.end_all(session, bob, now)


def test_every_session_is_ended(session, login, root, now):
    login()
    login("charlie")
    sessions.end_all(session, root, now)
    assert listed(session, root, now) == []


@pytest.mark.parametrize(("seen", "created"), [(LIMITS.idle, 0), (0, LIMITS.lifetime)])
def test_what_has_ended_by_itself_is_dropped(session, now, seen, created):
    bob = users.get(session, "bob")
    make_session(session, bob, "ended", last_seen_at=now - seen, created_at=now - created)
    make_session(session, bob, "good", last_seen_at=now - seen + 1, created_at=now - created + 1)
    sessions.purge(session, LIMITS, now)
    assert session.scalar(select(func.count()).select_from(SiteSession)) == 1


def test_the_trail_says_when_a_session_began_and_ended(session, login, visit, bob, now):
    sessions.end(session, bob, visit(login()).id, now)
    rows = session.scalars(select(AuditEvent).order_by(AuditEvent.id)).all()
    assert [(row.action, row.object, row.credential, row.detail) for row in rows] == [
        ("session.begin", "bob", "password", "local"),
        ("session.end", "bob", "password", ""),
    ]


def test_a_session_changes_nobodys_rights(session, login):
    login()
    assert session.get_one(AuditHead, 1).changes == 0


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (Asked(), ["alice", "bob"]),
        (Asked(sort="user"), ["alice", "bob"]),
        (Asked(sort="seen"), ["bob", "alice"]),
        (Asked(sort="-user"), ["bob", "alice"]),
        (Asked(text="BO"), ["bob"]),
        (Asked(sort="--seen", size=1), ["alice"]),
    ],
)
def test_an_administrator_pages_through_everybodys_sessions(session, login, root, now, asked, found):
    login("bob", now)
    login("alice", now + 1)
    page = sessions.list_page(session, root, LIMITS, asked, now + 1)
    assert ([row.user for row in page.rows]) == found


def test_nobody_else_pages_through_sessions(session, login, bob, now):
    with pytest.raises(Forbidden):
        sessions.list_page(session, bob, LIMITS, Asked(), now)


@pytest.mark.parametrize("must", [True, False])
def test_a_session_says_whether_the_password_must_be_changed(session, login, visit, must):
    users.get(session, "bob").must_change = must
    assert visit(login()).must_change is must
