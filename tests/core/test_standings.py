from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import update

from authsvc.core import audit
from authsvc.core.last_known import LastKnown
from authsvc.core.standings import CHECK_SECONDS, Standings
from authsvc.db.engine import make_engine, transaction
from authsvc.db.tables import AuditHead
from authsvc.domain.machine_secrets import digest
from authsvc.domain.permissions import PULL, Limit, Role
from authsvc.errors import Unavailable
from tests.core.conftest import statements
from tests.factories import make_grant

DEVELOPER = make_grant("acme", Role.DEVELOPER)
PULLS = replace(DEVELOPER, rights=frozenset({PULL}))


class TestMemory:
    """What is remembered, for how long, and what ends it."""

    @pytest.fixture
    def clock(self) -> list[float]:
        return [100.0]

    @pytest.fixture
    def standings(self, engine, cast, clock) -> Standings:  # noqa: ARG002 (a fixture cannot be asked for in another way)
        return Standings(engine, 300, clock=lambda: clock[0])

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
    def last_known(self) -> LastKnown:
        return LastKnown()

    @pytest.fixture
    def before(self, engine, cast, last_known, clock) -> Standings:  # noqa: ARG002
        """A process that the database answers."""
        return Standings(engine, 300, last_known, lambda: clock[0])

    @pytest.fixture
    def standings(self, before, secrets, last_known, clock, now) -> Standings:
        """Another process, which it never answered."""
        before.of_user("bob", ["acme"], now)
        before.of_access_token(digest(secrets["access"]), ["acme"], now)
        away = make_engine("mysql+pymysql://root@127.0.0.1:1/authsvc", None, Path())
        return Standings(away, 300, last_known, lambda: clock[0])

    @pytest.mark.parametrize("later", [0, CHECK_SECONDS, 300])
    def test_what_any_process_knew_goes_on_for_pulls_alone(self, standings, clock, now, later):
        clock[0] += later
        found = standings.of_user("bob", ["acme"], now)
        assert (found.grants, found.limit) == ((PULLS,), Limit(frozenset({PULL})))

    def test_an_access_tokens_limit_stays(self, standings, clock, secrets, now):
        clock[0] += CHECK_SECONDS
        found = standings.of_access_token(digest(secrets["access"]), ["acme"], now)
        assert found.limit == Limit(frozenset({PULL}), ("acme/*",))

    def test_then_it_ends(self, standings, clock, now):
        clock[0] += 301
        with pytest.raises(Unavailable):
            standings.of_user("bob", ["acme"], now)

    def test_it_lasts_from_the_last_answer_that_any_process_had(self, standings, before, clock, now):
        clock[0] += 200
        before.of_user("charlie", [], now)
        clock[0] += 200
        assert standings.of_user("bob", ["acme"], now).grants == (PULLS,)

    def test_a_change_that_any_process_saw_ends_it(self, standings, before, clock, give, now):
        give("bob", "guest")
        clock[0] += CHECK_SECONDS
        before.of_user("charlie", [], now)
        with pytest.raises(Unavailable):
            standings.of_user("bob", ["acme"], now)

    def test_what_was_asked_again_after_a_change_is_known_again(self, standings, before, clock, give, now):
        give("charlie", "guest")
        clock[0] += CHECK_SECONDS
        before.of_user("bob", ["acme"], now)
        assert standings.of_user("bob", ["acme"], now).grants == (PULLS,)

    @pytest.mark.parametrize("other", [("charlie", ["acme"]), ("bob", ["acme", "open"]), ("bob", [])])
    def test_what_was_not_known_is_unavailable(self, standings, now, other):
        with pytest.raises(Unavailable):
            standings.of_user(*other, now)

    def test_zero_turns_it_off(self, standings, now):
        standings._grace = 0
        with pytest.raises(Unavailable):
            standings.of_user("bob", ["acme"], now)
