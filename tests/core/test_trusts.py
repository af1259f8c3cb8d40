import pytest
from sqlalchemy import select

from authsvc.core import robots, trusts
from authsvc.core.robots import AddRobot, Permission, Reach
from authsvc.core.trusts import MAX_TRUSTS, AddTrust
from authsvc.db.tables import AuditEvent, RobotTrust
from authsvc.domain.permissions import PULL, PUSH, Actor, Credential, Grant, Right, Role
from authsvc.domain.trusts import Rule
from authsvc.errors import AlreadyExists, Forbidden, Invalid, NotFound
from authsvc.settings import FederationSettings, TokenSettings

GITHUB = "https://token.actions.githubusercontent.com"
PRIVATE = "https://gitlab.example.com"
MAIN = Rule("sub", "repo:acme/app:ref:refs/heads/main")


def command(robot: str = "acme+ci", issuer: str = GITHUB, **more) -> AddTrust:
    return AddTrust(**{"robot": robot, "issuer": issuer, "audience": "registry.example.com", "rules": (MAIN,)} | more)


@pytest.fixture
def two_robots(session, cast, root, now):
    """`acme+ci` pulls and pushes in acme, `ci` pulls everywhere."""
    within = Permission(Reach.PROJECT, frozenset({PULL, PUSH}), "acme")
    robots.add(session, root, AddRobot(name="ci", project="acme", permissions=(within,), days=30), now)
    everywhere = Permission(Reach.ALL, frozenset({PULL}))
    robots.add(session, root, AddRobot(name="ci", permissions=(everywhere,), days=30), now)


@pytest.fixture
def add(session, two_robots, settings, now):
    """Add a trust."""
    return lambda actor, *given, **more: trusts.add(session, actor, command(*given, **more), settings, now)


def audited(session) -> list[tuple[str, str, str]]:
    rows = session.scalars(select(AuditEvent).where(AuditEvent.action.like("robot.trust.%")).order_by(AuditEvent.id))
    return [(row.action, row.object, row.detail) for row in rows]


def test_a_trust_is_added_listed_and_removed(session, add, root, now):
    made = add(root)
    (listed,) = trusts.list_all(session, root)
    assert (listed.robot, listed.trust) == ("acme+ci", made)
    trusts.remove(session, root, "acme+ci", made.id, now)
    assert trusts.list_all(session, root) == []


def test_what_was_done_stands_in_the_audit_trail(session, add, root, now):
    trusts.remove(session, root, "acme+ci", add(root).id, now)
    said = f"{GITHUB} aud=registry.example.com {MAIN}"
    assert audited(session) == [("robot.trust.add", "acme+ci", said), ("robot.trust.remove", "acme+ci", said)]


def test_the_robots_trusts_are_listed_with_the_robot(session, add, root):
    add(root)
    add(root, audience="other")
    listed = {row.name: row.trusts for row in robots.list_all(session, root)}
    assert listed == {"acme+ci": (GITHUB,), "ci": ()}


def test_one_robots_trusts_are_listed(session, add, root):
    add(root)
    assert [trusts.list_all(session, root, name) for name in ("ci",)] == [[]]
    assert [row.robot for row in trusts.list_all(session, root, "acme+ci")] == ["acme+ci"]


def test_trusts_go_with_their_robot(session, add, root, now):
    add(root)
    robots.delete(session, root, "acme+ci", now)
    assert session.scalars(select(RobotTrust)).all() == []


def test_the_same_trust_is_added_once(add, root):
    add(root)
    add(root, rules=(Rule("repository", "acme/app"),))
    with pytest.raises(AlreadyExists, match="has this trust"):
        add(root)


def test_trusts_have_a_bound(add, root):
    for number in range(MAX_TRUSTS):
        add(root, audience=str(number))
    with pytest.raises(Invalid, match="at most"):
        add(root)


# Who may


def test_a_project_admin_enters_an_issuer_that_everybody_knows(add, alice):
    assert add(alice).issuer == GITHUB


def test_a_project_admin_enters_no_issuer_that_nobody_knows(add, alice):
    with pytest.raises(Forbidden, match="system administrator's to enter"):
        add(alice, issuer=PRIVATE)


def test_a_project_admin_enters_no_address_of_keys(add, alice):
    with pytest.raises(Forbidden, match="system administrator's to enter"):
        add(alice, jwks_url="https://internal.example.com/keys")


def test_a_project_admin_enters_an_issuer_that_an_administrator_entered(add, root, alice):
    add(root, "ci", PRIVATE, jwks_url="https://gitlab.example.com/keys")
    assert add(alice, "acme+ci", PRIVATE, jwks_url="https://gitlab.example.com/keys").id
    with pytest.raises(Forbidden):
        add(alice, "acme+ci", PRIVATE)


@pytest.mark.parametrize(
    ("who", "refused"),
    [("bob", (Forbidden, "may not update robot")), ("charlie", (NotFound, "there is no robot acme"))],
)
def test_others_may_not(session, add, root, now, request, who, refused):
    made, actor = add(root), request.getfixturevalue(who)
    with pytest.raises(refused[0], match=refused[1]):
        add(actor)
    with pytest.raises(refused[0], match=refused[1]):
        trusts.remove(session, actor, "acme+ci", made.id, now)


def test_a_stranger_lists_nothing(session, add, charlie):
    with pytest.raises(Forbidden):
        trusts.list_all(session, charlie)
    with pytest.raises(NotFound):
        trusts.list_all(session, charlie, "acme+ci")


def test_a_project_admin_has_no_say_about_a_systems_robot(session, add, alice):
    with pytest.raises(Forbidden):
        add(alice, "ci")


def test_nobody_opens_a_robot_that_is_stronger_than_they_are(add):
    dave = Actor("dave", Credential.PASSWORD, Role.USER, (Grant("r", frozenset({Right("robot", "update")}), "acme"),))
    with pytest.raises(Forbidden, match="cannot give repository:pull"):
        add(dave)


# What is refused


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"issuer": "http://gitlab.example.com"}, "begins with https"),
        ({"issuer": "authsvc"}, "not the address"),
        ({"jwks_url": "http://gitlab.example.com/keys"}, "begins with https"),
        ({"jwks_url": "https://"}, "jwks_url"),
        ({"audience": ""}, "for whom"),
        ({"rules": ()}, "whose jobs are meant"),
        ({"rules": (), "whole_issuer": True}, "whose jobs are meant"),
        ({"rules": (), "issuer": PRIVATE}, "everybody comes in"),
    ],
    ids=str,
)
def test_a_wrong_trust_is_refused(add, root, wrong, sentence):
    with pytest.raises(Invalid, match=sentence):
        add(root, **wrong)


def test_a_whole_private_issuer_is_trusted_when_that_is_meant(add, root):
    assert add(root, issuer=PRIVATE, rules=(), whole_issuer=True).rules == ()


def test_plain_http_is_a_setting(session, two_robots, root, settings, now):
    allowing = settings.model_copy(update={"federation": FederationSettings(allow_http=True)})
    assert (
        trusts.add(session, root, command(issuer="http://gitlab.local"), allowing, now).issuer == "http://gitlab.local"
    )


def test_our_own_tokens_are_never_trusted(session, two_robots, root, settings, now):
    ours = settings.model_copy(update={"token": TokenSettings(issuer="https://registry.example.com")})
    with pytest.raises(Invalid, match="own tokens"):
        trusts.add(session, root, command(issuer="https://registry.example.com"), ours, now)


@pytest.mark.parametrize("name", ["nobody", "CI", "robot$ci"])
def test_a_robot_that_does_not_exist_has_no_trusts(session, add, root, now, name):
    with pytest.raises(NotFound, match="no robot"):
        add(root, name)
    with pytest.raises(NotFound, match="no robot"):
        trusts.list_all(session, root, name)
    with pytest.raises(NotFound, match="no robot"):
        trusts.remove(session, root, name, 1, now)


def test_a_trust_of_another_robot_is_not_removed(session, add, root, now):
    made = add(root)
    with pytest.raises(NotFound, match="ci has no trust"):
        trusts.remove(session, root, "ci", made.id, now)
