"""The public keys of external issuers: fetched over HTTPS, remembered, fetched anew when one is missing.

Only issuers that stand in a trust are ever asked, never one that only a token names. What an issuer published goes on
to count while it is away. Redirects are not followed, bodies are read up to a limit, and no caller waits longer than
`TOTAL_SECONDS`, whatever the issuer or DNS does.

Specification: OpenID Connect Discovery 1.0, sections 4.1 to 4.3; JSON Web Key, RFC 7517.
"""

import json
import logging
import math
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import jwt
from cachetools import LRUCache
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from authsvc.domain.trusts import parse_url, shown
from authsvc.errors import Invalid, Unavailable, say
from authsvc.settings import FederationSettings

log = logging.getLogger(__name__)
CONNECT_SECONDS, TOTAL_SECONDS = 2.0, 5.0
COOL_DOWN_SECONDS, RETRY_SECONDS = 30.0, 5.0
"""How long after a fetch the next one may begin, which unknown keys ask for: after a good one, and after a failure."""
STALE_SECONDS = 86_400
"""How long beyond its time what an issuer published counts while it is away."""
MAX_BYTES = 262_144
MAX_ISSUERS, MAX_WAITING = 1_000, 32
_TIMEOUT = httpx.Timeout(TOTAL_SECONDS, connect=CONNECT_SECONDS)
_MIN_RSA_BITS = 2_048

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey
_CURVES: Mapping[str, tuple[str, ...]] = {"secp256r1": ("ES256",), "secp384r1": ("ES384",), "secp521r1": ("ES512",)}


class Source(NamedTuple):
    """An issuer, and where its keys are; without `jwks_url` its discovery document says."""

    issuer: str
    jwks_url: str


@dataclass(frozen=True, slots=True)
class Key:
    """A public key, and the algorithms that are good with it. It alone decides about these, never a token."""

    public: PublicKey
    algorithms: tuple[str, ...]


@dataclass(slots=True)
class _Shelf:
    """What is known of an issuer, and how the latest fetch went; `failure` is "" when it went well."""

    keys: Mapping[str, Key] = field(default_factory=dict)
    fetched_at: float = -math.inf
    tried_at: float = -math.inf
    failure: str = ""
    fetch: threading.Thread | None = None


class IssuerKeys:
    """Finds keys; one for the whole process.

    Args:
        clock: seconds that only go forward.
    """

    def __init__(self, settings: FederationSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._shelves: LRUCache[Source, _Shelf] = LRUCache(MAX_ISSUERS)
        self._lock = threading.Lock()
        self._room = threading.BoundedSemaphore(MAX_WAITING)

    def find(self, source: Source, key_id: str) -> Key | None:
        """The issuer's key of that id, or None when it has none.

        Raises:
            Unavailable: the issuer cannot be asked, and what is known does not say.
        """
        with self._lock:
            shelf = self._shelves.setdefault(source, _Shelf())
        ttl, age = self._settings.keys_ttl, self._clock() - shelf.fetched_at
        key = shelf.keys.get(key_id)
        if key is not None and age < ttl:
            return key
        fetch = self._start_fetch(source, shelf)
        if fetch is not None and (key is None or age >= 2 * ttl):
            with self._place():
                fetch.join(TOTAL_SECONDS)
        key = shelf.keys.get(key_id)
        is_known = self._clock() - shelf.fetched_at < ttl + STALE_SECONDS
        if key is not None and is_known:
            return key
        if not is_known or shelf.failure or (fetch is not None and fetch.is_alive()):
            raise Unavailable(shelf.failure or f"{source.issuer} does not answer: its keys are needed; try again soon")
        return None

    def _start_fetch(self, source: Source, shelf: _Shelf) -> threading.Thread | None:
        """The fetch that runs: a new one, or one that was begun before. None when it is too early for another."""
        with self._lock:
            if shelf.fetch is not None and shelf.fetch.is_alive():
                return shelf.fetch
            pause = RETRY_SECONDS if shelf.failure else COOL_DOWN_SECONDS
            if self._clock() - shelf.tried_at < pause:
                return None
            shelf.tried_at = self._clock()
            # In a thread, because neither DNS nor a server that answers a byte at a time keeps to a time limit.
            shelf.fetch = threading.Thread(target=self._fetch, args=(source, shelf), name="issuer", daemon=True)
            shelf.fetch.start()
            return shelf.fetch

    def _fetch(self, source: Source, shelf: _Shelf) -> None:
        try:
            keys = self.fetch(source)
        except Unavailable as exc:
            log.warning("keys of an issuer cannot be fetched: %s (%s)", exc, exc.__cause__)
            shelf.failure = str(exc)
            return
        shelf.keys, shelf.fetched_at, shelf.failure = keys, self._clock(), ""

    def fetch(self, source: Source) -> Mapping[str, Key]:
        """The issuer's keys as it publishes them now, by their ids. DNS may take longer than `TOTAL_SECONDS`.

        Raises:
            Unavailable: it does not answer, or publishes none that can be used.
        """
        with httpx.Client(verify=self._context(), timeout=_TIMEOUT, follow_redirects=False) as client:
            address = source.jwks_url or self._discover(client, source.issuer)
            listed = self._get(client, address).get("keys")
        found = {str(one.get("kid")): key for one in _objects(listed) if (key := read_key(one)) is not None}
        if not found:
            raise Unavailable(say("%(address)s lists no key that can be used", address=address))
        return found

    def _discover(self, client: httpx.Client, issuer: str) -> str:
        """Where the keys are. On the issuer's own server: another one must be named by an administrator."""
        document = self._get(client, issuer.rstrip("/") + "/.well-known/openid-configuration")
        if document.get("issuer") != issuer:
            raise Unavailable(f"the issuer at {issuer} says that it is {shown(document.get('issuer'))}")
        address, server = str(document.get("jwks_uri")), "://".join(urlsplit(issuer)[:2])
        if not address.startswith(server + "/"):
            raise Unavailable(f"{issuer} has its keys elsewhere, at {shown(address)}: the trust must name --jwks-url")
        return address

    def _get(self, client: httpx.Client, address: str) -> dict[str, Any]:
        try:
            parse_url(address, "address", allow_http=self._settings.allow_http)
            content = _read(client, address)
        except Invalid as exc:
            raise Unavailable(f"{shown(address)} is not asked: {exc.fields['address']}") from exc
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as exc:
            raise Unavailable(
                say("%(address)s does not answer, so no identity token of it can be checked", address=address)
            ) from exc
        try:
            document = json.loads(content)
        except (ValueError, RecursionError) as exc:
            raise Unavailable(say("%(address)s does not answer in JSON", address=address)) from exc
        return document if isinstance(document, dict) else {}

    def _context(self) -> ssl.SSLContext:
        context = httpx.create_ssl_context()
        if self._settings.ca is not None:
            try:
                context.load_verify_locations(self._settings.ca)
            except OSError as exc:
                raise Unavailable("federation.ca cannot be read as certificates in PEM") from exc
        return context

    @contextmanager
    def _place(self) -> Iterator[None]:
        if not self._room.acquire(blocking=False):
            raise Unavailable("too many wait for the keys of an issuer; try again in a few seconds")
        try:
            yield
        finally:
            self._room.release()


def read_key(jwk: Mapping[str, Any]) -> Key | None:
    """A key of a JWK set; None for what signs nothing here: secrets, short keys, keys for encryption, unknown ones."""
    if jwk.get("kty") not in {"RSA", "EC", "OKP"} or jwk.get("use", "sig") != "sig" or not jwk.get("kid"):
        return None
    try:
        # Without its `alg`, which may be any; the kind of key says how it is read.
        found = jwt.PyJWK({name: value for name, value in jwk.items() if name != "alg"}).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    public = found if isinstance(found, PublicKey) else None
    algorithms = tuple(name for name in _algorithms(public) if jwk.get("alg") in {None, name})
    return Key(public, algorithms) if public is not None and algorithms else None


def _algorithms(key: PublicKey | None) -> tuple[str, ...]:
    match key:
        case RSAPublicKey() if key.key_size >= _MIN_RSA_BITS:
            return ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
        case EllipticCurvePublicKey():
            return _CURVES.get(key.curve.name, ())
        case Ed25519PublicKey():
            return ("EdDSA",)
    return ()


def _objects(listed: object) -> list[dict[str, Any]]:
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


def _read(client: httpx.Client, address: str) -> bytes:
    """The body of a 200."""
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    deadline = time.monotonic() + TOTAL_SECONDS
    with client.stream("GET", address, headers=headers) as response:
        if response.status_code != httpx.codes.OK:
            raise Unavailable(
                say(
                    "%(address)s answers %(status)s in place of what it should",
                    address=address,
                    status=response.status_code,
                )
            )
        content = b""
        for part in response.iter_raw():
            content += part
            if len(content) > MAX_BYTES or time.monotonic() > deadline:
                raise Unavailable(say("%(address)s answers too much or too slowly", address=address))
        return content
