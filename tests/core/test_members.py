import pytest
from sqlalchemy import select

from authsvc.core import groups, members
from authsvc.core import roles as custom_roles
from authsvc.core.groups import AddGroup
from authsvc.core.members import Listed, RemoveMember, SetMember
from authsvc.core.pages import Asked
from authsvc.db.tables import AuditEvent
from authsvc.domain.permissions import MEMBER_ROLES, PULL, Actor, Credential, Grant, Role
from authsvc.errors import Forbidden, Invalid, NotFound
from tests.factories import make_user

LATER = 1_900_000_000


def set_role(
    user: str, role: str = Role.GUEST, project: str = "acme", pattern: str = "", ends_at: int | None = None
) -> SetMember:
    return SetMember(project=project, user=user, role=role, pattern=pattern, ends_at=ends_at)


def roles(session, actor) -> dict[str, str]:
    return {listed.user: listed.role for listed in members.list_all(session, actor, "acme")}


def roles_of(session, actor, user: str) -> list[tuple[str, str, int | None]]:
    found = members.list_all(session, actor, "acme")
    return [(listed.role, listed.pattern, listed.ends_at) for listed in found if listed.user == user]


def last_event(session) -> tuple[str, str, str, str]:
    event = session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc()).limit(1)).one()
    return event.actor, event.action, event.object, event.detail


@pytest.mark.parametrize("role", MEMBER_ROLES)
def test_alice_gives_charlie_a_role(session, cast, alice, now, role):
    members.set_role(session, alice, set_role("charlie", role), now)
    assert roles(session, alice)["charlie"] == role


def test_alice_changes_bobs_role(session, cast, alice, now):
    members.set_role(session, alice, set_role("Bob", Role.MAINTAINER), now)
    assert roles(session, alice) == {"alice": Role.PROJECT_ADMIN, "bob": Role.MAINTAINER}


@pytest.mark.parametrize(("user", "detail"), [("charlie", "maintainer"), ("bob", "maintainer; was developer")])
def test_giving_a_role_is_audited(session, cast, alice, now, user, detail):
    members.set_role(session, alice, set_role(user, Role.MAINTAINER), now)
    assert last_event(session) == ("alice", "member.set", f"acme/{user}", detail)


@pytest.mark.parametrize("role", [*sorted(set(Role) - set(MEMBER_ROLES)), "", "robot", "frobnicator", "GUEST"])
def test_a_role_that_no_member_can_have_is_refused(session, cast, root, now, role):
    with pytest.raises(Invalid, match="role: there is no role"):
        members.set_role(session, root, set_role("charlie", role), now)


@pytest.mark.parametrize(
    "command", [set_role("nobody"), set_role("bob", project="nowhere"), set_role("bob", project="ACME")]
)
def test_who_or_what_is_not_there_gets_no_role(session, cast, root, now, command):
    with pytest.raises(NotFound):
        members.set_role(session, root, command, now)


def test_alice_removes_bob(session, cast, alice, now):
    members.remove(session, alice, RemoveMember(project="acme", user="BOB"), now)
    assert (roles(session, alice), last_event(session)) == (
        {"alice": Role.PROJECT_ADMIN},
        ("alice", "member.remove", "acme/bob", "was developer"),
    )


@pytest.mark.parametrize(("project", "user"), [("acme", "charlie"), ("acme", "nobody"), ("nowhere", "bob")])
def test_who_is_no_member_cannot_be_removed(session, cast, root, now, project, user):
    with pytest.raises(NotFound):
        members.remove(session, root, RemoveMember(project=project, user=user), now)


def test_a_member_may_have_a_role_for_each_pattern(session, cast, alice, now):
    members.set_role(session, alice, set_role("bob", Role.MAINTAINER, pattern="acme/web-*", ends_at=LATER), now)
    assert roles_of(session, alice, "bob") == [
        (Role.DEVELOPER, "", None),
        (Role.MAINTAINER, "acme/web-*", LATER),
    ]


def test_a_role_for_a_pattern_is_changed_in_its_place(session, cast, alice, now):
    members.set_role(session, alice, set_role("bob", Role.MAINTAINER, pattern="acme/web-*", ends_at=LATER), now)
    members.set_role(session, alice, set_role("bob", Role.GUEST, pattern="acme/web-*"), now)
    assert roles_of(session, alice, "bob") == [(Role.DEVELOPER, "", None), (Role.GUEST, "acme/web-*", None)]


@pytest.mark.parametrize(
    ("pattern", "ends_at", "detail"),
    [
        ("acme/web-*", None, "maintainer; acme/web-*"),
        ("", LATER, f"maintainer; until {LATER}; was developer"),
        ("acme/**", LATER, f"maintainer; acme/**; until {LATER}"),
    ],
)
def test_the_limits_of_a_role_are_audited(session, cast, alice, now, pattern, ends_at, detail):
    members.set_role(session, alice, set_role("bob", Role.MAINTAINER, pattern=pattern, ends_at=ends_at), now)
    assert last_event(session) == ("alice", "member.set", "acme/bob", detail)


@pytest.mark.parametrize("pattern", ["ACME/*", "acme/[a-z]", "acme/ app", "***", "a" * 256])
def test_what_is_no_pattern_is_refused(session, cast, alice, now, pattern):
    with pytest.raises(Invalid, match="pattern"):
        members.set_role(session, alice, set_role("bob", pattern=pattern), now)


@pytest.mark.parametrize("before", [0, 1, 1_000_000])
def test_an_end_that_has_passed_is_refused(session, cast, alice, now, before):
    with pytest.raises(Invalid, match="this has passed already"):
        members.set_role(session, alice, set_role("bob", ends_at=now - before), now)


def test_a_member_may_have_a_custom_role(session, cast, alice, root, now):
    custom_roles.set_rights(session, root, custom_roles.SetRole(name="puller", rights=frozenset({PULL})), now)
    members.set_role(session, alice, set_role("charlie", "puller"), now)
    assert roles(session, alice)["charlie"] == "puller"


@pytest.mark.parametrize(
    ("pattern", "left", "detail"),
    [
        ("acme/web-*", [(Role.DEVELOPER, "", None)], "was maintainer acme/web-*"),
        ("", [(Role.MAINTAINER, "acme/web-*", None)], "was developer"),
        (None, [], "was developer, maintainer acme/web-*"),
    ],
)
def test_one_role_of_a_member_is_removed_or_all(session, cast, alice, now, pattern, left, detail):
    members.set_role(session, alice, set_role("bob", Role.MAINTAINER, pattern="acme/web-*"), now)
    members.remove(session, alice, RemoveMember(project="acme", user="bob", pattern=pattern), now)
    assert (roles_of(session, alice, "bob"), last_event(session)) == (
        left,
        ("alice", "member.remove", "acme/bob", detail),
    )


def test_a_role_for_another_pattern_cannot_be_removed(session, cast, alice, now):
    with pytest.raises(NotFound):
        members.remove(session, alice, RemoveMember(project="acme", user="bob", pattern="acme/*"), now)


def test_members_are_listed_by_name(session, cast, bob):
    assert members.list_all(session, bob, "acme") == [
        Listed("alice", "", Role.PROJECT_ADMIN, "", None, enabled=True),
        Listed("bob", "", Role.DEVELOPER, "", None, enabled=True),
    ]


@pytest.mark.parametrize("project", ["acme", "nowhere"])
@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        (members.list_all, lambda project: [project]),
        (members.list_page, lambda project: [project, Asked()]),
        (members.set_role, lambda project: [set_role("charlie", project=project), 0]),
        (members.remove, lambda project: [RemoveMember(project=project, user="bob"), 0]),
    ],
)
def test_a_stranger_cannot_tell_whether_a_project_exists(session, cast, charlie, verb, arguments, project):
    with pytest.raises(NotFound, match=f"^there is no project {project}$"):
        verb(session, charlie, *arguments(project))


@pytest.fixture
def guests(session, cast, root, now):
    """A group, and a person whose name comes first, both guests in acme."""
    groups.add(session, root, groups.AddGroup(name="A-Team"), now)
    make_user(session, "aaron", enabled=False)
    for holder in ({"group": "A-Team"}, {"user": "aaron"}):
        members.set_role(session, root, SetMember(project="acme", role="guest", **holder), now)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (Asked(), ["aaron", "alice", "bob", "A-Team"]),
        (Asked(sort="-name"), ["A-Team", "bob", "alice", "aaron"]),
        (Asked(sort="role"), ["bob", "aaron", "A-Team", "alice"]),
        (Asked(text="A-T"), ["A-Team"]),
        (Asked(text="a-t"), ["A-Team"]),
        (Asked(text="AA"), ["aaron"]),
        (Asked(text="_"), []),
        (Asked(page=2, size=3), ["A-Team"]),
    ],
)
def test_a_page_of_members_has_people_and_groups(session, guests, bob, asked, found):
    page = members.list_page(session, bob, "acme", asked)
    assert [row.user or row.group for row in page.rows] == found


def test_a_page_of_members_says_who_is_disabled(session, guests, bob):
    rows = members.list_page(session, bob, "acme", Asked(size=2)).rows
    assert [(row.user, row.enabled) for row in rows] == [("aaron", False), ("alice", True)]


@pytest.mark.parametrize(
    ("who", "verb", "arguments"),
    [
        ("bob", members.set_role, [set_role("charlie"), 0]),
        ("bob", members.set_role, [set_role("bob", Role.PROJECT_ADMIN), 0]),
        ("alice", members.set_role, [set_role("alice", project="open"), 0]),
        ("charlie", members.set_role, [set_role("charlie", project="open"), 0]),
        ("bob", members.remove, [RemoveMember(project="acme", user="alice"), 0]),
        ("charlie", members.remove, [RemoveMember(project="open", user="bob"), 0]),
        ("charlie", members.list_all, ["open"]),
        ("charlie", members.list_page, ["open", Asked()]),
    ],
)
def test_who_has_no_right_is_refused(session, cast, request, who, verb, arguments):
    with pytest.raises(Forbidden, match=f"{who} may not"):
        verb(session, request.getfixturevalue(who), *arguments)


def test_nobody_gives_a_role_that_can_do_more_than_they_can(session, cast, now):
    keeper = Grant("keeper", frozenset({members.CREATE, members.UPDATE}), "acme")
    charlie = Actor("charlie", Credential.PASSWORD, Role.USER, (keeper,))
    with pytest.raises(Forbidden, match="charlie cannot give projectAdmin"):
        members.set_role(session, charlie, SetMember(project="acme", user="charlie", role="projectAdmin"), now)


class TestGroups:
    """A group is a member as a person is."""

    @pytest.fixture(autouse=True)
    def ops(self, session, cast, root, now) -> None:  # noqa: ARG002
        groups.add(session, root, AddGroup(name="ops"), now)

    def set_role(self, session, actor, now, role: str = Role.GUEST, pattern: str = "", ends_at: int | None = None):
        command = SetMember(project="acme", group="ops", role=role, pattern=pattern, ends_at=ends_at)
        return members.set_role(session, actor, command, now)

    def test_it_is_given_a_role(self, session, alice, now):
        self.set_role(session, alice, now, pattern="acme/web-*", ends_at=LATER)
        listed = Listed("", "ops", Role.GUEST, "acme/web-*", LATER, enabled=True)
        assert members.list_all(session, alice, "acme")[-1] == listed
        assert last_event(session)[1:] == ("member.set", "acme/group ops", f"guest; acme/web-*; until {LATER}")

    def test_its_role_is_changed_in_its_place(self, session, alice, now):
        self.set_role(session, alice, now)
        self.set_role(session, alice, now, role=Role.MAINTAINER)
        found = [row.role for row in members.list_all(session, alice, "acme") if row.group == "ops"]
        assert found == [Role.MAINTAINER]

    def test_it_is_removed(self, session, alice, now):
        self.set_role(session, alice, now)
        members.remove(session, alice, RemoveMember(project="acme", group="ops"), now)
        assert roles(session, alice) == {"alice": Role.PROJECT_ADMIN, "bob": Role.DEVELOPER}

    def test_a_person_of_the_same_name_is_somebody_else(self, session, alice, root, now):
        groups.add(session, root, AddGroup(name="bob"), now)
        with pytest.raises(NotFound):
            members.remove(session, alice, RemoveMember(project="acme", group="bob"), now)

    @pytest.mark.parametrize(("user", "group"), [("", ""), ("bob", "ops")])
    def test_a_role_is_one_persons_or_one_groups(self, session, alice, now, user, group):
        with pytest.raises(Invalid, match="name a person or a group"):
            members.set_role(session, alice, SetMember(project="acme", user=user, group=group, role=Role.GUEST), now)

    def test_a_group_that_is_not_there_gets_no_role(self, session, alice, now):
        with pytest.raises(NotFound, match="there is no group nowhere"):
            members.set_role(session, alice, SetMember(project="acme", group="nowhere", role=Role.GUEST), now)

    def test_with_a_group_go_its_roles(self, session, alice, root, now):
        self.set_role(session, alice, now)
        groups.delete(session, root, "ops", now)
        assert len(members.list_all(session, alice, "acme")) == 2

    def test_nobody_gives_a_group_what_they_cannot_do(self, session, now):
        keeper = Grant("keeper", frozenset({members.CREATE, members.UPDATE}), "acme")
        charlie = Actor("charlie", Credential.PASSWORD, Role.USER, (keeper,))
        with pytest.raises(Forbidden, match="charlie cannot give projectAdmin"):
            self.set_role(session, charlie, now, role="projectAdmin")
