"""Forged tokens are refused by a live registry, forged secrets by the token endpoint; their genuine twins are not.

Each forged registry token differs from the genuine one in what its name says and in nothing else.
"""

import base64
import hmac
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from authsvc.core import keys
from authsvc.core.sealing import Sealer
from authsvc.domain import certificates, machine_secrets
from authsvc.domain.certificates import Pair
from authsvc.domain.machine_secrets import Kind
from authsvc.domain.permissions import Role
from tests import behaviour
from tests.e2e import images, native
from tests.e2e.native import Hasty, Native
from tests.e2e.protocol import PATH, ask, by_table, client, granted, is_refused, password, pull, refresh, refresh_token

WEB = "acme/web"
SCOPE = f"repository:{WEB}:pull"
Json = dict[str, Any]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Native]:
    installed = native.new(tmp_path_factory.mktemp("forged"))
    notary = {"AUTHSVC_SERVICES__NOTARY__KIND": "notary"}
    with installed.running(AUTHSVC_TOKEN__REFRESH_TOKENS="true", **notary):
        behaviour.cast(Hasty(installed.home, installed.port))
        image = images.make(tmp_path_factory.mktemp("image") / "image")
        behaviour.person("bob").copy(f"dir:{image}", f"docker://{installed.host}/{WEB}:1")
        yield installed


@dataclass(frozen=True)
class Genuine:
    """A genuine token in its parts, the keys that stand behind it, and a key pair of the forger's."""

    token: str
    header: Json
    claims: Json
    site: Pair
    ca: Pair
    forger: Pair

    def signed(self, key: Pair | None = None, /, header: Json | None = None, **claims: object) -> str:
        """A token with these claims changed; a claim of None is left out."""
        changed = {name: value for name, value in {**self.claims, **claims}.items() if value is not None}
        start = _start(header or self.header, changed)
        return _token(start, _signature(start, (key or self.site).key))

    def header_with(self, *without: str, **more: object) -> Json:
        return {name: value for name, value in self.header.items() if name not in without} | more


@pytest.fixture
def genuine(site: Native) -> Genuine:
    """What bob holds, and what only the site itself has."""
    answer = ask(site, SCOPE, password("bob"))
    assert granted(site, answer, to="bob") == by_table(WEB, "pull", Role.DEVELOPER)
    token = answer.json()["token"]
    now = int(time.time())
    return Genuine(
        token=token,
        header=jwt.get_unverified_header(token),
        claims=jwt.decode(token, options={"verify_signature": False}),
        site=_signing_pair(site),
        ca=keys.load_ca(site.home / "ca" / "ca.crt", site.home / "ca" / "ca.key"),
        forger=certificates.make_leaf(certificates.make_ca("authsvc token CA", now), "authsvc token signing", now),
    )


def _signing_pair(site: Native) -> Pair:
    with closing(sqlite3.connect(site.home / "authsvc.db")) as connection:
        newest = "SELECT key_id, certificate, sealed_key FROM signing_keys ORDER BY id DESC LIMIT 1"
        key_id, certificate, sealed = connection.execute(newest).fetchone()
    sealer = Sealer.from_file(site.home / "secrets" / "master.key")
    return certificates.load_pair(certificate.encode(), sealer.open(sealed, f"signing_keys/{key_id}"))


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _start(header: Json, claims: Json) -> str:
    return f"{_base64(json.dumps(header).encode())}.{_base64(json.dumps(claims).encode())}"


def _token(start: str, signature: bytes) -> str:
    return f"{start}.{_base64(signature)}"


def _signature(start: str, key: ec.EllipticCurvePrivateKey) -> bytes:
    return ECAlgorithm(ECAlgorithm.SHA256).sign(start.encode(), key)


def _edited(token: str, part: int, edit: Callable[[Json], Json]) -> str:
    """The token with its header (0) or claims (1) changed and its signature left."""
    parts = token.split(".")
    raw = base64.urlsafe_b64decode(parts[part] + "=" * (-len(parts[part]) % 4))
    parts[part] = _base64(json.dumps(edit(json.loads(raw))).encode())
    return ".".join(parts)


def _with_access(*actions: str, name: str = WEB) -> Callable[[Json], Json]:
    return lambda claims: claims | {"access": [{"type": "repository", "name": name, "actions": list(actions)}]}


def _by_hmac(genuine: Genuine, secret: bytes) -> str:
    start = _start(genuine.header_with(alg="HS256"), genuine.claims)
    return _token(start, hmac.digest(secret, start.encode(), "sha256"))


def _public_pem(pair: Pair) -> bytes:
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return pair.key.public_key().public_bytes(encoding, form)


def _x5c(*pairs: Pair) -> list[str]:
    return [certificates.x5c(pair.certificate) for pair in pairs]


def _jwk(pair: Pair) -> Json:
    return json.loads(ECAlgorithm.to_jwk(pair.key.public_key()))


def _without_key(genuine: Genuine) -> Json:
    return genuine.header_with("x5c", "kid")


def _unsigned(genuine: Genuine, algorithm: str) -> str:
    return f"{_start(genuine.header_with(alg=algorithm), genuine.claims)}."


def _in_der(genuine: Genuine) -> str:
    start = _start(genuine.header, genuine.claims)
    return _token(start, genuine.site.key.sign(start.encode(), ec.ECDSA(hashes.SHA256())))


def _old_leaf(genuine: Genuine) -> str:
    """A certificate of our CA that has ended, and whose key came into other hands."""
    past = int(time.time()) - certificates.LEAF_LIFETIME - certificates.DAY
    leaf = certificates.make_leaf(genuine.ca, "authsvc token signing", past)
    return genuine.signed(leaf, header=genuine.header_with("kid", x5c=_x5c(leaf)))


def _now() -> int:
    return int(time.time())


FORGED: dict[str, Callable[[Genuine], str]] = {
    "no algorithm and no signature": lambda g: _unsigned(g, "none"),
    "no algorithm, in other letters": lambda g: _unsigned(g, "nOnE"),
    "no algorithm, with the signature": lambda g: _edited(g.token, 0, lambda header: header | {"alg": "none"}),
    "no signature": lambda g: g.token.rpartition(".")[0] + ".",
    "two parts": lambda g: g.token.rpartition(".")[0],
    "HS256 with our public key as the secret": lambda g: _by_hmac(g, _public_pem(g.site)),
    "HS256 with our certificate as the secret": lambda g: _by_hmac(g, g.site.certificate_pem()),
    "HS256 with the CA's certificate as the secret": lambda g: _by_hmac(g, g.ca.certificate_pem()),
    "HS256 with no secret": lambda g: _by_hmac(g, b""),
    "another key with our x5c": lambda g: g.signed(g.forger),
    "our key with another's x5c": lambda g: g.signed(header=g.header_with(x5c=_x5c(g.forger))),
    "another key with its own x5c": lambda g: g.signed(g.forger, header=g.header_with(x5c=_x5c(g.forger))),
    "another key, ours later in x5c": lambda g: g.signed(g.forger, header=g.header_with(x5c=_x5c(g.forger, g.site))),
    "another key with ours and the CA's in x5c": lambda g: g.signed(
        g.forger, header=g.header_with(x5c=_x5c(g.forger, g.ca))
    ),
    "another key with the CA's x5c": lambda g: g.signed(g.forger, header=g.header_with(x5c=_x5c(g.ca))),
    "another key with our kid only": lambda g: g.signed(g.forger, header=g.header_with("x5c")),
    "another key with the CA's kid only": lambda g: g.signed(
        g.forger, header=g.header_with("x5c", kid=certificates.key_id(g.ca.key.public_key()))
    ),
    "our key with its kid only, which is in no bundle": lambda g: g.signed(header=g.header_with("x5c")),
    "our key with nothing that names it": lambda g: g.signed(header=_without_key(g)),
    "an embedded jwk": lambda g: g.signed(g.forger, header=_without_key(g) | {"jwk": _jwk(g.forger)}),
    "an embedded jwk with our x5c in it": lambda g: g.signed(
        g.forger, header=_without_key(g) | {"jwk": _jwk(g.forger) | {"x5c": _x5c(g.site)}}
    ),
    "an embedded jwk beside our x5c": lambda g: g.signed(g.forger, header=g.header_with(jwk=_jwk(g.forger))),
    "a key elsewhere": lambda g: g.signed(g.forger, header=_without_key(g) | {"jku": "http://127.0.0.1:1/keys"}),
    "a certificate that has ended": _old_leaf,
    "another issuer": lambda g: g.signed(iss="another"),
    "our issuer in other letters": lambda g: g.signed(iss="AuthSvc"),
    "no issuer": lambda g: g.signed(iss=None),
    "another audience": lambda g: g.signed(aud="notary"),
    "no audience": lambda g: g.signed(aud=None),
    "expired beyond the leeway": lambda g: g.signed(nbf=_now() - 900, iat=_now() - 900, exp=_now() - 600),
    "no expiry": lambda g: g.signed(exp=None),
    "not yet valid": lambda g: g.signed(nbf=_now() + 600, exp=_now() + 900),
    "a truncated signature": lambda g: g.token[:-8],
    "a signature of zeros": lambda g: _token(g.token.rpartition(".")[0], bytes(64)),
    "a signature in DER": _in_der,
    "a signature of another token": lambda g: _token(
        _start(g.header, g.claims), _signature(_start(g.header, g.claims | {"jti": "other"}), g.site.key)
    ),
    "access added after signing": lambda g: _edited(g.token, 1, _with_access("pull", "push", "delete")),
    "another repository after signing": lambda g: _edited(g.token, 1, _with_access("pull", name="acme/web2")),
    "another subject after signing": lambda g: _edited(g.token, 1, lambda claims: claims | {"sub": "admin"}),
    "a later end after signing": lambda g: _edited(g.token, 1, lambda claims: claims | {"exp": claims["exp"] + 1}),
}

GENUINE: dict[str, Callable[[Genuine], str]] = {
    "as it was issued": lambda g: g.token,
    "signed here again": lambda g: g.signed(),
    "without kid": lambda g: g.signed(header=g.header_with("kid")),
    "ended half a minute ago, which every registry forgives": lambda g: g.signed(exp=_now() - 30),
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
def test_the_registry_refuses_a_forged_token(site: Native, genuine: Genuine, forge: Callable[[Genuine], str]) -> None:
    assert pull(site, forge(genuine), WEB) == 401


@pytest.mark.parametrize("make", GENUINE.values(), ids=GENUINE)
def test_the_registry_accepts_its_genuine_twin(site: Native, genuine: Genuine, make: Callable[[Genuine], str]) -> None:
    assert pull(site, make(genuine), WEB) == 200


def test_the_registry_accepts_no_more_than_the_token_says(site: Native, genuine: Genuine) -> None:
    with client(site) as http:
        headers = {"Authorization": f"Bearer {genuine.token}"}
        assert http.post(f"/v2/{WEB}/blobs/uploads/", headers=headers).status_code == 401
        assert http.get("/v2/acme/web2/tags/list", headers=headers).status_code == 401
        assert http.get("/v2/_catalog", headers=headers).status_code == 401


@dataclass(frozen=True)
class Secrets:
    """One secret of each kind, all good, and where."""

    site: Native
    access_token: str
    robot: str
    refresh_token: str
    registry_token: str


@pytest.fixture(scope="module")
def shown(site: Native) -> Secrets:
    hasty = Hasty(site.home, site.port)

    def made(*command: str) -> str:
        return str(json.loads(hasty.authsvc(*command, "--json").stdout)["secret"])

    return Secrets(
        site=site,
        access_token=made("access-token", "add", "bob", "laptop"),
        robot=made("robot", "add", "ci", "--project", "acme", "--allow", "acme:repository:push"),
        refresh_token=refresh_token(site, "bob"),
        registry_token=ask(site, SCOPE, password("bob")).json()["token"],
    )


def _random(kind: Kind) -> str:
    return machine_secrets.render(kind, os.urandom(machine_secrets.RANDOM_BYTES))


def _ended(site: Native, token: str) -> str:
    hashed = machine_secrets.digest(token)
    site.sql("UPDATE refresh_tokens SET created_at = 1, expires_at = 2 WHERE secret_hash = ?", hashed)
    return token


def _revoked(site: Native, token: str) -> str:
    hashed = machine_secrets.digest(token)
    site.sql("UPDATE refresh_tokens SET revoked_at = 1 WHERE secret_hash = ?", hashed)
    return token


REFRESH: dict[str, Callable[[Secrets], str]] = {
    "nothing": lambda _: "",
    "random, with the right checksum": lambda _: _random(Kind.REFRESH_TOKEN),
    "the right one with its last letter changed": lambda shown: (
        shown.refresh_token[:-1] + ("A" if shown.refresh_token[-1] != "A" else "B")
    ),
    "half of the right one": lambda shown: shown.refresh_token[:20],
    "the right one and a blank": lambda shown: shown.refresh_token + " ",
    "the right one in capitals": lambda shown: shown.refresh_token.upper(),
    "what the database keeps": lambda shown: machine_secrets.digest(shown.refresh_token),
    "another service's": lambda shown: refresh_token(shown.site, "bob", service="notary"),
    "expired": lambda shown: _ended(shown.site, refresh_token(shown.site, "bob")),
    "revoked": lambda shown: _revoked(shown.site, refresh_token(shown.site, "bob")),
    "a registry token": lambda shown: shown.registry_token,
    "an access token": lambda shown: shown.access_token,
    "a robot's secret": lambda shown: shown.robot,
    "a password": lambda _: behaviour.PASSWORDS["bob"],
}


@pytest.mark.parametrize("make", REFRESH.values(), ids=REFRESH)
def test_a_forged_refresh_token_is_refused(site: Native, shown: Secrets, make: Callable[[Secrets], str]) -> None:
    assert is_refused(refresh(site, make(shown), SCOPE))


def test_a_genuine_refresh_token_is_not(site: Native, shown: Secrets) -> None:
    answer = refresh(site, shown.refresh_token, SCOPE)
    assert granted(site, answer, to="bob") == by_table(WEB, "pull", Role.DEVELOPER)


def test_a_refresh_token_of_another_service_is_good_there(site: Native) -> None:
    answer = refresh(site, refresh_token(site, "bob", service="notary"), SCOPE, service="notary")
    assert granted(site, answer, to="bob", service="notary") == by_table(WEB, "pull", Role.DEVELOPER)


MIXED: dict[str, Callable[[Secrets], tuple[str, str]]] = {
    "a refresh token as a password": lambda shown: ("bob", shown.refresh_token),
    "a registry token as a password": lambda shown: ("bob", shown.registry_token),
    "a robot's secret as a person's password": lambda shown: ("bob", shown.robot),
    "a robot's secret under another robot's name": lambda shown: ("robot$acme+other", shown.robot),
    "a robot's secret under its name without the prefix": lambda shown: ("acme+ci", shown.robot),
    "a robot's secret in capitals": lambda shown: ("robot$acme+ci", shown.robot.upper()),
    "an access token as a robot's secret": lambda shown: ("robot$acme+ci", shown.access_token),
    "a refresh token as a robot's secret": lambda shown: ("robot$acme+ci", shown.refresh_token),
    "a password as a robot's secret": lambda _: ("robot$acme+ci", behaviour.PASSWORDS["bob"]),
    "an access token under another name": lambda shown: ("alice", shown.access_token),
    "an access token under no name": lambda shown: ("", shown.access_token),
    "an access token as the name": lambda shown: (shown.access_token, ""),
    "a random access token with the right checksum": lambda _: ("bob", _random(Kind.ACCESS_TOKEN)),
    "a random robot's secret with the right checksum": lambda _: ("robot$acme+ci", _random(Kind.ROBOT)),
    "what the database keeps of an access token": lambda shown: ("bob", machine_secrets.digest(shown.access_token)),
}


@pytest.mark.parametrize("make", MIXED.values(), ids=MIXED)
def test_a_secret_shown_as_one_of_another_kind_is_refused(
    site: Native, shown: Secrets, make: Callable[[Secrets], tuple[str, str]]
) -> None:
    assert is_refused(ask(site, SCOPE, make(shown)))


@pytest.mark.parametrize("name", ["bob", "BOB", "robot$acme+ci"])
def test_each_secret_is_good_where_it_belongs(site: Native, shown: Secrets, name: str) -> None:
    secret = shown.robot if "$" in name else shown.access_token
    answer = ask(site, SCOPE, (name, secret))
    assert granted(site, answer, to=name.lower()) == by_table(WEB, "pull", Role.DEVELOPER)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("kind", ["registry_token", "access_token", "refresh_token"])
def test_the_token_endpoint_takes_no_bearer_token(site: Native, shown: Secrets, method: str, kind: str) -> None:
    headers = {"Authorization": f"Bearer {getattr(shown, kind)}"}
    body = {"grant_type": "password", "username": "bob", "password": behaviour.PASSWORDS["bob"]}
    with client(site) as http:
        answer = http.request(method, PATH, headers=headers, data=body if method == "POST" else None)
    assert answer.status_code == {"POST": 400}.get(method, 401)
    assert "access_token" not in answer.text


def test_the_door_for_notifications_takes_no_token(site: Native, shown: Secrets) -> None:
    with client(site) as http:
        tokens = [shown.registry_token, shown.access_token, shown.robot]
        asked = [{"Authorization": f"Bearer {token}"} for token in tokens]
        answers = [http.post("/service/events", headers=headers, json={}).status_code for headers in asked]
    assert answers == [401] * len(tokens)


def test_the_registry_takes_no_secret_in_place_of_a_token(site: Native, shown: Secrets) -> None:
    events = (site.home / "secrets" / "events.secret").read_text().strip()
    secrets = [shown.access_token, shown.robot, shown.refresh_token, events]
    assert [pull(site, secret, WEB) for secret in secrets] == [401] * len(secrets)
