import re
import threading

import pytest
from sqlalchemy import event, select

from authsvc.core import users
from authsvc.core.pages import Asked
from authsvc.core.users import AddUser, ChangeOwnPassword, DeleteUser, SetAdmin, SetEnabled, SetPassword
from authsvc.db.engine import transaction
from authsvc.db.tables import AuditEvent, Member, SiteSession, User
from authsvc.domain.permissions import Actor, Credential, Role
from authsvc.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound, Unauthenticated
from authsvc.identity import passwords
from tests.factories import PASSWORD, make_session, make_user

LOCKS = re.compile(r"^UPDATE|^BEGIN IMMEDIATE|FOR UPDATE")
NEW = "another-long-password"


def last_event(session) -> tuple[str, str, str, str]:
    event = session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc()).limit(1)).one()
    return event.actor, event.action, event.object, event.detail


def test_root_adds_a_user(session, root, now):
    added = users.add(session, root, AddUser(name="dave", password=NEW, email="d@example.com"), now)
    assert (added.name, added.source, added.email, added.enabled, added.admin, added.created_at) == (
        "dave",
        "local",
        "d@example.com",
        True,
        False,
        now,
    )


def test_a_new_user_is_kept_under_one_form_of_the_name(session, root, now):
    assert users.add(session, root, AddUser(name="DAVE", password=NEW), now).name == "dave"


def test_a_new_user_can_prove_the_password(session, root, now):
    added = users.add(session, root, AddUser(name="dave", password=NEW), now)
    assert passwords.is_correct(NEW, added.password_hash)


@pytest.mark.parametrize(("admin", "detail"), [(False, ""), (True, "administrator")])
def test_adding_a_user_is_audited(session, root, now, admin, detail):
    users.add(session, root, AddUser(name="dave", password=NEW, admin=admin), now)
    assert last_event(session) == ("root", "user.add", "dave", detail)


@pytest.mark.parametrize(
    ("field", "command"),
    [
        ("name", AddUser(name="", password=NEW)),
        ("name", AddUser(name="robot$ci", password=NEW)),
        ("name", AddUser(name="anonymous", password=NEW)),
        ("name", AddUser(name="Anonymous", password=NEW)),
        ("password", AddUser(name="dave", password="short")),
        ("password", AddUser(name="dave", password="tr0ub4dor", min_length=12)),
        ("email", AddUser(name="dave", password=NEW, email="nobody")),
        ("email", AddUser(name="dave", password=NEW, email="@example.com")),
        ("email", AddUser(name="dave", password=NEW, email="dave@")),
        ("email", AddUser(name="dave", password=NEW, email="da ve@example.com")),
        ("email", AddUser(name="dave", password=NEW, email="d@" + "x" * 254)),
    ],
)
def test_a_user_who_breaks_a_rule_is_refused(session, root, now, field, command):
    with pytest.raises(Invalid) as refused:
        users.add(session, root, command, now)
    assert list(refused.value.fields) == [field]


@pytest.mark.parametrize("name", ["alice", "ALICE"])
def test_a_name_is_given_once(engine, cast, root, now, name):
    with pytest.raises(AlreadyExists, match="there is a user alice already"), transaction(engine) as session:
        users.add(session, root, AddUser(name=name, password=NEW), now)


@pytest.mark.parametrize("typed", ["alice", "Alice", "ＡＬＩＣＥ"])
def test_a_user_is_found_in_whatever_case(session, cast, typed):
    assert users.get(session, typed).name == "alice"


def test_nobody_is_not_found(session, cast):
    with pytest.raises(NotFound, match="there is no user nobody"):
        users.get(session, "nobody")


def test_users_are_listed_by_name(session, cast, root):
    assert [user.name for user in users.list_all(session, root)] == ["alice", "bob", "charlie", "root"]


def test_a_new_password_replaces_the_old_one(session, cast, root, now):
    bob = users.set_password(session, root, SetPassword(name="Bob", password=NEW), now)
    assert [passwords.is_correct(word, bob.password_hash) for word in (NEW, PASSWORD)] == [True, False]


def test_a_new_password_ends_what_the_old_one_proved(session, cast, root, now):
    before = users.get(session, "bob").password_version
    assert users.set_password(session, root, SetPassword(name="bob", password=NEW), now).password_version > before


def test_a_new_password_is_audited_without_the_password(session, cast, root, now):
    users.set_password(session, root, SetPassword(name="bob", password=NEW), now)
    assert last_event(session) == ("root", "user.password", "bob", "")


def test_a_bad_new_password_is_refused(session, cast, root, now):
    with pytest.raises(Invalid, match="at least 8"):
        users.set_password(session, root, SetPassword(name="bob", password="short"), now)


def test_a_password_of_another_source_is_not_ours_to_change(session, root, now):
    make_user(session, "dave", source="ldap")
    with pytest.raises(Conflict, match="dave comes from ldap"):
        users.set_password(session, root, SetPassword(name="dave", password=NEW), now)


@pytest.mark.parametrize(("enabled", "action"), [(False, "user.disable"), (True, "user.enable")])
def test_a_user_is_disabled_and_enabled(session, cast, root, now, enabled, action):
    users.set_enabled(session, root, SetEnabled(name="bob", enabled=enabled), now)
    assert (users.get(session, "bob").enabled, last_event(session)[1:3]) == (enabled, (action, "bob"))


@pytest.mark.parametrize(("admin", "detail"), [(True, "given"), (False, "taken")])
def test_an_administrator_is_made_and_unmade(session, cast, root, now, admin, detail):
    make_user(session, "dave", admin=not admin)
    users.set_admin(session, root, SetAdmin(name="Dave", admin=admin), now)
    assert (users.get(session, "dave").admin, last_event(session)) == (admin, ("root", "user.admin", "dave", detail))


def test_an_administrator_whom_a_source_makes_is_not_ours_to_unmake(session, cast, root, now):
    make_user(session, "dave", source="corp", admin=True, admin_by_source=True)
    with pytest.raises(Conflict, match="dave is an administrator because corp says so"):
        users.set_admin(session, root, SetAdmin(name="dave", admin=False), now)
    assert users.get(session, "dave").admin


def test_a_disabled_user_keeps_roles(session, cast, root, now):
    before = session.scalars(select(Member.id)).all()
    users.set_enabled(session, root, SetEnabled(name="bob", enabled=False), now)
    assert session.scalars(select(Member.id)).all() == before


def test_a_deleted_user_is_gone(session, cast, root, now):
    users.delete(session, root, DeleteUser(name="Bob"), now)
    with pytest.raises(NotFound):
        users.get(session, "bob")


def test_a_deleted_user_takes_the_roles_along(session, cast, root, now):
    bob = users.get(session, "bob").id
    users.delete(session, root, DeleteUser(name="bob"), now)
    assert session.scalar(select(Member).where(Member.user_id == bob)) is None


def test_a_deletion_is_audited(session, cast, root, now):
    users.delete(session, root, DeleteUser(name="bob"), now)
    assert last_event(session) == ("root", "user.delete", "bob", "")


@pytest.mark.parametrize(
    ("verb", "command"),
    [
        (users.set_password, SetPassword(name="nobody", password=NEW)),
        (users.set_enabled, SetEnabled(name="nobody", enabled=False)),
        (users.set_admin, SetAdmin(name="nobody", admin=True)),
        (users.delete, DeleteUser(name="nobody")),
    ],
)
def test_nobody_cannot_be_changed(session, root, now, verb, command):
    with pytest.raises(NotFound):
        verb(session, root, command, now)


LOSING_ROOT = [
    (users.set_enabled, SetEnabled(name="root", enabled=False)),
    (users.set_admin, SetAdmin(name="root", admin=False)),
    (users.delete, DeleteUser(name="root")),
]


@pytest.mark.parametrize(("verb", "command"), LOSING_ROOT)
def test_the_last_administrator_stays(session, cast, root, now, verb, command):
    with pytest.raises(Conflict, match="root is the last administrator"):
        verb(session, root, command, now)


@pytest.mark.parametrize(("verb", "command"), LOSING_ROOT)
def test_a_disabled_administrator_does_not_count(session, cast, root, now, verb, command):
    make_user(session, "dave", admin=True, enabled=False)
    with pytest.raises(Conflict):
        verb(session, root, command, now)


@pytest.mark.parametrize(("verb", "command"), LOSING_ROOT)
def test_one_of_two_administrators_may_go(session, cast, root, now, verb, command):
    make_user(session, "dave", admin=True)
    verb(session, root, command, now)
    assert session.scalars(select(User.name).where(User.admin, User.enabled)).all() == ["dave"]


def test_two_administrators_cannot_shut_each_other_out(engine, cast, root, now):
    with transaction(engine) as session:
        make_user(session, "dave", admin=True)
    refused, waits = [], threading.Event()

    def disable(name: str) -> None:
        try:
            with transaction(engine) as session:
                users.set_enabled(session, root, SetEnabled(name=name, enabled=False), now)
        except Conflict:
            refused.append(name)

    with transaction(engine) as session:
        users.set_enabled(session, root, SetEnabled(name="root", enabled=False), now)
        event.listen(engine, "before_cursor_execute", lambda *call: LOCKS.search(call[2]) and waits.set())
        other = threading.Thread(target=disable, args=["dave"])
        other.start()
        waits.wait(10)
    other.join()
    assert refused == ["dave"]


@pytest.mark.parametrize("who", ["alice", "bob", "charlie"])
@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        (users.add, [AddUser(name="dave", password=NEW), 0]),
        (users.list_all, []),
        (users.list_page, [Asked()]),
        (users.get_listed, ["bob"]),
        (users.set_password, [SetPassword(name="bob", password=NEW), 0]),
        (users.set_enabled, [SetEnabled(name="bob", enabled=False), 0]),
        (users.set_admin, [SetAdmin(name="charlie", admin=True), 0]),
        (users.delete, [DeleteUser(name="bob"), 0]),
    ],
)
def test_only_administrators_manage_users(session, request, who, verb, arguments):
    with pytest.raises(Forbidden, match=f"{who} may not"):
        verb(session, request.getfixturevalue(who), *arguments)


def test_a_hash_is_found_for_local_users_only(engine, cast):
    with transaction(engine) as session:
        make_user(session, "dave", source="ldap")
    assert [users.find_hash(engine, name) is None for name in ("bob", "dave", "nobody")] == [False, True, True]


@pytest.mark.parametrize(
    ("asked", "filters", "found"),
    [
        (Asked(), {}, ["alice", "bob", "charlie", "dave", "root"]),
        (Asked(sort="-name", size=2), {}, ["root", "dave"]),
        (Asked(sort="-created", size=1), {}, ["dave"]),
        (Asked(text="LI"), {}, ["alice", "charlie"]),
        (Asked(text="_"), {}, []),
        (Asked(), {"source": "ldap"}, ["dave"]),
        (Asked(), {"enabled": False}, ["dave"]),
        (Asked(text="a"), {"enabled": True}, ["alice", "charlie"]),
        (Asked(), {"admin": True}, ["dave", "root"]),
        (Asked(), {"admin": False}, ["alice", "bob", "charlie"]),
    ],
)
def test_users_are_listed_by_pages(session, cast, root, asked, filters, found):
    make_user(session, "dave", source="ldap", enabled=False, admin_by_source=True)
    page = users.list_page(session, root, asked, **filters)
    assert [row.name for row in page.rows] == found


def test_a_listed_user_has_no_password(session, cast, root):
    assert "argon2" not in repr(users.get_listed(session, root, "bob"))


def test_a_user_is_listed_alone_as_in_a_list(session, cast, root):
    assert [users.get_listed(session, root, "Bob")] == list(users.list_page(session, root, Asked(text="bob")).rows)


@pytest.mark.parametrize(
    ("who", "text", "found"),
    [
        ("alice", "bo", ["bob"]),
        ("alice", "BO", ["bob"]),
        ("alice", "b", []),
        ("alice", "", []),
        ("alice", "ob", []),
        ("alice", "__", []),
        ("alice", "da", []),
        ("root", "b", ["bob"]),
        ("root", "", []),
    ],
)
def test_names_are_suggested_to_those_who_may_add_members(session, cast, request, who, text, found):
    make_user(session, "dave", enabled=False)
    suggested = users.suggest(session, request.getfixturevalue(who), text, "acme")
    assert [one.name for one in suggested] == found


def test_ten_names_are_suggested_at_most(session, cast, alice):
    session.add_all(User(name=f"eve{number:02}", source="local", created_at=0) for number in range(12))
    assert [one.name for one in users.suggest(session, alice, "eve", "acme")] == [f"eve{n:02}" for n in range(10)]


@pytest.mark.parametrize(
    ("who", "project", "error"),
    [("bob", "acme", Forbidden), ("alice", "open", Forbidden), ("charlie", "acme", NotFound)],
)
def test_nobody_else_has_names_suggested(session, cast, request, who, project, error):
    with pytest.raises(error):
        users.suggest(session, request.getfixturevalue(who), "bo", project)


def own(current: str = PASSWORD, password: str = NEW, **fields) -> ChangeOwnPassword:
    return ChangeOwnPassword(current=current, password=password, **fields)


def test_bob_changes_his_password(session, cast, bob, now):
    changed = users.change_own_password(session, bob, own(), now)
    assert (passwords.is_correct(NEW, changed.password_hash), last_event(session)) == (
        True,
        ("bob", "user.password", "bob", "own"),
    )


def test_whoever_knows_the_old_password_is_out(session, cast, bob, now):
    user = users.get(session, "bob")
    before, kept = user.password_version, make_session(session, user, "kept")
    make_session(session, user, "other")
    make_session(session, users.get(session, "alice"), "alice's")
    users.change_own_password(session, bob, own(session_id=kept.id), now)
    left = session.execute(select(SiteSession.user_id, SiteSession.password_version).order_by(SiteSession.id)).all()
    assert left[0] == (user.id, before + 1)
    assert len(left) == 2


def test_nobody_keeps_the_session_of_somebody_else(session, cast, bob, now):
    theirs = make_session(session, users.get(session, "alice"), "alice's", password_version=7)
    users.change_own_password(session, bob, own(session_id=theirs.id), now)
    assert session.scalars(select(SiteSession.password_version)).all() == [7]


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (own("wrong-password"), Unauthenticated),
        (own(""), Unauthenticated),
        (own(password="short"), Invalid),
        (own(password=PASSWORD), Invalid),
        (own(password="bob" + "x" * 6), Invalid),
    ],
)
def test_a_password_that_is_not_good_changes_nothing(session, cast, bob, now, command, error):
    before = users.get(session, "bob").password_hash
    with pytest.raises(error):
        users.change_own_password(session, bob, command, now)
    assert users.get(session, "bob").password_hash == before


def test_a_directorys_password_is_not_ours_to_change(session, cast, now):
    make_user(session, "dave", source="ldap", password_hash=None)
    with pytest.raises(Conflict, match="comes from ldap"):
        users.change_own_password(session, Actor("dave", Credential.SESSION, Role.USER), own(), now)


@pytest.mark.parametrize("via", [Credential.ACCESS_TOKEN, Credential.REFRESH_TOKEN, Credential.ROBOT])
def test_a_password_is_not_changed_with_a_token(session, cast, now, via):
    with pytest.raises(Forbidden):
        users.change_own_password(session, Actor("bob", via, Role.USER), own(), now)


@pytest.mark.parametrize("must", [True, False])
def test_whoever_chooses_a_password_for_somebody_says_whether_it_must_be_changed(session, cast, root, now, must):
    added = users.add(session, root, AddUser(name="dave", password=NEW, must_change=must), now)
    reset = users.set_password(session, root, SetPassword(name="bob", password=NEW, must_change=must), now)
    assert (added.must_change, reset.must_change) == (must, must)


def test_a_password_of_ones_own_need_not_be_changed(session, cast, root, bob, now):
    users.set_password(session, root, SetPassword(name="bob", password=NEW, must_change=True), now)
    assert not users.change_own_password(session, bob, own(NEW, "one-more-long-password"), now).must_change
