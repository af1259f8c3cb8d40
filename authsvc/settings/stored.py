"""Which settings the table of the database may say, and what they are called there.

None is among them that a port, nginx's or the registry's configuration follows from: those are written at a start.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass

from authsvc.settings.sections import LdapSettings, OidcSettings, Section, UaaSettings

SCALARS = (
    "sources",
    "onboard",
    "sync_minutes",
    "robot_warning_days",
    "token.lifetime",
    "token.proof_ttl",
    "token.passwords",
    "token.passwords_refused_from",
    "token.refresh_tokens",
    "token.refresh_lifetime_days",
    "token.refresh_rotation",
    "password.min_length",
    "session.idle",
    "session.lifetime",
    "throttle.account_failures",
    "throttle.max_delay",
    "throttle.account_hour",
    "throttle.source_failures",
    "throttle.source_window",
    "throttle.known_days",
    "federation.keys_ttl",
    "log.level",
)
"""Settings of one value each. Not `token.grace`, which nginx is told at its start."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of source, which the table says whole or not at all.

    Args:
        secret: the field that is sent to the source, and shown to nobody.
        address: the fields that decide where it is sent, and to whom.
    """

    section: type[Section]
    secret: str
    address: Set[str]


KINDS: Mapping[str, Kind] = {
    "ldap": Kind(
        LdapSettings,
        "bind_password",
        frozenset({"urls", "starttls", "verify", "ca_certificate", "referral_hosts"}),
    ),
    "uaa": Kind(
        UaaSettings,
        "client_secret",
        frozenset({"issuer", "token_endpoint", "userinfo_endpoint", "allow_http", "ca_certificate"}),
    ),
    "oidc": Kind(OidcSettings, "client_secret", frozenset({"issuer", "ca_certificate"})),
}


def kind_of(name: str) -> Kind | None:
    """The kind of a source's name, such as `ldap.corp`; None for what names no source."""
    kind, dot, source = name.partition(".")
    return KINDS.get(kind) if dot and source and "." not in source else None


def is_storable(name: str) -> bool:
    """Whether the table may say this setting."""
    return name in SCALARS or kind_of(name) is not None
