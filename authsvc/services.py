"""Every long-lived object, built once, in one visible function; web, worker and command line share it."""

import json
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from authsvc.core import keys, setup, users
from authsvc.core.callers import Callers
from authsvc.core.keys import KeyRing
from authsvc.core.last_known import LastKnown
from authsvc.core.login import Limits, Login
from authsvc.core.proofs import Proofs
from authsvc.core.redirects import Redirects
from authsvc.core.sealing import Sealer
from authsvc.core.standings import Standings
from authsvc.core.throttle import Throttle
from authsvc.core.tokens import Tokens
from authsvc.core.usage import Usage
from authsvc.db.engine import HURRIED, Engine, Session, reading, retried, transaction
from authsvc.db.tables import SigningKey
from authsvc.identity import Directory, PasswordBackend
from authsvc.identity.federated import Federation
from authsvc.identity.issuers import IssuerKeys
from authsvc.identity.local import LocalBackend
from authsvc.identity.oidc import OidcBackend
from authsvc.identity.uaa import UaaBackend
from authsvc.registry.client import RegistryClient
from authsvc.settings import Settings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Services:
    """What doors need: the settings, units of work, logins, tokens, the registry, directories by their name.

    `site_key` signs the site's cookie, in every process alike. `events_secret` is what a registry shows with its
    notifications; while it is empty none are taken.
    """

    settings: Settings
    engine: Engine
    callers: Callers
    tokens: Tokens
    redirects: Redirects
    registry: RegistryClient
    site_key: bytes = field(repr=False)
    events_secret: str = field(repr=False)
    directories: Mapping[str, Directory] = field(default_factory=dict)

    def transaction(self) -> AbstractContextManager[Session]:
        """One unit of work that may write."""
        return transaction(self.engine)

    def reading(self) -> AbstractContextManager[Session]:
        """A unit of work that only reads."""
        return reading(self.engine)

    def retried(self, work: Callable[[Session], T]) -> T:
        """A unit of work that may write, done anew when it met others half-way."""
        return retried(self.engine, work)


@dataclass(frozen=True, slots=True)
class Shared:
    """What the processes of web share, when it is made before they are forked."""

    proofs: Proofs = field(default_factory=Proofs)
    last_known: LastKnown = field(default_factory=LastKnown)


class LineFormatter(logging.Formatter):
    """Adds a record's `facts` to its line as key=value, each value in JSON and ASCII, so that none can end the line."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (the name is logging's)
        facts: dict[str, object] = getattr(record, "facts", {})
        return " ".join([super().formatMessage(record), *(f"{key}={json.dumps(facts[key])}" for key in facts)])


def start_logging(settings: Settings) -> None:
    """Send what this process logs to standard error; libraries only from warnings on."""
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("authsvc").setLevel(settings.log.level.upper())


def build(settings: Settings, shared: Shared | None = None) -> Services:
    """Build everything from the settings; opens no connection yet.

    Args:
        shared: with other processes; None for a process alone.

    Raises:
        Misconfigured: the data directory or a setting needs a person's hand.
    """
    shared = shared or Shared()
    engine = setup.connect(settings, HURRIED)
    token = settings.token
    sealer = Sealer.from_file(settings.paths.master_key)
    throttle = Throttle(engine, sealer.derive("throttle"), settings.throttle)
    limits = Limits(ttl=token.proof_ttl, grace=token.grace, room=settings.web.threads * 3 // 4 or 1)
    sources = _sources(engine, settings)
    chain = [sources[name] for name in settings.chain]
    login = Login(engine, chain, throttle, shared.proofs, limits, newcomers=settings.onboard)
    standings = Standings(engine, token.grace, shared.last_known)
    federation = Federation(IssuerKeys(settings.federation), token.issuer)
    callers = Callers(engine, login, standings, throttle, Usage(engine), federation, settings)
    return Services(
        settings=settings,
        engine=engine,
        callers=callers,
        tokens=Tokens(callers, standings, engine, KeyRing(sealer, _key_finder(engine)), settings),
        redirects=Redirects(engine, _oidc(settings), callers, throttle, newcomers=settings.onboard),
        registry=RegistryClient(settings.registry_address),
        site_key=sealer.derive("site"),
        events_secret=_events_secret(settings),
        directories=_directories_of(sources, settings),
    )


def _oidc(settings: Settings) -> list[OidcBackend]:
    return [
        OidcBackend(name, provider, f"{settings.address}/login/{name}/callback")
        for name, provider in settings.oidc.items()
    ]


def _events_secret(settings: Settings) -> str:
    try:
        return settings.paths.events_secret.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _key_finder(engine: Engine) -> Callable[[int], SigningKey | None]:
    def find(row_id: int) -> SigningKey | None:
        with reading(engine) as session:
            return keys.find(session, row_id)

    return find


def _sources(engine: Engine, settings: Settings) -> dict[str, PasswordBackend]:
    """Every source that checks passwords, by its name."""
    return {LocalBackend.name: _local(engine)} | _directories(settings) | _uaa(settings)


def _directories(settings: Settings) -> dict[str, PasswordBackend]:
    if not settings.ldap:
        return {}
    from authsvc.identity.ldap import LdapBackend  # noqa: PLC0415 (megabytes in each process, which many do without)

    return {name: LdapBackend(name, directory) for name, directory in settings.ldap.items()}


def _directories_of(sources: Mapping[str, PasswordBackend], settings: Settings) -> dict[str, Directory]:
    """Those that tell about people without their passwords: not where people alone may read their entries."""
    mute = {name for name, directory in settings.ldap.items() if directory.bind_template}
    return {name: one for name, one in sources.items() if isinstance(one, Directory) and name not in mute}


def _uaa(settings: Settings) -> dict[str, PasswordBackend]:
    return {name: UaaBackend(name, provider) for name, provider in settings.uaa.items()}


def _local(engine: Engine) -> LocalBackend:
    def renew_hash(name: str, outdated: str, phc: str) -> None:
        retried(engine, lambda session: users.renew_hash(session, name, outdated, phc))

    return LocalBackend(partial(users.find_hash, engine), renew_hash)
