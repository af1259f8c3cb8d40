from dataclasses import replace

import pytest
from sqlalchemy import update

from authsvc.core import groups, members, refresh_tokens, roles, standing, trusts, users
from authsvc.core.members import SetMember
from authsvc.core.roles import SetRole
from authsvc.core.standings import Standings
from authsvc.core.trusts import AddTrust
from authsvc.core.users import SetEnabled
from authsvc.db.engine import transaction
from authsvc.db.tables import User
from authsvc.domain.machine_secrets import digest
from authsvc.domain.permissions import CATALOG, PROJECT, PULL, PUSH, Grant, Limit, Role
from authsvc.domain.permissions import Project as Facts
from authsvc.domain.trusts import Rule, Trust
from tests.conftest import NOW
from tests.core.conftest import statements
from tests.factories import make_grant

ACME, OPEN = Facts("acme", public=False), Facts("open", public=True)
DEVELOPER = make_grant("acme", Role.DEVELOPER)


@pytest.mark.parametrize("projects", [[], ["acme"], ["acme", "open", "nowhere"]])
def test_each_kind_of_credential_is_one_statement(engine, secrets, now, projects):
    with statements(engine) as seen:
        Standings(engine, 0).of_user("bob", projects, now)
        Standings(engine, 0).of_access_token(digest(secrets["access"]), projects, now)
        Standings(engine, 0).of_refresh_token(digest(secrets["refresh"]), projects, now)
        Standings(engine, 0).of_robot("ci", digest(secrets["ci"]), projects, NOW)
        Standings(engine, 0).of_robot_with_trusts("ci", projects, NOW)
    assert [statement.split()[0] for statement in seen] == ["SELECT"] * 5


@pytest.mark.parametrize("name", ["", "nobody", "Bob", "bob ", "robot$ci"])
def test_nobody_has_no_account_but_sees_the_projects(engine, cast, now, name):
    found = Standings(engine, 0).of_user(name, ["acme", "open", "nowhere"], now)
    assert (found.account, found.machine, found.grants, dict(found.projects)) == (
        None,
        None,
        (),
        {"acme": ACME, "open": OPEN},
    )


def test_without_a_key_and_without_a_project_there_is_still_an_answer(engine, cast, now):
    found = Standings(engine, 0).of_user("bob", [], now)
    assert (found.key, found.account.name, dict(found.projects), found.limit) == (None, "bob", {}, None)


@pytest.mark.parametrize(("name", "admin"), [("root", True), ("bob", False)])
def test_an_administrator_is_known_as_one(engine, cast, now, name, admin):
    assert Standings(engine, 0).of_user(name, [], now).account.admin is admin


def test_a_disabled_account_is_known_as_one(engine, cast, root, now):
    with transaction(engine) as session:
        users.set_enabled(session, root, SetEnabled(name="bob", enabled=False), now)
    assert Standings(engine, 0).of_user("bob", [], now).account.enabled is False


@pytest.mark.parametrize(
    ("projects", "grants"), [(["acme", "open"], (DEVELOPER,)), (["acme"], (DEVELOPER,)), (["open"], ()), ([], ())]
)
def test_a_role_is_there_where_it_was_given_and_asked_for(engine, cast, now, projects, grants):
    assert Standings(engine, 0).of_user("bob", projects, now).grants == grants


def test_several_roles_in_one_project_are_several_grants(engine, cast, give, now):
    give("bob", "maintainer", pattern="acme/web-*")
    give("bob", "guest", pattern="acme/**", ends_at=now + 10)
    assert set(Standings(engine, 0).of_user("bob", ["acme"], now).grants) == {
        DEVELOPER,
        make_grant("acme", Role.MAINTAINER, "acme/web-*"),
        make_grant("acme", Role.GUEST, "acme/**", now + 10),
    }


@pytest.mark.parametrize(("later", "there"), [(0, True), (9, True), (10, False), (11, False)])
def test_a_membership_ends_at_its_end(engine, cast, give, now, later, there):
    give("charlie", "guest", ends_at=now + 10)
    assert bool(Standings(engine, 0).of_user("charlie", ["acme"], now + later).grants) is there


def test_an_ended_membership_hides_no_other(engine, cast, give, now):
    give("bob", "maintainer", pattern="acme/web-*", ends_at=now + 10)
    assert Standings(engine, 0).of_user("bob", ["acme"], now + 10).grants == (DEVELOPER,)


def test_a_custom_role_gives_its_rights_as_one_grant(engine, cast, give, root, now):
    with transaction(engine) as session:
        roles.set_rights(session, root, SetRole(name="tester", rights=frozenset({PULL, PUSH})), now)
    give("charlie", "tester", pattern="acme/web")
    give("charlie", "tester", project="open")
    assert set(Standings(engine, 0).of_user("charlie", ["acme", "open"], now).grants) == {
        Grant("tester", frozenset({PULL, PUSH}), "acme", "acme/web"),
        Grant("tester", frozenset({PULL, PUSH}), "open"),
    }


@pytest.mark.parametrize("role", ["system", "all", "robot"])
def test_a_role_named_as_something_else_is_a_role(engine, cast, give, root, now, role):
    with transaction(engine) as session:
        roles.set_rights(session, root, SetRole(name=role, rights=frozenset({PULL})), now)
    give("charlie", role)
    found = Standings(engine, 0).of_user("charlie", ["acme"], now)
    assert (found.grants, found.system_rights) == ((Grant(role, frozenset({PULL}), "acme"),), frozenset())


def test_a_role_that_is_gone_gives_nothing():
    assert standing.rights_of("gone", ()) == frozenset()


def test_an_access_token_is_its_users_with_a_limit(engine, secrets, now):
    found = Standings(engine, 0).of_access_token(digest(secrets["access"]), ["acme"], now)
    assert (found.account.name, found.grants, found.limit, found.machine.expires_at) == (
        "bob",
        (DEVELOPER,),
        Limit(frozenset({PULL}), ("acme/*",)),
        now + 90 * 86_400,
    )


def test_a_refresh_token_is_its_users_and_of_one_login(engine, secrets, now):
    found = Standings(engine, 0).of_refresh_token(digest(secrets["refresh"]), ["acme"], now)
    assert (found.account.name, found.grants, found.limit) == ("bob", (DEVELOPER,), None)
    assert replace(found.machine, id=0) == standing.Machine(0, now + 30 * 86_400, False, "f", "authsvc", 7)


def test_a_revoked_refresh_token_is_known_as_one(engine, secrets, root, now):
    with transaction(engine) as session:
        refresh_tokens.revoke_all(session, root, now)
    assert Standings(engine, 0).of_refresh_token(digest(secrets["refresh"]), [], now).machine.revoked


@pytest.mark.parametrize(
    ("projects", "grants"),
    [
        ([], set()),
        (["acme"], {Grant("robot", frozenset({PULL, PUSH}), "acme")}),
        (["open"], {Grant("robot", frozenset({PUSH}), "open")}),
        (
            ["acme", "open"],
            {Grant("robot", frozenset({PULL, PUSH}), "acme"), Grant("robot", frozenset({PUSH}), "open")},
        ),
        (["nowhere"], set()),
    ],
)
def test_a_systems_robot_has_its_rights_in_each_project_and_outside(engine, secrets, projects, grants):
    found = Standings(engine, 0).of_robot("ci", digest(secrets["ci"]), projects, NOW)
    assert (set(found.grants), found.system_rights) == (grants, frozenset({CATALOG}))


def test_a_projects_robot_has_its_rights_there_alone(engine, secrets):
    found = Standings(engine, 0).of_robot("acme+ci", digest(secrets["acme+ci"]), ["acme", "open", "library"], NOW)
    assert (found.grants, found.system_rights, found.machine.expires_at) == (
        (Grant("robot", frozenset({PULL}), "acme"),),
        frozenset(),
        None,
    )


def test_a_robot_is_no_administrator(engine, secrets):
    account = Standings(engine, 0).of_robot("ci", digest(secrets["ci"]), [], NOW).account
    assert account == standing.Account("ci", "robot", 0, enabled=True, admin=False)


@pytest.mark.parametrize(
    ("name", "whose"), [("ci", "acme+ci"), ("acme+ci", "ci"), ("CI", "ci"), ("ci ", "ci"), ("ci", "access"), ("", "ci")]
)
def test_a_robots_name_and_secret_belong_together(engine, secrets, name, whose):
    found = Standings(engine, 0).of_robot(name, digest(secrets[whose]), ["acme"], NOW)
    assert (found.account, found.machine, found.grants, found.system_rights) == (None, None, (), frozenset())


@pytest.mark.parametrize("wrong", ["refresh", "ci"])
def test_an_access_token_is_no_other_secret(engine, secrets, now, wrong):
    assert Standings(engine, 0).of_access_token(digest(secrets[wrong]), [], now).account is None


@pytest.mark.parametrize("wrong", ["access", "ci"])
def test_a_refresh_token_is_no_other_secret(engine, secrets, now, wrong):
    assert Standings(engine, 0).of_refresh_token(digest(secrets[wrong]), [], now).account is None


@pytest.mark.parametrize(("ends_at", "over"), [(None, False), (9, True), (10, True), (11, False)])
def test_a_credential_is_over_from_its_end_on(ends_at, over):
    assert standing.Machine(1, ends_at).is_over(10) is over


@pytest.mark.parametrize("role", sorted(PROJECT.keys() - {"systemAdmin", "everyone", "user", "visitor"}))
def test_a_built_in_role_gives_what_the_table_says(role):
    assert standing.rights_of(role, ()) == PROJECT[Role(role)]


class TestGroups:
    """What a person may do is what they were given and what their groups were."""

    @pytest.fixture(autouse=True)
    def ops(self, engine, cast, root, now) -> None:  # noqa: ARG002
        with transaction(engine) as session:
            groups.add(session, root, groups.AddGroup(name="ops"), now)
            groups.add_user(session, root, groups.Belonging(group="ops", user="charlie"), now)

    @pytest.fixture
    def give_ops(self, engine, root, now):
        def set_role(role: str, project: str = "acme", **more) -> None:
            with transaction(engine) as session:
                members.set_role(session, root, SetMember(project=project, group="ops", role=role, **more), now)

        return set_role

    def grants(self, engine, now, name: str = "charlie") -> set[Grant]:
        return set(Standings(engine, 0).of_user(name, ["acme", "open"], now).grants)

    def test_a_groups_role_is_its_peoples(self, engine, give_ops, now):
        give_ops("developer")
        assert self.grants(engine, now) == {DEVELOPER}

    def test_and_nobody_elses(self, engine, give_ops, now):
        give_ops("maintainer")
        assert self.grants(engine, now, "alice") == {make_grant("acme", Role.PROJECT_ADMIN)}

    def test_their_own_role_and_their_groups_are_united(self, engine, give, give_ops, now):
        give("charlie", "guest")
        give_ops("maintainer", pattern="acme/web-*", ends_at=now + 10)
        assert self.grants(engine, now) == {
            make_grant("acme", Role.GUEST),
            make_grant("acme", Role.MAINTAINER, "acme/web-*", now + 10),
        }

    def test_a_groups_role_ends_as_any(self, engine, give_ops, now):
        give_ops("maintainer", ends_at=now + 10)
        assert self.grants(engine, now + 10) == set()

    def test_who_has_left_has_it_no_more(self, engine, give_ops, root, now):
        give_ops("developer")
        with transaction(engine) as session:
            groups.remove_user(session, root, groups.Belonging(group="ops", user="charlie"), now)
        assert self.grants(engine, now) == set()

    def test_it_is_still_one_statement(self, engine, give_ops, now):
        give_ops("developer")
        with statements(engine) as seen:
            self.grants(engine, now)
        assert len(seen) == 1

    def test_a_source_makes_administrators(self, engine, now):
        with transaction(engine) as session:
            session.execute(update(User).where(User.name == "charlie").values(admin_by_source=True))
        assert Standings(engine, 0).of_user("charlie", [], now).account.admin is True


@pytest.fixture
def trusted(engine, secrets, root, settings, now) -> tuple[Trust, ...]:
    """Two issuers that the robot `ci` trusts."""
    commands = [
        AddTrust(robot="ci", issuer=issuer, audience="a", rules=(Rule("sub", "x"), Rule("ref", "*")), whole_issuer=True)
        for issuer in ("https://two.example.com", "https://one.example.com")
    ]
    with transaction(engine) as session:
        return tuple(trusts.add(session, root, command, settings, now) for command in commands)


@pytest.mark.parametrize("projects", [[], ["acme"], ["acme", "open", "nowhere"]])
def test_a_robot_has_its_trusts_and_the_same_rights(engine, trusted, secrets, now, projects):
    found = Standings(engine, 0).of_robot_with_trusts("ci", projects, now)
    assert found.trusts == trusted
    assert replace(found, trusts=()) == Standings(engine, 0).of_robot("ci", digest(secrets["ci"]), projects, now)


def test_trusts_are_the_robots_own(engine, trusted, now):
    assert Standings(engine, 0).of_robot_with_trusts("acme+ci", ["acme"], now).trusts == ()


def test_who_is_no_robot_has_no_trusts(engine, trusted, now):
    found = Standings(engine, 0).of_robot_with_trusts("bob", ["acme"], now)
    assert (found.account, found.trusts, found.grants) == (None, (), ())


def test_one_who_shows_a_token_is_not_taken_for_one_who_showed_the_secret(engine, trusted, secrets, now):
    known = Standings(engine, 0)
    known.of_robot_with_trusts("ci", ["acme"], now)
    assert known.of_robot("ci", "", ["acme"], now).account is None
