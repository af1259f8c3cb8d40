import logging
import socket
import time
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from authsvc.domain import certificates
from authsvc.errors import Unauthenticated, Unavailable
from authsvc.identity import Group, Identity, oidc
from authsvc.identity.oidc import OidcBackend
from authsvc.settings import OidcSettings
from tests.issuer import DISCOVERY, KEYS, make_key, make_tls
from tests.provider import CLIENT, SECRET, TOKEN, USERINFO, Provider, running, unsigned, with_secret

BACK = "https://registry.example.com/login/keycloak/callback"


@pytest.fixture
def provider():
    with running() as started:
        yield started


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def make(provider, clock):
    def backend(**changed) -> OidcBackend:
        given = {"issuer": provider.url, "client_id": CLIENT, "client_secret": SECRET, "label": "Keycloak"}
        return OidcBackend("keycloak", OidcSettings(**given | changed), BACK, clock)

    return backend


@pytest.fixture
def log_in(provider, make, now):
    """A whole login; `changed` is what the browser brings in place of what it should, None for nothing."""

    def whole(backend=None, later: int = 0, **changed) -> Identity:
        backend = backend or make()
        url, pending = backend.start(now)
        answer = {name: value for name, value in (provider.authorize(url) | changed).items() if value is not None}
        return backend.finish(pending, answer, now + later)

    return whole


def test_whoever_comes_back_is_known_by_the_subject(log_in):
    assert log_in() == Identity("keycloak:74", "bob", "bob@example.com", frozenset({Group("acme", "acme")}))


def test_the_browser_takes_along_what_it_must_bring_back_and_no_secret(make, now):
    url, pending = make().start(now)
    asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    assert asked.pop("code_challenge") not in {pending.verifier, ""}
    assert asked == {
        "response_type": "code",
        "client_id": CLIENT,
        "redirect_uri": BACK,
        "scope": "openid profile email",
        "state": pending.state,
        "nonce": pending.nonce,
        "code_challenge_method": "S256",
    }
    assert (SECRET in url, pending.verifier in url, "client_secret" in url) == (False, False, False)


def test_every_login_has_random_numbers_of_its_own(make, now):
    backend = make()
    (_, first), (_, second) = backend.start(now), backend.start(now)
    texts = {first.state, first.nonce, first.verifier, second.state, second.nonce, second.verifier}
    assert (len(texts), min(map(len, texts)) >= 43) == (6, True)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"state": "x"}, "state"),
        ({"state": ""}, "state"),
        ({"state": None}, "state"),
        ({"state": "é"}, "state"),
        ({"code": None}, "says nothing"),
        ({"code": ""}, "says nothing"),
        ({"code": None, "error": "access_denied"}, "says access_denied"),
        ({"code": "x"}, "invalid_grant"),
        ({"iss": None}, "does not say which issuer"),
        ({"iss": "https://evil.example.com"}, "another issuer"),
        ({"iss": ""}, "another issuer"),
        ({"later": 601}, "took too long"),
    ],
)
def test_an_answer_that_is_not_this_logins_is_refused(log_in, changed, reason):
    with pytest.raises(Unauthenticated, match=reason):
        log_in(**changed)


def test_an_answer_with_a_wrong_state_has_no_code_sent(log_in, provider):
    with pytest.raises(Unauthenticated):
        log_in(state="x")
    assert provider.posted == []


def test_a_provider_that_offers_no_issuer_parameter_needs_none(log_in, provider):
    provider.says(authorization_response_iss_parameter_supported=False)
    assert log_in(iss=None).name == "bob"


def test_an_issuer_that_was_not_offered_must_be_right_too(log_in, provider):
    provider.says(authorization_response_iss_parameter_supported=False)
    with pytest.raises(Unauthenticated, match="another issuer"):
        log_in(iss="https://evil.example.com")


def test_a_code_is_good_once(provider, make, now):
    backend = make()
    url, pending = backend.start(now)
    answer = provider.authorize(url)
    backend.finish(pending, answer, now)
    with pytest.raises(Unauthenticated, match="invalid_grant"):
        backend.finish(pending, answer, now)


@pytest.mark.parametrize("verifier", ["", "x" * 43])
def test_a_code_that_another_browser_began_is_refused(provider, make, now, verifier):
    backend = make()
    url, pending = backend.start(now)
    with pytest.raises(Unauthenticated, match="invalid_grant"):
        backend.finish(replace(pending, verifier=verifier), provider.authorize(url), now)


def test_a_nonce_of_another_login_is_refused(provider, make, now):
    backend = make()
    url, pending = backend.start(now)
    with pytest.raises(Unauthenticated, match="nonce"):
        backend.finish(replace(pending, nonce="x" * 43), provider.authorize(url), now)


@pytest.mark.parametrize(
    "spoiled",
    [
        {"nonce": "x"},
        {"nonce": None},
        {"iss": "https://evil.example.com"},
        {"iss": None},
        {"aud": "another"},
        {"aud": None},
        {"aud": []},
        {"aud": ["another"]},
        {"aud": [CLIENT, "another"]},
        {"aud": [CLIENT, "another"], "azp": "another"},
        {"azp": "another"},
        {"exp": Provider.now - 61},
        {"exp": None},
        {"exp": "soon"},
        {"iat": Provider.now + 61},
        {"iat": None},
        {"nbf": Provider.now + 61},
        {"sub": None},
        {"sub": ""},
        {"sub": 74},
        {"sub": "x" * 256},
        {"at_hash": "x"},
    ],
    ids=str,
)
def test_an_id_token_that_says_something_else_is_refused(log_in, provider, spoiled):
    provider.spoiled = spoiled
    with pytest.raises(Unauthenticated):
        log_in()


@pytest.mark.parametrize(
    "spoiled", [{"aud": [CLIENT]}, {"aud": [CLIENT, "another"], "azp": CLIENT}, {"azp": CLIENT}, {"at_hash": None}]
)
def test_an_id_token_may_say_the_same_otherwise(log_in, provider, spoiled):
    provider.spoiled = spoiled
    assert log_in().name == "bob"


def public_pem() -> bytes:
    return make_key("one").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def by_a_stranger(said):
    import jwt

    return jwt.encode(said, make_key("two"), "RS256", {"kid": "one"})


def without_a_key_id(said):
    import jwt

    return jwt.encode(said, make_key("one"), "RS256")


def by_an_unknown_key(said):
    import jwt

    return jwt.encode(said, make_key("two"), "RS256", {"kid": "two"})


@pytest.mark.parametrize(
    "sign",
    [
        unsigned,
        with_secret(SECRET),
        with_secret(public_pem()),
        with_secret(""),
        by_a_stranger,
        by_an_unknown_key,
        without_a_key_id,
        lambda _: "",
        lambda _: "x",
        lambda _: "x.y.z",
        lambda _: None,
        lambda _: {"sub": "74"},
    ],
    ids=[
        "none",
        "hs256 with the client's secret",
        "hs256 with the public key",
        "hs256 with nothing",
        "another key",
        "an unknown key",
        "no key id",
        "empty",
        "a letter",
        "three letters",
        "null",
        "an object",
    ],
)
def test_an_id_token_that_the_provider_did_not_sign_is_refused(log_in, provider, sign):
    provider.sign_with = sign
    with pytest.raises(Unauthenticated):
        log_in()


@pytest.mark.parametrize("kind", ["RS512", "PS256", "ES256", "ES384", "EdDSA"])
def test_every_signature_that_cannot_be_made_with_a_shared_secret_is_taken(log_in, provider, kind):
    provider.rotate("new", kind)
    provider.spoiled = {"at_hash": None}
    assert log_in().name == "bob"


def test_a_new_key_of_the_provider_is_taken(log_in, provider, make, clock):
    backend = make()
    log_in(backend)
    provider.rotate("two")
    clock.seconds += 31
    assert log_in(backend).name == "bob"


@pytest.mark.parametrize(
    ("spoiled", "userinfo", "identity"),
    [
        ({"preferred_username": None}, {"preferred_username": "robert"}, ("robert", "bob@example.com", {"acme"})),
        ({"email": None}, {"email": "b@example.com"}, ("bob", "b@example.com", {"acme"})),
        ({"groups": None}, {"groups": ["tools"]}, ("bob", "bob@example.com", {"tools"})),
        ({"groups": None}, {"groups": ["tools"], "email": "b@x.org"}, ("bob", "bob@example.com", {"tools"})),
        ({"groups": None}, {}, ("bob", "bob@example.com", set())),
    ],
)
def test_what_the_id_token_does_not_say_the_userinfo_endpoint_does(log_in, provider, spoiled, userinfo, identity):
    provider.spoiled = spoiled
    provider.answers[USERINFO] |= userinfo
    found = log_in()
    assert (found.name, found.email, {group.key for group in found.groups}) == identity


def test_the_userinfo_endpoint_is_not_asked_for_what_is_known(log_in, provider):
    log_in()
    assert USERINFO not in provider.asked


@pytest.mark.parametrize("endpoint", [None, "http://registry.example.com/userinfo"])
def test_no_token_is_shown_to_an_endpoint_without_tls(log_in, provider, endpoint):
    provider.says(userinfo_endpoint=endpoint)
    provider.spoiled = {"preferred_username": None}
    with pytest.raises(Unauthenticated, match="preferred_username"):
        log_in()


@pytest.mark.parametrize("userinfo", [{}, {"sub": "75"}, {"sub": "75", "preferred_username": "alice"}])
def test_userinfo_of_somebody_else_is_refused(log_in, provider, userinfo):
    provider.spoiled = {"preferred_username": None}
    provider.answers[USERINFO] = userinfo
    with pytest.raises(Unauthenticated, match="somebody else"):
        log_in()


@pytest.mark.parametrize("name", [None, "", 7, ["bob"]])
def test_somebody_without_a_name_is_refused(log_in, provider, name):
    provider.claims["preferred_username"] = name
    with pytest.raises(Unauthenticated, match="preferred_username"):
        log_in()


@pytest.mark.parametrize("email", [None, 7, "x" * 256])
def test_an_address_that_cannot_be_kept_is_left_out(log_in, provider, email):
    provider.claims["email"] = email
    assert log_in().email == ""


@pytest.mark.parametrize(
    ("groups", "names"),
    [
        ([], set()),
        ("acme", {"acme"}),
        (["a", "a", "b"], {"a", "b"}),
        ([7, "", None, "x" * 256, "a"], {"a"}),
        ({}, set()),
    ],
)
def test_the_claim_says_all_groups(log_in, provider, groups, names):
    provider.claims["groups"] = groups
    assert {group.name for group in log_in().groups} == names


def test_more_groups_than_can_be_are_refused(log_in, provider):
    provider.claims["groups"] = [str(number) for number in range(1_001)]
    with pytest.raises(Unauthenticated, match="more than 1000 groups"):
        log_in()


def test_without_a_claim_for_groups_none_are_known(log_in, make):
    assert log_in(make(groups_claim="")).groups is None


@pytest.mark.parametrize(("groups", "is_one"), [("acme", True), ("tools; acme", True), ("tools", False), ("", False)])
def test_administrators_are_those_of_a_group(log_in, make, groups, is_one):
    assert log_in(make(admin_groups=groups)).admin == is_one


def test_claims_have_the_names_that_were_set(log_in, make, provider):
    provider.claims |= {"upn": "Robert", "mail": "r@example.com", "roles": ["tools"]}
    found = log_in(make(name_claim="upn", email_claim="mail", groups_claim="roles"))
    assert (found.name, found.email, found.groups) == ("robert", "r@example.com", {Group("tools", "tools")})


@pytest.mark.parametrize(
    ("methods", "in_the_form"),
    [(["client_secret_basic", "client_secret_post"], False), (["client_secret_post"], True)],
)
def test_the_secret_is_shown_as_the_provider_wants_it(log_in, provider, methods, in_the_form):
    provider.says(token_endpoint_auth_methods_supported=methods)
    log_in()
    assert ("client_secret" in provider.posted[0]) == in_the_form


def test_a_wrong_secret_is_an_administrators_business(log_in, make):
    with pytest.raises(Unauthenticated, match="invalid_client"):
        log_in(make(client_secret="wrong"))


def test_the_secret_is_in_no_log_and_in_no_error(log_in, make, caplog):
    caplog.set_level(logging.DEBUG)
    with pytest.raises(Unauthenticated) as refused:
        log_in(make(client_secret="another-secret"))
    assert ("another-secret" in caplog.text, "another-secret" in str(refused.value)) == (False, False)


def test_it_is_asked_once_what_it_is(log_in, make, provider):
    backend = make()
    log_in(backend)
    log_in(backend)
    assert (provider.asked.count(DISCOVERY), provider.asked.count(KEYS)) == (1, 1)


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://evil.example.com"},
        {"issuer": None},
        {"token_endpoint": "http://registry.example.com/token"},
        {"token_endpoint": None},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "http://["},
        {"jwks_uri": "file:///etc/passwd"},
    ],
    ids=str,
)
def test_a_provider_that_says_something_else_of_itself_is_not_used(make, provider, now, document):
    provider.says(**document)
    with pytest.raises(Unavailable, match="Keycloak does not answer as it should"):
        make().start(now)


@pytest.mark.parametrize("path", [DISCOVERY, KEYS])
@pytest.mark.parametrize(
    "answer", [(404, {}), (500, {}), (302, {"Location": "https://evil.example.com"}), b"x", b"[]", b"[" * 100_000]
)
def test_a_provider_that_answers_nonsense_is_not_used(log_in, provider, path, answer):
    provider.answers[path] = answer
    with pytest.raises(Unavailable):
        log_in()


@pytest.mark.parametrize("answer", [(404, {}), b"x", b"[]"])
def test_a_userinfo_endpoint_that_answers_nonsense_is_not_believed(log_in, provider, answer):
    provider.spoiled = {"preferred_username": None}
    provider.answers[USERINFO] = answer
    with pytest.raises(Unavailable):
        log_in()


def test_a_provider_that_is_away_is_said_to_be(make, provider, now):
    provider.stop()
    with pytest.raises(Unavailable, match="Keycloak does not answer as it should; try again later"):
        make().start(now)


def test_a_provider_that_goes_away_during_a_login_is_said_to_be(make, provider, now):
    backend = make()
    url, pending = backend.start(now)
    answer = provider.authorize(url)
    provider.stop()
    with pytest.raises(Unavailable):
        backend.finish(pending, answer, now)


def test_a_provider_that_comes_back_is_used(make, provider, now, clock):
    backend = make()
    provider.stop()
    with pytest.raises(Unavailable):
        backend.start(now)
    provider.start()
    with pytest.raises(Unavailable):
        backend.start(now)
    clock.seconds += 5
    assert backend.start(now)


def test_what_a_provider_said_is_good_while_it_is_away(make, provider, now, clock):
    backend = make()
    backend.start(now)
    provider.stop()
    clock.seconds += 3_600
    assert backend.start(now)
    clock.seconds += 86_400
    with pytest.raises(Unavailable):
        backend.start(now)


def test_a_provider_that_says_nothing_holds_nobody_up(now, monkeypatch):
    monkeypatch.setattr(oidc, "TOTAL_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        backend = OidcBackend("x", OidcSettings(issuer=url, client_id=CLIENT, client_secret=SECRET), BACK)
        with pytest.raises(Unavailable):
            backend.start(now)


def test_so_many_talk_to_a_provider_at_once(make, now):
    backend = make()
    for _ in range(oidc.MAX_TALKING):
        backend._talking.acquire()
    with pytest.raises(Unavailable):
        backend.start(now)


@pytest.fixture
def over_tls(tmp_path):
    ca = certificates.make_ca("a CA", int(time.time()))
    (tmp_path / "ca.pem").write_bytes(ca.certificate_pem())
    with running(make_tls(tmp_path, ca)) as started:
        yield started


def test_a_provider_is_trusted_by_the_ca_that_was_set(over_tls, tmp_path, now):
    given = {"issuer": over_tls.url, "client_id": CLIENT, "client_secret": SECRET}
    backend = OidcBackend("x", OidcSettings(**given, ca_certificate=tmp_path / "ca.pem"), BACK)
    url, pending = backend.start(now)
    assert backend.finish(pending, over_tls.authorize(url), now).name == "bob"


@pytest.mark.parametrize("ca_certificate", [None, "/nowhere", "/etc/hostname"])
def test_a_provider_with_another_certificate_is_not_trusted(over_tls, now, ca_certificate):
    given = {"issuer": over_tls.url, "client_id": CLIENT, "client_secret": SECRET}
    with pytest.raises(Unavailable):
        OidcBackend("x", OidcSettings(**given, ca_certificate=ca_certificate), BACK).start(now)


def test_the_token_endpoint_is_where_the_code_goes(log_in, provider):
    log_in()
    (form,) = provider.posted
    assert (form["grant_type"], form["redirect_uri"], TOKEN in provider.asked) == ("authorization_code", BACK, False)
