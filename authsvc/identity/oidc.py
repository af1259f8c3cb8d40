"""Logins at an OpenID Connect provider: code flow with PKCE, state and nonce (OpenID Connect Core 1.0, RFC 9700).

A person is known by the issuer and `sub`, never by a name or an address. The ID token must be signed with a key of the
provider's, by an algorithm that the kind of key allows, and what its claims say is looked at by Authlib; what the
browser brings is compared with what it took along. Nobody waits longer than `TOTAL_SECONDS` for one conversation.

Not here: accounts (core/redirects.py), keys (identity/issuers.py).
"""

import hmac
import logging
import math
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import cached_property, partial
from typing import Any, TypeVar

import httpx
import jwt
from authlib.common.errors import AuthlibBaseError
from authlib.oauth2.client import OAuth2Client
from authlib.oidc.core import CodeIDToken
from joserfc.errors import JoseError

from authsvc.domain.names import canonical_user
from authsvc.errors import Unauthenticated, Unavailable, say
from authsvc.identity import Group, Identity, Pending
from authsvc.identity.issuers import IssuerKeys, Source
from authsvc.identity.steps import CLIENT, DISCOVERY, ENDPOINTS_ARE_GOOD, KEYS, UNREACHABLE, Step, Trial, client_is_good
from authsvc.settings import FederationSettings, OidcSettings, is_safe_server

T = TypeVar("T")
log = logging.getLogger(__name__)
CONNECT_SECONDS, TOTAL_SECONDS = 2.0, 5.0
DOCUMENT_SECONDS, STALE_SECONDS, RETRY_SECONDS = 3_600, 86_400, 5
"""How long a discovery document is good, how much longer while the provider is away, and when to ask again then."""
LOGIN_SECONDS = 600
LEEWAY_SECONDS = 60
MAX_TALKING, MAX_GROUPS, MAX_LENGTH = 16, 1_000, 255
_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")
_MENDS: Mapping[str, str] = {
    DISCOVERY: say(
        "check issuer, letter by letter: its discovery document is at issuer/.well-known/openid-configuration"
    ),
    KEYS: say("the provider must publish a key for signatures at jwks_uri: RSA of 2048 bits, EC or Ed25519"),
    CLIENT: say("check client_id and client_secret"),
}


class OidcBackend:
    """One provider.

    Args:
        name: the source's name; a subject is `name:sub`.
        redirect_uri: where the browser comes back to, as it was registered at the provider.
        clock: seconds that only go forward.
    """

    def __init__(
        self, name: str, settings: OidcSettings, redirect_uri: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = name
        self.label = settings.label or name
        self._settings = settings
        self._redirect_uri = redirect_uri
        self._clock = clock
        is_plain = settings.issuer.startswith("http:")
        self._keys = IssuerKeys(FederationSettings(ca=settings.ca_certificate, allow_http=is_plain), clock)
        self._document: dict[str, Any] = {}
        self._fetched_at = self._failed_at = -math.inf
        self._talking = threading.BoundedSemaphore(MAX_TALKING)

    def start(self, now: int) -> tuple[str, Pending]:
        """See `RedirectBackend.start`."""
        document = self._discovered()
        pending = Pending(_random(), _random(), _random(), now)
        url, _ = self._client(None).create_authorization_url(
            document["authorization_endpoint"],
            state=pending.state,
            code_verifier=pending.verifier,
            nonce=pending.nonce,
        )
        return url, pending

    def finish(self, pending: Pending, answer: Mapping[str, str], now: int) -> Identity:
        """See `RedirectBackend.finish`."""
        document = self._discovered()
        self._check(document, pending, answer, now)
        token = self._in_time(partial(self._exchange, document, answer["code"], pending.verifier))
        claims = self._proven(document, token, pending, now)
        if self._lacks(claims) and is_safe_server(str(document.get("userinfo_endpoint", ""))):
            claims = self._in_time(partial(self._userinfo, document, token, claims)) | claims
        return self._identity(claims)

    def probe(self) -> list[Step]:
        """Try what a login needs, but a person: what the provider says of itself, its keys, whether it knows us."""
        issuer = self._settings.issuer
        trial = Trial(issuer, "issuer", _MENDS, UNREACHABLE)

        def work() -> None:
            document = trial.take(DISCOVERY, lambda: self._in_time(self._fetch_document), lambda _: ENDPOINTS_ARE_GOOD)
            source = Source(issuer, document["jwks_uri"])
            trial.take(
                KEYS,
                lambda: self._in_time(lambda: self._keys.fetch(source)),
                lambda keys: say("keys that can be used: %(count)s", count=len(keys)),
            )
            trial.take(CLIENT, lambda: self._in_time(lambda: self._show(document)), client_is_good)

        return trial.run(work)

    def _show(self, document: Mapping[str, Any]) -> str:
        """Ask for the tokens of a made-up code. What the provider says when it takes our client's credentials.

        It looks at those first: only `invalid_client` says that they are wrong (RFC 6749, 5.2).
        """
        auth, shown = self._credentials(document)
        code = {"code": _random(), "redirect_uri": self._redirect_uri, "code_verifier": _random()}
        form = {"grant_type": "authorization_code", **code, **shown}
        with self._http() as http:
            answer = http.post(document["token_endpoint"], data=form, auth=auth)
        challenge = answer.headers.get("www-authenticate", "").lower()
        if answer.is_success:
            return ""
        is_refused = answer.status_code == httpx.codes.UNAUTHORIZED and challenge.startswith("basic")
        error = "invalid_client" if is_refused else str(_object(answer).get("error", ""))[:64]
        if error == "invalid_client":
            raise self._away(say("refuses our client"))
        if not error:
            raise self._away(say("answers HTTP %(status)s", status=answer.status_code))
        return error

    def _check(self, document: Mapping[str, Any], pending: Pending, answer: Mapping[str, str], now: int) -> None:
        """Whether this browser began the login, not long ago, and this provider answers it (RFC 9207)."""
        state, issuer = answer.get("state", ""), answer.get("iss")
        if not hmac.compare_digest(state.encode(), pending.state.encode()):
            raise Unauthenticated("the state is not that of a login which this browser began")
        if now - pending.begun_at > LOGIN_SECONDS:
            raise Unauthenticated("the login took too long")
        if issuer is None and document.get("authorization_response_iss_parameter_supported") is True:
            raise Unauthenticated("the answer does not say which issuer it comes from")
        if issuer not in {None, self._settings.issuer}:
            raise Unauthenticated("the answer comes from another issuer")
        if not answer.get("code"):
            raise Unauthenticated(f"the provider says {answer.get('error', 'nothing')[:64]}")

    def _exchange(self, document: Mapping[str, Any], code: str, verifier: str) -> dict[str, Any]:
        """The tokens for a code."""
        auth, shown = self._credentials(document)
        with self._http() as http:
            try:
                found: dict[str, Any] = self._client(http).fetch_token(
                    document["token_endpoint"],
                    code=code,
                    code_verifier=verifier,
                    auth=auth,
                    **shown,
                )
            except AuthlibBaseError as exc:
                raise Unauthenticated(f"the provider gives no token for the code: {str(exc)[:128]}") from exc
        return found

    def _credentials(self, document: Mapping[str, Any]) -> tuple[httpx.Auth, dict[str, str]]:
        """How our client shows who it is: a header, or else fields of the form."""
        client_id, secret = self._settings.client_id, self._settings.client_secret.get_secret_value()
        if "client_secret_basic" not in document.get("token_endpoint_auth_methods_supported", ["client_secret_basic"]):
            return httpx.Auth(), {"client_id": client_id, "client_secret": secret}
        # RFC 6749, 2.3.1: each half is form-encoded before it is put into the header.
        halves = [str(httpx.QueryParams({"": half}))[1:] for half in (client_id, secret)]
        return httpx.BasicAuth(*halves), {}

    def _proven(
        self, document: Mapping[str, Any], token: Mapping[str, Any], pending: Pending, now: int
    ) -> dict[str, Any]:
        """The claims of the ID token, if it is genuine, for us, of now, and of this login."""
        text = str(token.get("id_token", ""))
        try:
            header = jwt.get_unverified_header(text)
            key = self._keys.find(Source(self._settings.issuer, document["jwks_uri"]), str(header.get("kid", "")))
            if key is None:
                raise Unauthenticated("the ID token is signed with a key that the provider does not have")
            said = jwt.decode(text, key.public, algorithms=list(key.algorithms), options=_SIGNATURE_ALONE)
            claims = CodeIDToken(
                said,
                header,
                {
                    "iss": {"essential": True, "value": self._settings.issuer},
                    "aud": {"essential": True, "value": self._settings.client_id},
                    "sub": {"essential": True},
                },
                {
                    "nonce": pending.nonce,
                    "client_id": self._settings.client_id,
                    "access_token": token.get("access_token"),
                },
            )
            claims.validate(now, LEEWAY_SECONDS)
        except (jwt.PyJWTError, JoseError, ValueError, TypeError) as exc:
            raise Unauthenticated(f"the ID token is not good: {str(exc)[:128]}") from exc
        return dict(said)

    def _lacks(self, claims: Mapping[str, Any]) -> bool:
        wanted = (self._settings.name_claim, self._settings.email_claim, self._settings.groups_claim)
        return any(name and name not in claims for name in wanted)

    def _userinfo(
        self, document: Mapping[str, Any], token: Mapping[str, Any], claims: Mapping[str, Any]
    ) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {token.get('access_token', '')}"}
        with self._http() as http:
            found = _json(http.get(document["userinfo_endpoint"], headers=headers))
        if found.get("sub") != claims["sub"]:
            raise Unauthenticated("the userinfo endpoint tells of somebody else")
        return found

    def _identity(self, claims: Mapping[str, Any]) -> Identity:
        subject, name = claims["sub"], claims.get(self._settings.name_claim)
        if not isinstance(subject, str) or not 0 < len(subject) <= MAX_LENGTH:
            raise Unauthenticated("the claim sub is no text, or too long")
        if not isinstance(name, str) or not name:
            raise Unauthenticated(f"the claim {self._settings.name_claim}, which would be the user name, is missing")
        email = claims.get(self._settings.email_claim)
        groups = self._groups(claims)
        return Identity(
            subject=f"{self.name}:{subject}",
            name=canonical_user(name),
            email=email if isinstance(email, str) and len(email) <= MAX_LENGTH else "",
            groups=groups,
            admin=bool(groups) and any(group.key in self._settings.admin_groups for group in groups or ()),
        )

    def _groups(self, claims: Mapping[str, Any]) -> frozenset[Group] | None:
        """The groups of the claim, which are all there are; None where no claim is to say."""
        if not self._settings.groups_claim:
            return None
        value = claims.get(self._settings.groups_claim, [])
        names = [value] if isinstance(value, str) else value if isinstance(value, list) else []
        if len(names) > MAX_GROUPS:
            raise Unauthenticated(f"the claim {self._settings.groups_claim} has more than {MAX_GROUPS} groups")
        return frozenset(Group(name, name) for name in names if isinstance(name, str) and 0 < len(name) <= MAX_LENGTH)

    def _discovered(self) -> dict[str, Any]:
        """What the provider says of itself, remembered; an old word is better than none."""
        now = self._clock()
        if now - self._fetched_at < DOCUMENT_SECONDS:
            return self._document
        is_old = now - self._fetched_at >= DOCUMENT_SECONDS + STALE_SECONDS
        if now - self._failed_at >= RETRY_SECONDS:
            try:
                self._document = self._in_time(self._fetch_document)
            except Unavailable:
                self._failed_at = self._clock()
                if is_old:
                    raise
            else:
                self._fetched_at = now
        elif is_old:
            raise self._away()
        return self._document

    def _fetch_document(self) -> dict[str, Any]:
        with self._http() as http:
            document = _json(http.get(self._settings.issuer.rstrip("/") + "/.well-known/openid-configuration"))
        if document.get("issuer") != self._settings.issuer:
            said = repr(str(document.get("issuer"))[:128])
            raise self._away(say("its discovery document is of the issuer %(issuer)s", issuer=said))
        unsafe = [name for name in _ENDPOINTS if not is_safe_server(str(document.get(name, "")))]
        if unsafe:
            raise self._away(say("its discovery document has no safe %(endpoint)s", endpoint=unsafe[0]))
        return document

    def _client(self, http: httpx.Client | None) -> OAuth2Client:
        settings = self._settings
        return OAuth2Client(
            http,
            client_id=settings.client_id,
            scope=" ".join(settings.scopes),
            redirect_uri=self._redirect_uri,
            code_challenge_method="S256",
        )

    def _http(self) -> httpx.Client:
        timeout = httpx.Timeout(TOTAL_SECONDS, connect=CONNECT_SECONDS)
        return httpx.Client(verify=self._tls, timeout=timeout, follow_redirects=False)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        context = httpx.create_ssl_context()
        if self._settings.ca_certificate is not None:
            context.load_verify_locations(self._settings.ca_certificate)
        return context

    def _in_time(self, work: Callable[[], T]) -> T:
        """What a conversation with the provider comes to. In a thread, because DNS keeps to no time limit."""
        if not self._talking.acquire(blocking=False):
            raise self._away(say("too many talk to it at once"))
        done: Future[T] = Future()

        def talk() -> None:
            try:
                done.set_result(work())
            except Exception as exc:  # noqa: BLE001 (it is raised where the result is waited for)
                done.set_exception(exc)
            finally:
                self._talking.release()

        threading.Thread(target=talk, name=f"oidc-{self.name}", daemon=True).start()
        try:
            return done.result(TOTAL_SECONDS)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, RecursionError) as exc:
            why = str(exc)[:128]
            raise self._away(say("no sensible answer: %(why)s", why=f"{type(exc).__name__}: {why}")) from exc

    def _away(self, reason: str = "") -> Unavailable:
        """What people are told; why stands in the log alone."""
        if reason:
            log.warning("identity provider %s: %s", self.name, reason)
        return Unavailable(say("%(label)s does not answer as it should; try again later", label=self.label), reason)


_SIGNATURE_ALONE: Any = {
    "verify_aud": False,
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}


def _random() -> str:
    """256 random bits, which is also a verifier that PKCE takes (RFC 7636, 4.1)."""
    return secrets.token_urlsafe(32)


def _json(response: httpx.Response) -> dict[str, Any]:
    response.raise_for_status()
    return _object(response)


def _object(response: httpx.Response) -> dict[str, Any]:
    found = response.json()
    if not isinstance(found, dict):
        raise ValueError("no JSON object")  # noqa: TRY004 (it is about a value that was sent)
    return found
