"""Connections, fail-over and the breaker, with real servers that stop, freeze and die."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from authsvc.errors import Unavailable
from authsvc.identity import Identity, Verdict
from authsvc.identity.ldap import LdapBackend
from authsvc.identity.ldap_pool import Servers
from tests.conftest import free_port
from tests.e2e.servers import until
from tests.factories import PASSWORD
from tests.identity import seed_slapd, servers

A, B = "ldap://a", "ldap://b"
# Ends what hangs; nothing here comes near it.
PATIENCE = 12


class Clock:
    """Time that passes only when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def two(clock) -> Servers:
    return Servers((A, B), 10, clock)


def test_servers_are_asked_in_their_order(two):
    assert two.order() == [A, B]


def test_one_that_failed_is_passed_over(two):
    two.failed(A, "gone")
    assert two.order() == [B]


def test_when_all_failed_all_are_asked(two):
    two.failed(A, "gone")
    two.failed(B, "gone")
    assert two.order() == [A, B]


def test_after_its_rest_one_login_tries_it_first_and_the_others_do_not(two, clock):
    two.failed(A, "gone")
    clock.now += 10
    assert (two.order(), two.order()) == ([A, B], [B])


def test_one_that_answers_is_preferred_again(two, clock):
    two.failed(A, "gone")
    clock.now += 10
    two.order()
    two.answered(A)
    assert two.order() == [A, B]


def test_after_three_failures_in_a_row_nobody_waits(two):
    for _ in range(3):
        two.all_failed()
    assert two.order() == []


def test_two_failures_are_not_enough(two):
    two.all_failed()
    two.all_failed()
    assert two.order() == [A, B]


def test_a_success_between_them_begins_anew(two):
    for _ in range(5):
        two.all_failed()
        two.all_failed()
        two.answered(B)
    assert two.order() == [A, B]


def test_one_login_in_each_cooldown_tries(two, clock):
    two.give_up()
    clock.now += 10
    assert (two.order(), two.order()) == ([A, B], [])


def test_its_success_lets_everybody_ask_again(two, clock):
    two.give_up()
    clock.now += 10
    two.order()
    two.answered(A)
    assert two.order() == [A, B]


def test_connections_are_used_again(plain, directory, make):
    with servers.stub(servers.relay(directory.url)) as between:
        backend = make(plain(urls=(between.url,)))
        for number in range(20):
            backend.check(f"person{number}", PASSWORD)
        assert between.opened == 2


def test_one_connection_is_enough(plain, directory, make):
    with servers.stub(servers.relay(directory.url)) as between:
        backend = make(plain(urls=(between.url,), pool_size=1))
        assert [backend.check("bob", PASSWORD).name for _ in range(3)] == ["bob"] * 3
        assert between.opened == 1


def test_a_connection_to_another_server_gives_up_its_place(plain, directory, make):
    with ExitStack() as stack:
        first, second = (stack.enter_context(servers.stub(servers.relay(directory.url))) for _ in range(2))
        backend = make(plain(urls=(first.url, second.url), pool_size=1))
        backend.check("bob", PASSWORD)
        backend.pool._servers.failed(first.url, "for this test")
        backend.check("bob", PASSWORD)
        until(lambda: (first.open_now, second.open_now) == (0, 1), "the first connection's end", PATIENCE)


def test_whoever_forgets_a_pool_leaves_no_connection_open(plain, directory):
    with servers.stub(servers.relay(directory.url)) as between:
        backend = LdapBackend("corp", plain(urls=(between.url,)))
        backend.check("bob", PASSWORD)
        del backend
        until(lambda: between.open_now == 0, "the connections' end", PATIENCE)


def test_the_service_binds_once_for_each_connection(plain, directory, make):
    with servers.stub(servers.relay(directory.url)) as between:
        backend = make(plain(urls=(between.url,)))
        for number in range(20):
            backend.check(f"person{number}", PASSWORD)
        assert between.sent.count(servers.SERVICE_PASSWORD.encode()) == 1


def test_connections_are_replaced_by_age(plain, directory, make, monkeypatch):
    with servers.stub(servers.relay(directory.url)) as between:
        backend = make(plain(urls=(between.url,), pool_age=300))
        backend.find("bob")
        real = time.monotonic
        monkeypatch.setattr(time, "monotonic", lambda: real() + 301)
        backend.find("bob")
        assert between.opened == 2


def test_waiting_for_a_connection_ends(plain, make):
    backend = make(plain(pool_size=1, wait=0.3))
    with backend.pool.turn(), pytest.raises(Unavailable, match="too many people"):
        backend.check("bob", PASSWORD)


def test_a_server_that_restarts_is_asked_again_without_a_failure(plain, tmp_path, authority, certificate, make):
    seed = servers.Seeded(tmp_path / "slapd", authority, certificate, seed_slapd.ldif())
    with seed.running() as first:
        backend = make(plain(urls=(first.url,)))
        backend.check("bob", PASSWORD)
    with seed.running():
        assert backend.check("bob", PASSWORD).name == "bob"


def refused_at_once(backend: LdapBackend) -> bool:
    """Whether a login is told that the directory is away without asking it."""
    try:
        backend.check("bob", PASSWORD)
    except Unavailable:
        return not backend.pool._servers.order()
    return False


def test_a_stopped_server_closes_the_breaker_and_its_return_opens_it(plain, tmp_path, authority, certificate, make):
    seed = servers.Seeded(tmp_path / "slapd", authority, certificate, seed_slapd.ldif())
    with seed.running() as first:
        backend = make(plain(urls=(first.url,), cooldown=0.2))
        backend.check("bob", PASSWORD)
    until(lambda: refused_at_once(backend), "the breaker's closing", PATIENCE)
    with seed.running():
        until(lambda: comes_in(backend), "a login", PATIENCE)


def comes_in(backend: LdapBackend) -> bool:
    try:
        return isinstance(backend.check("bob", PASSWORD), Identity)
    except Unavailable:
        return False


def test_a_frozen_server_is_no_answer_and_then_one_again(plain, mortal, make):
    backend = make(plain(urls=(mortal.url,), timeout=1, connect_timeout=1, cooldown=0.2))
    backend.check("bob", PASSWORD)
    with mortal.frozen(), pytest.raises(Unavailable):
        backend.check("bob", PASSWORD)
    until(lambda: comes_in(backend), "a login", PATIENCE)


def test_a_server_killed_in_mid_bind_is_no_answer(plain, mortal, make):
    def kill(data: bytes) -> bool:
        if PASSWORD.encode() in data:
            mortal.process.send_signal(signal.SIGKILL)
        return PASSWORD.encode() in data

    with servers.stub(servers.relay(mortal.url, kill)) as between:
        backend = make(plain(urls=(between.url,)))
        with pytest.raises(Unavailable):
            backend.check("bob", PASSWORD)


def test_a_bind_that_is_cut_off_is_tried_on_a_new_connection(plain, directory, make):
    seen = []

    def cut_once(data: bytes) -> bool:
        seen.extend([data] if PASSWORD.encode() in data else [])
        return PASSWORD.encode() in data and len(seen) == 1

    with servers.stub(servers.relay(directory.url, cut_once)) as between:
        assert make(plain(urls=(between.url,))).check("bob", PASSWORD).name == "bob"


def test_a_server_that_hangs_up_on_whoever_becomes_nobody_is_good_enough(plain, directory, make):
    def is_anonymous(data: bytes) -> bool:
        return b"\x04\x00\x80\x00" in data

    with servers.stub(servers.relay(directory.url, is_anonymous)) as between:
        backend = make(plain(urls=(between.url,)))
        assert [backend.check("bob", PASSWORD).name for _ in range(2)] == ["bob"] * 2


def test_a_wrong_password_is_not_tried_on_a_second_server(plain, directory, make):
    with ExitStack() as stack:
        first, second = (stack.enter_context(servers.stub(servers.relay(directory.url))) for _ in range(2))
        assert make(plain(urls=(first.url, second.url))).check("bob", "wrong-secret") is Verdict.REFUSED
        assert (first.sent.count(b"wrong-secret"), second.opened) == (1, 0)


@pytest.mark.parametrize("behave", [servers.silent, servers.junk, servers.cutting])
def test_the_next_server_is_asked_when_one_misbehaves(plain, directory, make, behave):
    with servers.stub(behave) as bad:
        backend = make(plain(urls=(bad.url, directory.url), connect_timeout=0.4))
        assert backend.check("bob", PASSWORD).name == "bob"


def test_a_server_that_is_busy_is_passed_over(plain, directory, make):
    busy = b"\x61\x07\x0a\x01\x33\x04\x00\x04\x00"
    with servers.stub(servers.agreeing(busy)) as bad:
        backend = make(plain(urls=(bad.url, directory.url)))
        assert backend.check("bob", PASSWORD).name == "bob"


def test_a_dead_server_costs_one_login_in_a_cooldown(plain, directory, make):
    with servers.stub(servers.silent) as bad:
        backend = make(plain(urls=(bad.url, directory.url), connect_timeout=0.4, cooldown=600))
        for number in range(5):
            backend.check(f"person{number}", PASSWORD)
        assert bad.opened == 1


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_logins_go_on_when_one_of_two_servers_dies(plain, directory, mortal, make, how):
    backend = make(plain(urls=(mortal.url, directory.url), connect_timeout=0.4, cooldown=600))

    def login(number: int) -> object:
        if number == 100:
            mortal.process.send_signal(how)
        return type(backend.check(f"person{number}", PASSWORD))

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(login, range(300)))
    mortal.process.send_signal(signal.SIGCONT)
    assert answers == [Identity] * 300


def test_the_preferred_server_is_asked_again_when_it_is_back(plain, directory, make):
    port = free_port()
    backend = make(plain(urls=(f"ldap://127.0.0.1:{port}", directory.url), cooldown=0.1))
    backend.check("bob", PASSWORD)
    with servers.stub(servers.relay(directory.url), port) as back:
        until(lambda: comes_in(backend) and back.opened > 0, "a login at the preferred server", PATIENCE)


def test_a_failure_and_a_return_are_each_logged_with_their_reason(plain, directory, make, caplog):
    port = free_port()
    backend = make(plain(urls=(f"ldap://127.0.0.1:{port}", directory.url), cooldown=0.1))
    backend.check("bob", PASSWORD)
    with servers.stub(servers.relay(directory.url), port) as back:
        until(lambda: comes_in(backend) and back.opened > 0, "a login at the preferred server", PATIENCE)
    assert ("refused" in caplog.records[0].facts["reason"], caplog.messages[-1]) == (True, "ldap.server_back")


def test_nothing_secret_is_logged(plain, mortal, make, caplog):
    caplog.set_level("DEBUG")
    backend = make(plain(urls=(mortal.url,), timeout=1, connect_timeout=1))
    backend.check("bob", PASSWORD)
    with mortal.frozen(), pytest.raises(Unavailable):
        backend.check("bob", PASSWORD)
    shown = caplog.text + repr([vars(record) for record in caplog.records])
    assert (PASSWORD in shown, servers.SERVICE_PASSWORD in shown) == (False, False)
