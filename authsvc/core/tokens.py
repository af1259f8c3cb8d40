"""The token endpoint's one use case, top to bottom: request → who → what may they → sign.

Budget: one SQL statement, none while what it would read is remembered (core/standing.py), no write, one signature; a
proof costs more only when it is not remembered (core/login.py). New refresh tokens and refusals write.
Specification: distribution, "Token Authentication Specification", "OAuth2" and "Token Authentication Implementation".
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

from sqlalchemy import Engine

from authsvc.core import refresh_tokens
from authsvc.core.callers import Caller, Callers, Origin, RefreshCredential
from authsvc.core.keys import KeyRing
from authsvc.core.login import Credentials
from authsvc.core.refresh_tokens import NewToken
from authsvc.core.standings import Standings
from authsvc.db.engine import retried
from authsvc.domain import names, permissions, scope
from authsvc.domain.permissions import Audience, Credential
from authsvc.domain.scope import Scope
from authsvc.errors import Invalid
from authsvc.settings import ServiceSettings, Settings

BACKDATED = 30
"""Seconds by which `nbf` precedes `iat`, beside the registry's own leeway of 60 s."""


class Entry(TypedDict):
    """One resource in a token's `access` claim."""

    type: str
    name: str
    actions: list[str]


Access = list[Entry]


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What a client asks: each `service` and `scope` parameter as it came, and what it shows.

    Args:
        credentials: a name and password, a refresh token's secret, or None for anonymous.
        wants_refresh: whether a refresh token is asked for, too.
        client: what the client calls itself.
    """

    services: Sequence[str]
    scopes: Sequence[str]
    credentials: Credentials | str | None
    origin: Origin
    wants_refresh: bool = False
    client: str = ""


@dataclass(frozen=True, slots=True)
class Grant:
    """A signed token, how many seconds it is good for, what it allows, and perhaps a refresh token.

    Args:
        source: where the caller's secret is checked, `local` or `robot`; "" for anonymous.
    """

    token: str
    lifetime: int
    access: Access
    via: Credential
    refresh_token: str | None = None
    source: str = ""


class Tokens:
    """Issues tokens for every service on the list."""

    def __init__(
        self, callers: Callers, standings: Standings, engine: Engine, keys: KeyRing, settings: Settings
    ) -> None:
        self._callers = callers
        self._standings = standings
        self._engine = engine
        self._keys = keys
        self._settings = settings
        own = ServiceSettings(kind="registry")
        self._services: Mapping[str, ServiceSettings] = {**settings.services, settings.token.service: own}

    def issue(self, request: TokenRequest, now: int) -> Grant:
        """The part of what was asked that this caller may have, signed.

        Raises:
            Invalid: the service is not on the list, or the request is abusive.
            Unauthenticated: credentials came and were wrong, even where anybody may pull.
            TooMany: there were too many failures.
            Unavailable: the database or an identity source does not answer.
        """
        service = self._service(request.services)
        asked = {wanted: self._local_name(service, wanted) for wanted in scope.parse(request.scopes)}
        projects = {self._project(name) for wanted, name in asked.items() if wanted.kind == "repository"}
        shown = request.credentials
        credential = RefreshCredential(shown, service) if isinstance(shown, str) else shown
        caller = self._callers.identify(credential, request.origin, projects, now)
        access = [entry for wanted, name in asked.items() if (entry := self._entry(caller, service, wanted, name))]
        token = self._sign(caller.actor.name, service, access, caller.standing.key, now)
        refresh = self._refresh_token(request, caller, service, now)
        source = caller.standing.account.source if caller.standing.account else ""
        return Grant(token, self._settings.token.lifetime, access, caller.actor.via, refresh, source)

    def check(self, credentials: Credentials | None, origin: Origin, now: int) -> None:
        """Whether credentials are good; makes no token.

        Raises:
            Unauthenticated, TooMany, Unavailable: as `issue` does.
        """
        self._callers.identify(credentials, origin, (), now)

    def probe(self, service: str, repository: str, now: int) -> str:
        """A token that `authsvc doctor` shows to a registry: it may delete in one repository that does not exist."""
        access: Access = [{"type": "repository", "name": repository, "actions": ["delete"]}]
        key = self._standings.of_user("", [], now).key
        return self._sign("authsvc-doctor", service, access, key, now)

    def _service(self, services: Sequence[str]) -> str:
        if len(services) > 1:
            raise Invalid({"service": "only one service in one request"})
        service = services[0] if services else self._settings.token.service
        if service not in self._services:
            raise Invalid({"service": f"this is not the token service of {service[:64]!r}"})
        return service

    def _local_name(self, service: str, wanted: Scope) -> str:
        """The repository's name here: Notary's has a registry's host in front, which must be one of ours."""
        settings = self._services[service]
        if Audience(settings.kind) is not Audience.NOTARY:
            return wanted.name
        host, slash, rest = wanted.name.partition("/")
        hosts = settings.hosts or (self._settings.address.partition("://")[2],)
        return rest if slash and host in hosts else wanted.name

    def _project(self, repository: str) -> str:
        return names.project_of(repository, self._settings.root_project)

    def _entry(self, caller: Caller, service: str, wanted: Scope, name: str) -> Entry | None:
        audience = Audience(self._services[service].kind)
        actions: list[str] = []
        if wanted.kind == "repository":
            project = caller.standing.projects.get(self._project(name))
            actions = permissions.repository_actions(caller.actor, audience, project, name, wanted.actions)
        elif wanted.kind == "registry":
            actions = permissions.catalog_actions(caller.actor, audience, wanted.name, wanted.actions)
        return {"type": wanted.kind, "name": wanted.name, "actions": actions} if actions else None

    def _sign(self, subject: str, service: str, access: Access, key: int | None, now: int) -> str:
        claims = {
            "iss": self._settings.token.issuer,
            "sub": subject,
            "aud": service,
            "exp": now + self._settings.token.lifetime,
            "nbf": now - BACKDATED,
            "iat": now,
            "jti": secrets.token_urlsafe(12),
            "access": access,
        }
        return self._keys.signer(key).sign(claims)

    def _refresh_token(self, request: TokenRequest, caller: Caller, service: str, now: int) -> str | None:
        """A refresh token after a password login that asked for one; after a refresh the same one, or its successor."""
        settings, actor, found = self._settings.token, caller.actor, caller.standing
        shown = request.credentials
        if not settings.refresh_tokens or found.account is None:
            return None
        new = NewToken(
            user=actor.name,
            service=service,
            client=request.client,
            password_version=found.account.version,
            days=settings.refresh_lifetime_days,
            family=found.machine.family if found.machine else "",
        )
        if isinstance(shown, str):
            if not settings.refresh_rotation:
                return shown
            return retried(self._engine, lambda session: refresh_tokens.replace(session, actor, found, new, now))
        if actor.via is not Credential.PASSWORD or not request.wants_refresh:
            return None
        return retried(self._engine, lambda session: refresh_tokens.add(session, actor, new, now))
