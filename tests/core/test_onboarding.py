from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from authsvc.core import groups, onboarding, users
from authsvc.core.groups import AddGroup
from authsvc.core.onboarding import admit
from authsvc.core.users import SetEnabled
from authsvc.db.engine import reading, transaction
from authsvc.db.tables import AuditEvent, Group, GroupUser, User
from authsvc.errors import Conflict, Unauthenticated, Unavailable
from authsvc.identity import Group as Seen
from authsvc.identity import Identity
from tests.core.conftest import statements
from tests.factories import make_user

STAFF, OPS = Seen("cn=staff,dc=org", "staff"), Seen("cn=ops,dc=org", "ops")
DAVE = Identity("corp:4", "dave", "dave@example.com", frozenset({STAFF, OPS}))


def let_in(engine, now, identity: Identity = DAVE, *, newcomers: bool = True):
    return admit(engine, "corp", identity, now, newcomers=newcomers)


def stored(engine, name: str = "dave") -> User:
    with reading(engine) as session:
        return session.scalars(select(User).where(User.name == name)).one()


def groups_of(engine, name: str = "dave") -> set[str]:
    inside = select(Group.name).join(GroupUser, GroupUser.group_id == Group.id)
    with reading(engine) as session:
        return set(session.scalars(inside.join(User, User.id == GroupUser.user_id).where(User.name == name)))


def events(engine) -> list[tuple[str, str, str]]:
    with reading(engine) as session:
        rows = session.scalars(select(AuditEvent).order_by(AuditEvent.id))
        return [(row.action, row.object, row.detail) for row in rows]


def named(name: str = "dave", **more) -> Identity:
    return Identity(**{"subject": "corp:4", "name": name, "email": DAVE.email, "groups": DAVE.groups} | more)


def test_the_first_time_makes_an_account_with_its_groups(engine, cast, now):
    admitted = let_in(engine, now)
    dave = stored(engine)
    assert (admitted.name, admitted.version) == ("dave", dave.password_version)
    assert (dave.source, dave.email, dave.enabled, dave.admin) == ("corp", "dave@example.com", True, False)
    assert groups_of(engine) == {"staff", "ops"}
    assert events(engine)[-1] == ("user.onboard", "dave", "corp:4")


def test_the_second_time_writes_nothing(engine, cast, now):
    first = let_in(engine, now)
    before = events(engine)
    assert (let_in(engine, now), events(engine)) == (first, before)


@pytest.mark.parametrize(
    ("identity", "detail"),
    [
        (named(email="d@example.com"), "address d@example.com"),
        (named(email="none"), "address none"),
        (named(admin=True), "administrator"),
        (named(groups=frozenset({STAFF})), "out of cn=ops,dc=org"),
        (named(groups=frozenset({STAFF, OPS, Seen("cn=new", "new")})), "into cn=new"),
        (named(groups=frozenset()), "out of cn=ops,dc=org; out of cn=staff,dc=org"),
    ],
)
def test_what_has_changed_is_written_down(engine, cast, now, identity, detail):
    let_in(engine, now)
    let_in(engine, now, identity)
    assert events(engine)[-1] == ("user.refresh", "dave", detail)
    assert groups_of(engine) == {group.name for group in identity.groups}


def test_a_newcomer_costs_few_statements_since_others_wait_meanwhile(engine, cast, now):
    let_in(engine, now)
    with statements(engine) as seen:
        let_in(engine, now, named("eve", subject="corp:5"))
    assert len(seen) == 1 + 8, seen  # the first before the others wait, the last four for the audit trail


def test_groups_that_a_source_says_nothing_of_stay(engine, cast, now):
    let_in(engine, now)
    let_in(engine, now, named(groups=None))
    assert groups_of(engine) == {"staff", "ops"}


def test_groups_of_our_own_stay(engine, cast, root, now):
    let_in(engine, now)
    with transaction(engine) as session:
        groups.add(session, root, AddGroup(name="friends"), now)
        groups.add_user(session, root, groups.Belonging(group="friends", user="dave"), now)
    let_in(engine, now, named(groups=frozenset()))
    assert groups_of(engine) == {"friends"}


def test_a_group_that_was_there_is_joined(engine, cast, root, now):
    with transaction(engine) as session:
        groups.add(session, root, AddGroup(name="Operators", source="corp", key=OPS.key), now)
    let_in(engine, now)
    assert groups_of(engine) == {"staff", "Operators"}


@pytest.mark.parametrize(
    "other",
    [AddGroup(name="ops"), AddGroup(name="ops", source="second", key=OPS.key)],
    ids=["ours", "another directory's"],
)
def test_a_group_whose_name_is_taken_is_called_by_its_key(engine, cast, root, now, other):
    with transaction(engine) as session:
        groups.add(session, root, other, now)
    let_in(engine, now)
    assert groups_of(engine) == {"staff", "cn=ops,dc=org"}


def test_two_groups_of_one_name_are_two(engine, cast, now):
    let_in(engine, now, named(groups=frozenset({Seen("cn=x,ou=a", "x"), Seen("cn=x,ou=b", "x")})))
    assert len(groups_of(engine)) == 2


def test_a_group_whose_key_cannot_be_stored_is_left_out(engine, cast, now):
    identity = named(groups=frozenset({STAFF, Seen("k" * 513, "long")}))
    let_in(engine, now, identity)
    before = events(engine)
    let_in(engine, now, identity)
    assert (groups_of(engine), events(engine)) == ({"staff"}, before)


def test_two_hundred_groups_are_joined(engine, cast, now):
    many = frozenset(Seen(f"cn=g{number},dc=org", f"g{number}") for number in range(200))
    let_in(engine, now, named(groups=many))
    assert len(groups_of(engine)) == 200


def test_who_is_renamed_keeps_the_account(engine, cast, now):
    let_in(engine, now)
    before = stored(engine).id
    admitted = let_in(engine, now, named("other"))
    assert (admitted.name, stored(engine, "other").id) == ("other", before)
    assert [event[:2] for event in events(engine)[-2:]] == [("user.rename", "dave"), ("user.refresh", "other")]


@pytest.mark.parametrize("columns", [{}, {"source": "corp", "subject": "corp:17"}], ids=["ours", "a predecessor's"])
def test_a_name_is_never_handed_on(engine, cast, now, columns):
    with transaction(engine) as session:
        make_user(session, "dave", **columns)
    with pytest.raises(Unauthenticated, match="the name dave is that of another account"):
        let_in(engine, now)


def test_nobody_is_renamed_to_somebody_else(engine, cast, now):
    let_in(engine, now)
    with pytest.raises(Unauthenticated, match="the name bob is that of another account"):
        let_in(engine, now, named("bob"))
    assert stored(engine).subject == "corp:4"


@pytest.mark.parametrize("name", ["dave/x", "smith, dave", "", "anonymous", "a" * 129])
def test_a_name_that_is_none_here_is_refused_with_what_to_do(engine, cast, now, name):
    with pytest.raises(Unauthenticated, match="choose another attribute for names"):
        let_in(engine, now, named(name))


def test_newcomers_may_have_to_wait(engine, cast, now):
    with pytest.raises(Unauthenticated, match="authsvc user import"):
        let_in(engine, now, newcomers=False)


def test_who_has_an_account_is_no_newcomer(engine, cast, now):
    let_in(engine, now)
    assert let_in(engine, now, newcomers=False).name == "dave"


def test_a_disabled_account_stays_disabled(engine, cast, root, now):
    let_in(engine, now)
    with transaction(engine) as session:
        users.set_enabled(session, root, SetEnabled(name="dave", enabled=False), now)
    let_in(engine, now, named(email=""))
    assert stored(engine).enabled is False


def test_who_vanished_and_is_back_is_let_in_again(engine, cast, now):
    let_in(engine, now)
    with transaction(engine) as session:
        dave = session.scalars(select(User).where(User.name == "dave")).one()
        dave.enabled, dave.vanished_at = False, now
    let_in(engine, now)
    assert (stored(engine).enabled, events(engine)[-1][2]) == (True, "is back")


def test_an_administrators_word_outlasts_a_return(engine, cast, root, now):
    let_in(engine, now)
    with transaction(engine) as session:
        dave = session.scalars(select(User).where(User.name == "dave")).one()
        dave.enabled, dave.vanished_at = False, now
        users.set_enabled(session, root, SetEnabled(name="dave", enabled=False), now)
    let_in(engine, now)
    assert stored(engine).enabled is False


def test_two_who_are_in_each_others_way_try_again(engine, cast, now, monkeypatch):
    failures = iter([Conflict("at the same time")] * 2)

    def fail_twice(session, actor, source, identity, now):
        for failure in failures:
            raise failure
        return real(session, actor, source, identity, now)

    real = onboarding.add
    monkeypatch.setattr(onboarding, "add", fail_twice)
    assert let_in(engine, now).name == "dave"


def test_whose_first_logins_come_together_has_one_account(engine, cast, now):
    with ThreadPoolExecutor(8) as threads:
        admitted = list(threads.map(lambda _: let_in(engine, now), range(24)))
    assert len(set(admitted)) == 1
    assert [event[:2] for event in events(engine)].count(("user.onboard", "dave")) == 1


def test_who_was_made_a_moment_ago_is_found_again(engine, cast, now, monkeypatch):
    first = let_in(engine, now)
    too_early, real = iter([None]), onboarding._find
    monkeypatch.setattr(onboarding, "_find", lambda *given: next(too_early, real(*given)))
    assert let_in(engine, now) == first


def test_who_was_deleted_meanwhile_is_new_again(engine, cast, now, monkeypatch):
    let_in(engine, now)

    def delete(user: User) -> None:
        with transaction(engine) as session:
            session.delete(session.get_one(User, user.id))

    def find_and_delete(session, identity):
        found = real(session, identity)
        next(deeds, lambda _: None)(found)
        return found

    deeds, real = iter([delete]), onboarding._find
    monkeypatch.setattr(onboarding, "_find", find_and_delete)
    let_in(engine, now, named(email="new@example.com"))
    assert (stored(engine).email, events(engine)[-1][0]) == ("new@example.com", "user.onboard")


def test_a_database_that_is_away_is_no_refusal(no_database, now):
    with pytest.raises(Unavailable):
        let_in(no_database, now)
