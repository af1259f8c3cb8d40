import pytest
from sqlalchemy import select

from authsvc import services as services_module
from authsvc.core import groups, users
from authsvc.core.redirects import REFUSED
from authsvc.db.engine import reading
from authsvc.db.tables import AuditEvent, User
from authsvc.errors import NotFound, TooMany, Unauthenticated
from tests import provider as provider_module
from tests.factories import ORIGIN
from tests.provider import CLIENT, SECRET


@pytest.fixture
def provider():
    with provider_module.running() as started:
        started.claims |= {"preferred_username": "Dave", "email": "dave@example.com"}
        yield started


@pytest.fixture
def environment(provider) -> dict[str, str]:
    given = {"ISSUER": provider.url, "CLIENT_ID": CLIENT, "CLIENT_SECRET": SECRET, "LABEL": "Company login"}
    given |= {"ADMIN_GROUPS": "admins"}
    return {f"AUTHSVC_OIDC__KEYCLOAK__{name}": value for name, value in given.items()}


@pytest.fixture
def redirects(settings, cast):
    return services_module.build(settings).redirects


@pytest.fixture
def log_in(redirects, provider, now):
    """A whole login. `changed` is what the browser brings in place of what it should."""

    def whole(**changed):
        url, pending = redirects.start("keycloak", now)
        return redirects.finish("keycloak", pending, provider.authorize(url) | changed, ORIGIN, now)

    return whole


@pytest.fixture
def refusals(engine):
    def read() -> list[tuple[str, str, str]]:
        with reading(engine) as session:
            rows = session.scalars(select(AuditEvent).where(AuditEvent.result == "refused").order_by(AuditEvent.id))
            return [(row.actor, row.credential, row.detail) for row in rows]

    return read


@pytest.fixture
def user(engine):
    def read(name: str) -> User | None:
        with reading(engine) as session:
            return session.scalar(select(User).where(User.name == name))

    return read


def test_a_service_has_a_name_and_a_label(redirects):
    assert redirects.labels() == {"keycloak": "Company login"}


@pytest.mark.parametrize("name", ["google", "", "../x"])
def test_a_service_that_is_not_there_is_not_found(redirects, now, name):
    with pytest.raises(NotFound):
        redirects.start(name, now)
    with pytest.raises(NotFound):
        redirects.finish(name, None, {}, ORIGIN, now)


def test_an_account_is_made_at_the_first_login(log_in, user, provider):
    assert (log_in().name, user("dave").source, user("dave").subject, user("dave").email) == (
        "dave",
        "keycloak",
        "keycloak:74",
        "dave@example.com",
    )


def test_whoever_comes_back_is_the_same_whatever_they_are_called_now(log_in, user, provider):
    log_in()
    before = user("dave").id
    provider.claims["preferred_username"] = "david"
    assert (log_in().name, user("david").id, user("dave")) == ("david", before, None)


def test_another_person_of_the_same_name_is_refused(log_in, user, provider, refusals):
    log_in()
    provider.claims["sub"] = "75"
    with pytest.raises(Unauthenticated, match="the name dave is that of another account"):
        log_in()
    assert (user("dave").subject, refusals()[0][:2]) == ("keycloak:74", ("dave", "session"))


def test_a_name_that_is_a_local_users_is_refused(log_in, user, provider):
    provider.claims["preferred_username"] = "Alice"
    with pytest.raises(Unauthenticated, match=r"the name alice is that of another account \(from local\)"):
        log_in()
    assert user("alice").source == "local"


@pytest.mark.parametrize("name", ["anonymous", "robot$ci", "<script>", "a b", "x" * 200])
def test_a_name_that_is_none_here_is_refused(log_in, provider, name):
    provider.claims["preferred_username"] = name
    with pytest.raises(Unauthenticated, match="no user name here"):
        log_in()


def test_the_claim_replaces_the_groups(log_in, provider, session, root):
    provider.claims["groups"] = ["acme", "tools"]
    log_in()
    provider.claims["groups"] = ["tools", "open"]
    log_in()
    assert [group.name for group in groups.of_user(session, root, "dave")] == ["open", "tools"]


def test_an_administrators_group_makes_and_unmakes_administrators(log_in, provider, user):
    provider.claims["groups"] = ["admins"]
    log_in()
    was_one = user("dave").admin_by_source
    provider.claims["groups"] = []
    log_in()
    assert (was_one, user("dave").admin_by_source) == (True, False)


def test_a_disabled_account_stays_out(log_in, session, root, now, refusals):
    log_in()
    users.set_enabled(session, root, users.SetEnabled(name="dave", enabled=False), now)
    session.commit()
    with pytest.raises(Unauthenticated, match="this account is disabled"):
        log_in()
    assert refusals() == [("dave", "session", "this account is disabled")]


def test_a_bad_answer_is_told_to_administrators_alone(log_in, refusals, user):
    with pytest.raises(Unauthenticated, match=REFUSED):
        log_in(code="x")
    ((_, _, detail),) = refusals()
    assert (detail.startswith("keycloak: the provider gives no token for the code"), user("dave")) == (True, None)


def test_an_answer_that_nobody_waits_for_is_refused(redirects, now, refusals):
    with pytest.raises(Unauthenticated, match=REFUSED):
        redirects.finish("keycloak", None, {"code": "x", "state": "y"}, ORIGIN, now)
    assert refusals() == [("", "session", "keycloak: this browser began no login there")]


def test_many_bad_answers_are_not_looked_at(redirects, now, monkeypatch):
    for number in range(100):
        redirects._throttle.failed(None, ORIGIN.source, str(number), now)
    with pytest.raises(TooMany):
        redirects.finish("keycloak", None, {}, ORIGIN, now)


class TestWithoutOnboarding:
    @pytest.fixture
    def environment(self, environment) -> dict[str, str]:
        return environment | {"AUTHSVC_ONBOARD": "false"}

    def test_nobody_new_comes_in(self, log_in, user):
        with pytest.raises(Unauthenticated, match="dave has no account here yet"):
            log_in()
        assert user("dave") is None
