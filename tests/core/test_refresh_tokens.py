from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import select

from authsvc.core import access_tokens, refresh_tokens, users
from authsvc.core.access_tokens import AddToken
from authsvc.core.refresh_tokens import NewToken
from authsvc.core.standings import Standings
from authsvc.core.tokens import TokenRequest
from authsvc.core.users import DeleteUser, SetEnabled, SetPassword
from authsvc.db.tables import AuditEvent, Base, RefreshToken
from authsvc.domain import machine_secrets
from authsvc.domain.machine_secrets import Kind
from authsvc.domain.permissions import Credential
from authsvc.errors import Forbidden, NotFound, Unauthenticated
from tests.conftest import NOW
from tests.factories import ORIGIN, PASSWORD, access, claims, make_request

DAY = 86_400
SCOPE = "repository:acme/app:pull,push"
ENDED = "this login has ended"


@pytest.fixture
def environment() -> dict[str, str]:
    return {"AUTHSVC_TOKEN__REFRESH_TOKENS": "true", "AUTHSVC_SERVICES__NOTARY__KIND": "notary"}


@pytest.fixture
def rotating(environment) -> None:
    """Each use replaces the token."""
    environment["AUTHSVC_TOKEN__REFRESH_ROTATION"] = "true"


@pytest.fixture
def login(built, cast):
    """Log in with a password and ask for a refresh token; returns what came."""

    def ask(user: str = "bob", password: str = PASSWORD, now: int = NOW, **more):
        asked = make_request(user=user, password=password)
        return built.tokens.issue(replace(asked, **{"wants_refresh": True, "client": "docker"} | more), now)

    return ask


@pytest.fixture
def refresh(built):
    """Show a refresh token; returns what came."""

    def ask(secret: str, now: int = NOW, service: str = "authsvc"):
        return built.tokens.issue(TokenRequest((service,), (SCOPE,), secret, ORIGIN, True, "docker"), now)

    return ask


@pytest.fixture
def events(built):
    """Actor, credential, action, object, result and detail of the audit rows of one action."""

    def read(action: str) -> list[tuple[str, ...]]:
        with built.reading() as session:
            rows = session.scalars(select(AuditEvent).where(AuditEvent.action == action).order_by(AuditEvent.id))
            return [(row.actor, row.credential, row.object, row.result, row.detail) for row in rows]

    return read


def stored(built) -> list[RefreshToken]:
    with built.reading() as session:
        return list(session.scalars(select(RefreshToken).order_by(RefreshToken.id)))


# Who is given one


def test_who_asks_for_one_and_shows_a_password_is_given_one(built, login):
    secret = login().refresh_token
    kinds = [kind for kind in Kind if machine_secrets.is_kind(secret, kind)]
    assert (kinds, machine_secrets.is_well_formed(secret)) == ([Kind.REFRESH_TOKEN], True)


@pytest.mark.parametrize("environment", [{}], ids=[""])
def test_where_the_setting_is_off_nobody_is_given_one(built, login):
    assert (login().refresh_token, stored(built)) == (None, [])


def test_who_does_not_ask_is_not_given_one(built, login):
    assert (login(wants_refresh=False).refresh_token, stored(built)) == (None, [])


def test_nobody_is_not_given_one(built, login):
    assert (login(credentials=None).refresh_token, stored(built)) == (None, [])


def test_an_access_token_is_not_given_one(built, login, bob):
    with built.transaction() as session:
        secret = access_tokens.add(session, bob, AddToken(user="bob", name="laptop"), NOW).secret
    assert (login(password=secret).refresh_token, stored(built)) == (None, [])


def test_a_refresh_token_is_bound_to_its_login(built, login):
    login(client="x" * 300)
    (row,) = stored(built)
    with built.reading() as session:
        user = users.get(session, "bob")
    assert (row.user_id, row.password_version, row.service, row.client, row.expires_at) == (
        user.id,
        user.password_version,
        "authsvc",
        "x" * 255,
        NOW + 30 * DAY,
    )


def test_a_refresh_token_is_stored_nowhere(built, login, home):
    secret = login().refresh_token
    with built.reading() as session:
        tables = Base.metadata.sorted_tables
        everything = "\n".join(str(tuple(row)) for table in tables for row in session.execute(select(table)))
    files = b"".join(path.read_bytes() for path in home.rglob("authsvc.db*"))
    half = secret[4:47]
    assert (half in everything, half.encode() in files, machine_secrets.digest(secret) in everything) == (
        False,
        False,
        True,
    )


def test_a_new_refresh_token_is_audited(login, events):
    login()
    assert events("refresh-token.add") == [("bob", "password", "bob", "ok", "docker")]


# What it is good for


def test_a_refresh_gives_a_token_and_the_same_refresh_token(login, refresh):
    secret = login().refresh_token
    grant = refresh(secret)
    assert (claims(grant.token)["sub"], access(grant.token), grant.refresh_token, grant.via) == (
        "bob",
        {"repository:acme/app": ["pull", "push"]},
        secret,
        Credential.REFRESH_TOKEN,
    )


def test_a_refresh_token_is_good_for_its_service_alone(login, refresh, events):
    secret = login().refresh_token
    with pytest.raises(Unauthenticated, match=ENDED):
        refresh(secret, service="notary")
    assert [row[:2] for row in events("login")] == [("bob", "refresh-token")]
    assert refresh(secret).refresh_token == secret


def test_a_refresh_token_is_good_for_its_time(login, refresh):
    secret = login().refresh_token
    assert refresh(secret, NOW + 30 * DAY - 1).refresh_token == secret


def test_a_refresh_token_ends_with_its_time(login, refresh):
    secret = login().refresh_token
    with pytest.raises(Unauthenticated, match=ENDED):
        refresh(secret, NOW + 30 * DAY)


def test_a_change_of_password_ends_it(built, login, refresh, root):
    secret = login().refresh_token
    with built.transaction() as session:
        users.set_password(session, root, SetPassword(name="bob", password="another-long-password"), NOW)
    with pytest.raises(Unauthenticated, match=ENDED):
        refresh(secret)


def test_a_disabled_account_is_told_so(built, login, refresh, root):
    secret = login().refresh_token
    with built.transaction() as session:
        users.set_enabled(session, root, SetEnabled(name="bob", enabled=False), NOW)
    with pytest.raises(Unauthenticated, match="the account bob is disabled"):
        refresh(secret)


def test_with_a_user_go_their_refresh_tokens(built, login, refresh, root):
    secret = login().refresh_token
    with built.transaction() as session:
        users.delete(session, root, DeleteUser(name="bob"), NOW)
    with pytest.raises(Unauthenticated, match=ENDED):
        refresh(secret)


@pytest.mark.parametrize(
    ("secret", "reason"),
    [("", ENDED), ("nonsense", ENDED), ("asf_", "misspelt"), ("asf_" + "A" * 49, "misspelt")],
)
def test_what_is_no_refresh_token_is_refused(login, refresh, events, secret, reason):
    with pytest.raises(Unauthenticated, match=reason):
        refresh(secret)
    assert [row[:2] for row in events("login")] == [("", "refresh-token")]


# Revoking


def test_one_token_is_revoked(built, login, refresh, root, events):
    gone, left = login().refresh_token, login().refresh_token
    with built.transaction() as session:
        refresh_tokens.revoke(session, root, stored(built)[0].id, NOW)
    with pytest.raises(Unauthenticated, match=ENDED):
        refresh(gone)
    assert (refresh(left).refresh_token, [row[0] for row in events("refresh-token.revoke")]) == (left, ["root"])


def test_without_rotation_a_revoked_token_that_comes_back_was_not_copied(built, login, refresh, root, events):
    secret = login().refresh_token
    with built.transaction() as session:
        refresh_tokens.revoke_all(session, root, NOW)
    with pytest.raises(Unauthenticated, match=ENDED):
        refresh(secret)
    assert events("refresh-token.reuse") == []


def test_all_of_a_user_are_revoked(built, login, refresh, root, events):
    gone, left = [login("bob").refresh_token for _ in range(2)], login("charlie").refresh_token
    with built.transaction() as session:
        refresh_tokens.revoke_user(session, root, "Bob", NOW)
        seen = [listed.user for listed in refresh_tokens.list_all(session, root)]
    with pytest.raises(Unauthenticated, match=ENDED):
        refresh(gone[1])
    assert (seen, refresh(left).refresh_token) == (["charlie"], left)
    assert events("refresh-token.revoke") == [("root", "password", "bob", "ok", "all of this user")]


def test_all_are_revoked(built, login, root, events):
    for user in ("bob", "charlie"):
        login(user)
    with built.transaction() as session:
        refresh_tokens.revoke_all(session, root, NOW)
        assert refresh_tokens.list_all(session, root) == []
    assert events("refresh-token.revoke") == [("root", "password", "*", "ok", "")]


def test_what_was_revoked_before_is_not_found(built, login, root):
    login()
    with built.transaction() as session:
        refresh_tokens.revoke_all(session, root, NOW)
        with pytest.raises(NotFound, match="no refresh token"):
            refresh_tokens.revoke(session, root, stored(built)[0].id, NOW)


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        (refresh_tokens.revoke, [999, NOW]),
        (refresh_tokens.revoke_user, ["nobody", NOW]),
        (refresh_tokens.list_all, ["nobody"]),
    ],
)
def test_what_is_not_there_is_not_found(session, cast, root, verb, arguments):
    with pytest.raises(NotFound):
        verb(session, root, *arguments)


@pytest.mark.parametrize("who", ["alice", "bob", "charlie"])
@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        (refresh_tokens.list_all, []),
        (refresh_tokens.list_all, ["bob"]),
        (refresh_tokens.revoke, [1, NOW]),
        (refresh_tokens.revoke_user, ["bob", NOW]),
        (refresh_tokens.revoke_all, [NOW]),
    ],
)
def test_refresh_tokens_are_the_system_administrators(session, cast, request, who, verb, arguments):
    with pytest.raises(Forbidden, match=f"{who} may not"):
        verb(session, request.getfixturevalue(who), *arguments)


def test_refresh_tokens_are_listed_by_user(built, login, root):
    for user in ("charlie", "bob"):
        login(user)
    with built.reading() as session:
        every = refresh_tokens.list_all(session, root)
        bobs = refresh_tokens.list_all(session, root, "bob")
    assert [(row.user, row.service, row.client, row.created_at, row.expires_at) for row in every] == [
        ("bob", "authsvc", "docker", NOW, NOW + 30 * DAY),
        ("charlie", "authsvc", "docker", NOW, NOW + 30 * DAY),
    ]
    assert bobs == every[:1]


# Rotation


def test_each_use_replaces_the_token(rotating, built, login, refresh):
    first = login().refresh_token
    second = refresh(first).refresh_token
    third = refresh(second).refresh_token
    rows = stored(built)
    assert (len({first, second, third}), [row.revoked_at for row in rows]) == (3, [NOW, NOW, None])
    assert len({row.family for row in rows}) == 1


def test_a_successor_lives_its_own_days(rotating, built, login, refresh):
    refresh(login().refresh_token, NOW + 10 * DAY)
    assert stored(built)[1].expires_at == NOW + 40 * DAY


def test_a_replaced_token_that_comes_back_ends_its_whole_family(rotating, login, refresh):
    first = login().refresh_token
    second = refresh(first).refresh_token
    for secret in (first, second):
        with pytest.raises(Unauthenticated, match=ENDED):
            refresh(secret)


def test_a_replaced_token_that_comes_back_ends_no_other_family(rotating, login, refresh):
    first, other = login().refresh_token, login().refresh_token
    refresh(first)
    with pytest.raises(Unauthenticated, match=ENDED):
        refresh(first)
    assert refresh(other).refresh_token


def test_a_replaced_token_that_comes_back_is_audited(rotating, built, login, refresh, events):
    first = login().refresh_token
    refresh(first)
    with pytest.raises(Unauthenticated, match=ENDED):
        refresh(first)
    family = stored(built)[0].family
    assert events("refresh-token.reuse") == [("bob", "refresh-token", "bob", "refused", f"family {family}")]


def test_a_token_that_is_used_twice_at_once_has_one_successor(rotating, built, login, bob):
    login()
    row = stored(built)[0]
    found = Standings(built.engine, 0).of_refresh_token(row.secret_hash, [], NOW)
    new = NewToken(user="bob", service="authsvc", client="c", password_version=1, days=1, family=row.family)

    def rotate(_: int) -> str | None:
        with built.transaction() as session:
            return refresh_tokens.replace(session, bob, found, new, NOW)

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(rotate, range(8)))
    assert (made.count(None), len(stored(built))) == (7, 2)


def test_a_caller_without_a_token_replaces_none(session, cast, engine, bob):
    found = Standings(engine, 0).of_user("bob", [], NOW)
    new = NewToken(user="bob", service="authsvc", client="c", password_version=1, days=1)
    assert refresh_tokens.replace(session, bob, found, new, NOW) is None
