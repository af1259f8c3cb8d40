"""What every door reads from a request: where it came from, its id, the credentials it carries."""

import base64
import binascii
import re
import time
from typing import Protocol
from urllib.parse import urlsplit

from flask import current_app, request
from werkzeug.routing import IntegerConverter, Map

from authsvc.core.callers import Origin
from authsvc.core.login import Credentials
from authsvc.domain.permissions import Credential
from authsvc.services import Live, Services

MACHINES = ("/service/", "/api/", "/v2/")
"""What is asked by programs begins so; all else is asked by browsers."""
_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
UNREADABLE = "the Authorization header cannot be read: send Basic with base64 of name:password in UTF-8"


def process() -> Live | Services:
    """What this process has, whatever the settings' table says or whether it could be read."""
    found: Live | Services = current_app.extensions["authsvc"]
    return found


class RowNumber(IntegerConverter):
    """The number of a row in an address; beyond what a database can count to is no address of ours."""

    def __init__(self, url_map: Map) -> None:
        super().__init__(url_map, max=2**63 - 1)


def services() -> Services:
    """The long-lived objects of this process, after the settings as they were last read.

    Raises:
        Unavailable: they were never read, because the database does not answer.
    """
    return process().current()


class Producer(Protocol):
    """The queue as web has it (jobs/producer.py)."""

    def tell(self, job: str) -> None:
        """Let the worker do a job now."""

    def length(self) -> int:
        """How many jobs wait. Raises Unavailable."""


def producer() -> Producer:
    """What tells the worker that there is something to do."""
    found: Producer = current_app.extensions["producer"]
    return found


def request_id() -> str:
    """The id that nginx gave this request; "" when it came without one."""
    given = request.headers.get("X-Request-Id", "")
    return given if _REQUEST_ID.fullmatch(given) else ""


def is_from_program() -> bool:
    """Whether a program asks, and not a browser: the path says so."""
    return request.path.startswith(MACHINES)


def is_over_tls() -> bool:
    """Whether the browser came over TLS: nginx says so or, where a proxy in front does not, `public_url`."""
    return request.is_secure or process().settings.public_url == f"https://{request.host}"


def is_own_host(host: str) -> bool:
    """Whether a host with its port, as browsers write it, is the one that this request was sent to."""
    return host in {request.host, urlsplit(process().settings.public_url).netloc}


def docker_host() -> str:
    """The registry as docker names it: the host of `public_url`, else the one that the browser used."""
    return urlsplit(process().settings.public_url).netloc or request.host


def origin() -> Origin:
    """Where the request came from. Only nginx reaches us, and it overwrites X-Real-IP."""
    return Origin(source=request.headers.get("X-Real-IP") or request.remote_addr or "", request_id=request_id())


def basic_credentials() -> Credentials | None:
    """The name and password of the Authorization header; None only when there is no such header (RFC 7617).

    Werkzeug's own reading takes several unreadable headers for none, which would make their sender anonymous.

    Raises:
        Unauthenticated: a header is there and is not Basic, or cannot be read; an audit row says so.
    """
    header = request.headers.get("Authorization")
    if header is None:
        return None
    credentials = parse_basic(header)
    if credentials is None:
        services().callers.refuse("", Credential.PASSWORD, origin(), UNREADABLE, int(time.time()))
    return credentials


def parse_basic(header: str) -> Credentials | None:
    """The credentials of a Basic header, or None when it is not one or cannot be read. Missing padding is forgiven."""
    scheme, _, encoded = header.partition(" ")
    padded = encoded.strip() + "=" * (-len(encoded.strip()) % 4)
    try:
        plain = base64.b64decode(padded.encode("ascii"), validate=True).decode("utf-8")
    except (UnicodeError, binascii.Error):
        return None
    name, colon, password = plain.partition(":")
    if scheme.lower() != "basic" or not colon or _CONTROL.search(plain):
        return None
    return Credentials(name, password)
