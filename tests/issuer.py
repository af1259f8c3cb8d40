"""An issuer of identity tokens: documents on a real server, as Kubernetes serves them, and tokens that it signs."""

import json
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

from authsvc.domain import certificates
from authsvc.domain.certificates import Pair

AUDIENCE = "registry.example.com"
DISCOVERY, KEYS = "/.well-known/openid-configuration", "/keys"
Json = dict[str, Any]


CURVES = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}


def make_key(name: str, kind: str = "RS256") -> Any:
    """A private key for an algorithm; the same one for the same name, because RSA keys take long to make."""
    return _make_key(name, "RSA" if kind[:2] in {"RS", "PS"} else kind)


@cache
def _make_key(_name: str, kind: str) -> Any:
    if kind == "RSA":
        return rsa.generate_private_key(65_537, 2_048)
    return ec.generate_private_key(CURVES[kind]()) if kind in CURVES else ed25519.Ed25519PrivateKey.generate()


def jwk_of(key: Any, kid: str, kind: str = "RS256", **more: object) -> Json:
    """The public half of a key as issuers publish it."""
    return json.loads(get_default_algorithms()[kind].to_jwk(key.public_key())) | {"kid": kid, "use": "sig"} | more


class Issuer:
    """An issuer that can be stopped, started again, and told to answer otherwise.

    `answers` is what each path answers: a document, or a status and headers. `asked` are the paths that were asked.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._server = self._listen(0)
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://localhost:{self._server.server_port}"
        self.kid, self.kind = "one", "RS256"
        self.asked: list[str] = []
        self.answers: dict[str, Any] = {}
        self.publish(jwk_of(make_key("one"), "one"))
        self.start()

    @property
    def key(self) -> Any:
        """The private key that signs."""
        return make_key(self.kid, self.kind)

    def publish(self, *keys: Json, **document: object) -> None:
        """Say so in the discovery document and in the set of keys."""
        self.answers[DISCOVERY] = {"issuer": self.url, "jwks_uri": f"{self.url}{KEYS}", **document}
        self.answers[KEYS] = {"keys": list(keys)}

    def rotate(self, kid: str, kind: str = "RS256") -> None:
        """Sign with a new key, the only one that is published from now on."""
        self.kid, self.kind = kid, kind
        self.publish(jwk_of(self.key, kid, kind))

    def sign(self, claims: Mapping[str, object], *, key: Any = None, **header: object) -> str:
        """A token; a claim of None is left out."""
        said = {name: value for name, value in claims.items() if value is not None}
        headers = {"kid": self.kid, **header}
        return jwt.encode(said, key or self.key, self.kind, {k: v for k, v in headers.items() if v is not None})

    def start(self) -> None:
        """Answer, on the same port as before."""
        self._server = self._server or self._listen(int(self.url.rpartition(":")[2]))
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Be away."""
        self._server.shutdown()
        self._server.server_close()
        self._server = None

    def _listen(self, port: int) -> ThreadingHTTPServer:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked.append(self.path)
                status, headers, body = _answer(issuer.answers.get(self.path, (404, {})))
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_given: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        server.handle_error = lambda *_: None  # whoever hangs up in mid-answer is no news
        if self._tls:
            server.socket = self._tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        return server


def _answer(given: Any) -> tuple[int, dict[str, str], bytes]:
    match given:
        case (status, headers):
            return status, headers, b""
        case bytes():
            return 200, {}, given
    return 200, {"Content-Type": "application/json"}, json.dumps(given).encode()


def make_tls(directory: Path, ca: Pair, name: str = "localhost") -> ssl.SSLContext:
    """What a server of that name needs."""
    pair = certificates.make_server(ca, [name], int(time.time()))
    path = directory / f"{name}.pem"
    path.write_bytes(pair.certificate_pem() + pair.key_pem())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


@contextmanager
def running(tls: ssl.SSLContext | None = None) -> Iterator[Issuer]:
    """An issuer, for as long as the block runs."""
    issuer = Issuer(tls)
    try:
        yield issuer
    finally:
        if issuer._server:
            issuer.stop()


def dates(now: int) -> Json:
    """When a token was made and when it ends."""
    return {"iat": now, "nbf": now - 10, "exp": now + 300}


def github(issuer: str, now: int, **changed: object) -> Json:
    """What GitHub says of a job (its documentation, "OpenID Connect reference")."""
    return {
        "iss": issuer,
        "aud": AUDIENCE,
        "sub": "repo:acme/app:ref:refs/heads/main",
        "ref": "refs/heads/main",
        "ref_type": "branch",
        "ref_protected": "true",
        "repository": "acme/app",
        "repository_id": "74",
        "repository_owner": "acme",
        "repository_owner_id": "65",
        "repository_visibility": "private",
        "run_id": "30433642",
        "run_attempt": "2",
        "actor": "alice",
        "actor_id": "12",
        "workflow": "release",
        "workflow_ref": "acme/app/.github/workflows/release.yml@refs/heads/main",
        "job_workflow_ref": "acme/app/.github/workflows/release.yml@refs/heads/main",
        "head_ref": "",
        "base_ref": "",
        "event_name": "push",
        "runner_environment": "github-hosted",
        "jti": "example-id",
        **dates(now),
        **changed,
    }


def gitlab(issuer: str, now: int, **changed: object) -> Json:
    """What GitLab says of a job (its documentation, "Token payload")."""
    return {
        "iss": issuer,
        "aud": AUDIENCE,
        "sub": "project_path:acme/app:ref_type:branch:ref:main",
        "namespace_id": "72",
        "namespace_path": "acme",
        "project_id": "20",
        "project_path": "acme/app",
        "user_login": "alice",
        "groups_direct": ["acme", "acme/tools"],
        "pipeline_source": "push",
        "ref": "main",
        "ref_type": "branch",
        "ref_path": "refs/heads/main",
        "ref_protected": "true",
        "environment_protected": "false",
        "runner_id": 1,
        "runner_environment": "self-hosted",
        "jti": "235b3a54-b797-45c7-ae9a-f72d7bc6ef5b",
        **dates(now),
        **changed,
    }


def kubernetes(issuer: str, now: int, **changed: object) -> Json:
    """What Kubernetes says of a pod (its documentation, "Schema for service account private claims")."""
    return {
        "iss": issuer,
        "aud": [AUDIENCE],
        "sub": "system:serviceaccount:ci:builder",
        "kubernetes.io": {
            "namespace": "ci",
            "node": {"name": "node-1", "uid": "646e7c5e"},
            "pod": {"name": "build-1", "uid": "a1a8d5ac"},
            "serviceaccount": {"name": "builder", "uid": "8b7f5a06"},
        },
        "jti": "7ee52be0",
        **dates(now),
        **changed,
    }
