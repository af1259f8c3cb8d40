import pytest
from sqlalchemy import select

from authsvc.core import groups, members, roles
from authsvc.core.groups import AddGroup, Belonging
from authsvc.core.members import RemoveMember, SetMember
from authsvc.core.pages import Asked
from authsvc.core.roles import Held, Listed, Preview, SetRole
from authsvc.core.standings import Standings
from authsvc.db.engine import transaction
from authsvc.db.tables import AuditEvent, RoleRight
from authsvc.domain.permissions import DELETE, MEMBER_ROLES, PULL, PUSH, ROLE_RIGHTS, SYSTEM, Project, Right, Role
from authsvc.errors import Conflict, Forbidden, Invalid, NotFound


def role(name: str = "tester", *rights: Right, description: str = "") -> SetRole:
    return SetRole(name=name, rights=frozenset(rights or (PULL,)), description=description)


def rights_of(engine, user: str, now: int) -> set[Right]:
    """What a login of that user finds in acme."""
    grants = Standings(engine, 0).of_user(user, ["acme"], now).grants
    return set().union(*(grant.rights for grant in grants))


def last_event(session) -> tuple[str, str, str, str, str]:
    event = session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc()).limit(1)).one()
    return event.actor, event.action, event.object, event.result, event.detail


@pytest.fixture
def held(engine, cast, root, now) -> None:
    """charlie is tester of acme, and testers pull."""
    with transaction(engine) as session:
        roles.set_rights(session, root, role(), now)
        members.set_role(session, root, SetMember(project="acme", user="charlie", role="tester"), now)


def test_whoever_holds_a_role_has_its_rights(engine, held, now):
    assert rights_of(engine, "charlie", now) == {PULL}


def test_other_rights_count_at_once(engine, held, root, now):
    with transaction(engine) as session:
        roles.set_rights(session, root, role("tester", PUSH, DELETE), now)
    assert rights_of(engine, "charlie", now) == {PUSH, DELETE}


@pytest.mark.parametrize("name", ["system", "all", "project", "robot", "a", "qa-lead_2.x", "a" * 64])
def test_a_role_is_named_as_people_like(engine, cast, root, now, name):
    with transaction(engine) as session:
        roles.set_rights(session, root, role(name), now)
        members.set_role(session, root, SetMember(project="acme", user="charlie", role=name), now)
    assert rights_of(engine, "charlie", now) == {PULL}


@pytest.mark.parametrize(
    "name", [*map(str, Role), "", "Tester", "-a", "a-", "a--b", "a b", "a/b", "/", "é", "tester\n", "a" * 65]
)
def test_a_name_that_is_taken_or_breaks_a_rule_is_refused(session, root, now, name):
    with pytest.raises(Invalid, match="name: a role's name is"):
        roles.set_rights(session, root, role(name), now)


@pytest.mark.parametrize("right", [*sorted(SYSTEM[Role.SYSTEM_ADMIN] - ROLE_RIGHTS), Right("repository", "fly")])
def test_a_right_outside_projects_is_in_no_role(session, root, now, right):
    with pytest.raises(Invalid, match=f"rights: there is no right {right}"):
        roles.set_rights(session, root, role("tester", PULL, right), now)


def test_a_role_without_a_right_is_refused(session, root, now):
    with pytest.raises(Invalid, match="rights: at least one"):
        roles.set_rights(session, root, SetRole(name="tester", rights=frozenset()), now)


def test_a_role_may_have_every_right_of_a_project(session, root, now):
    roles.set_rights(session, root, role("tester", *ROLE_RIGHTS), now)
    assert set(roles.list_all(session, root)[0].rights) == ROLE_RIGHTS


def test_a_role_that_is_held_stays(session, held, root, now):
    with pytest.raises(Conflict, match="1 members hold the role tester"):
        roles.delete(session, root, "tester", now)


def test_a_role_that_nobody_holds_any_more_goes_with_its_rights(session, held, root, now):
    members.remove(session, root, RemoveMember(project="acme", user="charlie"), now)
    roles.delete(session, root, "tester", now)
    assert (roles.list_all(session, root), session.scalars(select(RoleRight)).all()) == ([], [])


@pytest.mark.parametrize("name", ["nothing", "guest", "systemAdmin", "TESTER", "tester "])
def test_what_is_not_of_ones_own_making_is_not_deleted(session, held, root, now, name):
    with pytest.raises(NotFound, match="of your own making"):
        roles.delete(session, root, name, now)


def test_roles_are_listed_by_name_with_how_often_they_are_held(session, held, root, now):
    roles.set_rights(session, root, role("auditor", PUSH, PULL, description="looks"), now)
    assert roles.list_all(session, root) == [
        Listed("auditor", "looks", (PULL, PUSH), 0),
        Listed("tester", "", (PULL,), 1),
    ]


@pytest.mark.parametrize(("name", "found"), [*((str(one), True) for one in MEMBER_ROLES), ("tester", True)])
def test_a_member_can_be_given_a_role_that_exists(session, held, name, found):
    assert roles.exists(session, name) is found


@pytest.mark.parametrize("name", [*sorted(set(Role) - set(MEMBER_ROLES)), "", "Tester", "tester ", "nothing"])
def test_a_member_cannot_be_given_a_role_that_does_not(session, held, root, now, name):
    assert not roles.exists(session, name)
    with pytest.raises(Invalid, match="role: there is no role"):
        members.set_role(session, root, SetMember(project="acme", user="bob", role=name), now)


@pytest.mark.parametrize("who", ["alice", "bob", "charlie"])
@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        (roles.set_rights, [role(), 0]),
        (roles.set_rights, [role("new"), 0]),
        (roles.delete, ["tester", 0]),
        (roles.list_all, []),
    ],
)
def test_roles_are_the_system_administrators(session, held, request, who, verb, arguments):
    with pytest.raises(Forbidden, match=f"{who} may not"):
        verb(session, request.getfixturevalue(who), *arguments)


def test_setting_a_role_is_audited(session, root, now):
    roles.set_rights(session, root, role("tester", PUSH, PULL), now)
    assert last_event(session) == ("root", "role.set", "tester", "ok", "repository:pull repository:push")


def test_deleting_a_role_is_audited(session, root, now):
    roles.set_rights(session, root, role(), now)
    roles.delete(session, root, "tester", now)
    assert last_event(session) == ("root", "role.delete", "tester", "ok", "")


@pytest.mark.parametrize("right", sorted(ROLE_RIGHTS), ids=str)
def test_every_right_is_read_as_it_is_written(right):
    assert roles.parse_right(str(right)) == right


@pytest.mark.parametrize("text", ["", "repository", "repository:", ":pull", "repository:fly", "role:create", "a" * 999])
def test_what_is_no_right_is_refused(text):
    with pytest.raises(Invalid, match="right: there is no right"):
        roles.parse_right(text)


@pytest.fixture
def testers(session, cast, root, now):
    """charlie is tester of acme and, for some repositories, of open; so are bob and charlie as members of a group."""
    roles.set_rights(session, root, role(), now)
    groups.add(session, root, AddGroup(name="QA"), now)
    for user in ("bob", "charlie"):
        groups.add_user(session, root, Belonging(group="QA", user=user), now)
    for project, holder in (
        ("open", {"user": "charlie", "pattern": "open/web-*"}),
        ("acme", {"user": "charlie"}),
        ("open", {"group": "QA"}),
    ):
        members.set_role(session, root, SetMember(project=project, role="tester", **holder), now)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (Asked(sort="project"), [("acme", "charlie"), ("open", "charlie"), ("open", "QA")]),
        (Asked(sort="-project", size=2), [("open", "QA"), ("open", "charlie")]),
        (Asked(text="qa"), [("open", "QA")]),
        (Asked(text="_"), []),
    ],
)
def test_who_holds_a_role_is_listed_over_all_projects(session, testers, root, asked, found):
    page = roles.who_holds(session, root, "tester", asked)
    assert [(held.project, held.user or held.group) for held in page.rows] == found


def test_a_holder_is_one_for_a_pattern(session, testers, root):
    page = roles.who_holds(session, root, "tester", Asked(text="charlie", sort="-project", size=1))
    assert (page.rows, page.total) == ([Held("open", "charlie", "", "open/web-*", None)], 2)


@pytest.mark.parametrize(("name", "count"), [("developer", 1), ("nothing", 0)])
def test_holders_of_any_role_are_listed(session, testers, root, name, count):
    assert roles.who_holds(session, root, name, Asked()).total == count


def test_a_preview_says_what_a_role_gains_and_loses_and_how_many_hold_it(session, testers, root):
    preview = roles.preview(session, root, role("tester", PUSH, DELETE))
    assert preview == Preview((DELETE, PUSH), (PULL,), members=3, people=2, projects=2)


def test_a_preview_of_a_new_role_is_all_that_it_gives(session, cast, root):
    preview = roles.preview(session, root, role("new", PULL))
    assert (preview, roles.exists(session, "new")) == (Preview((PULL,), (), 0, 0, 0), False)


@pytest.mark.parametrize("command", [role("guest"), role("x", Right("user", "delete"))])
def test_a_preview_of_what_cannot_be_is_refused(session, cast, root, command):
    with pytest.raises(Invalid):
        roles.preview(session, root, command)


def test_whoever_sees_members_sees_what_roles_there_are(session, testers, bob):
    found = roles.list_given(session, bob, Project("acme", public=False))
    assert [listed.name for listed in found] == [*MEMBER_ROLES, "tester"]
    assert found[-1].rights == (PULL,)


@pytest.mark.parametrize(
    "verb",
    [
        lambda session, actor: roles.list_given(session, actor, Project("open", public=True)),
        lambda session, actor: roles.who_holds(session, actor, "guest", Asked()),
        lambda session, actor: roles.preview(session, actor, role()),
    ],
)
def test_nobody_else_does(session, cast, alice, verb):
    with pytest.raises(Forbidden):
        verb(session, alice)
