"""The token protocol spoken by hand. Every token that comes back is verified, and compared with the rights table.

Each request comes from an address of its own, so that what one test does wrong slows no other one down.
"""

import base64
import random
from collections.abc import Collection
from typing import Any

import httpx
import jwt
from cryptography import x509

from authsvc.domain.permissions import AUDIENCES, PROJECT, Audience, Right, Role
from tests.behaviour import PASSWORDS
from tests.e2e.native import Native

PATH = "/service/token"


def password(name: str) -> tuple[str, str]:
    """What one of the cast logs in with."""
    return name, PASSWORDS[name]


def client(site: Native) -> httpx.Client:
    """A client on connections of its own, through nginx as everybody."""
    return httpx.Client(base_url=f"http://{site.host}", verify=False, timeout=60)


def ask(
    site: Native | httpx.Client, scope: str = "", who: tuple[str, str] | None = None, **more: str
) -> httpx.Response:
    """`GET /service/token`."""
    asked = {"service": "authsvc", **({"scope": scope} if scope else {}), **more}
    return _send(site, "GET", params=asked, auth=who, headers=_address())


def refresh(site: Native | httpx.Client, token: str, scope: str = "", **more: str) -> httpx.Response:
    """`POST /service/token` with a refresh token."""
    form = {"grant_type": "refresh_token", "refresh_token": token, "service": "authsvc", "client_id": "test"}
    return _send(site, "POST", data={**form, "scope": scope, **more}, headers=_address())


def refresh_token(site: Native, name: str, **more: str) -> str:
    """A new refresh token for one of the cast."""
    answer = ask(site, who=password(name), offline_token="true", client_id="test", **more)
    return str(answer.json()["refresh_token"])


def granted(site: Native, answer: httpx.Response, *, to: str, service: str = "authsvc") -> dict[str, list[str]]:
    """What the token allows by resource, after everything else in it was checked.

    `token` and `access_token` are the same one; it is ours by the CA's certificate, and for this person and service.
    """
    assert answer.status_code == 200, answer.text
    fields = answer.json()
    token = fields["access_token"]
    assert fields.get("token", token) == token
    claims = verified(site, token, service)
    assert claims["sub"] == to
    return {entry["name"]: entry["actions"] for entry in claims["access"]}


def verified(site: Native, token: str, service: str = "authsvc") -> dict[str, Any]:
    """The claims of a token whose signature a registry would accept."""
    (encoded,) = jwt.get_unverified_header(token)["x5c"]
    leaf = x509.load_der_x509_certificate(base64.b64decode(encoded, validate=True))
    leaf.verify_directly_issued_by(x509.load_pem_x509_certificate((site.home / "ca" / "ca.crt").read_bytes()))
    claims: dict[str, Any] = jwt.decode(
        token, leaf.public_key(), algorithms=["ES256"], audience=service, issuer="authsvc", leeway=60
    )
    return claims


def by_table(
    repository: str, asked: str, given: Role | Collection[Right], audience: Audience = Audience.REGISTRY
) -> dict[str, list[str]]:
    """What a token for `asked` allows whoever has that role, or these rights, says the rights table."""
    rights = PROJECT[given] if isinstance(given, Role) else given
    actions = sorted(action for action in asked.split(",") if AUDIENCES[audience][action] in rights)
    return {repository: actions} if actions else {}


def is_refused(answer: httpx.Response) -> bool:
    """Refused with docker's envelope, and without a token."""
    if answer.status_code not in {400, 401, 429}:
        return False
    envelope = answer.json()
    return "token" not in envelope and bool(envelope["errors"][0]["message"])


def pull(site: Native, token: str, repository: str) -> int:
    """What the registry says to somebody who shows this token to read a repository's tags."""
    with client(site) as http:
        headers = {"Authorization": f"Bearer {token}"}
        return http.get(f"/v2/{repository}/tags/list", headers=headers).status_code


def _send(site: Native | httpx.Client, method: str, **request: Any) -> httpx.Response:
    if isinstance(site, httpx.Client):
        return site.request(method, PATH, **request)
    with client(site) as http:
        return http.request(method, PATH, **request)


def _address() -> dict[str, str]:
    address = ".".join(str(random.randint(1, 254)) for _ in range(3))
    return {"X-Forwarded-For": f"10.{address}", "X-Real-IP": f"10.{address}"}
