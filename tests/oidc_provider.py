"""An OpenID Connect provider that none of us wrote: npm's certified `oidc-provider`, with the password grant.

bob is in the groups acme and staff, root in admins; both have the password `PASSWORD`.
"""

import json
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from authsvc.domain import certificates
from tests.e2e import servers
from tests.factories import PASSWORD

VERSION = "9.13.3"
CLIENT, SECRET = "authsvc", "a-client-secret-with-: and +%"
CLIENT_WITHOUT_OPENID = "no-openid"
_SCRIPT = Path(__file__).with_suffix(".mjs")


@dataclass(frozen=True)
class OidcProvider:
    """A running provider. `ca` is the PEM file of the CA that its certificate is from."""

    issuer: str
    ca: Path
    process: "subprocess.Popen[bytes]"


def person(sub: str, name: str, *groups: str) -> dict[str, Any]:
    """Somebody whom the provider knows; UAA calls the user name `user_name`."""
    claims = {"sub": sub, "user_name": name, "preferred_username": name, "email": f"{name.lower()}@example.com"}
    return {"password": PASSWORD, "claims": {**claims, "groups": groups}}


def site_client(callback: str) -> dict[str, Any]:
    """A client of the provider that sends people there, to log in at its pages and come back to `callback`."""
    return {
        "client_id": CLIENT,
        "client_secret": SECRET,
        "grant_types": ["authorization_code"],
        "response_types": ["code"],
        "redirect_uris": [callback],
        "id_token_signed_response_alg": "ES256",
    }


def client(name: str, *scopes: str) -> dict[str, Any]:
    """A client of the provider that may use the password grant."""
    return {
        "client_id": name,
        "client_secret": SECRET,
        "grant_types": ["password"],
        "response_types": [],
        "redirect_uris": [],
        "scope": " ".join(scopes),
        "id_token_signed_response_alg": "ES256",
    }


PEOPLE = {
    "bob": person("7f3c", "bob", "acme", "staff"),
    "bob@example.com": person("7f3c", "bob", "acme", "staff"),
    "root": person("0001", "Root", "admins"),
}
CLIENTS = [client(CLIENT, "openid", "profile", "email"), client(CLIENT_WITHOUT_OPENID, "email")]


@contextmanager
def running(
    directory: Path, people: Mapping[str, Any] = PEOPLE, clients: Sequence[Mapping[str, Any]] = CLIENTS
) -> Iterator[OidcProvider]:
    """A provider on a free port, for as long as the block runs. Its pages take a `sub` as name, and any password."""
    port = servers.free_port()
    issuer = f"https://127.0.0.1:{port}"
    shutil.copy(_SCRIPT, directory)
    (directory / "node_modules").symlink_to(servers.npm_package("oidc-provider", VERSION))
    authority = certificates.make_ca("provider", int(time.time()))
    pair = certificates.make_server(authority, ["127.0.0.1"], int(time.time()))
    files = {name: directory / name for name in ("ca.crt", "server.crt", "server.key", "settings.json")}
    files["ca.crt"].write_bytes(authority.certificate_pem())
    files["server.crt"].write_bytes(pair.certificate_pem())
    files["server.key"].write_bytes(pair.key_pem())
    given = {"issuer": issuer, "port": port, "people": people, "clients": clients}
    given |= {"certificate": str(files["server.crt"]), "key": str(files["server.key"])}
    files["settings.json"].write_text(json.dumps(given))
    log = directory / "log"
    command = (str(servers.NODE), str(directory / _SCRIPT.name), str(files["settings.json"]))
    with servers.process(*command, log=log) as process:
        servers.until(
            lambda: process.poll() is not None or _answers(issuer, files["ca.crt"]), "the provider's first answer"
        )
        assert process.poll() is None, log.read_text()
        yield OidcProvider(issuer, files["ca.crt"], process)


def _answers(issuer: str, ca: Path) -> bool:
    tls = ssl.create_default_context(cafile=ca)
    try:
        return httpx.get(f"{issuer}/.well-known/openid-configuration", verify=tls).status_code == 200
    except httpx.TransportError:
        return False
