"""TLS with real certificates, and servers that misbehave. Each has half a second here."""

import datetime
import threading

import pytest

from authsvc.errors import Unavailable
from authsvc.identity import ldap_wire
from authsvc.identity.ldap_wire import Deadline, Down, address_of, connect, make_context, open_wire, resolve
from tests.conftest import free_port
from tests.factories import PASSWORD
from tests.identity import seed_slapd, servers
from tests.identity.servers import Authority

LIMIT = 0.5
# Ends what hangs, for which a server that drips has no end of its own.
pytestmark = pytest.mark.timeout(60)


def reason(settings) -> str:
    """Why a connection could not be opened; empty where it could."""
    try:
        open_wire(settings, make_context(settings), settings.urls[0], Deadline(5)).strategy.close()
    except Down as exc:
        return str(exc)
    return ""


@pytest.fixture(scope="module")
def expired(tmp_path_factory, authority):
    """A server whose certificate has ended."""
    certificate = authority.issue("expired.example.com", age=-datetime.timedelta(days=1))
    with servers.Seeded(
        tmp_path_factory.mktemp("expired"), authority, certificate, seed_slapd.ldif()
    ).running() as started:
        yield started


@pytest.fixture(scope="module")
def demanding(tmp_path_factory, authority, certificate):
    """A server that wants a certificate of its clients."""
    folder = tmp_path_factory.mktemp("demanding")
    with servers.Seeded(folder, authority, certificate, seed_slapd.ldif(), clients="demand").running() as started:
        yield started


def test_a_good_certificate_is_taken(configure):
    assert reason(configure()) == ""


def test_starttls_is_as_good(configure, directory):
    assert reason(configure(urls=(directory.url,), starttls=True)) == ""


def test_a_certificate_of_another_ca_is_refused(configure, tmp_path):
    other = Authority(tmp_path, "other-ca")
    assert "certificate verify failed" in reason(configure(ca_certificate=other.certificate))


def test_a_certificate_is_checked_against_the_systems_cas_by_default(configure):
    assert "certificate verify failed" in reason(configure(ca_certificate=None))


@pytest.mark.parametrize("starttls", [False, True])
def test_a_certificate_for_another_host_is_refused(configure, directory, starttls):
    url = (directory.url if starttls else directory.tls_url).replace("127.0.0.1", "localhost")
    assert "Hostname mismatch" in reason(configure(urls=(url,), starttls=starttls))


def test_an_expired_certificate_is_refused(configure, expired):
    assert "certificate has expired" in reason(configure(urls=(expired.tls_url,)))


def test_who_switches_checking_off_takes_any_certificate(configure, expired):
    url = expired.tls_url.replace("127.0.0.1", "localhost")
    assert reason(configure(urls=(url,), ca_certificate=None, verify=False)) == ""


def test_a_certificate_is_shown_to_a_server_that_wants_one(configure, demanding, authority, make):
    own = authority.issue("client.example.com")
    settings = configure(urls=(demanding.tls_url,), client_certificate=own.certificate, client_key=own.key)
    assert make(settings).check("bob", PASSWORD).name == "bob"


def test_without_one_such_a_server_is_no_answer(configure, demanding, make):
    with pytest.raises(Unavailable):
        make(configure(urls=(demanding.tls_url,))).check("bob", PASSWORD)


def test_a_port_without_tls_is_refused(configure, directory):
    assert "TLS fails" in reason(configure(urls=(directory.url.replace("ldap:", "ldaps:"),)))


def test_a_server_that_refuses_starttls_is_not_spoken_to(configure):
    refusal = b"\x78\x07\x0a\x01\x02\x04\x00\x04\x00"
    with servers.stub(servers.agreeing(refusal)) as server:
        assert "StartTLS is refused" in reason(configure(urls=(server.url,), starttls=True))


def test_no_password_is_sent_before_tls(configure, directory, make):
    with servers.stub(servers.relay(directory.url)) as between:
        make(configure(urls=(between.url,), starttls=True)).check("bob", PASSWORD)
        assert (servers.SERVICE_PASSWORD.encode() in between.sent, PASSWORD.encode() in between.sent) == (False, False)


@pytest.mark.parametrize("behave", [servers.silent, servers.junk, servers.cutting, servers.dripping, servers.flooding])
@pytest.mark.parametrize("starttls", [False, True])
def test_a_server_that_misbehaves_is_no_answer_in_time(configure, make, behave, starttls):
    limits = {"connect_timeout": LIMIT, "timeout": LIMIT}
    with servers.stub(behave) as server:
        tls = {"starttls": True} if starttls else {"ca_certificate": None}
        backend = make(configure(urls=(server.url,), **tls, **limits))
        with pytest.raises(Unavailable, match="does not answer"):
            backend.check("bob", PASSWORD)


@pytest.mark.parametrize("behave", [servers.silent, servers.junk, servers.cutting, servers.dripping])
def test_a_server_that_misbehaves_within_tls_is_no_answer_in_time(configure, behave):
    with servers.stub(behave) as server:
        settings = configure(urls=(server.url.replace("ldap:", "ldaps:"),), connect_timeout=LIMIT)
        with pytest.raises(Down):
            open_wire(settings, make_context(settings), settings.urls[0], Deadline(LIMIT))


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"\x65\x07\x0a\x01\x00\x04\x00\x04\x00", id="success of a search for a bind"),
        pytest.param(b"\x78\x07\x0a\x01\x00\x04\x00\x04\x00", id="success of an extended operation for a bind"),
        pytest.param(b"\x61\x07\x0a\x01\x00\x04\x00\x04\x00", id="success of a bind for a search"),
        pytest.param(b"\x61\x08\x0a\x02\x30\x39\x04\x00\x04\x00", id="a code that nobody knows"),
        pytest.param(b"\x61\x02\x0a\x00", id="no code"),
    ],
)
def test_success_is_taken_from_nothing_else(plain, make, answer):
    with servers.stub(servers.agreeing(answer)) as server, pytest.raises(Unavailable):
        make(plain(urls=(server.url,), timeout=LIMIT, connect_timeout=LIMIT)).check("bob", PASSWORD)


def test_a_name_server_that_does_not_answer_takes_its_limit(monkeypatch):
    answered = threading.Event()
    monkeypatch.setattr(ldap_wire.socket, "getaddrinfo", lambda *_, **__: [answered.wait(60)][1:])
    with pytest.raises(Down, match="no answer in time"):
        resolve("ldap://ldap.example.com", Deadline(0.1))
    answered.set()


def test_a_name_that_is_not_there_is_told():
    with pytest.raises(Down, match="its name has no address"):
        resolve("ldap://ldap.invalid", Deadline(5))


def test_the_next_address_is_tried(directory):
    # Nothing listens on that port of the first one.
    connect(directory.url, ["127.0.0.9", "127.0.0.1"], Deadline(5)).strategy.close()


def test_an_address_that_refuses_is_told():
    port = free_port()
    with pytest.raises(Down, match="Connection refused"):
        connect(f"ldap://127.0.0.1:{port}", ["127.0.0.1"], Deadline(5))


def test_an_answer_has_a_longest_length(plain, make, monkeypatch):
    monkeypatch.setattr(ldap_wire, "MAX_ANSWER", 100_000)
    with servers.stub(servers.flooding) as server, pytest.raises(Unavailable):
        make(plain(urls=(server.url,), timeout=7, wait=1)).check("bob", PASSWORD)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("ldap://ldap.example.com", ("ldap.example.com", 389)),
        ("ldaps://ldap.example.com/", ("ldap.example.com", 636)),
        ("ldaps://[::1]:3636", ("::1", 3636)),
    ],
)
def test_an_address_is_read_from_a_url(url, address):
    assert address_of(url) == address


def test_a_deadline_that_is_over_has_nothing_left():
    with pytest.raises(TimeoutError):
        Deadline(-1).left()


def test_a_deadline_is_never_prolonged():
    assert Deadline(1).capped(60).seconds <= 1
