"""Every long-lived object, built once, in one visible function; web, worker and command line share it."""

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from authsvc.core import keys, settings_store, setup, users
from authsvc.core.callers import Callers
from authsvc.core.keys import KeyRing
from authsvc.core.last_known import LastKnown
from authsvc.core.login import Limits, Login
from authsvc.core.minutes import Minutes
from authsvc.core.proofs import Proofs
from authsvc.core.redirects import Redirects
from authsvc.core.settings_store import Basis, Rows
from authsvc.core.standings import CHECK_SECONDS, Standings
from authsvc.core.throttle import Throttle
from authsvc.core.tokens import Tokens
from authsvc.core.usage import Usage
from authsvc.db.engine import HURRIED, Engine, Session, reading, retried, transaction
from authsvc.db.tables import SigningKey
from authsvc.errors import AppError
from authsvc.identity import Directory, PasswordBackend
from authsvc.identity.federated import Federation
from authsvc.identity.issuers import IssuerKeys
from authsvc.identity.local import LocalBackend
from authsvc.identity.oidc import OidcBackend
from authsvc.identity.uaa import UaaBackend
from authsvc.registry.client import RegistryClient
from authsvc.settings import Settings

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Services:
    """What doors need: the settings, units of work, logins, tokens, the registry, sources by their name.

    `minutes` counts requests for tokens. `basis` is what settings are changed on. `site_key` signs the site's cookie,
    in every process alike. `events_secret` is what a registry shows with its notifications; while it is empty none are
    taken.
    """

    settings: Settings
    engine: Engine
    callers: Callers
    tokens: Tokens
    redirects: Redirects
    registry: RegistryClient
    minutes: Minutes
    basis: Basis
    site_key: bytes = field(repr=False)
    events_secret: str = field(repr=False)
    sources: Mapping[str, PasswordBackend] = field(default_factory=dict)
    directories: Mapping[str, Directory] = field(default_factory=dict)

    def current(self) -> "Services":
        """These: nobody changes their settings, as somebody does those of `Live`."""
        return self

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
    _set_level(settings)


def _set_level(settings: Settings) -> None:
    logging.getLogger("authsvc").setLevel(settings.log.level.upper())


class Live:
    """The services of a process that runs, after the settings as they are now.

    A change in the settings' table makes new services, on the same connections to the database and with what is shared;
    requests under way end on the old ones, whose connections to directories end with the last of them. Until the table
    has been read there are none: it may say what keeps somebody out.

    Args:
        settings: as the file and the environment give them.
        shared: with other processes; None for a process alone.

    Raises:
        Misconfigured: the master key or a setting needs a person's hand.
    """

    def __init__(self, settings: Settings, shared: Shared | None = None) -> None:
        self._given = settings
        self._shared = shared or Shared()
        self._basis = Basis.of(settings)
        self._rows: Rows = {}
        self._built: Services | None = None
        self._lock = threading.Lock()
        self._said = ""
        self.engine = setup.connect(settings, HURRIED)
        self.registry = RegistryClient(settings.registry_address)
        self.site_key = self._basis.sealer.derive("site")

    @property
    def settings(self) -> Settings:
        """As far as they are known: before the table was read, those of the file and the environment."""
        return self._built.settings if self._built else self._given

    def current(self) -> Services:
        """The services, after the settings as they were last read.

        Raises:
            Unavailable: they were never read, and the database does not answer now either.
            Misconfigured: they were never read, and what is stored needs a person's hand.
        """
        return self._built or self.look()

    def look(self) -> Services:
        """The services, after the settings as they are at this moment. Raises what `newest` only logs."""
        rows = settings_store.read(self.engine)
        with self._lock:
            if self._built is None or rows != self._rows:
                self._built, self._rows = self._build(rows), rows
            return self._built

    def newest(self) -> Services:
        """The same, or those from before, with a line in the log, where nothing can be read or it does not fit.

        Raises:
            Unavailable: as `current` does.
            Misconfigured: as `current` does.
        """
        try:
            found = self.look()
        except AppError as exc:
            self._say(str(exc))
            if self._built is None:
                raise
            return self._built
        self._say("")
        return found

    def _say(self, reason: str) -> None:
        """Once, and not each second."""
        if reason and reason != self._said:
            log.warning("the settings stay as they were: %s", reason)
        self._said = reason

    def watch(self) -> None:
        """From now on look once a second, in a thread of its own."""
        threading.Thread(target=self._watch, name="settings", daemon=True).start()

    def _watch(self) -> None:
        while True:
            time.sleep(CHECK_SECONDS)
            try:
                self.newest()
            except AppError:
                pass  # whoever asks is told
            except Exception:
                log.exception("the settings were not read")

    def _build(self, rows: Rows) -> Services:
        settings = settings_store.effective(rows, self._basis)
        built = build(settings, self._shared, self.engine)
        _set_level(settings)
        if self._built is not None:
            log.info("settings.changed")
        return built


def build(settings: Settings, shared: Shared | None = None, engine: Engine | None = None) -> Services:
    """Build everything from the settings; opens no connection yet.

    Args:
        shared: with other processes; None for a process alone.
        engine: the database, where there are connections to it already.

    Raises:
        Misconfigured: the data directory or a setting needs a person's hand.
    """
    shared = shared or Shared()
    engine = engine or setup.connect(settings, HURRIED)
    token = settings.token
    basis = Basis.of(settings)
    sealer = basis.sealer
    throttle = Throttle(engine, sealer.derive("throttle"), settings.throttle)
    limits = Limits(ttl=token.proof_ttl, grace=token.grace, room=settings.web.threads * 3 // 4 or 1)
    sources = _sources(engine, settings)
    chain = [sources[name] for name in settings.chain]
    proofs = shared.proofs.under(settings.model_dump_json(include={"sources", "ldap", "uaa"}))
    login = Login(engine, chain, throttle, proofs, limits, newcomers=settings.onboard)
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
        minutes=Minutes(engine),
        basis=basis,
        site_key=sealer.derive("site"),
        events_secret=_events_secret(settings),
        sources=sources,
        directories=_directories_of(sources, settings),
    )


def _oidc(settings: Settings) -> list[OidcBackend]:
    return [OidcBackend(name, provider, settings.callback(name)) for name, provider in settings.oidc.items()]


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
