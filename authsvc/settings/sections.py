"""The typed, frozen tree of settings, section by section, with the rules and defaults of each. Reads nothing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic.networks import IPvAnyNetwork

from authsvc.errors import say
from authsvc.settings.given import Given


def _split(value: object) -> object:
    """A list given as one comma-separated text, which is how an environment variable gives it."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _split_names(value: object) -> object:
    """The same with semicolons, for names that have commas, such as DNs."""
    return [part.strip() for part in value.split(";") if part.strip()] if isinstance(value, str) else value


def separator(section: type["Section"], name: str) -> str:
    """What stands between the values of a list that is one text."""
    is_of_names = any(getattr(rule, "func", None) is _split_names for rule in section.model_fields[name].metadata)
    return "; " if is_of_names else ", "


LdapUrl = Annotated[str, Field(pattern=r"^ldaps?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?/?$")]


def _not_local(name: str) -> str:
    if name == "local":
        raise ValueError(say("local is the name of the accounts that are kept here"))
    return name


SourceName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$"), AfterValidator(_not_local)]


class Section(BaseModel):
    """A part of the tree."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class TokenSettings(Section):
    """What stands in the tokens; a registry that trusts us repeats `service` and `issuer`."""

    issuer: str = Field("authsvc", min_length=1)
    service: str = Field("authsvc", min_length=1)
    # Clients raise anything under 60 to 60 (reference: docker and containers/image), so less would break them.
    lifetime: int = Field(300, ge=60, le=86_400)
    proof_ttl: int = Field(60, ge=0, le=3_600)
    grace: int = Field(300, ge=0, le=86_400)
    passwords: bool = True
    passwords_refused_from: Annotated[tuple[str, ...], BeforeValidator(_split)] = ()
    # Off, because a kubelet ignores them in a secret copied from a docker login, and then has no password.
    refresh_tokens: bool = False
    refresh_lifetime_days: int = Field(30, ge=1, le=3_650)
    refresh_rotation: bool = False


class ServiceSettings(Section):
    """Another service that tokens are issued for. `hosts` are what Notary's names may have in front of a repository."""

    kind: Literal["registry", "notary"]
    hosts: Annotated[tuple[str, ...], BeforeValidator(_split)] = ()


class DatabaseSettings(Section):
    """Where accounts and rights live; an empty `url` is SQLite in the data directory."""

    url: str = ""
    password: SecretStr | None = None


class QueueSettings(Section):
    """Where the worker's queue lives; an empty `url` is SQLite in the data directory, else `redis://…`."""

    url: str = ""
    password: SecretStr | None = None


class WebSettings(Section):
    """The gunicorn processes. `bind` is where they listen, `address` how nginx reaches them.

    `peers` are further web instances beside ours; `resolver` is a DNS server that nginx asks for `address` again and
    again, where that changes.
    """

    bind: str = ""
    address: str = ""
    peers: Annotated[tuple[str, ...], BeforeValidator(_split)] = ()
    resolver: str = Field("", pattern=r"^[0-9A-Fa-f.:\[\]]*$")
    processes: int = Field(2, ge=1, le=64)
    threads: int = Field(1_024, ge=4, le=8_192)


class RegistrySettings(Section):
    """The registry. `url` points at one that already runs; when it is empty, `authsvc up` runs its own.

    `sendfile` is whether nginx sends blobs itself, from `storage`; None for where it can.
    """

    url: str = ""
    bind: str = ""
    address: str = ""
    storage: str = ""
    bundle: str = ""
    sendfile: bool | None = None


class TlsSettings(Section):
    """TLS on nginx: either a certificate and its key, or `self_signed`, which makes a CA and a certificate."""

    certificate: Path | None = None
    key: Path | None = None
    self_signed: bool = False
    names: Annotated[tuple[str, ...], BeforeValidator(_split)] = ()

    @property
    def enabled(self) -> bool:
        """Whether nginx speaks TLS."""
        return self.self_signed or self.certificate is not None

    @model_validator(mode="after")
    def _a_pair_or_nothing(self) -> "TlsSettings":
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together")
        if self.self_signed and self.certificate is not None:
            raise ValueError("self_signed and certificate exclude each other")
        return self


class PasswordSettings(Section):
    """The rules for people's passwords."""

    min_length: int = Field(8, ge=8, le=128)


MAX_LIFETIME = 2_592_000
"""The longest that a session can last, in seconds."""


class SessionSettings(Section):
    """How long a browser stays logged in to the site, in seconds: since its last request, and in all."""

    idle: int = Field(1_800, ge=120, le=86_400)
    lifetime: int = Field(43_200, ge=300, le=MAX_LIFETIME)


class ThrottleSettings(Section):
    """How failed logins slow down those that follow (core/throttle.py)."""

    account_failures: int = Field(5, ge=1, le=100)
    max_delay: int = Field(60, ge=1, le=3_600)
    account_hour: int = Field(50, ge=1, le=10_000)
    source_failures: int = Field(100, ge=1, le=100_000)
    source_window: int = Field(600, ge=60, le=86_400)
    known_days: int = Field(30, ge=1, le=365)


class FederationSettings(Section):
    """How the keys of external issuers are fetched, whose identity tokens robots take (identity/issuers.py).

    `ca` is trusted beside the well-known CAs.
    """

    ca: Path | None = None
    keys_ttl: int = Field(3_600, ge=60, le=86_400)
    allow_http: bool = False


Matcher = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9.;-]*=[A-Za-z][A-Za-z0-9.;:-]*$")]
"""How a person belongs to a group: `attribute of the person=attribute of the group`; `dn` is either's DN."""

IN_CHAIN = "dn=member:1.2.840.113556.1.4.1941:"
PRIMARY_GROUP = "primaryGroupID=objectSid"

ACTIVE_DIRECTORY: Mapping[str, object] = {
    "user_filter": "(&(objectCategory=person)(objectClass=user))",
    "login_attributes": ("sAMAccountName", "userPrincipalName", "mail"),
    "name_attribute": "sAMAccountName",
    "id_attribute": "objectGUID",
    "group_filter": "(objectClass=group)",
    "group_matchers": (IN_CHAIN, PRIMARY_GROUP),
}
"""What `type = "active-directory"` changes among the defaults of a directory."""


def _parenthesised(text: str) -> str:
    """A filter (RFC 4515) whose parentheses match; those around it may be left out."""
    depth = lowest = 0
    for character in text.strip():
        depth += {"(": 1, ")": -1}.get(character, 0)
        lowest = min(depth, lowest)
    if depth or lowest:
        raise ValueError(say("the parentheses of this filter do not match"))
    return f"({text.strip()})" if text.strip() and not text.strip().startswith("(") else text.strip()


Filter = Annotated[str, AfterValidator(_parenthesised)]
DN = Annotated[str, Field(pattern=r"^([A-Za-z0-9.-]+ *=.*)?$")]
Scope = Literal["subtree", "one", "base"]


class LdapSettings(Section):
    """A directory, LDAP (RFC 4511) or Active Directory; README's chapter on directories says what each means."""

    type: Literal["openldap", "active-directory"] = "openldap"
    urls: Annotated[tuple[LdapUrl, ...], BeforeValidator(_split)] = Field(min_length=1)
    starttls: bool = False
    verify: bool = True
    ca_certificate: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None
    bind_dn: str = ""
    bind_password: SecretStr | None = Field(None, min_length=1)
    bind_template: str = Field("", pattern=r"^([A-Za-z0-9.-]+=[^{}]*\{name\}[^{}]*)?$")
    base: DN = Field(min_length=1)
    user_base: DN = ""
    user_scope: Scope = "subtree"
    user_filter: Filter = "(objectClass=person)"
    login_attributes: Annotated[tuple[str, ...], BeforeValidator(_split)] = Field(("uid",), min_length=1)
    name_attribute: str = Field("uid", min_length=1)
    email_attribute: str = "mail"
    id_attribute: str = "entryUUID"
    domain: str = ""
    group_base: DN = ""
    group_scope: Scope = "subtree"
    group_filter: Filter = ""
    group_name_attribute: str = Field("cn", min_length=1)
    group_matchers: Annotated[tuple[Matcher, ...], BeforeValidator(_split)] = (
        "dn=member",
        "dn=uniqueMember",
        "uid=memberUid",
    )
    group_depth: int = Field(0, ge=0, le=20)
    admin_groups: Annotated[tuple[str, ...], BeforeValidator(_split_names)] = ()
    referral_hosts: Annotated[tuple[str, ...], BeforeValidator(_split)] = ()
    page_size: int = Field(500, ge=1, le=10_000)
    connect_timeout: float = Field(2.0, ge=0.1, le=10)
    timeout: float = Field(5.0, ge=0.2, le=14)
    wait: float = Field(9.0, ge=0.1, le=14)
    pool_size: int = Field(8, ge=1, le=256)
    pool_age: int = Field(300, ge=1, le=86_400)
    cooldown: float = Field(10.0, ge=0.1, le=600)

    @property
    def is_active_directory(self) -> bool:
        """Whether it has Active Directory's attributes and dates."""
        return self.type == "active-directory"

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, given: object) -> object:
        is_one = isinstance(given, dict) and given.get("type") == "active-directory"
        return {**ACTIVE_DIRECTORY, **given} if is_one and isinstance(given, dict) else given

    @model_validator(mode="after")
    def _no_contradiction(self) -> "LdapSettings":
        for is_so, sentence in self._contradictions():
            if is_so:
                raise ValueError(sentence)
        return self

    def _contradictions(self) -> Iterator[tuple[bool, str]]:
        has_ldaps = any(url.startswith("ldaps:") for url in self.urls)
        has_tls = has_ldaps or self.starttls
        has_files = bool(self.ca_certificate or self.client_certificate)
        yield has_ldaps and self.starttls, say("starttls is for ldap://, and a URL says ldaps://")
        yield has_files and not has_tls, say("certificates need ldaps:// or starttls")
        yield not self.verify and self.ca_certificate is not None, say("ca_certificate has no use while verify is off")
        yield (
            (self.client_certificate is None) != (self.client_key is None),
            (say("client_certificate and client_key go together")),
        )
        yield bool(self.bind_dn) != bool(self.bind_password), say("bind_dn and bind_password go together")
        yield bool(self.bind_template and self.bind_dn), say("bind_template binds as the person, bind_dn as a service")
        yield self.connect_timeout > self.timeout, say("connect_timeout is part of timeout and cannot be longer")
        yield (
            self.wait + self.timeout > 14,
            say("wait and timeout: 14 at most, as docker waits 15 seconds for both"),
        )
        yield bool(self.admin_groups) and not self.group_matchers, say("admin_groups need group_matchers")
        yield (
            self.group_depth > 0 and not any(one.startswith("dn=") for one in self.group_matchers),
            (say("group_depth needs a matcher that begins with dn=")),
        )


class OidcSettings(Section):
    """An OpenID Connect provider at which people log in to the site (identity/oidc.py).

    The claims are of the ID token or, what is missing there, of the userinfo endpoint. `ca_certificate` is trusted
    beside the well-known CAs, `label` stands on the button.
    """

    issuer: str
    client_id: str = Field(min_length=1)
    client_secret: SecretStr
    label: str = ""
    scopes: Annotated[tuple[str, ...], BeforeValidator(_split)] = ("openid", "profile", "email")
    name_claim: str = Field("preferred_username", min_length=1)
    email_claim: str = "email"
    groups_claim: str = "groups"
    admin_groups: Annotated[tuple[str, ...], BeforeValidator(_split_names)] = ()
    ca_certificate: Path | None = None

    @field_validator("issuer")
    @classmethod
    def _over_tls(cls, issuer: str) -> str:
        if not is_safe_server(issuer):
            raise ValueError(say("an address that begins with https://, or with http:// on this machine"))
        return issuer

    @field_validator("scopes")
    @classmethod
    def _with_openid(cls, scopes: tuple[str, ...]) -> tuple[str, ...]:
        return scopes if "openid" in scopes else ("openid", *scopes)


def is_safe_server(url: str) -> bool:
    """Whether a secret may be sent there: over TLS, or to this machine."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return bool(parts.hostname) and (
        parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in {"localhost", "127.0.0.1", "::1"})
    )


def is_http_url(text: str, *, allow_http: bool) -> bool:
    """Whether `text` is an address that begins with https://, or http:// where that is allowed."""
    try:
        parts = urlsplit(text)
        has_place = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    has_more = "@" in parts.netloc or "?" in text or "#" in text or any(c.isspace() for c in text)
    return parts.scheme in {"https", *(["http"] if allow_http else [])} and has_place and not has_more


class UaaSettings(Section):
    """A UAA, or another provider with OAuth2's password grant (identity/uaa.py). What is not set is as UAA has it.

    With `issuer` the endpoints are those of its discovery document; without, both are named. `ca_certificate` is
    trusted instead of the system's CAs.
    """

    issuer: str = ""
    token_endpoint: str = ""
    userinfo_endpoint: str = ""
    client_id: str = Field(min_length=1)
    client_secret: SecretStr
    scopes: Annotated[tuple[str, ...], BeforeValidator(_split)] = ()
    name_claim: str = Field("user_name", min_length=1)
    email_claim: str = "email"
    groups_claim: str = "scope"
    admin_groups: Annotated[tuple[str, ...], BeforeValidator(_split_names)] = ()
    ca_certificate: Path | None = None
    allow_http: bool = False

    @model_validator(mode="after")
    def _has_addresses(self) -> "UaaSettings":
        endpoints = (self.token_endpoint, self.userinfo_endpoint)
        if bool(self.issuer) == any(endpoints) or any(endpoints) != all(endpoints):
            raise ValueError(say("either issuer, or token_endpoint and userinfo_endpoint"))
        for url in filter(None, (self.issuer, *endpoints)):
            if not is_http_url(url, allow_http=self.allow_http):
                raise ValueError(
                    say("%(url)s is no address that begins with https:// (allow_http takes http://, too)", url=url)
                )
        if self.admin_groups and not self.groups_claim:
            raise ValueError(say("admin_groups need a groups_claim"))
        return self


class MetricsSettings(Section):
    """Where nginx shows `/metrics` to Prometheus, as `127.0.0.1:9090`; empty: nowhere."""

    listen: str = Field("", pattern=r"^([A-Za-z0-9_.-]+:[0-9]{1,5}|\[[0-9A-Fa-f:.]+\]:[0-9]{1,5})?$")


class LogSettings(Section):
    """How much is written to the log."""

    level: Literal["debug", "info", "warning", "error"] = "info"


@dataclass(frozen=True, slots=True)
class Paths:
    """Where everything lies in the data directory. Nothing here touches the disk."""

    home: Path

    @property
    def database(self) -> Path:
        """The embedded database."""
        return self.home / "authsvc.db"

    @property
    def jobs(self) -> Path:
        """The embedded queue."""
        return self.home / "jobs.db"

    @property
    def secrets(self) -> Path:
        """Generated secrets, one a file, mode 0400."""
        return self.home / "secrets"

    @property
    def master_key(self) -> Path:
        """The key that seals what is secret in the database."""
        return self.secrets / "master.key"

    @property
    def admin_password(self) -> Path:
        """The administrator's first password, kept until a person deletes it."""
        return self.secrets / "admin.password"

    @property
    def registry_secret(self) -> Path:
        """The registry's `http.secret`, which signs the state of uploads."""
        return self.secrets / "registry.secret"

    @property
    def events_secret(self) -> Path:
        """What a registry shows with its notifications."""
        return self.secrets / "events.secret"

    @property
    def ca_certificate(self) -> Path:
        """The token CA's certificate: the only thing a registry has to trust (`rootcertbundle`)."""
        return self.home / "ca" / "ca.crt"

    @property
    def ca_key(self) -> Path:
        """The token CA's private key; only the worker and the command line read it."""
        return self.home / "ca" / "ca.key"

    @property
    def tls(self) -> Path:
        """The self-signed TLS set-up: `ca.crt`, `ca.key`, `server.crt`, `server.key`."""
        return self.home / "tls"

    @property
    def rendered(self) -> Path:
        """Configuration made from the templates; every start writes it anew."""
        return self.home / "rendered"

    @property
    def run(self) -> Path:
        """Sockets and process ids."""
        return self.home / "run"

    @property
    def log(self) -> Path:
        """The log of each part."""
        return self.home / "log"

    @property
    def registry(self) -> Path:
        """The embedded registry's storage."""
        return self.home / "registry"


class Settings(Section):
    """The whole tree, made by `load`."""

    _given: Given = PrivateAttr(default_factory=Given)

    home: Path = Path("data")
    port: int = Field(8080, ge=1, le=65_535)
    public_url: str = Field("", pattern=r"^(https?://[^/\s\"]+)?$")
    trusted_proxies: Annotated[tuple[IPvAnyNetwork, ...], BeforeValidator(_split)] = ()
    root_project: str = "library"
    admin_name: str = "admin"
    admin_password: SecretStr | None = None
    # Harbor's prefix. A character that no user name has keeps a robot from being taken for a person.
    robot_prefix: str = Field("robot$", pattern=r"^[a-z0-9]{0,32}[$#!~][a-z0-9$#!~]{0,32}$")
    robot_warning_days: int = Field(14, ge=1, le=365)
    sources: Annotated[tuple[str, ...], BeforeValidator(_split)] = ()
    onboard: bool = True
    sync_minutes: int = Field(15, ge=0, le=1_440)
    token: TokenSettings = TokenSettings()
    services: dict[str, ServiceSettings] = {}
    ldap: dict[SourceName, LdapSettings] = {}
    uaa: dict[SourceName, UaaSettings] = {}
    database: DatabaseSettings = DatabaseSettings()
    queue: QueueSettings = QueueSettings()
    web: WebSettings = WebSettings()
    registry: RegistrySettings = RegistrySettings()
    tls: TlsSettings = TlsSettings()
    password: PasswordSettings = PasswordSettings()
    session: SessionSettings = SessionSettings()
    throttle: ThrottleSettings = ThrottleSettings()
    federation: FederationSettings = FederationSettings()
    oidc: dict[SourceName, OidcSettings] = {}
    metrics: MetricsSettings = MetricsSettings()
    log: LogSettings = LogSettings()

    @property
    def given(self) -> Given:
        """What the file and the environment say, over which nothing goes."""
        return self._given

    def with_given(self, given: Given) -> "Settings":
        """This tree, which is known to come from there."""
        self._given = given
        return self

    @property
    def chain(self) -> tuple[str, ...]:
        """The identity sources that check passwords, in the order in which they are asked."""
        return self.sources or ("local", *self._directories())

    @property
    def every_source(self) -> tuple[str, ...]:
        """The identity sources that accounts may come from: those, and providers at which people log in to the site."""
        return tuple(dict.fromkeys((*self.chain, *self.oidc)))

    @property
    def paths(self) -> Paths:
        """Where everything lies in the data directory."""
        return Paths(self.home)

    def _directories(self) -> tuple[str, ...]:
        """The names of the configured sources that are not our own."""
        return (*self.ldap, *self.uaa)

    @model_validator(mode="after")
    def _known_sources(self) -> "Settings":
        twice = self.ldap.keys() & self.uaa.keys()
        if twice:
            raise ValueError("sources", say("%(names)s is the name of two", names=", ".join(sorted(twice))))
        there = {"local", *self._directories()}
        unknown = [name for name in self.sources if name not in there]
        if unknown:
            missing, known = ", ".join(unknown), ", ".join(sorted(there))
            raise ValueError(
                "sources", say("there is no source %(missing)s, only %(known)s", missing=missing, known=known)
            )
        if len(set(self.sources)) < len(self.sources):
            raise ValueError("sources", say("each one once"))
        twice = (there & self.oidc.keys()) - self._providers_with_both()
        if twice:
            raise ValueError("oidc", say("%(names)s is another source's name", names=", ".join(sorted(twice))))
        return self

    def _providers_with_both(self) -> set[str]:
        """The names of providers that check passwords and have a page, too: one source, since the issuer is one."""
        both = self.uaa.keys() & self.oidc.keys()
        return {name for name in both if self.uaa[name].issuer == self.oidc[name].issuer}

    @property
    def scheme(self) -> str:
        """`https` when nginx speaks TLS, else `http`."""
        return "https" if self.tls.enabled else "http"

    @property
    def tls_certificate(self) -> Path | None:
        """The certificate that nginx shows; None for plain HTTP."""
        own = self.paths.tls / "server.crt" if self.tls.self_signed else None
        return self.tls.certificate or own

    @property
    def address(self) -> str:
        """The URL that people are told: `public_url`, or this machine's loopback address and port."""
        return self.public_url or f"{self.scheme}://127.0.0.1:{self.port}"

    def callback(self, provider: str) -> str:
        """Where a browser comes back to from an OpenID Connect provider, which is told so when we are registered."""
        return f"{self.address}/login/{provider}/callback"

    @property
    def registry_address(self) -> str:
        """Where we reach the registry ourselves: a URL, or `unix:` and the path of its socket."""
        server = self.registry.address or self.registry.bind
        own = f"http://{server}" if server else f"unix:{self.paths.run / 'registry.sock'}"
        return self.registry.url or own

    @property
    def realm(self) -> str:
        """The token endpoint as a registry's challenge names it (token specification, "Requesting a Token")."""
        return f"{self.address}/service/token"
