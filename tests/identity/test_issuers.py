import socket
import threading
from pathlib import Path

import pytest

from authsvc.domain import certificates
from authsvc.errors import Unavailable
from authsvc.identity import issuers
from authsvc.identity.issuers import COOL_DOWN_SECONDS, RETRY_SECONDS, STALE_SECONDS, IssuerKeys, Source, read_key
from authsvc.settings import FederationSettings
from tests.conftest import free_port
from tests.e2e.servers import until
from tests.issuer import DISCOVERY, KEYS, Issuer, jwk_of, make_key, make_tls, running

TTL = 3_600
NOW = 1_800_000_000
ALLOWED = FederationSettings(allow_http=True)


@pytest.fixture
def known(clock) -> IssuerKeys:
    return IssuerKeys(ALLOWED, clock)


@pytest.fixture
def find(known, issuer):
    """Ask for a key of the issuer."""
    return lambda kid="one", jwks_url="": known.find(Source(issuer.url, jwks_url), kid)


def is_renewed(find, kid: str = "two") -> None:
    until(lambda: find(kid) is not None, "a fetch in the background")


# Fetched, and remembered


def test_a_key_is_found_through_the_discovery_document(issuer, find):
    assert find().public.public_numbers() == make_key("one").public_key().public_numbers()
    assert issuer.asked == [DISCOVERY, KEYS]


def test_a_trust_can_say_where_the_keys_are(issuer, find):
    assert find("one", f"{issuer.url}{KEYS}") is not None
    assert issuer.asked == [KEYS]


def test_an_issuer_may_have_a_path(issuer, known):
    issuer.answers["/auth/realm" + DISCOVERY] = {
        "issuer": f"{issuer.url}/auth/realm",
        "jwks_uri": f"{issuer.url}{KEYS}",
    }
    assert known.find(Source(f"{issuer.url}/auth/realm", ""), "one") is not None


def test_keys_are_remembered_for_their_time(issuer, find, clock):
    find()
    clock.at += TTL - 1
    find()
    assert issuer.asked == [DISCOVERY, KEYS]


def test_keys_are_fetched_anew_after_their_time_while_the_known_one_goes_on(issuer, find, clock):
    find()
    issuer.rotate("two")
    clock.at += TTL
    assert find() is not None
    is_renewed(find)
    assert find() is None


def test_keys_that_are_long_over_their_time_wait_for_new_ones(issuer, find, clock):
    find()
    issuer.rotate("two")
    clock.at += 2 * TTL
    assert (find(), find("two") is not None) == (None, True)


def test_a_new_key_is_found_after_one_fetch(issuer, find, clock):
    find()
    issuer.rotate("two")
    clock.at += COOL_DOWN_SECONDS
    assert find("two") is not None
    assert issuer.asked == [DISCOVERY, KEYS] * 2


def test_unknown_keys_ask_the_issuer_once_in_a_while(issuer, find, clock):
    assert [find(name) for name in ("x", "y", "z")] == [None] * 3
    clock.at += COOL_DOWN_SECONDS - 1
    assert find("x") is None
    assert issuer.asked == [DISCOVERY, KEYS]


def test_many_at_once_ask_the_issuer_once(issuer, find):
    threads = [threading.Thread(target=find) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert issuer.asked == [DISCOVERY, KEYS]


def test_too_many_at_once_are_told_so(monkeypatch, clock, issuer):
    monkeypatch.setattr(issuers, "MAX_WAITING", 0)
    with pytest.raises(Unavailable, match="too many wait"):
        IssuerKeys(ALLOWED, clock).find(Source(issuer.url, ""), "one")


def test_another_issuers_key_is_not_this_ones(known, find):
    with running() as other:
        other.rotate("two")
        assert (known.find(Source(other.url, ""), "two") is not None, find("two")) == (True, None)


# Away


def test_an_issuer_that_is_away_and_unknown_is_unavailable(issuer, find):
    issuer.stop()
    with pytest.raises(Unavailable, match=f"{issuer.url}.* does not answer"):
        find()


def test_an_issuer_that_is_away_is_asked_again_after_a_moment(issuer, find, clock):
    issuer.stop()
    with pytest.raises(Unavailable):
        find()
    issuer.start()
    with pytest.raises(Unavailable):
        find()
    clock.at += RETRY_SECONDS
    assert find() is not None


def test_known_keys_go_on_while_the_issuer_is_away(issuer, find, clock):
    find()
    issuer.stop()
    clock.at += TTL + STALE_SECONDS - 1
    assert find() is not None


def test_known_keys_do_not_go_on_for_ever(issuer, find, clock):
    find()
    issuer.stop()
    clock.at += TTL + STALE_SECONDS
    with pytest.raises(Unavailable):
        find()


def test_an_unknown_key_cannot_be_judged_while_the_issuer_is_away(issuer, find, clock):
    find()
    issuer.stop()
    clock.at += COOL_DOWN_SECONDS
    with pytest.raises(Unavailable, match="does not answer"):
        find("two")
    assert find() is not None


def test_an_issuer_that_is_silent_is_not_waited_for(monkeypatch, known):
    monkeypatch.setattr(issuers, "TOTAL_SECONDS", 0.1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(Unavailable, match="does not answer"):
            known.find(Source(f"http://localhost:{silent.getsockname()[1]}", ""), "one")


# Wrong answers


WRONG = {
    "no discovery document": (DISCOVERY, (404, {}), "answers 404"),
    "a redirect": (DISCOVERY, (302, {"Location": "/elsewhere"}), "answers 302"),
    "a redirect of the keys": (KEYS, (301, {"Location": "/elsewhere"}), "answers 301"),
    "an error": (KEYS, (500, {}), "answers 500"),
    "no JSON": (DISCOVERY, b"<html>", "does not answer in JSON"),
    "a list": (DISCOVERY, [], "says that it is"),
    "deep nesting": (KEYS, b'{"keys":' + b"[" * 100_000, "does not answer in JSON"),
    "no keys": (KEYS, {}, "no key that can be used"),
    "keys of another form": (KEYS, {"keys": [1, None, "one"]}, "no key that can be used"),
    "too much": (KEYS, b" " * 300_000, "too much"),
    "another issuer": (DISCOVERY, {"issuer": "https://evil.example.com"}, "says that it is"),
    "no address of keys": (DISCOVERY, None, "has its keys elsewhere"),
    "keys in a file": (DISCOVERY, "file:///etc/passwd", "has its keys elsewhere"),
    "keys on another host": (DISCOVERY, "http://169.254.169.254/keys", "has its keys elsewhere"),
    "keys on a host that begins alike": (DISCOVERY, "{url}0/keys", "has its keys elsewhere"),
    "keys at an address that cannot be read": (DISCOVERY, "{url}/a b", "is not asked"),
}


@pytest.mark.parametrize(("path", "answer", "sentence"), WRONG.values(), ids=WRONG)
def test_a_wrong_answer_is_no_answer(issuer, find, path, answer, sentence):
    is_address = answer is None or isinstance(answer, str)
    address = answer and answer.replace("{url}", issuer.url) if is_address else None
    issuer.answers[path] = {"issuer": issuer.url, "jwks_uri": address} if is_address else answer
    issuer.answers["/elsewhere"] = {"issuer": issuer.url, "jwks_uri": f"{issuer.url}{KEYS}", "keys": []}
    with pytest.raises(Unavailable, match=sentence):
        find()
    assert set(issuer.asked) <= {DISCOVERY, KEYS}


def test_plain_http_is_for_those_who_allow_it(issuer, clock):
    with pytest.raises(Unavailable, match="begins with https"):
        IssuerKeys(FederationSettings(), clock).find(Source(issuer.url, ""), "one")
    assert issuer.asked == []


# TLS


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    """A CA of the installation's own, and where its certificate is."""
    pair = certificates.make_ca("private CA", NOW - 100 * 86_400)
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    path.write_bytes(pair.certificate_pem())
    return pair, path


def over_tls(directory: Path, ca, name: str, ca_file: Path | None) -> tuple[Issuer, IssuerKeys]:
    return make_tls(directory, ca[0], name), IssuerKeys(FederationSettings(ca=ca_file))


def test_a_private_issuer_is_known_by_the_ca_file(tmp_path, ca):
    tls, known = over_tls(tmp_path, ca, "localhost", ca[1])
    with running(tls) as issuer:
        assert known.find(Source(issuer.url, ""), "one") is not None


@pytest.mark.parametrize(("name", "trusted"), [("localhost", False), ("other.example.com", True)])
def test_an_issuer_with_a_wrong_certificate_is_not_believed(tmp_path, ca, name, trusted):
    tls, known = over_tls(tmp_path, ca, name, ca[1] if trusted else None)
    with running(tls) as issuer, pytest.raises(Unavailable, match="does not answer"):
        known.find(Source(issuer.url, ""), "one")


def test_a_ca_file_that_cannot_be_read_is_named(tmp_path):
    known = IssuerKeys(FederationSettings(ca=tmp_path / "missing.pem"))
    with pytest.raises(Unavailable, match=r"federation\.ca"):
        known.find(Source(f"https://localhost:{free_port()}", ""), "one")


# Which keys


@pytest.mark.parametrize(
    ("kind", "algorithms"),
    [
        ("RS256", ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
        ("ES256", ("ES256",)),
        ("ES384", ("ES384",)),
        ("ES512", ("ES512",)),
        ("EdDSA", ("EdDSA",)),
    ],
)
def test_the_kind_of_a_key_says_which_algorithms_are_good(kind, algorithms):
    assert read_key(jwk_of(make_key("one", kind), "one", kind)).algorithms == algorithms


def test_a_key_for_one_algorithm_is_good_for_that_alone():
    assert read_key(jwk_of(make_key("one"), "one", alg="PS384")).algorithms == ("PS384",)


@pytest.mark.parametrize(
    "changed",
    [
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": "other"},
        {"use": "enc"},
        {"kid": ""},
        {"kid": None},
        {"alg": "HS256"},
        {"alg": "none"},
        {"alg": "RSA-OAEP"},
        {"n": "AQAB"},
        {"n": None},
        {"d": "AQAB"},
    ],
    ids=str,
)
def test_a_key_that_signs_nothing_here_is_left_out(changed):
    assert read_key(jwk_of(make_key("one"), "one") | changed) is None


@pytest.mark.parametrize(
    "jwk",
    [
        {"kty": "EC", "crv": "P-256", "x": "AQAB", "y": "AQAB"},
        {"kty": "EC", "crv": "secp256k1", "x": "AQAB", "y": "AQAB"},
        {"kty": "OKP", "crv": "X25519", "x": "AQAB"},
        {"kty": "RSA"},
    ],
    ids=str,
)
def test_a_broken_key_is_left_out(jwk):
    assert read_key(jwk | {"kid": "one"}) is None


def test_one_broken_key_spoils_no_other(issuer, find):
    issuer.publish({"kty": "RSA", "kid": "broken"}, jwk_of(make_key("one"), "one"))
    assert (find() is not None, find("broken")) == (True, None)
