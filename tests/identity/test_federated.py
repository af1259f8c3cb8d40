import base64
import hmac
import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from authsvc.domain.trusts import Rule, Trust
from authsvc.errors import Unavailable
from authsvc.identity.federated import MAX_TOKEN, Federation
from authsvc.identity.issuers import COOL_DOWN_SECONDS, IssuerKeys
from authsvc.settings import FederationSettings
from tests.issuer import AUDIENCE, DISCOVERY, KEYS, Issuer, github, gitlab, jwk_of, kubernetes, make_key, running

NOW = 1_800_000_000
OURS = "authsvc"
MAIN = Rule("sub", "repo:acme/app:ref:refs/heads/main")


@pytest.fixture
def federation(clock) -> Federation:
    return Federation(IssuerKeys(FederationSettings(allow_http=True), clock), OURS)


@pytest.fixture
def trust(issuer) -> Trust:
    return Trust(1, issuer.url, AUDIENCE, "", (MAIN,))


@pytest.fixture
def refusal(federation, trust):
    """Show a token to one trust, or to those given."""
    return lambda token, *trusts, now=NOW: federation.refusal(token, trusts or (trust,), now)


def base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def start_of(header: object, claims: object) -> str:
    return ".".join(base64url(json.dumps(part).encode()) for part in (header, claims))


def by_hmac(issuer: Issuer, secret: bytes) -> str:
    start = start_of({"alg": "HS256", "kid": issuer.kid}, github(issuer.url, NOW))
    return f"{start}.{base64url(hmac.digest(secret, start.encode(), 'sha256'))}"


def public_pem(issuer: Issuer) -> bytes:
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return issuer.key.public_key().public_bytes(encoding, form)


def unsigned(issuer: Issuer, algorithm: str) -> str:
    return start_of({"alg": algorithm, "kid": issuer.kid}, github(issuer.url, NOW)) + "."


def edited(token: str, part: int, **changed: object) -> str:
    parts = token.split(".")
    said = json.loads(base64.urlsafe_b64decode(parts[part] + "=="))
    parts[part] = base64url(json.dumps(said | changed).encode())
    return ".".join(parts)


def signed(issuer: Issuer, **changed: object) -> str:
    return issuer.sign(github(issuer.url, NOW, **changed))


def forged(issuer: Issuer, **header: object) -> str:
    return issuer.sign(github(issuer.url, NOW), key=make_key("forger"), **header)


# Good ones


@pytest.mark.parametrize(
    ("shape", "rules"),
    [
        (github, [("sub", "repo:acme/app:ref:refs/heads/main"), ("workflow_ref", "acme/app/**@refs/heads/main")]),
        (github, [("repository_owner_id", "65"), ("ref", "refs/heads/*"), ("ref_protected", "true")]),
        (gitlab, [("project_path", "acme/*"), ("ref_path", "refs/heads/main"), ("runner_id", "1")]),
        (gitlab, [("sub", "project_path:acme/app:ref_type:branch:ref:main")]),
        (kubernetes, [("sub", "system:serviceaccount:ci:builder")]),
        (kubernetes, [("sub", "system:serviceaccount:ci:*")]),
    ],
)
def test_a_job_of_each_documented_issuer_is_let_in(issuer, refusal, trust, shape, rules):
    wanted = replace(trust, rules=tuple(Rule(*rule) for rule in rules))
    assert refusal(issuer.sign(shape(issuer.url, NOW)), wanted) is None


@pytest.mark.parametrize("kind", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"])
def test_every_algorithm_of_an_rsa_key_is_good(issuer, refusal, kind):
    issuer.kind = kind
    assert refusal(issuer.sign(github(issuer.url, NOW), key=make_key("one"))) is None


@pytest.mark.parametrize("kind", ["ES256", "ES384", "ES512", "EdDSA"])
def test_other_kinds_of_keys_are_good(issuer, refusal, kind):
    issuer.rotate("other", kind)
    assert refusal(signed(issuer)) is None


GENUINE: dict[str, Callable[[Issuer], str]] = {
    "several audiences": lambda i: signed(i, aud=["other", AUDIENCE]),
    "a clock that goes before by a minute": lambda i: signed(i, iat=NOW + 60, nbf=NOW + 60),
    "no nbf and no iat": lambda i: signed(i, iat=None, nbf=None),
    "the last second": lambda i: signed(i, exp=NOW + 1),
    "times with a fraction": lambda i: signed(i, exp=NOW + 0.5),
    "a key of its own in the header": lambda i: i.sign(
        github(i.url, NOW), jwk=jwk_of(make_key("forger"), "one"), x5u="https://evil.example.com", x5t="abc"
    ),
}


@pytest.mark.parametrize("make", GENUINE.values(), ids=GENUINE)
def test_a_genuine_token_is_let_in(issuer, refusal, make):
    assert refusal(make(issuer)) is None


# Forged ones


FORGED: dict[str, tuple[Callable[[Issuer], str], str]] = {
    "no algorithm": (lambda i: unsigned(i, "none"), "not genuine"),
    "no algorithm, in other letters": (lambda i: unsigned(i, "nOnE"), "not genuine"),
    "HS256 with the public key as the secret": (lambda i: by_hmac(i, public_pem(i)), "not genuine"),
    "HS256 with the published key as the secret": (
        lambda i: by_hmac(i, json.dumps(i.answers[KEYS]["keys"][0]).encode()),
        "not genuine",
    ),
    "HS256 with no secret": (lambda i: by_hmac(i, b""), "not genuine"),
    "another key": (forged, "not genuine.*Signature verification failed"),
    "another key and an unknown kid": (lambda i: forged(i, kid="forger"), 'has no key "forger"'),
    "an embedded key": (lambda i: forged(i, jwk=jwk_of(make_key("forger"), "one")), "not genuine"),
    "an embedded key and its kid": (
        lambda i: forged(i, kid="forger", jwk=jwk_of(make_key("forger"), "forger")),
        "has no key",
    ),
    "a key elsewhere": (lambda i: forged(i, kid="forger", jku="http://localhost:1/keys"), "has no key"),
    "a certificate elsewhere": (lambda i: forged(i, x5u="http://localhost:1/cert", x5c=["AAAA"]), "not genuine"),
    "no kid": (lambda i: i.sign(github(i.url, NOW), kid=None), "names no key"),
    "an extension that must be known": (lambda i: i.sign(github(i.url, NOW), crit=["new"], new=1), "Unsupported crit"),
    "a payload elsewhere": (lambda i: edited(signed(i), 0, crit=["b64"], b64=False), "cannot be read"),
    "an algorithm of another kind of key": (lambda i: edited(signed(i), 0, alg="ES256"), "not genuine"),
    "another algorithm of the same key": (lambda i: edited(signed(i), 0, alg="RS512"), "not genuine"),
    "no signature": (lambda i: signed(i).rpartition(".")[0] + ".", "not genuine"),
    "a cut signature": (lambda i: signed(i)[:-8], "not genuine|cannot be read"),
    "another branch after signing": (
        lambda i: edited(signed(i, sub="repo:acme/app:pull_request"), 1, sub=MAIN.pattern),
        "not genuine",
    ),
    "expired": (lambda i: signed(i, exp=NOW), "expired"),
    "expired long ago": (lambda i: signed(i, exp=-(10**30)), "expired"),
    "no end": (lambda i: signed(i, exp=None), "not genuine.*exp"),
    "an end that is a text": (lambda i: signed(i, exp=str(NOW + 60)), "exp is no time"),
    "an end that is true": (lambda i: signed(i, exp=True), "exp is no time"),
    "an end that is no number": (lambda i: signed(i, exp=float("nan")), "exp is no time"),
    "an end that never comes": (lambda i: signed(i, exp=float("inf")), "exp is no time"),
    "not valid yet": (lambda i: signed(i, nbf=NOW + 61), "not valid yet"),
    "made in the future": (lambda i: signed(i, iat=NOW + 61), "not valid yet"),
    "another audience": (lambda i: signed(i, aud="other"), f'audience is "other", the trust wants {AUDIENCE}'),
    "an audience that begins alike": (lambda i: signed(i, aud=AUDIENCE + ".evil"), "audience"),
    "other audiences": (lambda i: signed(i, aud=["a", "b"]), "audience"),
    "no audience": (lambda i: signed(i, aud=None), "audience"),
    "an audience in an object": (lambda i: signed(i, aud={AUDIENCE: 1}), "audience"),
    "another issuer": (lambda i: i.sign(github("https://evil.example.com", NOW)), "which no trust names"),
    "the issuer with a slash": (lambda i: signed(i, iss=i.url + "/"), "which no trust names"),
    "the issuer in capitals": (lambda i: signed(i, iss=i.url.upper()), "which no trust names"),
    "no issuer": (lambda i: signed(i, iss=None), "which no trust names"),
    "our own issuer": (lambda i: signed(i, iss=OURS), "this service itself"),
    "another subject": (
        lambda i: signed(i, sub="repo:acme/app:pull_request"),
        'claim sub is "repo:acme/app:pull_request", the rule wants repo:acme/app:ref:refs/heads/main',
    ),
    "no subject": (lambda i: signed(i, sub=None), "claim sub is missing"),
    "a list of subjects": (lambda i: signed(i, sub=[MAIN.pattern]), "not genuine|compare texts"),
    "no text at all": (lambda _: "eyJhbGciOiJub25lIn0.e30.", "names no key"),
    "a header that is no JSON": (lambda _: "eyJx.e30.e30", "cannot be read"),
    "a header that is a list": (lambda _: f"{base64url(b'[1]')}.e30.e30", "cannot be read"),
    "claims that are a list": (lambda i: i.sign({}).split(".")[0] + f".{base64url(b'[]')}.e30", "cannot be read"),
    "claims without end": (
        lambda i: i.sign({}).split(".")[0] + f".{base64url(b'[' * 9_000)}.e30",
        "cannot be read",
    ),
    "a number without end": (
        lambda i: i.sign({}).split(".")[0] + "." + base64url(b'{"exp":' + b"9" * 6_000 + b"}") + ".e30",
        "cannot be read",
    ),
    "a token without end": (lambda i: signed(i, more="x" * MAX_TOKEN), "longer than"),
}


@pytest.mark.parametrize(("forge", "reason"), FORGED.values(), ids=FORGED)
def test_a_forged_token_is_refused_with_the_reason(issuer, refusal, forge, reason):
    assert re.search(reason, refusal(forge(issuer)) or "let in")


def test_nobody_is_asked_whom_no_trust_names(issuer, refusal):
    with running() as evil:
        assert "no trust names" in refusal(evil.sign(github(evil.url, NOW)))
        assert (evil.asked, issuer.asked) == ([], [])


def test_a_robot_that_trusts_nobody_takes_no_token(issuer, federation):
    assert "no trust names" in federation.refusal(signed(issuer), (), NOW)


def test_the_key_of_another_trusted_issuer_is_no_good(issuer, refusal, trust):
    with running() as other:
        other.rotate("two")
        both = (trust, replace(trust, id=2, issuer=other.url))
        assert refusal(other.sign(github(other.url, NOW)), *both) is None
        assert "has no key" in refusal(other.sign(github(issuer.url, NOW)), *both)


def test_what_is_shown_of_a_token_is_cut_and_quoted(issuer, refusal):
    said = refusal(signed(issuer, sub="\n\x1b\ud800" + "x" * 500))
    assert said.isascii()
    assert said.isprintable()
    assert len(said) < 250


# Several trusts


def test_one_trust_of_several_is_enough(issuer, refusal, trust):
    tags = replace(trust, id=2, rules=(Rule("repository", "acme/app"), Rule("ref", "refs/tags/v*")))
    released = signed(issuer, sub="repo:acme/app:ref:refs/tags/v1", ref="refs/tags/v1")
    assert [refusal(token, trust, tags) for token in (signed(issuer), released)] == [None, None]


def test_the_rules_of_two_trusts_are_not_mixed(issuer, refusal, trust):
    first = replace(trust, rules=(Rule("repository", "acme/app"), Rule("ref", "refs/tags/v*")))
    second = replace(trust, id=2, rules=(Rule("repository", "acme/other"), Rule("ref", "refs/heads/main")))
    assert refusal(signed(issuer), first, second) == (
        'claim ref is "refs/heads/main", the rule wants refs/tags/v*; or '
        'claim repository is "acme/app", the rule wants acme/other'
    )


def test_the_audience_of_another_trust_does_not_count(issuer, refusal, trust):
    first = replace(trust, audience="other")
    second = replace(trust, id=2, rules=(Rule("repository", "acme/other"),))
    assert "claim repository" in refusal(signed(issuer), first, second)


# Keys that change, an issuer that is away


def test_a_key_that_was_rotated_is_good_at_once(issuer, refusal, clock):
    refusal(signed(issuer))
    issuer.rotate("two")
    clock.at += COOL_DOWN_SECONDS
    assert refusal(signed(issuer)) is None


def test_without_keys_nothing_can_be_said(issuer, refusal):
    issuer.stop()
    with pytest.raises(Unavailable, match="does not answer"):
        refusal(signed(issuer))


def test_with_known_keys_a_new_token_is_let_in_while_the_issuer_is_away(issuer, refusal):
    refusal(signed(issuer))
    issuer.stop()
    assert refusal(signed(issuer, jti="another")) is None


# Remembered


@pytest.fixture
def decoded(monkeypatch) -> list[str]:
    """The tokens that were verified, each time."""
    seen: list[str] = []
    real: Any = jwt.decode
    monkeypatch.setattr(jwt, "decode", lambda token, *given, **more: seen.append(token) or real(token, *given, **more))
    return seen


def test_a_good_token_is_verified_once_in_a_minute(issuer, refusal, decoded):
    token = signed(issuer)
    refusal(token)
    verified = len(decoded)
    assert [refusal(token, now=NOW + 59), len(decoded)] == [None, verified]
    assert [refusal(token, now=NOW + 60), len(decoded)] == [None, 2 * verified]


def test_what_is_remembered_ends_with_the_token(issuer, refusal):
    token = signed(issuer, exp=NOW + 10)
    assert refusal(token, now=NOW + 9) is None
    assert refusal(token, now=NOW + 10) == "it has expired"


def test_what_is_remembered_is_good_for_the_same_trusts_alone(issuer, refusal, trust):
    token = signed(issuer)
    refusal(token)
    assert "claim sub" in refusal(token, replace(trust, rules=(Rule("sub", "repo:acme/other:*"),)))
    assert "no trust names" in refusal(token, replace(trust, issuer="https://other.example.com"))


def test_a_refused_token_is_not_remembered(issuer, refusal):
    token = signed(issuer, nbf=NOW + 100)
    assert refusal(token) is not None
    assert refusal(token, now=NOW + 100) is None


def test_discovery_and_keys_are_all_that_an_issuer_is_asked(issuer, refusal):
    refusal(signed(issuer))
    assert issuer.asked == [DISCOVERY, KEYS]
