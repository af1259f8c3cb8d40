from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, func, select

from authsvc.core import audit, throttle
from authsvc.core.login import Credentials, Limits, Login
from authsvc.core.proofs import Proofs
from authsvc.core.throttle import DAY, HOUR, Throttle
from authsvc.db.engine import make_engine, reading, transaction
from authsvc.db.tables import FailedSecret, FailureCount, KnownSource
from authsvc.domain.permissions import Actor
from authsvc.errors import Forbidden, NotFound, TooMany, Unavailable
from authsvc.identity import Verdict
from authsvc.settings import ThrottleSettings
from tests.factories import make_user

KEY = b"k" * 32
HERE, THERE = "192.0.2.7", "198.51.100.9"
TABLES = (FailureCount, FailedSecret, KnownSource)


@pytest.fixture
def guard(engine) -> Throttle:
    return make_throttle(engine)


def make_throttle(engine: Engine, **numbers: int) -> Throttle:
    return Throttle(engine, KEY, ThrottleSettings(**numbers))


def address(number: int) -> str:
    """One of 65,536 addresses."""
    return f"10.0.{number // 256}.{number % 256}"


def fail(guard: Throttle, account: str | None, source: str, times: int, now: int, first: int = 0) -> None:
    """Different wrong secrets, checked by nobody."""
    for number in range(first, first + times):
        guard.failed(account, source, f"wrong {number}", now)


def guess(guard: Throttle, account: str | None, source: str, secret: str, now: int) -> bool:
    """Whether a wrong secret was looked at."""
    try:
        guard.check(account, source, now)
    except TooMany:
        return False
    guard.failed(account, source, secret, now)
    return True


def guesses_in_an_hour(guard: Throttle, account: str, sources: list[str], now: int) -> int:
    """How often somebody who loses no second guesses, from one source after the other."""
    guesses, second = 0, 0
    while second < HOUR:
        source = sources[guesses % len(sources)]
        waited = wait_for(guard, account, source, now + second)
        if not waited:
            guard.failed(account, source, f"wrong {guesses}", now + second)
            guesses += 1
        second += waited
    return guesses


def wait_for(guard: Throttle, account: str | None, source: str, now: int) -> int:
    """How long an attempt is told to wait; 0 when it is let through."""
    try:
        guard.check(account, source, now)
    except TooMany as refusal:
        return refusal.retry_after
    return 0


def rows(engine: Engine) -> dict[str, int]:
    with reading(engine) as session:
        return {table.__tablename__: session.scalar(select(func.count()).select_from(table)) for table in TABLES}


def failures(engine: Engine, account: str, source: str) -> int | None:
    with reading(engine) as session:
        return session.scalar(
            select(FailureCount.failures).where(FailureCount.account == account, FailureCount.source == source)
        )


class TestAnAccountFromASource:
    def test_the_first_four_failures_cost_nothing(self, guard, now):
        fail(guard, "alice", HERE, 4, now)
        guard.check("alice", HERE, now)

    @pytest.mark.parametrize(
        ("times", "seconds"), [(5, 1), (6, 2), (7, 4), (8, 8), (9, 16), (10, 32), (11, 60), (12, 60), (49, 60)]
    )
    def test_from_the_fifth_on_the_wait_doubles_up_to_a_minute(self, guard, now, times, seconds):
        fail(guard, "alice", HERE, times, now)
        assert wait_for(guard, "alice", HERE, now) == seconds

    def test_the_sentence_says_how_long(self, guard, now):
        fail(guard, "alice", HERE, 7, now)
        with pytest.raises(TooMany, match=r"^too many failed logins; try again in 3 seconds$"):
            guard.check("alice", HERE, now + 1)

    def test_after_the_wait_one_attempt_is_let_through(self, guard, now):
        fail(guard, "alice", HERE, 7, now)
        assert [wait_for(guard, "alice", HERE, now + 4) for _ in range(3)] == [0, 4, 4]

    def test_other_sources_and_other_accounts_do_not_wait(self, guard, now):
        fail(guard, "alice", HERE, 11, now)
        guard.check("alice", THERE, now)
        guard.check("bob", HERE, now)

    def test_a_success_ends_the_wait(self, guard, now):
        fail(guard, "alice", HERE, 11, now)
        guard.succeeded("alice", HERE, now + 60)
        guard.check("alice", HERE, now + 60)

    def test_a_success_of_one_account_ends_no_wait_of_another(self, guard, now):
        fail(guard, "alice", HERE, 11, now)
        guard.succeeded("mallory", HERE, now)
        assert wait_for(guard, "alice", HERE, now) == 60

    def test_an_hour_after_the_first_failure_the_count_begins_anew(self, guard, engine, now):
        fail(guard, "alice", HERE, 11, now)
        guard.check("alice", HERE, now + HOUR)
        fail(guard, "alice", HERE, 1, now + HOUR, first=11)
        assert failures(engine, "alice", HERE) == 1

    @pytest.mark.parametrize("typed", ["Alice", "ALICE", "ａｌｉｃｅ"])
    def test_however_a_name_is_typed_it_is_one_account(self, guard, now, typed):
        fail(guard, typed, HERE, 11, now)
        assert wait_for(guard, "alice", HERE, now) == 60

    def test_an_account_that_does_not_exist_waits_alike(self, guard, now):
        fail(guard, "nobody-of-that-name", HERE, 11, now)
        assert wait_for(guard, "nobody-of-that-name", HERE, now) == 60

    @pytest.mark.parametrize("typed", ["", "x" * 300, "a\x00b", "no names have blanks", "\ud800", "🐳"])
    def test_what_cannot_be_a_name_is_counted_for_its_source_alone(self, guard, engine, now, typed):
        fail(guard, typed, HERE, 11, now)
        guard.check(typed, HERE, now)
        assert (failures(engine, "", HERE), rows(engine)["failure_counts"]) == (11, 1)

    def test_a_success_without_a_name_resets_no_source(self, guard, engine, now):
        fail(guard, None, HERE, 3, now)
        guard.succeeded("", HERE, now)
        assert (failures(engine, "", HERE), rows(engine)["known_sources"]) == (3, 0)


class TestTheSameWrongSecret:
    def test_it_counts_once(self, guard, engine, now):
        for second in range(0, 2 * HOUR, 300):
            assert guess(guard, "alice", HERE, "outdated", now + second)
        assert failures(engine, "alice", HERE) == 1

    def test_after_a_quiet_hour_it_counts_again(self, guard, engine, now):
        guard.failed("alice", HERE, "outdated", now)
        guard.failed("alice", HERE, "outdated", now + HOUR)
        fail(guard, "alice", HERE, 1, now + HOUR)
        assert failures(engine, "alice", HERE) == 2

    def test_on_many_machines_it_is_one_failure_of_the_account(self, guard, engine, now):
        for number in range(60):
            guard.failed("alice", address(number), "outdated", now)
        assert (failures(engine, "alice", ""), failures(engine, "alice", address(7))) == (1, 1)

    def test_it_is_another_one_for_another_account(self, guard, engine, now):
        guard.failed("alice", HERE, "spring-2026", now)
        guard.failed("bob", HERE, "spring-2026", now)
        assert (failures(engine, "bob", HERE), failures(engine, "", HERE)) == (1, 2)

    def test_a_robots_counts_once(self, guard, engine, now):
        for _ in range(2):
            guard.failed(None, HERE, "outdated", now)
        assert failures(engine, "", HERE) == 1

    def test_secrets_are_kept_as_keyed_hashes(self, guard, engine, now):
        guard.failed("alice", HERE, "outdated", now)
        Throttle(engine, b"x" * 32, ThrottleSettings()).failed("alice", HERE, "outdated", now)
        with reading(engine) as session:
            kept = session.scalars(select(FailedSecret.digest)).all()
        assert (len(kept), "outdated" in "".join(kept)) == (4, False)

    def test_a_secret_that_is_no_unicode_counts(self, guard, engine, now):
        guard.failed("alice", HERE, "\udcff\x00", now)
        assert failures(engine, "alice", HERE) == 1


class TestAnAccountFromEverywhere:
    def test_from_the_fiftieth_on_unknown_sources_wait(self, guard, now):
        for number in range(56):
            guard.failed("alice", address(number), f"wrong {number}", now)
        assert wait_for(guard, "alice", THERE, now) == 60

    def test_before_that_they_do_not(self, guard, now):
        for number in range(49):
            guard.failed("alice", address(number), f"wrong {number}", now)
        guard.check("alice", THERE, now)

    def test_unknown_sources_share_one_turn(self, guard, now):
        for number in range(56):
            guard.failed("alice", address(number), f"wrong {number}", now)
        assert [wait_for(guard, "alice", source, now + 60) for source in (HERE, THERE)] == [0, 60]

    def test_a_thousand_addresses_guess_sixty_four_times_in_ten_minutes_and_admin_never_waits(self, guard, now):
        guard.succeeded("admin", HERE, now - DAY)
        looked_at = 0
        for attempt in range(3_000):
            second = now + attempt // 5
            looked_at += guess(guard, "admin", address(attempt % 1_000), f"wrong {attempt}", second)
            if attempt % 50 == 0:
                guard.check("admin", HERE, second)
                guard.succeeded("admin", HERE, second)
        assert looked_at == 50 + 6 + 8

    def test_within_an_hour_they_guess_as_often_as_documented(self, guard, now):
        assert guesses_in_an_hour(guard, "admin", [address(number) for number in range(200)], now) == 50 + 6 + 58

    def test_one_known_source_guesses_as_often_as_documented(self, guard, now):
        guard.succeeded("admin", HERE, now)
        assert guesses_in_an_hour(guard, "admin", [HERE], now) == 5 + 6 + 58

    def test_a_source_is_known_for_thirty_days(self, guard, now):
        guard.succeeded("alice", HERE, now)
        then = now + 30 * DAY
        for number in range(56):
            guard.failed("alice", address(number), f"wrong {number}", then - 1)
        assert [wait_for(guard, "alice", HERE, second) for second in (then - 1, then)] == [0, 59]

    def test_a_source_is_known_for_its_account_alone(self, guard, now):
        guard.succeeded("mallory", HERE, now)
        for number in range(56):
            guard.failed("alice", address(number), f"wrong {number}", now)
        assert wait_for(guard, "alice", HERE, now) == 60


class TestASource:
    def test_from_the_hundredth_failure_on_it_waits_for_the_end_of_the_window(self, guard, now):
        for number in range(100):
            guard.failed(f"user{number}", HERE, "spring-2026", now + number)
        assert wait_for(guard, "alice", HERE, now + 100) == 500

    def test_after_the_window_it_may_try_again(self, guard, now):
        fail(guard, None, HERE, 100, now)
        assert [wait_for(guard, None, HERE, now + second) for second in (599, 600)] == [1, 0]

    def test_machine_credentials_wait_for_it_alone(self, guard, now):
        fail(guard, None, HERE, 99, now)
        guard.check(None, HERE, now)
        fail(guard, None, HERE, 1, now, first=99)
        assert wait_for(guard, None, HERE, now) == 600

    def test_who_logged_in_from_it_does_not_wait(self, guard, now):
        guard.succeeded("alice", HERE, now - DAY)
        fail(guard, None, HERE, 100, now)
        guard.check("alice", HERE, now)
        assert wait_for(guard, "bob", HERE, now) == 600

    def test_who_logged_in_from_it_still_waits_for_their_own_failures(self, guard, now):
        guard.succeeded("alice", HERE, now)
        fail(guard, "alice", HERE, 11, now)
        assert wait_for(guard, "alice", HERE, now) == 60

    def test_a_thousand_logins_that_succeed_never_wait(self, guard, engine, now):
        for number in range(1_000):
            guard.check(f"node{number}", HERE, now)
            guard.succeeded(f"node{number}", HERE, now)
        assert rows(engine) == {"failure_counts": 0, "failed_secrets": 0, "known_sources": 1_000}

    def test_successes_do_not_reset_it(self, guard, now):
        for number in range(100):
            guard.failed(f"user{number}", HERE, "spring-2026", now)
            guard.succeeded("mallory", HERE, now)
        assert wait_for(guard, "alice", HERE, now) == 600

    def test_stuffing_ten_thousand_accounts_from_fifty_addresses_is_stopped(self, engine, now):
        guard = make_throttle(engine, source_failures=8)
        looked_at = sum(
            guess(guard, f"user{number}", address(number % 50), "leaked", now + number // 50)
            for number in range(10_000)
        )
        assert looked_at == 50 * 8

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9"),
            ("2001:db8:1:2::1", "2001:0DB8:1:2:0:0:0:1"),
            ("192.0.2.7", "::ffff:192.0.2.7"),
            ("fe80::1%eth0", "fe80::1"),
            ("", "unix:"),
            ("192.0.2.7, 10.0.0.1", "192.0.2.007"),
        ],
    )
    def test_these_are_one_source(self, one, other):
        assert throttle.prefixes(one) == throttle.prefixes(other)

    @pytest.mark.parametrize(
        ("one", "other"), [("2001:db8:1:2::1", "2001:db8:1:3::1"), ("192.0.2.7", "192.0.2.8"), ("192.0.2.7", "")]
    )
    def test_these_are_two(self, one, other):
        assert throttle.prefixes(one)[0] != throttle.prefixes(other)[0]

    def test_a_site_that_changes_its_networks_waits_after_ten_times_as_many(self, engine, now):
        guard = make_throttle(engine, source_failures=2)
        looked_at = sum(guess(guard, None, f"2001:db8:1:{n:x}::1", f"wrong {n}", now) for n in range(50))
        assert looked_at == 20


class TestALogin:
    class Refusing:
        """An identity source that refuses everybody, and counts whom it was asked about."""

        name = "refusing"
        asked = 0

        def check(self, *_: str) -> Verdict:
            self.asked += 1
            return Verdict.REFUSED

    @pytest.fixture
    def source(self) -> Refusing:
        return self.Refusing()

    @pytest.fixture
    def login(self, engine, guard, source) -> Login:
        return Login(engine, [source], guard, Proofs(), Limits(ttl=60, grace=0, room=8))

    def test_while_it_waits_no_source_is_asked(self, login, source, now):
        for number in range(5):
            login.prove(Credentials("alice", f"wrong {number}"), HERE, now)
        with pytest.raises(TooMany):
            login.prove(Credentials("ALICE", "wrong 5"), HERE, now)
        assert source.asked == 5

    def test_a_node_with_an_outdated_password_never_waits(self, login, source, now):
        for second in range(0, 600, 10):
            login.prove(Credentials("alice", "outdated"), HERE, now + second)
        assert source.asked == 60


class TestTheTables:
    def test_counts_survive_a_restart(self, engine, now):
        fail(make_throttle(engine), "alice", HERE, 11, now)
        assert wait_for(make_throttle(engine), "alice", HERE, now) == 60

    def test_failures_at_the_same_time_are_all_counted(self, engine, home, now):
        def fail_ten_times(first: int) -> None:
            own = make_engine("" if engine.name == "sqlite" else str(engine.url), None, home / "authsvc.db")
            fail(make_throttle(own), "alice", HERE, 10, now, first=first)
            own.dispose()

        with ThreadPoolExecutor(12) as threads:
            list(threads.map(fail_ten_times, range(0, 120, 10)))
        counted = [failures(engine, *key) for key in (("alice", HERE), ("alice", ""), ("", HERE))]
        assert counted == [120, 120, 120]

    def test_the_same_secret_at_the_same_time_counts_once(self, guard, engine, now):
        with ThreadPoolExecutor(12) as threads:
            list(threads.map(lambda _: guard.failed("alice", HERE, "outdated", now), range(60)))
        assert failures(engine, "alice", HERE) == 1

    def test_of_those_that_come_when_a_wait_is_over_one_is_let_through(self, guard, now):
        fail(guard, "alice", HERE, 11, now)
        with ThreadPoolExecutor(12) as threads:
            waits = list(threads.map(lambda _: wait_for(guard, "alice", HERE, now + 60), range(60)))
        assert waits.count(0) == 1

    def test_logins_of_all_kinds_at_the_same_time_end_well(self, guard, engine, now):
        def log_in(number: int) -> None:
            account, source = f"user{number % 3}", address(number % 5)
            guess(guard, account, source, f"wrong {number}", now + number)
            guard.succeeded(account, source, now + number)
            throttle.purge(engine, now + number)

        with ThreadPoolExecutor(12) as threads:
            list(threads.map(log_in, range(120)))
        assert rows(engine)["known_sources"] == 15

    def test_attempts_that_wait_add_no_rows(self, guard, engine, now):
        fail(guard, None, HERE, 100, now)
        before = rows(engine)
        assert not any(guess(guard, f"user{number}", HERE, f"wrong {number}", now) for number in range(100))
        assert rows(engine) == before

    def test_what_has_ended_is_purged(self, guard, engine, now):
        guard.succeeded("alice", HERE, now)
        fail(guard, "alice", HERE, 3, now)
        throttle.purge(engine, now + HOUR)
        assert rows(engine) == {"failure_counts": 0, "failed_secrets": 0, "known_sources": 1}

    def test_sources_are_forgotten_after_thirty_days(self, guard, engine, now):
        guard.succeeded("alice", HERE, now)
        throttle.purge(engine, now + 30 * DAY)
        assert rows(engine)["known_sources"] == 0

    def test_what_has_not_ended_stays(self, guard, engine, now):
        guard.succeeded("alice", HERE, now)
        fail(guard, "alice", HERE, 3, now)
        before = rows(engine)
        throttle.purge(engine, now + 599)
        assert rows(engine) == before

    def test_a_purge_takes_any_number(self, guard, engine, now, monkeypatch):
        monkeypatch.setattr(throttle, "PURGE_BATCH", 7)
        fail(guard, "alice", HERE, 30, now)
        throttle.purge(engine, now + HOUR)
        assert rows(engine) == {"failure_counts": 0, "failed_secrets": 0, "known_sources": 0}

    def test_a_second_success_within_a_day_writes_nothing(self, guard, engine, now):
        guard.succeeded("alice", HERE, now)
        guard.succeeded("alice", HERE, now + DAY - 1)
        with reading(engine) as session:
            assert session.scalars(select(KnownSource.ends_at)).all() == [now + 30 * DAY]

    def test_a_success_a_day_later_prolongs(self, guard, engine, now):
        guard.succeeded("alice", HERE, now)
        guard.succeeded("alice", HERE, now + DAY)
        with reading(engine) as session:
            assert session.scalars(select(KnownSource.ends_at)).all() == [now + 31 * DAY]

    def test_names_compare_byte_for_byte(self, engine, now):
        with transaction(engine) as session:
            for name in ("alice", "Alice", "alice ", "álice"):
                session.add(KnownSource(account=name, source=HERE, ends_at=now + 1))
            session.flush()
            wanted = select(KnownSource.account).where(KnownSource.account == "alice")
            assert session.scalars(wanted).all() == ["alice"]

    @pytest.mark.parametrize(
        "ask",
        [
            lambda guard, now: guard.check("alice", HERE, now),
            lambda guard, now: guard.failed("alice", HERE, "wrong", now),
        ],
        ids=["check", "failed"],
    )
    def test_without_a_database_nobody_is_let_through(self, no_database, now, ask):
        with pytest.raises(Unavailable):
            ask(make_throttle(no_database), now)

    def test_who_was_let_through_is_not_kept_out_by_what_cannot_be_written(self, no_database, now, caplog):
        make_throttle(no_database).succeeded("alice", HERE, now)
        assert "cannot be remembered" in caplog.text


class TestUnlock:
    @pytest.fixture
    def locked(self, guard, engine, now) -> Throttle:
        with transaction(engine) as session:
            make_user(session, "alice")
        fail(guard, "alice", HERE, 60, now)
        return guard

    @pytest.mark.parametrize("source", [HERE, THERE])
    def test_an_unlocked_account_does_not_wait(self, locked, engine, root, now, source):
        with transaction(engine) as session:
            assert throttle.unlock(session, root, "Alice", now) == "alice"
        locked.check("alice", source, now)

    def test_others_go_on_waiting(self, locked, engine, root, now):
        fail(locked, "bob", HERE, 11, now)
        with transaction(engine) as session:
            throttle.unlock(session, root, "alice", now)
        assert wait_for(locked, "bob", HERE, now) == 60

    @pytest.mark.usefixtures("locked")
    def test_it_is_in_the_audit_trail(self, engine, root, now):
        with transaction(engine) as session:
            throttle.unlock(session, root, "alice", now)
            (event,) = audit.list_newest(session, root, 1)
        assert (event.actor, event.action, event.object) == ("root", "user.unlock", "alice")

    def test_nobody_unlocks_a_user_who_does_not_exist(self, session, root, now):
        with pytest.raises(NotFound, match="no user nobody"):
            throttle.unlock(session, root, "nobody", now)

    def test_users_do_not_unlock_each_other(self, session, bob: Actor, now):
        with pytest.raises(Forbidden):
            throttle.unlock(session, bob, "alice", now)
