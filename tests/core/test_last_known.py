from dataclasses import replace

import pytest

from authsvc.core.last_known import LastKnown
from authsvc.core.standing import Account, Key, Machine, Standing, Way
from authsvc.domain.permissions import PULL, PUSH, Limit, Project, Role
from authsvc.domain.trusts import Rule, Trust
from tests.factories import make_grant

KEY = Key(Way.USER, "bob", "", frozenset({"acme", "open"}))
DEVELOPER = make_grant("acme", Role.DEVELOPER, "acme/web-*", 2_000_000_000)
BOB = Standing(
    key=7,
    account=Account("bob", "local", 3, enabled=True),
    machine=None,
    projects={"acme": Project("acme", public=False), "open": Project("open", public=True)},
    grants=(DEVELOPER,),
    system_rights=frozenset({PUSH}),
    limit=None,
)
MACHINE = Machine(5, 2_000_000_000, revoked=True, family="f", service="authsvc", version=3)


@pytest.fixture
def known() -> LastKnown:
    made = LastKnown()
    made.saw(1, 100.0)
    return made


def test_what_a_pull_needs_is_kept_and_nothing_else(known):
    known.keep(KEY, BOB, 1, 100.0)
    pulls = replace(DEVELOPER, rights=frozenset({PULL}))
    kept = replace(BOB, grants=(pulls,), system_rights=frozenset(), limit=Limit(frozenset({PULL})))
    assert known.find(KEY, 0.0) == kept


def test_a_grant_without_pulls_is_not_kept(known):
    known.keep(KEY, replace(BOB, grants=(replace(DEVELOPER, rights=frozenset({PUSH})),)), 1, 100.0)
    assert known.find(KEY, 0.0).grants == ()


def test_a_robots_trusts_are_kept(known):
    trusts = (Trust(1, "https://a", "b", "", (Rule("sub", "x"), Rule("ref", "y"))), Trust(2, "https://c", "d", "e", ()))
    known.keep(KEY, replace(BOB, trusts=trusts), 1, 100.0)
    assert known.find(KEY, 0.0).trusts == trusts


@pytest.mark.parametrize("machine", [None, MACHINE])
def test_a_machines_facts_are_kept(known, machine):
    known.keep(KEY, replace(BOB, machine=machine), 1, 100.0)
    assert known.find(KEY, 0.0).machine == machine


@pytest.mark.parametrize(
    ("limit", "kept"),
    [
        (Limit(frozenset({PULL, PUSH}), ("acme/*",)), Limit(frozenset({PULL}), ("acme/*",))),
        (Limit(frozenset({PUSH})), Limit(frozenset())),
    ],
)
def test_a_limit_stays_one(known, limit, kept):
    known.keep(KEY, replace(BOB, limit=limit), 1, 100.0)
    assert known.find(KEY, 0.0).limit == kept


def test_nobody_is_kept_too(known):
    key, nobody = Key(Way.USER, "", "", frozenset()), Standing(None, None, None, {}, (), frozenset(), None)
    known.keep(key, nobody, 1, 100.0)
    assert known.find(key, 0.0).account is None


@pytest.mark.parametrize(
    "other",
    [KEY._replace(name="charlie"), KEY._replace(projects=frozenset({"acme"})), KEY._replace(way=Way.ROBOT)],
    ids=["person", "projects", "way"],
)
def test_another_question_has_no_answer(known, other):
    known.keep(KEY, BOB, 1, 100.0)
    assert known.find(other, 0.0) is None


@pytest.mark.parametrize(("since", "is_there"), [(100.0, True), (100.1, False)])
def test_nothing_is_known_when_the_database_has_not_answered_since(known, since, is_there):
    known.keep(KEY, BOB, 1, 100.0)
    assert (known.find(KEY, since) is not None) is is_there


def test_a_change_ends_what_was_known_before_it(known):
    known.keep(KEY, BOB, 1, 100.0)
    known.saw(2, 101.0)
    assert known.find(KEY, 0.0) is None


def test_an_answer_that_comes_late_undoes_no_change(known):
    known.keep(KEY, BOB, 1, 100.0)
    known.saw(2, 101.0)
    known.saw(1, 100.5)
    assert known.find(KEY, 0.0) is None


def test_what_has_no_room_is_not_known(known):
    projects = {f"project-{number}": Project(f"project-{number}", public=False) for number in range(200)}
    known.keep(KEY, replace(BOB, projects=projects), 1, 100.0)
    assert known.find(KEY, 0.0) is None
