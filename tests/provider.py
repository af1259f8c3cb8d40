"""An OpenID Connect provider that keeps the rules, and whose answers a test can spoil.

The certified one that browsers meet is in tests/e2e. This one stands for what such a one never does.
"""

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote_plus, urlsplit

import jwt

from tests.issuer import DISCOVERY, Issuer, Json

CLIENT, SECRET = "authsvc", "a-client-secret-with-: and +"
TOKEN, USERINFO = "/token", "/userinfo"


class Provider(Issuer):
    """What it says of everybody is `claims`; `spoiled` changes the ID token alone, where None leaves a claim out.

    `sign_with` makes another signature than the right one, `posted` are the forms that came.
    """

    now = 1_800_000_000

    def __init__(self, tls: Any = None) -> None:
        self.claims: Json = {"sub": "74", "preferred_username": "Bob", "email": "bob@example.com", "groups": ["acme"]}
        self.spoiled: Json = {}
        self.sign_with: Any = None
        self.posted: list[dict[str, str]] = []
        self._codes: dict[str, dict[str, str]] = {}
        super().__init__(tls)

    def publish(self, *keys: Json, **document: object) -> None:
        """Say so in the discovery document and in the set of keys."""
        endpoints = {
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}{TOKEN}",
            "userinfo_endpoint": f"{self.url}{USERINFO}",
            "authorization_response_iss_parameter_supported": True,
        }
        super().publish(*keys, **endpoints | document)
        self.answers[USERINFO] = {"sub": "74"}

    def says(self, **document: object) -> None:
        """Change the discovery document."""
        self.answers[DISCOVERY] |= document

    def authorize(self, url: str) -> dict[str, str]:
        """What the browser brings back after a login."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert (asked["response_type"], asked["client_id"], asked["code_challenge_method"]) == ("code", CLIENT, "S256")
        code = secrets.token_urlsafe(8)
        self._codes[code] = asked
        return {"code": code, "state": asked["state"], "iss": self.url}

    def id_token(self, asked: dict[str, str], access_token: str) -> str:
        """What it signs after that."""
        digest = hashlib.sha256(access_token.encode()).digest()[:16]
        said = {
            "iss": self.url,
            "aud": CLIENT,
            "iat": self.now,
            "exp": self.now + 300,
            "nonce": asked["nonce"],
            "at_hash": base64.urlsafe_b64encode(digest).decode().rstrip("="),
            **self.claims,
            **self.spoiled,
        }
        if self.sign_with:
            return self.sign_with({name: value for name, value in said.items() if value is not None})
        return self.sign(said)

    def token(self, form: dict[str, str], header: str) -> tuple[int, Json]:
        """Tokens for a code, once, for whoever knows the secret and the verifier (RFC 6749, 5.2; RFC 7636, 4.6)."""
        shown = header.removeprefix("Basic ") and base64.b64decode(header.removeprefix("Basic ")).decode()
        name, _, secret = shown.partition(":") if shown else (form.get("client_id"), "", form.get("client_secret"))
        if (unquote_plus(name), unquote_plus(secret) if shown else secret) != (CLIENT, SECRET):
            return 401, {"error": "invalid_client"}
        asked = self._codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        wrong = asked is None or asked["code_challenge"] != challenge or asked["redirect_uri"] != form["redirect_uri"]
        if wrong:
            return 400, {"error": "invalid_grant"}
        access_token = secrets.token_urlsafe(8)
        tokens = {"access_token": access_token, "token_type": "Bearer", "expires_in": 60}
        return 200, tokens | {"id_token": self.id_token(asked, access_token)}

    def _listen(self, port: int) -> Any:
        server, provider = super()._listen(port), self

        class Handler(server.RequestHandlerClass):
            def do_POST(self) -> None:  # noqa: N802
                form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
                provider.posted.append(form)
                status, found = provider.token(form, self.headers.get("Authorization", ""))
                body = json.dumps(found).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        server.RequestHandlerClass = Handler
        return server


def unsigned(said: Json) -> str:
    """A token without a signature."""
    return jwt.encode(said, None, "none", {"kid": "one"})


def with_secret(secret: str | bytes) -> Any:
    """Signs with a secret that both sides could know, HS256."""

    def sign(said: Json) -> str:
        parts = [{"alg": "HS256", "typ": "JWT", "kid": "one"}, said]
        text = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
        key = secret if isinstance(secret, bytes) else secret.encode()
        signature = hmac.digest(key, text.encode(), "sha256")
        return f"{text}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"

    return sign


@contextmanager
def running(tls: Any = None) -> Iterator[Provider]:
    """A provider, for as long as the block runs."""
    provider = Provider(tls)
    try:
        yield provider
    finally:
        if provider._server:
            provider.stop()
