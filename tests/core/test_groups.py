import pytest
from sqlalchemy import select

from authsvc.core import groups, users
from authsvc.core.groups import AddGroup, Belonging, Held, Listed
from authsvc.core.pages import Asked
from authsvc.db.tables import AuditEvent, Member, Project
from authsvc.domain.permissions import Role
from authsvc.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound

OPS = AddGroup(name="ops")
STAFF = AddGroup(name="Staff", source="corp", key="cn=staff,dc=example,dc=org")


def names(session, actor, group: str) -> list[str]:
    return [user.name for user in groups.list_users(session, actor, group)]


def last_event(session) -> tuple[str, str, str]:
    event = session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc()).limit(1)).one()
    return event.action, event.object, event.detail


@pytest.mark.parametrize(
    ("command", "detail"), [(OPS, ""), (STAFF, "corp cn=staff,dc=example,dc=org")], ids=["ours", "a directory's"]
)
def test_a_group_is_added(session, cast, root, now, command, detail):
    groups.add(session, root, command, now)
    (listed,) = groups.list_all(session, root)
    assert listed == Listed(listed.id, command.name, command.source, command.key, 0, 0)
    assert last_event(session) == ("group.add", command.name, detail)


def test_the_roles_of_a_directorys_groups_are_told(session, cast, root, now):
    staff = groups.add(session, root, STAFF, now)
    projects = {row.name: row.id for row in session.scalars(select(Project))}
    for project, role, more in [
        ("acme", Role.DEVELOPER, {}),
        ("acme", Role.GUEST, {"pattern": "web/**"}),
        ("open", Role.GUEST, {"ends_at": now}),
    ]:
        session.add(Member(project_id=projects[project], group_id=staff.id, role=role, created_at=now, **more))
    session.flush()
    told = groups.list_roles(session, root, "corp", [STAFF.key, "cn=other"], now)
    assert told == {STAFF.key: ["developer in acme", "guest in acme/web/**"]}
    assert groups.roles_of(session, root, staff.id, now) == [
        Held("acme", Role.DEVELOPER, "", None),
        Held("acme", Role.GUEST, "web/**", None),
    ]


def test_the_groups_of_another_source_are_others(session, cast, root, now):
    groups.add(session, root, STAFF, now)
    assert groups.list_roles(session, root, "other", [STAFF.key], now) == {}


@pytest.mark.parametrize("name", ["Betrieb & Netz", "运维", "ops-2", "a" * 255])
def test_a_group_may_have_any_name_that_people_can_read(session, cast, root, now, name):
    assert groups.add(session, root, AddGroup(name=name), now).name == name


@pytest.mark.parametrize("name", ["", " ops", "ops ", "o\0ps", "ops\n", "o\u200bps", "a" * 256])
def test_a_name_that_nobody_can_read_is_refused(session, cast, root, now, name):
    with pytest.raises(Invalid, match="name: "):
        groups.add(session, root, AddGroup(name=name), now)


@pytest.mark.parametrize(("source", "key"), [("local", "cn=x"), ("corp", ""), ("corp", "k" * 513)])
def test_a_key_is_a_directorys(session, cast, root, now, source, key):
    with pytest.raises(Invalid, match="key: "):
        groups.add(session, root, AddGroup(name="x", source=source, key=key), now)


@pytest.mark.parametrize("again", [AddGroup(name="Staff"), AddGroup(name="other", source="corp", key=STAFF.key)])
def test_a_name_and_a_key_are_there_once(session, cast, root, now, again):
    groups.add(session, root, STAFF, now)
    with pytest.raises(AlreadyExists):
        groups.add(session, root, again, now)


def test_a_user_is_put_in_and_taken_out(session, cast, root, now):
    groups.add(session, root, OPS, now)
    for user in ("Bob", "alice"):
        groups.add_user(session, root, Belonging(group="ops", user=user), now)
    assert (names(session, root, "ops"), last_event(session)[:2]) == (["alice", "bob"], ("group.user.add", "ops/alice"))
    groups.remove_user(session, root, Belonging(group="ops", user="bob"), now)
    assert (names(session, root, "ops"), last_event(session)[:2]) == (["alice"], ("group.user.remove", "ops/bob"))


def test_a_user_is_in_a_group_once(session, cast, root, now):
    groups.add(session, root, OPS, now)
    groups.add_user(session, root, Belonging(group="ops", user="bob"), now)
    with pytest.raises(AlreadyExists):
        groups.add_user(session, root, Belonging(group="ops", user="bob"), now)


@pytest.mark.parametrize("change", [groups.add_user, groups.remove_user])
def test_only_its_source_says_who_is_in_a_directorys_group(session, cast, root, now, change):
    groups.add(session, root, STAFF, now)
    with pytest.raises(Conflict, match="corp, which says who belongs to it"):
        change(session, root, Belonging(group="Staff", user="bob"), now)


@pytest.mark.parametrize(("group", "user"), [("nowhere", "bob"), ("ops", "nobody"), ("ops", "bob")])
def test_who_is_not_there_is_not_taken_out(session, cast, root, now, group, user):
    groups.add(session, root, OPS, now)
    with pytest.raises(NotFound):
        groups.remove_user(session, root, Belonging(group=group, user=user), now)


def test_somebody_sees_their_own_groups(session, cast, root, bob, now):
    for name in ("ops", "builders", "others"):
        groups.add(session, root, AddGroup(name=name), now)
    for name in ("ops", "builders"):
        groups.add_user(session, root, Belonging(group=name, user="bob"), now)
    assert [group.name for group in groups.of_user(session, bob, "bob")] == ["builders", "ops"]


def test_nobody_sees_anothers_groups(session, cast, bob):
    with pytest.raises(Forbidden):
        groups.of_user(session, bob, "alice")


def test_a_deleted_user_is_in_no_group(session, cast, root, now):
    groups.add(session, root, OPS, now)
    groups.add_user(session, root, Belonging(group="ops", user="charlie"), now)
    users.delete(session, root, users.DeleteUser(name="charlie"), now)
    assert names(session, root, "ops") == []


def test_a_deleted_group_is_gone(session, cast, root, now):
    groups.add(session, root, OPS, now)
    groups.add_user(session, root, Belonging(group="ops", user="bob"), now)
    groups.delete(session, root, "ops", now)
    assert (groups.list_all(session, root), last_event(session)[:2]) == ([], ("group.delete", "ops"))


def test_a_group_that_is_not_there_is_named(session, cast, root):
    with pytest.raises(NotFound, match="there is no group Ops"):
        groups.list_users(session, root, "Ops")


@pytest.mark.parametrize(
    "use",
    [
        lambda session, actor, now: groups.add(session, actor, OPS, now),
        lambda session, actor, _now: groups.list_all(session, actor),
        lambda session, actor, _now: groups.list_page(session, actor, Asked()),
        lambda session, actor, _now: groups.get_by_id(session, actor, 1),
        lambda session, actor, _now: groups.list_users_page(session, actor, 1, Asked()),
        lambda session, actor, _now: groups.list_users(session, actor, "ops"),
        lambda session, actor, now: groups.roles_of(session, actor, 1, now),
        lambda session, actor, now: groups.add_user(session, actor, Belonging(group="ops", user="bob"), now),
        lambda session, actor, now: groups.remove_user(session, actor, Belonging(group="ops", user="bob"), now),
        lambda session, actor, now: groups.delete(session, actor, "ops", now),
    ],
    ids=["add", "list", "page", "get", "users", "show", "roles", "add user", "remove user", "delete"],
)
def test_groups_are_the_administrators(session, cast, alice, now, use):
    with pytest.raises(Forbidden):
        use(session, alice, now)


@pytest.fixture
def some(session, cast, root, now):
    """A group of ours with bob in it, and a directory's."""
    made = [groups.add(session, root, command, now) for command in (OPS, STAFF)]
    groups.add_user(session, root, Belonging(group="ops", user="bob"), now)
    return made


@pytest.mark.parametrize(
    ("asked", "source", "found"),
    [
        (Asked(), "", ["Staff", "ops"]),
        (Asked(sort="-name"), "", ["ops", "Staff"]),
        (Asked(text="STA"), "", ["Staff"]),
        (Asked(text="%"), "", []),
        (Asked(), "local", ["ops"]),
    ],
)
def test_groups_are_listed_by_pages(session, some, root, asked, source, found):
    assert [row.name for row in groups.list_page(session, root, asked, source).rows] == found


def test_a_group_is_got_by_its_number(session, some, root):
    ours = some[0].id
    assert groups.get_by_id(session, root, ours) == Listed(ours, "ops", "local", "", 1, 0)


def test_a_number_that_no_group_has_is_named(session, some, root):
    with pytest.raises(NotFound, match="there is no group 99"):
        groups.get_by_id(session, root, 99)


@pytest.mark.parametrize(("text", "found"), [("", ["bob"]), ("B", ["bob"]), ("_", [])])
def test_who_belongs_to_a_group_is_listed_by_pages(session, some, root, text, found):
    assert groups.list_users_page(session, root, some[0].id, Asked(text=text)).rows == found


@pytest.mark.parametrize(("text", "found"), [("st", ["Staff"]), ("OP", ["ops"]), ("s", []), ("", []), ("%%", [])])
def test_a_project_admin_has_groups_suggested(session, some, alice, text, found):
    assert [one.name for one in groups.suggest(session, alice, text, "acme")] == found


def test_nobody_else_has_groups_suggested(session, some, bob):
    with pytest.raises(Forbidden, match="may not create member"):
        groups.suggest(session, bob, "st", "acme")
