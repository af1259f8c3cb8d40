"""What this project asks of a registry over HTTP. Bodies are read up to a limit; redirects are never followed."""

import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpx

from authsvc.errors import Misconfigured, Unavailable

TIMEOUT = httpx.Timeout(5.0, connect=2.0)
EMPTY_DIGEST = "sha256:" + "0" * 64
_PARAMETER = re.compile(r'([a-z_]+)="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a registry says to somebody without a token.

    Args:
        status: of `GET /v2/`; 401 when the registry asks for credentials.
        scheme: `bearer`, `basic`, or "" when it asks for none.
        parameters: `realm`, `service`, `error` and so on.
        date: the registry's clock in UTC seconds, None when it did not say.
    """

    status: int
    scheme: str
    parameters: dict[str, str]
    date: int | None


class RegistryClient:
    """A registry at an address: `http://host:port`, `https://…` or `unix:/path/to/socket`."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._socket = address.removeprefix("unix:") if address.startswith("unix:") else None
        self._base = "http://registry" if self._socket else address.rstrip("/")

    def answers(self) -> bool:
        """Whether the registry answers at all."""
        try:
            return self._get("/", "").status_code < 500
        except Unavailable:
            return False

    def challenge(self, token: str = "") -> Challenge:
        """What `GET /v2/` answers, with or without a token.

        Raises:
            Unavailable: the registry does not answer.
            Misconfigured: the address is no URL.
        """
        response = self._get("/v2/", token)
        scheme, _, rest = response.headers.get("www-authenticate", "").partition(" ")
        return Challenge(response.status_code, scheme.lower(), dict(_PARAMETER.findall(rest)), _date(response))

    def can_delete(self, repository: str, token: str) -> bool:
        """Whether deletion is enabled, found out by deleting a manifest that cannot exist.

        Args:
            repository: where `token` allows deletion; it need not exist.
        """
        response = self._send("DELETE", f"/v2/{repository}/manifests/{EMPTY_DIGEST}", token)
        return response.status_code != httpx.codes.METHOD_NOT_ALLOWED

    def _get(self, path: str, token: str) -> httpx.Response:
        return self._send("GET", path, token)

    def _send(self, method: str, path: str, token: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            transport = httpx.HTTPTransport(uds=self._socket)
            with httpx.Client(transport=transport, timeout=TIMEOUT, follow_redirects=False) as client:
                return client.request(method, f"{self._base}{path}", headers=headers)
        except httpx.TransportError as exc:
            raise Unavailable(f"the registry at {self._address} does not answer: {exc}") from exc
        except (httpx.InvalidURL, ValueError) as exc:
            raise Misconfigured(f"{self._address} is not the address of a registry: {exc}") from exc


def _date(response: httpx.Response) -> int | None:
    try:
        return int(parsedate_to_datetime(response.headers["date"]).timestamp())
    except (KeyError, ValueError):
        return None
