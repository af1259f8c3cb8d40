from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import event, update

from authsvc.core import access_tokens, audit, members, refresh_tokens, robots, roles, standing, users
from authsvc.core.access_tokens import AddToken
from authsvc.core.members import SetMember
from authsvc.core.refresh_tokens import NewToken
from authsvc.core.robots import AddRobot, Permission, Reach
from authsvc.core.roles import SetRole
from authsvc.core.standing import CHECK_SECONDS, Standings
from authsvc.core.users import SetEnabled
from authsvc.db.engine import make_engine, transaction
from authsvc.db.tables import AuditHead
from authsvc.domain.machine_secrets import digest
from authsvc.domain.permissions import CATALOG, PROJECT, PULL, PUSH, Grant, Limit, Role
from authsvc.domain.permissions import Project as Facts
from authsvc.errors import Unavailable
from tests.conftest import NOW
from tests.factories import make_grant

ACME, OPEN = Facts("acme", public=False), Facts("open", public=True)
DEVELOPER = make_grant("acme", Role.DEVELOPER)


@contextmanager
def statements(engine):
    seen: list[str] = []

    def note(_connection, _cursor, statement, *_rest) -> None:
        if not statement.startswith("BEGIN"):
            seen.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)


@pytest.fixture
def secrets(engine, cast, root, bob, now) -> dict[str, str]:
    """bob's access token and refresh token, and two robots'."""
    places = (
        Permission(Reach.PROJECT, frozenset({PULL}), "acme"),
        Permission(Reach.ALL, frozenset({PUSH})),
        Permission(Reach.SYSTEM, frozenset({CATALOG})),
    )
    token = AddToken(user="bob", name="laptop", actions=("pull",), patterns=("acme/*",))
    login = NewToken(user="bob", service="authsvc", client="docker", password_version=7, days=30, family="f")
    with transaction(engine) as session:
        return {
            "access": access_tokens.add(session, bob, token, now).secret,
            "refresh": refresh_tokens.add(session, bob, login, now),
            "ci": robots.add(session, root, AddRobot(name="ci", permissions=places, days=30), now).secret,
            "acme+ci": robots.add(
                session, root, AddRobot(name="ci", project="acme", permissions=places[:1], days=-1), now
            ).secret,
        }


@pytest.fixture
def give(engine, root, now):
    """Give a role in a project."""

    def set_role(user: str, role: str, project: str = "acme", **more) -> None:
        with transaction(engine) as session:
            members.set_role(session, root, SetMember(project=project, user=user, role=role, **more), now)

    return set_role


@pytest.mark.parametrize("projects", [[], ["acme"], ["acme", "open", "nowhere"]])
def test_each_kind_of_credential_is_one_statement(engine, secrets, now, projects):
    with statements(engine) as seen:
        standing.Standings(engine, 0).of_user("bob", projects, now)
        standing.Standings(engine, 0).of_access_token(digest(secrets["access"]), projects, now)
        standing.Standings(engine, 0).of_refresh_token(digest(secrets["refresh"]), projects, now)
        standing.Standings(engine, 0).of_robot("ci", digest(secrets["ci"]), projects, NOW)
    assert [statement.split()[0] for statement in seen] == ["SELECT"] * 4


@pytest.mark.parametrize("name", ["", "nobody", "Bob", "bob ", "robot$ci"])
def test_nobody_has_no_account_but_sees_the_projects(engine, cast, now, name):
    found = standing.Standings(engine, 0).of_user(name, ["acme", "open", "nowhere"], now)
    assert (found.account, found.machine, found.grants, dict(found.projects)) == (
        None,
        None,
        (),
        {"acme": ACME, "open": OPEN},
    )


def test_without_a_key_and_without_a_project_there_is_still_an_answer(engine, cast, now):
    found = standing.Standings(engine, 0).of_user("bob", [], now)
    assert (found.key, found.account.name, dict(found.projects), found.limit) == (None, "bob", {}, None)


@pytest.mark.parametrize(("name", "admin"), [("root", True), ("bob", False)])
def test_an_administrator_is_known_as_one(engine, cast, now, name, admin):
    assert standing.Standings(engine, 0).of_user(name, [], now).account.admin is admin


def test_a_disabled_account_is_known_as_one(engine, cast, root, now):
    with transaction(engine) as session:
        users.set_enabled(session, root, SetEnabled(name="bob", enabled=False), now)
    assert standing.Standings(engine, 0).of_user("bob", [], now).account.enabled is False


@pytest.mark.parametrize(
    ("projects", "grants"), [(["acme", "open"], (DEVELOPER,)), (["acme"], (DEVELOPER,)), (["open"], ()), ([], ())]
)
def test_a_role_is_there_where_it_was_given_and_asked_for(engine, cast, now, projects, grants):
    assert standing.Standings(engine, 0).of_user("bob", projects, now).grants == grants


def test_several_roles_in_one_project_are_several_grants(engine, cast, give, now):
    give("bob", "maintainer", pattern="acme/web-*")
    give("bob", "guest", pattern="acme/**", ends_at=now + 10)
    assert set(standing.Standings(engine, 0).of_user("bob", ["acme"], now).grants) == {
        DEVELOPER,
        make_grant("acme", Role.MAINTAINER, "acme/web-*"),
        make_grant("acme", Role.GUEST, "acme/**", now + 10),
    }


@pytest.mark.parametrize(("later", "there"), [(0, True), (9, True), (10, False), (11, False)])
def test_a_membership_ends_at_its_end(engine, cast, give, now, later, there):
    give("charlie", "guest", ends_at=now + 10)
    assert bool(standing.Standings(engine, 0).of_user("charlie", ["acme"], now + later).grants) is there


def test_an_ended_membership_hides_no_other(engine, cast, give, now):
    give("bob", "maintainer", pattern="acme/web-*", ends_at=now + 10)
    assert standing.Standings(engine, 0).of_user("bob", ["acme"], now + 10).grants == (DEVELOPER,)


def test_a_custom_role_gives_its_rights_as_one_grant(engine, cast, give, root, now):
    with transaction(engine) as session:
        roles.set_rights(session, root, SetRole(name="tester", rights=frozenset({PULL, PUSH})), now)
    give("charlie", "tester", pattern="acme/web")
    give("charlie", "tester", project="open")
    assert set(standing.Standings(engine, 0).of_user("charlie", ["acme", "open"], now).grants) == {
        Grant("tester", frozenset({PULL, PUSH}), "acme", "acme/web"),
        Grant("tester", frozenset({PULL, PUSH}), "open"),
    }


@pytest.mark.parametrize("role", ["system", "all", "robot"])
def test_a_role_named_as_something_else_is_a_role(engine, cast, give, root, now, role):
    with transaction(engine) as session:
        roles.set_rights(session, root, SetRole(name=role, rights=frozenset({PULL})), now)
    give("charlie", role)
    found = standing.Standings(engine, 0).of_user("charlie", ["acme"], now)
    assert (found.grants, found.system_rights) == ((Grant(role, frozenset({PULL}), "acme"),), frozenset())


def test_a_role_that_is_gone_gives_nothing():
    assert standing.rights_of("gone", ()) == frozenset()


def test_an_access_token_is_its_users_with_a_limit(engine, secrets, now):
    found = standing.Standings(engine, 0).of_access_token(digest(secrets["access"]), ["acme"], now)
    assert (found.account.name, found.grants, found.limit, found.machine.expires_at) == (
        "bob",
        (DEVELOPER,),
        Limit(frozenset({PULL}), ("acme/*",)),
        now + 90 * 86_400,
    )


def test_a_refresh_token_is_its_users_and_of_one_login(engine, secrets, now):
    found = standing.Standings(engine, 0).of_refresh_token(digest(secrets["refresh"]), ["acme"], now)
    assert (found.account.name, found.grants, found.limit) == ("bob", (DEVELOPER,), None)
    assert replace(found.machine, id=0) == standing.Machine(0, now + 30 * 86_400, False, "f", "authsvc", 7)


def test_a_revoked_refresh_token_is_known_as_one(engine, secrets, root, now):
    with transaction(engine) as session:
        refresh_tokens.revoke_all(session, root, now)
    assert standing.Standings(engine, 0).of_refresh_token(digest(secrets["refresh"]), [], now).machine.revoked


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
    found = standing.Standings(engine, 0).of_robot("ci", digest(secrets["ci"]), projects, NOW)
    assert (set(found.grants), found.system_rights) == (grants, frozenset({CATALOG}))


def test_a_projects_robot_has_its_rights_there_alone(engine, secrets):
    found = standing.Standings(engine, 0).of_robot(
        "acme+ci", digest(secrets["acme+ci"]), ["acme", "open", "library"], NOW
    )
    assert (found.grants, found.system_rights, found.machine.expires_at) == (
        (Grant("robot", frozenset({PULL}), "acme"),),
        frozenset(),
        None,
    )


def test_a_robot_is_no_administrator(engine, secrets):
    account = standing.Standings(engine, 0).of_robot("ci", digest(secrets["ci"]), [], NOW).account
    assert account == standing.Account("ci", "robot", 0, enabled=True, admin=False)


@pytest.mark.parametrize(
    ("name", "whose"), [("ci", "acme+ci"), ("acme+ci", "ci"), ("CI", "ci"), ("ci ", "ci"), ("ci", "access"), ("", "ci")]
)
def test_a_robots_name_and_secret_belong_together(engine, secrets, name, whose):
    found = standing.Standings(engine, 0).of_robot(name, digest(secrets[whose]), ["acme"], NOW)
    assert (found.account, found.machine, found.grants, found.system_rights) == (None, None, (), frozenset())


@pytest.mark.parametrize("wrong", ["refresh", "ci"])
def test_an_access_token_is_no_other_secret(engine, secrets, now, wrong):
    assert standing.Standings(engine, 0).of_access_token(digest(secrets[wrong]), [], now).account is None


@pytest.mark.parametrize("wrong", ["access", "ci"])
def test_a_refresh_token_is_no_other_secret(engine, secrets, now, wrong):
    assert standing.Standings(engine, 0).of_refresh_token(digest(secrets[wrong]), [], now).account is None


@pytest.mark.parametrize(("ends_at", "over"), [(None, False), (9, True), (10, True), (11, False)])
def test_a_credential_is_over_from_its_end_on(ends_at, over):
    assert standing.Machine(1, ends_at).is_over(10) is over


@pytest.mark.parametrize("role", sorted(PROJECT.keys() - {"systemAdmin", "everyone", "user", "visitor"}))
def test_a_built_in_role_gives_what_the_table_says(role):
    assert standing.rights_of(role, ()) == PROJECT[Role(role)]


class TestMemory:
    """What is remembered, for how long, and what ends it."""

    @pytest.fixture
    def clock(self) -> list[float]:
        return [100.0]

    @pytest.fixture
    def standings(self, engine, cast, clock) -> Standings:  # noqa: ARG002 (a fixture cannot be asked for in another way)
        return Standings(engine, grace=300, clock=lambda: clock[0])

    @pytest.fixture
    def asked(self, engine):
        with statements(engine) as seen:
            yield seen

    def test_what_was_asked_a_moment_ago_costs_no_statement(self, standings, asked, now):
        assert {standings.of_user("bob", ["acme"], now).grants for _ in range(3)} == {(DEVELOPER,)}
        assert len(asked) == 1

    def test_when_its_second_is_over_it_is_one_statement_for_everything(self, standings, clock, asked, now):
        standings.of_user("bob", ["acme"], now)
        standings.of_user("charlie", ["acme"], now)
        clock[0] += CHECK_SECONDS
        standings.of_user("bob", ["acme"], now)
        standings.of_user("charlie", ["acme"], now)
        assert len(asked) == 3

    def test_projects_asked_for_in_another_order_are_the_same(self, standings, asked, now):
        standings.of_user("bob", ["acme", "open"], now)
        standings.of_user("bob", ["open", "acme"], now)
        assert len(asked) == 1

    @pytest.mark.parametrize("other", [("bob", ["acme", "open"]), ("bob", []), ("charlie", ["acme"])])
    def test_another_question_is_another_statement(self, standings, asked, now, other):
        standings.of_user("bob", ["acme"], now)
        standings.of_user(*other, now)
        assert len(asked) == 2

    def test_a_change_counts_when_its_second_is_over(self, standings, clock, give, now):
        before = standings.of_user("charlie", ["acme"], now).grants
        give("charlie", "guest")
        clock[0] += CHECK_SECONDS
        assert (before, bool(standings.of_user("charlie", ["acme"], now).grants)) == ((), True)

    def test_a_change_drops_what_is_remembered_of_others_too(self, standings, clock, give, now):
        standings.of_user("charlie", ["acme"], now)
        give("charlie", "guest")
        clock[0] += CHECK_SECONDS
        standings.of_user("bob", ["acme"], now)
        assert standings.of_user("charlie", ["acme"], now).grants

    def test_it_can_be_asked_anew(self, standings, give, now):
        standings.of_user("charlie", ["acme"], now)
        give("charlie", "guest")
        assert standings.of_user("charlie", ["acme"], now, anew=True).grants

    def test_a_membership_ends_although_it_is_remembered(self, standings, give, now):
        give("charlie", "guest", ends_at=now + 10)
        ends = [bool(standings.of_user("charlie", ["acme"], now + later).grants) for later in (0, 9, 10)]
        assert ends == [True, True, False]

    @pytest.mark.parametrize("question", [("nobody", ["acme"]), ("bob", ["nowhere"]), ("", ["nowhere"])])
    def test_what_does_not_exist_is_not_remembered(self, standings, asked, now, question):
        for _ in range(2):
            standings.of_user(*question, now)
        assert len(asked) == 2

    def test_a_refused_login_leaves_everything_remembered(self, standings, clock, engine, bob, asked, now):
        standings.of_user("bob", ["acme"], now)
        with transaction(engine) as session:
            audit.refused_login(session, bob, "wrong", now)
        clock[0] += CHECK_SECONDS
        standings.of_user("charlie", ["acme"], now)
        del asked[:]
        standings.of_user("bob", ["acme"], now)
        assert asked == []

    def test_a_database_from_a_backup_is_believed(self, standings, engine, clock, give, now):
        for _ in range(3):
            give("charlie", "guest")
        standings.of_user("charlie", ["acme"], now)
        give("charlie", "developer")
        with transaction(engine) as session:
            session.execute(update(AuditHead).values(changes=1))
        clock[0] += CHECK_SECONDS
        assert standings.of_user("charlie", ["acme"], now).grants == (DEVELOPER,)
        assert standings.of_user("charlie", ["acme"], now).grants == (DEVELOPER,)


class TestOutage:
    """The database answered, and then no more."""

    @pytest.fixture
    def clock(self) -> list[float]:
        return [100.0]

    @pytest.fixture
    def standings(self, engine, secrets, clock, now) -> Standings:
        made = Standings(engine, grace=300, clock=lambda: clock[0])
        made.of_user("bob", ["acme"], now)
        made.of_access_token(digest(secrets["access"]), ["acme"], now)
        made._engine = make_engine("mysql+pymysql://root@127.0.0.1:1/authsvc", None, Path())
        return made

    @pytest.mark.parametrize("later", [CHECK_SECONDS, 300])
    def test_what_was_known_goes_on_for_pulls_alone(self, standings, clock, now, later):
        clock[0] += later
        found = standings.of_user("bob", ["acme"], now)
        assert (found.grants, found.limit) == ((DEVELOPER,), Limit(frozenset({PULL})))

    def test_an_access_tokens_limit_stays(self, standings, clock, secrets, now):
        clock[0] += CHECK_SECONDS
        found = standings.of_access_token(digest(secrets["access"]), ["acme"], now)
        assert found.limit == Limit(frozenset({PULL}), ("acme/*",))

    def test_then_it_ends(self, standings, clock, now):
        clock[0] += 301
        with pytest.raises(Unavailable):
            standings.of_user("bob", ["acme"], now)

    def test_what_was_not_known_is_unavailable(self, standings, now):
        with pytest.raises(Unavailable):
            standings.of_user("charlie", ["acme"], now)

    def test_zero_turns_it_off(self, standings, clock, now):
        standings._grace = 0
        clock[0] += CHECK_SECONDS
        with pytest.raises(Unavailable):
            standings.of_user("bob", ["acme"], now)
