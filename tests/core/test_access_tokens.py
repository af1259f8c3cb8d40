from dataclasses import replace

import pytest
from sqlalchemy import select

from authsvc.core import access_tokens, standing, users
from authsvc.core.access_tokens import DAY, AddToken
from authsvc.core.standings import Standings
from authsvc.core.usage import Usage
from authsvc.core.users import DeleteUser
from authsvc.db.engine import reading, transaction
from authsvc.db.tables import AccessToken, AuditEvent, Base
from authsvc.domain import machine_secrets
from authsvc.domain.machine_secrets import Kind
from authsvc.domain.permissions import CATALOG, DELETE, PULL, PUSH, Credential, Limit
from authsvc.errors import AlreadyExists, Forbidden, Invalid, NotFound


def token(user: str = "bob", name: str = "laptop", **more) -> AddToken:
    return AddToken(user=user, name=name, **more)


def names(session, actor, user: str) -> list[str]:
    return [listed.name for listed in access_tokens.list_all(session, actor, user)]


def last_event(session) -> tuple[str, str, str, str, str]:
    event = session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc()).limit(1)).one()
    return event.actor, event.action, event.object, event.result, event.detail


def found(engine, secret: str, now: int) -> standing.Standing:
    return Standings(engine, 0).of_access_token(machine_secrets.digest(secret), ["acme"], now)


@pytest.fixture
def made(engine, cast, bob, now) -> access_tokens.Made:
    """bob's `laptop`, with which he pulls and pushes for ninety days."""
    with transaction(engine) as session:
        return access_tokens.add(session, bob, token(), now)


# Limits


def test_a_token_pulls_and_pushes_for_ninety_days_unless_said_otherwise(made, now):
    stored = made.token
    assert (stored.actions, stored.patterns, stored.created_at, stored.expires_at) == (
        "pull push",
        "",
        now,
        now + 90 * DAY,
    )


@pytest.mark.parametrize(
    ("given", "limit"),
    [
        ({}, Limit(frozenset({PULL, PUSH}))),
        ({"actions": ("pull",)}, Limit(frozenset({PULL}))),
        ({"actions": ("pull", "pull")}, Limit(frozenset({PULL}))),
        ({"actions": ("pull", "push", "delete", "catalog")}, Limit(frozenset({PULL, PUSH, DELETE, CATALOG}))),
        ({"patterns": ("acme/web-*", "open/**")}, Limit(frozenset({PULL, PUSH}), ("acme/web-*", "open/**"))),
    ],
)
def test_a_token_is_limited_to_what_was_said(engine, cast, bob, now, given, limit):
    with transaction(engine) as session:
        secret = access_tokens.add(session, bob, token(**given), now).secret
    assert found(engine, secret, now).limit == limit


def test_a_token_stands_for_its_user(engine, made, now):
    seen = found(engine, made.secret, now)
    assert (seen.account.name, [grant.role for grant in seen.grants]) == ("bob", ["developer"])


@pytest.mark.parametrize(("days", "end"), [(1, DAY), (3650, 3650 * DAY), (None, None)])
def test_a_token_expires_after_its_days(engine, cast, bob, now, days, end):
    with transaction(engine) as session:
        secret = access_tokens.add(session, bob, token(days=days), now).secret
    machine = found(engine, secret, now).machine
    ends = (now + days * DAY - 1, now + days * DAY) if end else (now, now + 10_000 * DAY)
    assert (machine.expires_at, [machine.is_over(at) for at in ends]) == (end and now + end, [False, end is not None])


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": " laptop"}, "name"),
        ({"name": "lap\ntop"}, "name"),
        ({"name": "lap/top"}, "name"),
        ({"name": "a" * 101}, "name"),
        ({"days": 0}, "days"),
        ({"days": -1}, "days"),
        ({"days": 3651}, "days"),
        ({"actions": ()}, "actions"),
        ({"actions": ("pull", "*")}, "actions"),
        ({"actions": ("PULL",)}, "actions"),
        ({"patterns": ("",)}, "pattern"),
        ({"patterns": ("acme/app", "ACME/*")}, "pattern"),
        ({"patterns": ("acme/app open/app",)}, "pattern"),
        ({"patterns": ("a" * 256,)}, "pattern"),
    ],
)
def test_what_breaks_a_rule_is_refused(session, cast, bob, now, given, field):
    with pytest.raises(Invalid) as refused:
        access_tokens.add(session, bob, token(**given), now)
    assert list(refused.value.fields) == [field]


def test_all_that_is_wrong_is_said_at_once(session, cast, bob, now):
    with pytest.raises(Invalid) as refused:
        access_tokens.add(session, bob, token(name="", days=0, actions=(), patterns=("ACME",)), now)
    assert set(refused.value.fields) == {"name", "days", "actions", "pattern"}


@pytest.mark.parametrize("name", ["laptop", "Bob's laptop".replace("'", "."), "a" * 100, "ノート", "ci@host+1"])
def test_a_token_is_named_as_people_like(session, cast, bob, now, name):
    access_tokens.add(session, bob, token(name=name), now)
    assert names(session, bob, "bob") == [name]


def test_a_name_is_given_once(engine, made, bob, now):
    with pytest.raises(AlreadyExists, match="bob has a token laptop already"), transaction(engine) as session:
        access_tokens.add(session, bob, token(), now)


@pytest.mark.parametrize(("user", "name"), [("bob", "Laptop"), ("charlie", "laptop")])
def test_other_names_and_other_people_are_free(session, made, root, now, user, name):
    access_tokens.add(session, root, token(user, name), now)
    assert name in names(session, root, user)


# Whose


def test_bob_has_his_own_tokens(session, made, bob, alice):
    assert (names(session, bob, "BOB"), names(session, alice, "alice")) == (["laptop"], [])


def test_root_looks_after_everybodys(session, made, root, now):
    access_tokens.revoke(session, root, "bob", "laptop", now)
    assert names(session, root, "bob") == []


@pytest.mark.parametrize("who", ["alice", "charlie"])
@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        (access_tokens.add, [token(name="other"), 0]),
        (access_tokens.list_all, ["bob"]),
        (access_tokens.revoke, ["bob", "laptop", 0]),
    ],
)
def test_other_peoples_tokens_are_not_theirs(session, made, request, who, verb, arguments):
    with pytest.raises(Forbidden, match=f"{who} may not update user"):
        verb(session, request.getfixturevalue(who), *arguments)


@pytest.mark.parametrize("via", [Credential.ACCESS_TOKEN, Credential.REFRESH_TOKEN, Credential.ROBOT])
@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        (access_tokens.add, [token(name="other"), 0]),
        (access_tokens.list_all, ["bob"]),
        (access_tokens.revoke, ["bob", "laptop", 0]),
    ],
)
def test_a_machine_credential_makes_and_shows_no_tokens(session, made, bob, via, verb, arguments):
    with pytest.raises(Forbidden, match="bob may not"):
        verb(session, replace(bob, via=via), *arguments)


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        (access_tokens.add, [token("nobody"), 0]),
        (access_tokens.list_all, ["nobody"]),
        (access_tokens.revoke, ["nobody", "laptop", 0]),
        (access_tokens.revoke, ["bob", "Laptop", 0]),
        (access_tokens.revoke, ["alice", "laptop", 0]),
    ],
)
def test_what_is_not_there_is_not_found(session, made, root, verb, arguments):
    with pytest.raises(NotFound):
        verb(session, root, *arguments)


def test_tokens_are_listed_by_name(session, cast, bob, now):
    for name in ("b", "c", "a"):
        access_tokens.add(session, bob, token(name=name), now)
    assert names(session, bob, "bob") == ["a", "b", "c"]


# The end


def test_a_revoked_token_is_nobodys(engine, made, bob, now):
    with transaction(engine) as session:
        access_tokens.revoke(session, bob, "bob", "laptop", now)
    assert found(engine, made.secret, now).account is None


def test_with_a_user_go_their_tokens(engine, made, root, now):
    with transaction(engine) as session:
        users.delete(session, root, DeleteUser(name="bob"), now)
    assert found(engine, made.secret, now).account is None


# Secrets


def test_a_secret_is_stored_nowhere(engine, made, home):
    with reading(engine) as session:
        tables = Base.metadata.sorted_tables
        everything = "\n".join(str(tuple(row)) for table in tables for row in session.execute(select(table)))
    files = b"".join(path.read_bytes() for path in home.rglob("authsvc.db*"))
    secret = made.secret[4:47]
    assert (secret in everything, secret.encode() in files, machine_secrets.digest(made.secret) in everything) == (
        False,
        False,
        True,
    )


def test_a_secret_is_an_access_tokens_and_well_formed(made):
    kinds = [kind for kind in Kind if machine_secrets.is_kind(made.secret, kind)]
    assert (kinds, machine_secrets.is_well_formed(made.secret)) == ([Kind.ACCESS_TOKEN], True)


# Its use, and the audit trail


def test_the_last_use_is_written_down(engine, made, now):
    usage = Usage(engine)
    usage._written_at = now
    usage.used(Kind.ACCESS_TOKEN, found(engine, made.secret, now).machine, now + 5)
    usage.flush()
    with reading(engine) as session:
        assert session.scalars(select(AccessToken.last_used_at)).all() == [now + 5]


@pytest.mark.parametrize(
    ("given", "detail"),
    [({}, "pull push"), ({"actions": ("pull",), "patterns": ("acme/**", "open/*")}, "pull acme/** open/*")],
)
def test_a_new_token_is_audited(session, cast, bob, now, given, detail):
    access_tokens.add(session, bob, token(**given), now)
    assert last_event(session) == ("bob", "access-token.add", "bob/laptop", "ok", detail)


def test_a_revoked_token_is_audited(session, made, root, now):
    access_tokens.revoke(session, root, "bob", "laptop", now)
    assert last_event(session) == ("root", "access-token.revoke", "bob/laptop", "ok", "")
