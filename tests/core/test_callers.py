import pytest
from sqlalchemy import select

from authsvc.core import access_tokens, robots, trusts, users
from authsvc.core.access_tokens import AddToken
from authsvc.core.callers import (
    DISABLED,
    MISSPELT,
    NO_PASSWORDS,
    WRONG,
    WRONG_REFRESH,
    WRONG_ROBOT,
    WRONG_TOKEN,
    RefreshCredential,
)
from authsvc.core.login import Credentials
from authsvc.core.refresh_tokens import NewToken
from authsvc.core.refresh_tokens import add as add_refresh
from authsvc.core.robots import AddRobot, ChangeRobot, Permission, Reach
from authsvc.core.trusts import AddTrust
from authsvc.core.users import SetEnabled
from authsvc.db.tables import AuditEvent
from authsvc.domain.permissions import CATALOG, PULL, Credential, Grant, Limit, Role
from authsvc.domain.trusts import Rule
from authsvc.errors import TooMany, Unauthenticated, Unavailable
from tests.conftest import NOW
from tests.factories import ORIGIN, PASSWORD, make_grant
from tests.issuer import AUDIENCE, github, running

DAY = 86_400
REFRESHING = {"TOKEN__REFRESH_TOKENS": "true"}


def setting(**values: str) -> pytest.MarkDecorator:
    """Run a test with these settings."""
    environment = {f"AUTHSVC_{name}": value for name, value in (REFRESHING | values).items()}
    return pytest.mark.parametrize("environment", [environment], ids=[""])


@pytest.fixture
def environment() -> dict[str, str]:
    return {f"AUTHSVC_{name}": value for name, value in REFRESHING.items()}


@pytest.fixture
def secrets(built, cast, root, bob) -> dict[str, str]:
    """bob's access token and refresh token, and the secret of the robot `ci`."""
    places = (
        Permission(Reach.PROJECT, frozenset({PULL}), "acme"),
        Permission(Reach.SYSTEM, frozenset({CATALOG})),
    )
    with built.transaction() as session:
        version = users.get(session, "bob").password_version
        login = NewToken(user="bob", service="authsvc", client="docker", password_version=version, days=30)
        return {
            "access": access_tokens.add(session, bob, AddToken(user="bob", name="laptop"), NOW).secret,
            "refresh": add_refresh(session, bob, login, NOW),
            "robot": robots.add(session, root, AddRobot(name="ci", permissions=places, days=30), NOW).secret,
        }


@pytest.fixture
def identify(built, secrets):
    """Show credentials; a refresh token's stands alone."""

    def ask(name: str, secret: str = PASSWORD, now: int = NOW):
        shown = Credentials(name, secrets.get(secret, secret)) if name else None
        return built.callers.identify(shown, ORIGIN, ["acme"], now)

    return ask


@pytest.fixture
def refresh(built, secrets):
    """Show a refresh token."""

    def ask(secret: str = "refresh", service: str = "authsvc", now: int = NOW):
        shown = RefreshCredential(secrets.get(secret, secret), service)
        return built.callers.identify(shown, ORIGIN, ["acme"], now)

    return ask


@pytest.fixture
def refusals(built):
    """Who was refused with which kind of credential, and why."""

    def read() -> list[tuple[str, str, str]]:
        with built.reading() as session:
            rows = session.scalars(select(AuditEvent).where(AuditEvent.action == "login").order_by(AuditEvent.id))
            return [(row.actor, row.credential, row.detail) for row in rows]

    return read


@pytest.fixture
def throttled(built, monkeypatch) -> list[tuple[object, ...]]:
    """What the throttle was asked and told."""
    seen: list[tuple[object, ...]] = []
    throttle = built.callers._throttle
    for name in ("check", "failed"):
        real = getattr(throttle, name)
        monkeypatch.setattr(throttle, name, lambda *given, n=name, r=real: seen.append((n, *given[:2])) or r(*given))
    return seen


def disable(built, root) -> None:
    with built.transaction() as session:
        users.set_enabled(session, root, SetEnabled(name="bob", enabled=False), NOW)


# Each kind in its way


@pytest.mark.parametrize(
    ("name", "secret", "kind"),
    [
        ("bob", PASSWORD, Credential.PASSWORD),
        ("bob", "access", Credential.ACCESS_TOKEN),
        ("BOB", "access", Credential.ACCESS_TOKEN),
        ("robot$ci", "robot", Credential.ROBOT),
        ("", "", Credential.ANONYMOUS),
    ],
)
def test_each_kind_of_credential_is_known_by_its_form(built, identify, secrets, name, secret, kind):
    shown = Credentials(name, secrets.get(secret, secret)) if name else None
    assert (built.callers.kind(shown), identify(name, secret).actor.via) == (kind, kind)


@pytest.mark.parametrize(
    ("name", "secret", "kind"),
    [
        ("robot$", "", Credential.ROBOT),
        ("robot$ci", "asp_x", Credential.ROBOT),
        ("robot", "asp_", Credential.ACCESS_TOKEN),
        ("bob", "ASP_x", Credential.PASSWORD),
        ("bob", "asr_x", Credential.PASSWORD),
        ("bob", "asf_x", Credential.PASSWORD),
        ("Robot$ci", "", Credential.PASSWORD),
        ("", "", Credential.PASSWORD),
    ],
)
def test_the_form_alone_says_the_kind(built, name, secret, kind):
    assert built.callers.kind(Credentials(name, secret)) is kind


def test_a_person_has_what_they_were_given(identify):
    actor = identify("Bob").actor
    assert (actor.name, actor.system, actor.grants, actor.limit) == (
        "bob",
        Role.USER,
        (make_grant("acme", Role.DEVELOPER),),
        None,
    )


def test_an_administrator_is_one(identify):
    assert identify("root").actor.system is Role.SYSTEM_ADMIN


def test_an_access_token_narrows_its_owner(identify):
    actor = identify("bob", "access").actor
    assert (actor.name, actor.grants, actor.limit) == (
        "bob",
        (make_grant("acme", Role.DEVELOPER),),
        Limit(frozenset(access_tokens.TOKEN_ACTIONS[one] for one in ("pull", "push"))),
    )


def test_a_robot_has_its_whole_name_and_no_role(identify):
    actor = identify("robot$ci", "robot").actor
    assert (actor.name, actor.system, actor.grants, actor.system_rights) == (
        "robot$ci",
        Role.EVERYONE,
        (Grant("robot", frozenset({PULL}), "acme"),),
        frozenset({CATALOG}),
    )


def test_a_refresh_token_is_its_user(refresh):
    actor = refresh().actor
    assert (actor.name, actor.via, actor.limit) == ("bob", Credential.REFRESH_TOKEN, None)


@pytest.mark.parametrize(("name", "secret"), [("", ""), ("bob", PASSWORD), ("bob", "access"), ("robot$ci", "robot")])
def test_everybody_comes_from_somewhere(identify, name, secret):
    actor = identify(name, secret).actor
    assert (actor.source, actor.request_id) == (ORIGIN.source, ORIGIN.request_id)


@setting(ROBOT_PREFIX="bot#")
def test_the_prefix_of_robots_is_a_setting(identify):
    assert identify("bot#ci", "robot").actor.name == "bot#ci"
    with pytest.raises(Unauthenticated, match=WRONG):
        identify("robot$ci", "robot")


# Wrong ones


@pytest.mark.parametrize(
    ("name", "secret", "kind", "reason"),
    [
        ("bob", "wrong", "password", WRONG),
        ("bob", "refresh", "password", WRONG),
        ("bob", "robot", "password", WRONG),
        ("bob", "", "password", WRONG),
        ("nobody", PASSWORD, "password", WRONG),
        ("alice", "access", "access-token", WRONG_TOKEN),
        ("nobody", "access", "access-token", WRONG_TOKEN),
        ("bob", "asp_wrong", "access-token", MISSPELT),
        ("robot$ci", "wrong", "robot", WRONG_ROBOT),
        ("robot$ci", "access", "robot", WRONG_ROBOT),
        ("robot$CI", "robot", "robot", WRONG_ROBOT),
        ("robot$other", "robot", "robot", WRONG_ROBOT),
        ("robot$", "robot", "robot", WRONG_ROBOT),
        ("robot$bob", PASSWORD, "robot", WRONG_ROBOT),
        ("robot$robot$ci", "robot", "robot", WRONG_ROBOT),
    ],
)
def test_a_wrong_credential_is_refused_and_audited_as_its_kind(identify, refusals, name, secret, kind, reason):
    with pytest.raises(Unauthenticated) as refused:
        identify(name, secret)
    assert (str(refused.value), refusals()) == (reason, [(name, kind, reason)])


@pytest.mark.parametrize(("secret", "service"), [("wrong", "authsvc"), ("access", "authsvc"), ("refresh", "other")])
def test_a_wrong_refresh_token_is_refused_and_audited_as_one(refresh, refusals, secret, service):
    with pytest.raises(Unauthenticated, match=WRONG_REFRESH):
        refresh(secret, service)
    assert [row[1:] for row in refusals()] == [("refresh-token", WRONG_REFRESH)]


@pytest.mark.parametrize(
    ("name", "secret", "days", "reason"), [("bob", "access", 90, WRONG_TOKEN), ("robot$ci", "robot", 30, WRONG_ROBOT)]
)
def test_a_credential_is_refused_from_its_end_on(identify, name, secret, days, reason):
    assert identify(name, secret, NOW + days * DAY - 1).actor.name == name
    with pytest.raises(Unauthenticated, match=reason):
        identify(name, secret, NOW + days * DAY)


def test_a_refresh_token_is_refused_from_its_end_on(refresh):
    with pytest.raises(Unauthenticated, match=WRONG_REFRESH):
        refresh(now=NOW + 30 * DAY)


def test_a_disabled_robot_is_refused(built, identify, root):
    with built.transaction() as session:
        robots.change(session, root, ChangeRobot(name="ci", enabled=False), NOW)
    with pytest.raises(Unauthenticated, match=WRONG_ROBOT):
        identify("robot$ci", "robot")


@pytest.mark.parametrize(("secret", "kind"), [(PASSWORD, "password"), ("access", "access-token")])
def test_a_disabled_owner_is_refused(built, identify, refusals, root, secret, kind):
    disable(built, root)
    with pytest.raises(Unauthenticated, match="the account bob is disabled"):
        identify("bob", secret)
    assert refusals() == [("bob", kind, "the account bob is disabled")]


def test_a_disabled_owners_refresh_token_is_refused(built, refresh, refusals, root):
    disable(built, root)
    with pytest.raises(Unauthenticated, match="the account bob is disabled"):
        refresh()
    assert refusals() == [("bob", "refresh-token", "the account bob is disabled")]


def test_a_refresh_credential_hides_its_secret():
    assert "asf_x" not in repr(RefreshCredential("asf_x", "authsvc"))


# Passwords switched off


@pytest.mark.parametrize(
    "environment",
    [{"AUTHSVC_TOKEN__PASSWORDS": "false"}, {"AUTHSVC_TOKEN__PASSWORDS_REFUSED_FROM": "ldap,local"}],
    ids=["everywhere", "of a source"],
)
def test_where_passwords_are_off_the_right_one_is_refused(identify, refusals):
    with pytest.raises(Unauthenticated, match=NO_PASSWORDS):
        identify("bob")
    assert refusals() == [("bob", "password", NO_PASSWORDS)]


@setting(TOKEN__PASSWORDS="false")
@pytest.mark.parametrize(("name", "secret"), [("bob", "access"), ("robot$ci", "robot"), ("", "")])
def test_where_passwords_are_off_machines_come_in(identify, name, secret):
    assert identify(name, secret).actor.name == name


@setting(TOKEN__PASSWORDS="false")
def test_where_passwords_are_off_a_wrong_one_learns_nothing(identify):
    with pytest.raises(Unauthenticated, match=WRONG):
        identify("bob", "wrong")


@setting(TOKEN__PASSWORDS_REFUSED_FROM="ldap")
def test_passwords_of_other_sources_stay_good(identify):
    assert identify("bob").actor.name == "bob"


REFUSED_WITH_PASSWORDS = [
    {"AUTHSVC_TOKEN__REFRESH_TOKENS": "false"},
    {"AUTHSVC_TOKEN__REFRESH_TOKENS": "true", "AUTHSVC_TOKEN__PASSWORDS": "false"},
    {"AUTHSVC_TOKEN__REFRESH_TOKENS": "true", "AUTHSVC_TOKEN__PASSWORDS_REFUSED_FROM": "local"},
]


@pytest.mark.parametrize("environment", REFUSED_WITH_PASSWORDS, ids=["off", "no passwords", "none of the source"])
def test_what_came_of_a_password_ends_with_passwords(refresh, refusals):
    with pytest.raises(Unauthenticated, match=WRONG_REFRESH):
        refresh()
    assert refusals() == [("bob", "refresh-token", WRONG_REFRESH)]


# The throttle


@pytest.mark.parametrize(("name", "secret"), [("bob", "access"), ("robot$ci", "robot")])
def test_a_good_machine_never_asks_the_throttle(identify, throttled, name, secret):
    identify(name, secret)
    assert throttled == []


@pytest.mark.parametrize(("name", "secret"), [("bob", "asp_wrong"), ("robot$ci", "wrong")])
def test_a_machine_that_failed_counts_for_its_source_alone(identify, throttled, name, secret):
    with pytest.raises(Unauthenticated):
        identify(name, secret)
    assert throttled == [("check", None, ORIGIN.source), ("failed", None, ORIGIN.source)]


def test_a_refresh_token_asks_the_throttle_only_after_it_failed(refresh, throttled):
    refresh()
    assert throttled == []
    with pytest.raises(Unauthenticated):
        refresh("wrong")
    assert [row[0] for row in throttled] == ["check", "failed"]


@setting(THROTTLE__SOURCE_FAILURES="1")
def test_a_source_with_too_many_failures_lets_good_machines_in(identify):
    with pytest.raises(Unauthenticated):
        identify("robot$ci", "wrong")
    with pytest.raises(TooMany):
        identify("robot$ci", "wrong again")
    assert [identify("robot$ci", "robot").actor.name, identify("bob", "access").actor.name] == ["robot$ci", "bob"]


# What is noted


@pytest.mark.parametrize(("name", "secret", "noted"), [("bob", "access", 1), ("robot$ci", "robot", 1), ("bob", "", 0)])
def test_the_use_of_a_machine_credential_is_noted(built, identify, monkeypatch, name, secret, noted):
    seen = []
    monkeypatch.setattr(built.callers._usage, "used", lambda *given: seen.append(given))
    identify(name, secret or PASSWORD)
    assert len(seen) == noted


@pytest.mark.parametrize(("name", "secret"), [("bob", "asp_wrong"), ("robot$ci", "wrong")])
def test_a_failure_is_no_use(built, identify, monkeypatch, name, secret):
    seen = []
    monkeypatch.setattr(built.callers._usage, "used", lambda *given: seen.append(given))
    with pytest.raises(Unauthenticated):
        identify(name, secret)
    assert seen == []


# Jobs, by identity tokens of an issuer that their robot trusts

FEDERATED = setting(FEDERATION__ALLOW_HTTP="true")
MAIN = Rule("ref", "refs/heads/main")


@pytest.fixture(scope="module")
def module_issuer():
    with running() as started:
        yield started


@pytest.fixture
def issuer(module_issuer, built, secrets, settings, root):
    """An issuer that the robot `ci` trusts where the branch is main."""
    command = AddTrust(robot="ci", issuer=module_issuer.url, audience=AUDIENCE, rules=(MAIN,))
    with built.transaction() as session:
        trusts.add(session, root, command, settings, NOW)
    return module_issuer


@pytest.fixture
def job(identify, issuer):
    """Show a job's token for a robot."""

    def ask(name: str = "robot$ci", now: int = NOW, **claims):
        return identify(name, issuer.sign(github(issuer.url, now, **claims)), now)

    return ask


@FEDERATED
def test_a_job_is_its_robot(job, identify):
    caller = job()
    assert caller.actor == identify("robot$ci", "robot").actor
    assert (caller.actor.name, caller.actor.via) == ("robot$ci", Credential.ROBOT)


@FEDERATED
def test_a_job_of_another_branch_is_refused_and_the_trail_says_why(job, refusals):
    with pytest.raises(Unauthenticated) as refused:
        job(ref="refs/heads/x")
    why = 'identity token refused: claim ref is "refs/heads/x", the rule wants refs/heads/main'
    assert (str(refused.value), refusals()) == (WRONG_ROBOT, [("robot$ci", "robot", why)])


@FEDERATED
def test_a_job_of_an_unknown_robot_is_refused(job, refusals):
    with pytest.raises(Unauthenticated, match=WRONG_ROBOT):
        job("robot$other")
    assert refusals() == [("robot$other", "robot", "identity token refused: there is no such robot")]


@FEDERATED
def test_a_robot_without_a_trust_takes_no_token(built, job, root, refusals):
    with built.transaction() as session:
        (listed,) = trusts.list_all(session, root)
        trusts.remove(session, root, "ci", listed.trust.id, NOW)
    with pytest.raises(Unauthenticated, match=WRONG_ROBOT):
        job()
    assert "no trust names" in refusals()[0][2]


@FEDERATED
def test_a_trust_that_was_removed_counts_for_a_token_that_was_just_good(built, job, root):
    job()
    with built.transaction() as session:
        trusts.remove(session, root, "ci", trusts.list_all(session, root)[0].trust.id, NOW)
    with pytest.raises(Unauthenticated, match=WRONG_ROBOT):
        job()


@FEDERATED
def test_a_disabled_robot_takes_no_token_that_was_just_good(built, job, root, refusals):
    job()
    with built.transaction() as session:
        robots.change(session, root, ChangeRobot(name="ci", enabled=False), NOW)
    with pytest.raises(Unauthenticated, match=WRONG_ROBOT):
        job()
    assert refusals() == [("robot$ci", "robot", "identity token refused: the robot is disabled")]


@FEDERATED
def test_a_robot_that_has_expired_takes_no_token(job, refusals):
    assert job(now=NOW + 30 * DAY - 1).actor.name == "robot$ci"
    with pytest.raises(Unauthenticated, match=WRONG_ROBOT):
        job(now=NOW + 30 * DAY)
    assert refusals() == [("robot$ci", "robot", "identity token refused: the robot has expired")]


@FEDERATED
@pytest.mark.parametrize("name", ["bob", "root", "ci"])
def test_a_persons_name_takes_no_identity_token(job, refusals, name):
    with pytest.raises(Unauthenticated, match=WRONG):
        job(name)
    assert refusals() == [(name, "password", WRONG)]


@FEDERATED
def test_a_good_job_never_asks_the_throttle_and_its_use_is_noted(built, job, throttled, monkeypatch):
    seen = []
    monkeypatch.setattr(built.callers._usage, "used", lambda *given: seen.append(given))
    job()
    assert (throttled, len(seen)) == ([], 1)


@FEDERATED
def test_a_refused_job_counts_for_its_source_alone(job, throttled):
    with pytest.raises(Unauthenticated):
        job(ref="refs/heads/x")
    assert throttled == [("check", None, ORIGIN.source), ("failed", None, ORIGIN.source)]


@setting(FEDERATION__ALLOW_HTTP="true", THROTTLE__SOURCE_FAILURES="1")
def test_a_source_with_too_many_refused_jobs_lets_good_ones_in(job):
    with pytest.raises(Unauthenticated):
        job(ref="refs/heads/x")
    with pytest.raises(TooMany):
        job(ref="refs/heads/y")
    assert job().actor.name == "robot$ci"


@FEDERATED
def test_while_the_issuer_is_away_jobs_are_told_so_and_nobody_else(built, identify, issuer, refusals):
    token = issuer.sign(github(issuer.url, NOW))
    issuer.stop()
    with pytest.raises(Unavailable, match="does not answer"):
        identify("robot$ci", token)
    issuer.start()
    assert [identify("robot$ci", "robot").actor.name, identify("bob").actor.name] == ["robot$ci", "bob"]
    assert refusals() == []


@pytest.mark.parametrize("name", ["bob", "BOB"])
def test_a_person_comes_in_to_the_site_with_a_password(built, cast, name):
    account = built.callers.person(Credentials(name, PASSWORD), ORIGIN, NOW)
    assert (account.name, account.source, account.enabled) == ("bob", "local", True)


@setting(TOKEN__PASSWORDS="false")
def test_the_site_takes_passwords_even_where_docker_does_not(built, cast):
    assert built.callers.person(Credentials("bob", PASSWORD), ORIGIN, NOW).name == "bob"


@pytest.mark.parametrize(
    ("name", "secret"),
    [("bob", "wrong"), ("nobody", PASSWORD), ("bob", "access"), ("bob", "refresh"), ("robot$ci", "robot")],
)
def test_nothing_else_comes_in_to_the_site(built, secrets, name, secret):
    with pytest.raises(Unauthenticated, match=WRONG):
        built.callers.person(Credentials(name, secrets.get(secret, secret)), ORIGIN, NOW)


def test_a_disabled_person_does_not_come_in_to_the_site(built, cast, root):
    with built.transaction() as session:
        users.set_enabled(session, root, SetEnabled(name="bob", enabled=False), NOW)
    with pytest.raises(Unauthenticated, match=DISABLED):
        built.callers.person(Credentials("bob", PASSWORD), ORIGIN, NOW)


@setting(TOKEN__PROOF_TTL="0")
def test_a_password_that_cannot_be_checked_anew_is_not_enough_for_the_site(built, cast, monkeypatch):
    built.callers.person(Credentials("bob", PASSWORD), ORIGIN, NOW)
    monkeypatch.setattr(built.callers._login, "_ask", unavailable)
    with pytest.raises(Unavailable, match="cannot be checked"):
        built.callers.person(Credentials("bob", PASSWORD), ORIGIN, NOW)


def unavailable(*_given):
    raise Unavailable("the directory does not answer")
