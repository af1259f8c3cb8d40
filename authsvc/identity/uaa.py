"""Passwords that an OAuth2 provider checks: Cloud Foundry's UAA, or any with the password grant (RFC 6749, 4.3).

Who it is comes from the userinfo endpoint, asked over the same connection with the token just granted: no token is read
here, so none has to be verified. The grant has one answer for a wrong password and for an unknown name, hence
`Verdict.UNKNOWN` for both: the next source is asked. Nobody waits longer than `TOTAL_SECONDS`, DNS and servers that
answer a byte at a time included. Redirects are not followed, bodies are read up to a limit.

Not here: accounts and the order of sources (core/login.py), logins with a browser (OpenID Connect's code flow).
"""

import asyncio
import json
import math
import ssl
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote_plus

import httpx

from authsvc.domain.names import canonical_user
from authsvc.domain.passwords import MAX_BYTES as MAX_PASSWORD
from authsvc.errors import Misconfigured, Unavailable, say
from authsvc.identity import Group, Identity, Verdict
from authsvc.identity.steps import CLIENT, DISCOVERY, ENDPOINTS_ARE_GOOD, UNREACHABLE, Step, Trial, client_is_good
from authsvc.settings import UaaSettings, is_http_url

T = TypeVar("T")
CONNECT_SECONDS, TOTAL_SECONDS = 2.0, 5.0
DISCOVERY_SECONDS = 3_600
MAX_BODY, MAX_NAME, MAX_SUBJECT, MAX_GROUPS = 262_144, 255, 200, 1_000

# What is wrong when it is not the person's password (RFC 6749, 5.2), and the setting that a person looks at.
_MISTAKES = {
    "invalid_client": say("refuses our client: check client_id and client_secret of uaa.%(name)s"),
    "unauthorized_client": say(
        "does not let our client use the password grant: give client_id of uaa.%(name)s that grant"
    ),
    "unsupported_grant_type": say("has no password grant"),
    "invalid_scope": say("does not give our client the scopes that it asks for: check scopes of uaa.%(name)s"),
}
_MENDS: Mapping[str, str] = {
    DISCOVERY: say(
        "check issuer, letter by letter: its discovery document is at issuer/.well-known/openid-configuration"
    ),
    CLIENT: say("check client_id and client_secret, and the grants of that client at the provider"),
}
# Those of OpenID Connect itself say what a client is told, not what a person belongs to.
_NO_GROUPS = frozenset({"openid", "profile", "email", "address", "phone", "offline_access"})


class _Endpoints(NamedTuple):
    token: str
    userinfo: str


@dataclass(frozen=True, slots=True)
class _Answer:
    """`said` is the JSON object of the body, empty when it is none; `challenge` the scheme that the client lacks."""

    status: int
    challenge: str
    said: Mapping[str, Any]

    @property
    def error(self) -> str:
        """OAuth2's word for what is wrong, "" for none."""
        if self.status == httpx.codes.UNAUTHORIZED and self.challenge == "basic":
            return "invalid_client"  # UAA says `unauthorized` of a person and of a client: its challenge tells which
        error = self.said.get("error")
        return error if isinstance(error, str) and len(error) <= 64 and error.isprintable() else ""

    @property
    def is_refusal(self) -> bool:
        """Whether it is the name or the password that is wrong, in the standard's words or in UAA's."""
        is_client_error = self.status in {httpx.codes.BAD_REQUEST, httpx.codes.UNAUTHORIZED}
        return is_client_error and self.error in {"invalid_grant", "unauthorized"}


class UaaBackend:
    """One provider.

    Args:
        name: the source's name; a subject is `name:sub`.
        clock: seconds that only go forward.

    Raises:
        Misconfigured: the CA certificate cannot be read.
    """

    def __init__(self, name: str, settings: UaaSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self._settings = settings
        self._clock = clock
        self._tls = _tls(name, settings)
        self._known = _Endpoints(settings.token_endpoint, settings.userinfo_endpoint)
        self._known_until = -math.inf if settings.issuer else math.inf

    def check(self, username: str, password: str) -> Identity | Verdict:
        """See `PasswordBackend.check`."""
        if not 0 < len(username) <= MAX_NAME or len(password.encode()) > MAX_PASSWORD:
            return Verdict.UNKNOWN
        return self._talk(lambda client: self._ask(client, username, password))

    def probe(self) -> list[Step]:
        """Try what a login needs, but a person: what the provider says of itself, and whether it takes our client."""
        settings, setting = self._settings, "issuer" if self._settings.issuer else "token_endpoint"
        trial = Trial(settings.issuer or settings.token_endpoint, setting, _MENDS, UNREACHABLE)

        def work() -> None:
            endpoints = self._known
            if settings.issuer:
                endpoints = trial.take(DISCOVERY, lambda: self._talk(self._discover), lambda _: ENDPOINTS_ARE_GOOD)
            trial.take(CLIENT, lambda: self._talk(lambda client: self._show(client, endpoints.token)), client_is_good)

        return trial.run(work)

    def _talk(self, work: Callable[[httpx.AsyncClient], Coroutine[Any, Any, T]]) -> T:
        """What a conversation with the provider comes to."""

        async def limited() -> T:
            async with asyncio.timeout(TOTAL_SECONDS), self._client() as client:
                return await work(client)

        try:
            return _run(limited())
        except (TimeoutError, httpx.TimeoutException) as exc:
            seconds = f"{TOTAL_SECONDS:.0f}"
            raise self._unavailable(say("does not answer within %(seconds)s seconds", seconds=seconds)) from exc
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as exc:
            raise self._unavailable(say("does not answer: %(why)s", why=exc)) from exc

    async def _ask(self, client: httpx.AsyncClient, username: str, password: str) -> Identity | Verdict:
        endpoints = await self._endpoints(client)
        granted = await self._grant(client, endpoints.token, username, password)
        if granted is None:
            return Verdict.UNKNOWN
        facts = await self._facts(client, endpoints, granted)
        identity = self._identity({"scope": granted.get("scope"), **facts})
        # A provider may take further spellings, such as blanks around a name; each would be throttled by itself.
        spellings = {identity.name, canonical_user(identity.email)}
        return identity if canonical_user(username) in spellings else Verdict.UNKNOWN

    def _client(self) -> httpx.AsyncClient:
        timeout = httpx.Timeout(TOTAL_SECONDS, connect=CONNECT_SECONDS)
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        return httpx.AsyncClient(verify=self._tls, timeout=timeout, headers=headers, trust_env=False)

    async def _endpoints(self, client: httpx.AsyncClient) -> _Endpoints:
        if self._clock() >= self._known_until:
            found = await self._discover(client)
            self._known, self._known_until = found, self._clock() + DISCOVERY_SECONDS
        return self._known

    async def _discover(self, client: httpx.AsyncClient) -> _Endpoints:
        issuer = self._settings.issuer
        request = client.build_request("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        answer = await _fetch(client, request)
        if answer.status != httpx.codes.OK or answer.said.get("issuer") != issuer:
            raise self._unavailable(
                say("has no discovery document of that issuer: check issuer of uaa.%(name)s", name=self.name)
            )
        found = _Endpoints(*(str(answer.said.get(f"{each}_endpoint", "")) for each in _Endpoints._fields))
        if not all(is_http_url(url, allow_http=self._settings.allow_http) for url in found):
            raise self._unavailable(say("names no endpoint for tokens or for userinfo that begins with https://"))
        return found

    async def _grant(
        self, client: httpx.AsyncClient, url: str, username: str, password: str
    ) -> Mapping[str, Any] | None:
        """The answer that holds an access token; None for a wrong name or password."""
        form = {"grant_type": "password", "username": username, "password": password}
        if self._settings.scopes:
            form["scope"] = " ".join(self._settings.scopes)
        answer = await self._post(client, url, form)
        if answer.is_refusal:
            return None
        if answer.status != httpx.codes.OK:
            raise self._unavailable(self._mistake(answer))
        if not isinstance(answer.said.get("access_token"), str):
            raise self._unavailable(say("answers something else than a token"))
        return answer.said

    async def _show(self, client: httpx.AsyncClient, url: str) -> str:
        """Show our client's credentials alone. What the provider says to that, in its own word, when it takes them.

        It looks at them first: only `invalid_client` says that they are wrong (RFC 6749, 5.2).
        """
        answer = await self._post(client, url, {"grant_type": "client_credentials"})
        if answer.error == "invalid_client" or not (answer.error or answer.status == httpx.codes.OK):
            raise self._unavailable(self._mistake(answer))
        return answer.error

    async def _post(self, client: httpx.AsyncClient, url: str, form: Mapping[str, str]) -> _Answer:
        """Ask for a token as our client."""
        secret = self._settings.client_secret.get_secret_value()
        # Both halves are encoded (RFC 6749, 2.3.1), which UAA believes only with this header.
        auth = httpx.BasicAuth(quote_plus(self._settings.client_id), quote_plus(secret))
        request = client.build_request("POST", url, data=form, headers={"X-CF-ENCODED-CREDENTIALS": "true"})
        return await _fetch(client, request, auth)

    async def _facts(
        self, client: httpx.AsyncClient, endpoints: _Endpoints, granted: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        headers = {"Authorization": f"Bearer {granted['access_token']}"}
        answer = await _fetch(client, client.build_request("GET", endpoints.userinfo, headers=headers))
        if answer.status != httpx.codes.OK or not answer.said:
            raise self._unavailable(
                say(
                    "does not say whom it let in (HTTP %(status)s): our client needs the scope openid, "
                    "see scopes of uaa.%(name)s",
                    status=answer.status,
                    name=self.name,
                )
            )
        return answer.said

    def _identity(self, facts: Mapping[str, Any]) -> Identity:
        subject = self._text(facts, "sub", MAX_SUBJECT)
        email = facts.get(self._settings.email_claim)
        groups = self._groups(facts)
        return Identity(
            subject=f"{self.name}:{subject}",
            name=canonical_user(self._text(facts, self._settings.name_claim, MAX_NAME)),
            email=email if isinstance(email, str) else "",
            groups=groups,
            admin=any(group.key in self._settings.admin_groups for group in groups or ()),
        )

    def _text(self, facts: Mapping[str, Any], claim: str, length: int) -> str:
        text = facts.get(claim)
        if not isinstance(text, str) or not 0 < len(text) <= length:
            raise self._unavailable(
                say(
                    "says no %(claim)s of whom it let in: check name_claim and scopes of uaa.%(name)s",
                    claim=claim,
                    name=self.name,
                )
            )
        return text

    def _groups(self, facts: Mapping[str, Any]) -> frozenset[Group] | None:
        """The groups of the claim, which are all there are; None where no claim is to say."""
        claim = self._settings.groups_claim
        if not claim:
            return None
        value = facts.get(claim)
        listed = value.split() if isinstance(value, str) else value if isinstance(value, list) else []
        names = {one for one in listed if isinstance(one, str) and 0 < len(one) <= MAX_NAME} - _NO_GROUPS
        if len(names) > MAX_GROUPS:
            raise self._unavailable(say("says more than %(most)s groups of one person", most=MAX_GROUPS))
        return frozenset(Group(one, one) for one in names)

    def _mistake(self, answer: _Answer) -> str:
        known = _MISTAKES.get(answer.error)
        if known:
            return say(known.template, name=self.name)
        return say("answers HTTP %(status)s", status=f"{answer.status} {answer.error}".rstrip())

    def _unavailable(self, fact: str) -> Unavailable:
        return Unavailable(say("the identity provider %(name)s %(fact)s", name=self.name, fact=fact), fact)


def _tls(name: str, settings: UaaSettings) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=settings.ca_certificate)
    except OSError as exc:  # which ssl.SSLError is, too
        raise Misconfigured(f"uaa.{name}.ca_certificate: {settings.ca_certificate} cannot be read: {exc}") from exc


async def _fetch(client: httpx.AsyncClient, request: httpx.Request, auth: httpx.BasicAuth | None = None) -> _Answer:
    response = await client.send(request, stream=True, auth=auth)
    try:
        body = b""
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > MAX_BODY:
                raise httpx.DecodingError("the answer is too long")
    finally:
        await response.aclose()
    challenge, _, _ = response.headers.get("www-authenticate", "").partition(" ")
    return _Answer(response.status_code, challenge.lower(), _object(body))


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _run(conversation: Coroutine[Any, Any, T]) -> T:
    # Not asyncio.run, which at its end waits for the thread in which a name is still being resolved.
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(conversation)
    finally:
        loop.run_until_complete(asyncio.sleep(0))  # connections that were closed are gone a turn later
        loop.close()
