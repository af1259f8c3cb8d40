import base64
import re
from concurrent.futures import ThreadPoolExecutor

import jwt
import pytest
from cryptography import x509
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import select, text

from authsvc import services as services_module
from authsvc.core import keys, members, projects, roles, users
from authsvc.core.login import Credentials
from authsvc.core.rights import system
from authsvc.core.sealing import Sealer
from authsvc.core.tokens import TokenRequest
from authsvc.db.tables import AuditEvent, Base, User
from authsvc.domain import certificates, permissions
from authsvc.domain.machine_secrets import Kind
from authsvc.domain.permissions import MEMBER_ROLES, Role
from authsvc.errors import Invalid, Misconfigured, Unauthenticated, Unavailable
from tests.core.conftest import statements
from tests.factories import (
    ORIGIN,
    PASSWORD,
    access,
    claims,
    give_robot,
    make_access_token,
    make_member,
    make_project,
    make_refresh_token,
    make_request,
    make_robot,
    make_user,
    secret_of,
)

NOW = 1_800_000_000
LATER = NOW + 3_600
NEW = "another-long-password"
DEPLOY = system("test")


@pytest.fixture
def tokens(built, cast, machines):
    # Times of last use are written by a thread of their own (tests/core/test_usage.py).
    built.callers._usage._written_at = LATER
    return built.tokens


@pytest.fixture
def machines(cast, built):
    """A robot of acme, and an access token and a refresh token of bob."""
    with built.transaction() as session:
        bob = session.scalars(select(User).where(User.name == "bob")).one()
        make_access_token(session, bob, "laptop")
        make_refresh_token(session, bob, "login")
        give_robot(session, make_robot(session, "ci"), "all", [permissions.PULL])


REFRESHING = {"AUTHSVC_TOKEN__REFRESH_TOKENS": "true"}
SHOWN = {
    "nobody": None,
    "password": Credentials("bob", PASSWORD),
    "robot": Credentials("robot$ci", secret_of(Kind.ROBOT, "ci")),
    "access-token": Credentials("bob", secret_of(Kind.ACCESS_TOKEN, "laptop")),
    "refresh-token": secret_of(Kind.REFRESH_TOKEN, "login"),
}
every_credential = pytest.mark.parametrize("shown", SHOWN.values(), ids=SHOWN)


def showing(shown: Credentials | str | None, *scopes: str, services: tuple[str, ...] = ()) -> TokenRequest:
    return TokenRequest(services, scopes, shown, ORIGIN)


def granted(
    tokens, *scopes: str, user: str = "", password: str = PASSWORD, at: int = NOW, services: tuple[str, ...] = ()
) -> dict[str, list[str]]:
    request = make_request(*scopes, user=user, password=password, services=services)
    return access(tokens.issue(request, at).token)


def audit_details(built) -> list[str]:
    with built.reading() as session:
        return list(session.scalars(select(AuditEvent.detail).where(AuditEvent.result == "refused")))


# What stands in a token


def test_the_claims_are_what_every_registry_reads(tokens):
    found = claims(tokens.issue(make_request("repository:acme/app:pull", user="bob"), NOW).token)
    assert {name: value for name, value in found.items() if name != "jti"} == {
        "iss": "authsvc",
        "sub": "bob",
        "aud": "authsvc",
        "exp": NOW + 300,
        "nbf": NOW - 30,
        "iat": NOW,
        "access": [{"type": "repository", "name": "acme/app", "actions": ["pull"]}],
    }


def test_the_id_of_a_token_is_its_own(tokens):
    assert len({claims(tokens.issue(make_request(), NOW).token)["jti"] for _ in range(20)}) == 20


def test_a_grant_says_what_the_token_says(tokens):
    grant = tokens.issue(make_request("repository:acme/app:pull", user="bob"), NOW)
    assert (grant.access, grant.lifetime) == (claims(grant.token)["access"], 300)


def test_the_subject_of_nobody_is_empty(tokens):
    assert claims(tokens.issue(make_request(), NOW).token)["sub"] == ""


def test_the_subject_has_one_form(tokens):
    assert claims(tokens.issue(make_request(user="BOB"), NOW).token)["sub"] == "bob"


def test_a_registry_that_trusts_the_ca_trusts_the_token(tokens, settings):
    token = tokens.issue(make_request(), NOW).token
    der = base64.b64decode(jwt.get_unverified_header(token)["x5c"][0], validate=True)
    leaf = x509.load_der_x509_certificate(der)
    ca = keys.load_ca(settings.paths.ca_certificate, settings.paths.ca_key)
    jwt.decode(
        token,
        leaf.public_key(),
        algorithms=["ES256"],
        options={"verify_aud": False, "verify_exp": False, "verify_nbf": False, "verify_iat": False},
    )
    assert certificates.is_signed_by(leaf, ca.certificate)


def test_the_header_names_the_key(tokens):
    header = jwt.get_unverified_header(tokens.issue(make_request(), NOW).token)
    leaf = x509.load_der_x509_certificate(base64.b64decode(header["x5c"][0]))
    assert (header["kid"], header["alg"]) == (certificates.key_id(leaf.public_key()), "ES256")


def test_a_rotation_is_one_row(tokens, built, settings):
    before = jwt.get_unverified_header(tokens.issue(make_request(), NOW).token)["kid"]
    ca = keys.load_ca(settings.paths.ca_certificate, settings.paths.ca_key)
    with built.transaction() as session:
        newer = keys.add(session, DEPLOY, ca, Sealer.from_file(settings.paths.master_key), NOW).key_id
    after = jwt.get_unverified_header(tokens.issue(make_request(), NOW).token)["kid"]
    assert (before != newer, after) == (True, newer)


def test_without_a_signing_key_one_is_told_what_to_do(engine, settings, cast):
    built = services_module.build(settings)
    with pytest.raises(Misconfigured, match="run `authsvc migrate`"):
        built.tokens.issue(make_request(), NOW)
    built.engine.dispose()


def test_a_doctors_token_may_delete_what_does_not_exist(tokens):
    found = claims(tokens.probe("elsewhere", "authsvc-doctor/x", NOW))
    assert (found["aud"], found["sub"], found["access"]) == (
        "elsewhere",
        "authsvc-doctor",
        [{"type": "repository", "name": "authsvc-doctor/x", "actions": ["delete"]}],
    )


# Which service


@pytest.mark.parametrize("services", [(), ("authsvc",)])
def test_the_service_is_ours_even_when_it_is_not_named(tokens, services):
    assert claims(tokens.issue(make_request(services=services), NOW).token)["aud"] == "authsvc"


@pytest.mark.parametrize("services", [("elsewhere",), ("",), ("authsvc", "authsvc"), ("authsvc", "elsewhere")])
def test_another_service_is_refused(tokens, services):
    with pytest.raises(Invalid, match="service"):
        tokens.issue(make_request(services=services), NOW)


OTHERS = {
    "AUTHSVC_SERVICES__MIRROR__KIND": "registry",
    "AUTHSVC_SERVICES__SIGNATURES__KIND": "notary",
    "AUTHSVC_SERVICES__SIGNATURES__HOSTS": "registry.example",
}
others = pytest.mark.parametrize("environment", [OTHERS], ids=["others"])


@others
@pytest.mark.parametrize("service", ["authsvc", "mirror", "signatures"])
def test_a_token_is_for_the_service_that_was_named(tokens, service):
    assert claims(tokens.issue(make_request(services=(service,)), NOW).token)["aud"] == service


@others
@pytest.mark.parametrize(
    ("user", "scope", "actions"),
    [
        ("alice", "repository:registry.example/acme/app:pull,push,*", ["*", "pull", "push"]),
        ("bob", "repository:registry.example/acme/app:pull,push,*", ["pull", "push"]),
        ("bob", "repository:acme/app:push", ["push"]),
        ("bob", "repository:elsewhere.example/acme/app:pull", []),
        ("", "repository:registry.example/open/app:pull,push", ["pull"]),
        ("alice", "repository:registry.example/acme/app:delete", []),
        ("root", "registry:catalog:*", []),
    ],
)
def test_notary_gets_what_it_asks_under_the_name_it_uses(tokens, user, scope, actions):
    resource = scope.rpartition(":")[0]
    assert granted(tokens, scope, user=user, services=("signatures",)) == ({resource: actions} if actions else {})


@others
def test_another_registry_gets_no_literal_wildcard(tokens):
    found = granted(tokens, "repository:acme/app:*", user="alice", services=("mirror",))
    assert found == {"repository:acme/app": ["delete", "pull", "push"]}


@others
def test_another_registry_knows_no_hosts(tokens):
    assert granted(tokens, "repository:registry.example/acme/app:pull", user="alice", services=("mirror",)) == {}


# The budget


@pytest.mark.parametrize("environment", [REFRESHING], ids=["refreshing"])
@every_credential
def test_a_request_costs_one_statement(tokens, built, shown):
    scopes = ["repository:acme/app:pull,push", "repository:open/app:pull", "repository:app:pull", "registry:catalog:*"]
    tokens.issue(showing(shown, *scopes), NOW)
    with statements(built.engine) as seen:
        tokens.issue(showing(shown, *scopes), NOW)
    assert (len(seen), seen[0][:6]) == (1, "SELECT")


@pytest.mark.parametrize("environment", [REFRESHING], ids=["refreshing"])
@every_credential
def test_a_request_writes_nothing(tokens, built, shown):
    def contents() -> dict[str, list]:
        with built.reading() as session:
            return {table.name: session.execute(select(table)).all() for table in Base.metadata.sorted_tables}

    # The first login from somewhere is remembered once a day (core/throttle.py).
    built.tokens.check(SHOWN["password"], ORIGIN, NOW)
    before = contents()
    tokens.issue(showing(shown, "repository:acme/app:pull,push"), NOW)
    assert contents() == before


def test_a_remembered_proof_costs_no_hash(tokens, built, monkeypatch):
    tokens.issue(make_request(user="bob"), NOW)
    monkeypatch.setattr(built.callers._login, "_backends", ())
    assert claims(tokens.issue(make_request(user="bob"), NOW).token)["sub"] == "bob"


def test_eight_clients_get_their_own_answers(tokens):
    asked = ["bob", "alice", "charlie", ""] * 8
    with ThreadPoolExecutor(8) as threads:
        found = threads.map(lambda user: claims(tokens.issue(make_request(user=user), NOW).token)["sub"], asked)
        assert list(found) == asked


# Who


@pytest.mark.parametrize(("user", "password"), [("bob", "wrong"), ("nobody", PASSWORD), ("bob", ""), ("", "x")])
def test_wrong_credentials_are_refused_even_where_anybody_may_pull(tokens, built, user, password):
    request = make_request("repository:open/app:pull", user=user or " ", password=password)
    with pytest.raises(Unauthenticated, match="wrong user name or password"):
        tokens.issue(request, NOW)


def test_a_disabled_user_is_refused_at_once(tokens, built):
    tokens.issue(make_request(user="bob"), NOW)
    with built.transaction() as session:
        users.set_enabled(session, DEPLOY, users.SetEnabled(name="bob", enabled=False), NOW)
    with pytest.raises(Unauthenticated, match="the account bob is disabled"):
        tokens.issue(make_request(user="bob"), NOW)


def test_the_refusal_of_a_disabled_user_is_audited(tokens, built):
    with built.transaction() as session:
        users.set_enabled(session, DEPLOY, users.SetEnabled(name="bob", enabled=False), NOW)
    with pytest.raises(Unauthenticated):
        tokens.issue(make_request(user="bob"), NOW)
    assert audit_details(built) == ["the account bob is disabled"]


def test_a_disabled_user_with_a_wrong_password_is_told_no_more_than_others(tokens, built):
    with built.transaction() as session:
        users.set_enabled(session, DEPLOY, users.SetEnabled(name="bob", enabled=False), NOW)
    with pytest.raises(Unauthenticated, match="wrong user name or password"):
        tokens.issue(make_request(user="bob", password="wrong"), NOW)


def test_an_enabled_user_is_let_in_at_once(tokens, built):
    for enabled in (False, True):
        with built.transaction() as session:
            users.set_enabled(session, DEPLOY, users.SetEnabled(name="bob", enabled=enabled), NOW)
    assert granted(tokens, "repository:acme/app:pull", user="bob") == {"repository:acme/app": ["pull"]}


def test_a_deleted_user_is_refused_at_once(tokens, built):
    tokens.issue(make_request(user="bob"), NOW)
    with built.transaction() as session:
        users.delete(session, DEPLOY, users.DeleteUser(name="bob"), NOW)
    with pytest.raises(Unauthenticated):
        tokens.issue(make_request(user="bob"), NOW)


def change_password(built, password: str = NEW) -> None:
    with built.transaction() as session:
        users.set_password(session, DEPLOY, users.SetPassword(name="bob", password=password), NOW)


def test_an_old_password_is_refused_at_once(tokens, built):
    tokens.issue(make_request(user="bob"), NOW)
    change_password(built)
    with pytest.raises(Unauthenticated):
        tokens.issue(make_request(user="bob"), NOW)


def test_a_new_password_works_at_once(tokens, built):
    tokens.issue(make_request(user="bob"), NOW)
    change_password(built)
    assert granted(tokens, "repository:acme/app:pull", user="bob", password=NEW) == {"repository:acme/app": ["pull"]}


def test_a_password_that_was_set_anew_to_the_same_still_works(tokens, built):
    tokens.issue(make_request(user="bob"), NOW)
    change_password(built, PASSWORD)
    assert claims(tokens.issue(make_request(user="bob"), NOW).token)["sub"] == "bob"


def test_a_password_that_changes_during_the_login_proves_nothing(tokens, built, monkeypatch):
    checked = built.callers._login._backends[0].check

    def change_meanwhile(name: str, password: str):
        found = checked(name, password)
        change_password(built, PASSWORD)
        return found

    monkeypatch.setattr(built.callers._login._backends[0], "check", change_meanwhile)
    with pytest.raises(Unauthenticated, match="wrong user name or password"):
        tokens.issue(make_request(user="bob"), NOW)


def test_a_password_that_is_set_once_during_the_login_is_asked_for_again(tokens, built, monkeypatch):
    checked = built.callers._login._backends[0].check
    changes = [NEW]

    def change_meanwhile(name: str, password: str):
        found = checked(name, password)
        while changes:
            change_password(built, changes.pop())
        return found

    monkeypatch.setattr(built.callers._login._backends[0], "check", change_meanwhile)
    with pytest.raises(Unauthenticated, match="wrong user name or password"):
        tokens.issue(make_request(user="bob"), NOW)


def test_a_user_who_comes_after_another_of_that_name_inherits_no_proof(tokens, built):
    add = users.AddUser(name="dave", password=PASSWORD)
    with built.transaction() as session:
        users.add(session, DEPLOY, add, NOW)
    tokens.issue(make_request(user="dave"), NOW)
    with built.transaction() as session:
        users.delete(session, DEPLOY, users.DeleteUser(name="dave"), NOW)
        users.add(session, DEPLOY, users.AddUser(name="dave", password=NEW), NOW)
    with pytest.raises(Unauthenticated):
        tokens.issue(make_request(user="dave"), NOW)


def test_a_database_that_does_not_answer_is_no_refusal(no_database, built, monkeypatch):
    monkeypatch.setattr(built.callers._standings, "_engine", no_database)
    with pytest.raises(Unavailable):
        built.tokens.issue(make_request(), NOW)


@pytest.mark.parametrize("environment", [REFRESHING], ids=["refreshing"])
@pytest.mark.parametrize("kind", SHOWN)
def test_a_grant_says_how_somebody_was_known(tokens, kind):
    assert tokens.issue(showing(SHOWN[kind]), NOW).via == {"nobody": "anonymous"}.get(kind, kind)


# What may they


def test_a_change_of_role_shows_in_the_next_token(tokens, built):
    before = granted(tokens, "repository:acme/app:pull,push", user="bob")
    with built.transaction() as session:
        members.set_role(session, DEPLOY, members.SetMember(project="acme", user="bob", role=Role.GUEST), NOW)
    after = granted(tokens, "repository:acme/app:pull,push", user="bob")
    assert (before, after) == ({"repository:acme/app": ["pull", "push"]}, {"repository:acme/app": ["pull"]})


def test_a_removed_member_is_a_stranger_in_the_next_token(tokens, built):
    tokens.issue(make_request(user="bob"), NOW)
    with built.transaction() as session:
        members.remove(session, DEPLOY, members.RemoveMember(project="acme", user="bob"), NOW)
    assert granted(tokens, "repository:acme/app:pull,push", user="bob") == {}


def test_a_project_that_became_private_is_closed_in_the_next_token(tokens, built):
    with built.transaction() as session:
        projects.set_public(session, DEPLOY, projects.SetPublic(name="open", public=False), NOW)
    assert granted(tokens, "repository:open/app:pull") == {}


def test_an_administrator_who_is_none_any_more_is_none_in_the_next_token(tokens, built):
    tokens.issue(make_request(user="root"), NOW)
    with built.transaction() as session:
        session.execute(text("UPDATE users SET admin = 0"))
    assert granted(tokens, "registry:catalog:*", "repository:acme/app:pull", user="root") == {}


@pytest.mark.parametrize(
    ("user", "scope", "actions"),
    [
        ("root", "repository:acme/app:*", ["delete", "pull", "push"]),
        ("root", "repository:nowhere/app:pull,push", []),
        ("root", "registry:catalog:*", ["*"]),
        ("alice", "registry:catalog:*", []),
        ("", "registry:catalog:*", []),
        ("alice", "repository:acme/app:*", ["delete", "pull", "push"]),
        ("bob", "repository:acme/app:*", ["pull", "push"]),
        ("bob", "repository:acme/app:delete", []),
        ("bob", "repository:app:pull", []),
        ("bob", "repository:acme:pull", []),
        ("root", "repository:app:pull,push", ["pull", "push"]),
        ("bob", "repository:host:5000/acme/app:pull", []),
        ("charlie", "repository:acme/app:pull", []),
        ("charlie", "repository:open/app:pull,push", ["pull"]),
        ("", "repository:open/app:pull,push,delete", ["pull"]),
        ("", "repository:acme/app:pull", []),
        ("root", "frobnicate:acme/app:pull", []),
    ],
)
def test_a_token_holds_what_was_asked_and_is_allowed(tokens, user, scope, actions):
    resource = scope.rpartition(":")[0]
    assert granted(tokens, scope, user=user) == ({resource: actions} if actions else {})


EVERYTHING, BOTH, PULL, NOTHING = {"pull", "push", "delete"}, {"pull", "push"}, {"pull"}, set()

# Who was given what, written down again: names of repositories, until when, Harbor's docker actions of that role.
MEMBERS, PRIVATE, PUBLIC, WEB = r"(private|public)/.+", r"private/.+", r"public/.+", r"private/web-[^/]*"
ANYWHERE, VISITED = r"(private|public|library)/.+|plain", r"(public|library)/.+|plain"
ORACLE: dict[str, list[tuple[str, int | None, set[str]]]] = {
    "admin": [(ANYWHERE, None, EVERYTHING)],
    "projectadmin": [(MEMBERS, None, EVERYTHING)],
    "maintainer": [(MEMBERS, None, EVERYTHING)],
    "developer": [(MEMBERS, None, BOTH)],
    "guest": [(MEMBERS, None, PULL)],
    "limitedguest": [(MEMBERS, None, PULL)],
    "weaver": [(WEB, None, BOTH)],
    "visitor": [(PRIVATE, LATER, BOTH)],
    "deleter": [(PRIVATE, None, {"pull", "delete"}), (PUBLIC, LATER, {"pull", "delete"})],
    "promoted": [(PRIVATE, None, PULL), (WEB, LATER, EVERYTHING), (r"private/.*a", None, {"pull", "push"})],
    "stranger": [],
    "": [],
    "robot$private+ci": [(PRIVATE, None, BOTH)],
    "robot$everywhere": [(ANYWHERE, None, {"pull", "delete"})],
    "robot$mixed": [(PUBLIC, None, {"push"}), (r"library/.+|plain", None, {"delete"})],
    "robot$idle": [],
}
# An access token: its owner, its actions, its patterns, and what they mean.
TOKENS: dict[str, tuple[str, str, str, str]] = {
    "all": ("admin", "pull push delete catalog", "", ".*"),
    "catalog": ("admin", "catalog", "", ".*"),
    "catalog-somewhere": ("admin", "catalog pull", "**", ".*"),
    "pull": ("maintainer", "pull", "", ".*"),
    "web": ("maintainer", "pull push delete", "private/web-* plain", WEB + "|plain"),
    "deep": ("promoted", "pull push delete", "private/**", PRIVATE),
    "ending": ("deleter", "delete push", "public/*", r"public/[^/]*"),
    "powerless": ("stranger", "pull push delete catalog", "", ".*"),
}
CALLERS = [*ORACLE, *TOKENS]
CATALOG_READERS = {"admin", "robot$mixed", "all", "catalog"}


@pytest.fixture
def playground(engine, built):
    """Every role in a private and in a public project, roles with limits, robots and access tokens."""
    built.callers._usage._written_at = LATER
    with built.transaction() as session:
        private, public = make_project(session, "private"), make_project(session, "public", public=True)
        library = make_project(session, "library", public=True)
        people = {name: make_user(session, name, admin=name == "admin") for name in ORACLE if name.isalpha()}
        for role in MEMBER_ROLES:
            make_member(session, private, people[role.value.lower()], role)
            make_member(session, public, people[role.value.lower()], role)
        rights = frozenset({permissions.PULL, permissions.DELETE})
        roles.set_rights(session, DEPLOY, roles.SetRole(name="deleter", rights=rights), NOW)
        make_member(session, private, people["weaver"], Role.DEVELOPER, pattern="private/web-*")
        make_member(session, private, people["visitor"], Role.DEVELOPER, ends_at=LATER)
        make_member(session, private, people["deleter"], "deleter")
        make_member(session, public, people["deleter"], "deleter", ends_at=LATER)
        make_member(session, private, people["promoted"], Role.GUEST)
        make_member(session, private, people["promoted"], Role.MAINTAINER, pattern="private/web-*", ends_at=LATER)
        make_member(session, private, people["promoted"], Role.DEVELOPER, pattern="private/**a")
        give_robot(session, make_robot(session, "private+ci"), "project", [permissions.PULL, permissions.PUSH], private)
        give_robot(session, make_robot(session, "everywhere"), "all", [permissions.PULL, permissions.DELETE])
        mixed = make_robot(session, "mixed")
        give_robot(session, mixed, "system", [permissions.CATALOG])
        give_robot(session, mixed, "project", [permissions.PUSH], public)
        give_robot(session, mixed, "project", [permissions.DELETE], library)
        make_robot(session, "idle")
        for name, (owner, actions, patterns, _) in TOKENS.items():
            make_access_token(session, people[owner], name, actions=actions, patterns=patterns)
    return built.tokens


def credentials_of(caller: str) -> Credentials | None:
    if caller in TOKENS:
        return Credentials(TOKENS[caller][0], secret_of(Kind.ACCESS_TOKEN, caller))
    if caller.startswith("robot$"):
        return Credentials(caller, secret_of(Kind.ROBOT, caller.removeprefix("robot$")))
    return Credentials(caller, PASSWORD) if caller else None


def allowed(caller: str, repository: str, at: int) -> set[str]:
    if caller in TOKENS:
        owner, actions, _, meaning = TOKENS[caller]
        return allowed(owner, repository, at) & set(actions.split()) if re.fullmatch(meaning, repository) else NOTHING
    given = [*ORACLE[caller], (VISITED, None, PULL)]
    return NOTHING.union(
        *(some for where, end, some in given if re.fullmatch(where, repository) and at < (end or at + 1))
    )


REPOSITORIES = ["private/a", "private/web-b", "private/web-b/c", "public/a", "public/b/c", "library/a", "plain"]
asked = st.lists(
    st.tuples(
        st.sampled_from([*REPOSITORIES, "nowhere/a", "PRIVATE/a"]),
        st.frozensets(st.sampled_from(["pull", "push", "delete", "*", "frobnicate"]), min_size=1),
    ),
    max_size=8,
)


@hypothesis_settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(caller=st.sampled_from(CALLERS), scopes=asked, at=st.sampled_from([NOW, LATER - 1, LATER]))
def test_every_token_says_what_was_given(playground, caller, scopes, at):
    expected: dict[str, set[str]] = {"registry:catalog": {"*"} if caller in CATALOG_READERS else NOTHING}
    for repository, actions in scopes:
        wanted = EVERYTHING if "*" in actions else actions
        expected.setdefault(f"repository:{repository}", set()).update(wanted & allowed(caller, repository, at))
    texts = [f"repository:{repository}:{','.join(actions)}" for repository, actions in scopes]
    grant = playground.issue(showing(credentials_of(caller), "registry:catalog:*", *texts), at)
    found = {resource: set(actions) for resource, actions in access(grant.token).items()}
    assert found == {resource: actions for resource, actions in expected.items() if actions}


@pytest.mark.parametrize("at", [NOW, LATER - 1, LATER])
def test_every_caller_gets_everything_that_was_given(playground, at):
    texts = [f"repository:{repository}:*" for repository in REPOSITORIES]
    found = {name: access(playground.issue(showing(credentials_of(name), *texts), at).token) for name in CALLERS}
    expected = {
        name: {f"repository:{one}": sorted(some) for one in REPOSITORIES if (some := allowed(name, one, at))}
        for name in CALLERS
    }
    assert found == expected
