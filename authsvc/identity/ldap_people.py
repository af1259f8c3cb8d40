"""What the entry of a person says: their name, what tells them from all others, whether they may log in. No I/O."""

import uuid
from collections.abc import Sequence

from authsvc.domain.names import canonical_user
from authsvc.identity.ldap_answers import Entry
from authsvc.identity.ldap_groups import wanted_attributes
from authsvc.identity.ldap_names import escape_value, first_values, normalize_dn
from authsvc.settings import LdapSettings

_AD_DATES = ("userAccountControl", "accountExpires")
_AD_DISABLED = 2
_AD_NEVER = {0, 2**63 - 1}
# Active Directory counts 100 ns since 1601.
_AD_TICKS, _AD_EPOCH = 10_000_000, 11_644_473_600
_LOCKED = "pwdAccountLockedTime"
_FOR_EVER = "000001010000Z"


def attributes(settings: LdapSettings) -> list[str]:
    """The attributes that a person's entry must show."""
    dates = _AD_DATES if settings.is_active_directory else (_LOCKED,)
    named = [*settings.login_attributes, settings.name_attribute, settings.email_attribute, settings.id_attribute]
    wanted = [*named, *dates, *wanted_attributes(settings)]
    return list(dict.fromkeys(name for name in wanted if name and name != "dn"))


def is_called(entry: Entry, name: str, login_attributes: Sequence[str]) -> bool:
    """Whether this is one of the person's names.

    Directories find more than that: they pass over blanks around a name, and some over accents.
    """
    return any(canonical_user(text) == name for attribute in login_attributes for text in entry.texts(attribute))


def name_of(entry: Entry, settings: LdapSettings) -> str | None:
    """The canonical user name; of several the one that is in the entry's DN, else the first in the alphabet."""
    names = entry.texts(settings.name_attribute)
    in_dn = [value for attribute, value in first_values(entry.dn) if attribute == settings.name_attribute.lower()]
    return min(map(canonical_user, [name for name in names if name in in_dn] or names), default=None)


def email_of(entry: Entry, settings: LdapSettings) -> str:
    """The person's first e-mail address; empty without one."""
    return next(iter(entry.texts(settings.email_attribute)), "")


def subject_of(source: str, entry: Entry, settings: LdapSettings) -> str:
    """What tells a person from all others for good: the entry's unique id, or its DN where the directory shows none."""
    return f"{source}:{_id_of(entry, settings) or normalize_dn(entry.dn)}"


def id_filter(key: str, settings: LdapSettings) -> str:
    """The part of a filter that finds the entry of a unique id."""
    is_guid = settings.id_attribute.lower() == "objectguid"
    try:
        value: str | bytes = uuid.UUID(key).bytes_le if is_guid else key
    except ValueError:
        value = key
    return f"({settings.id_attribute}={escape_value(value)})"


def may_log_in(entry: Entry, settings: LdapSettings, now: float) -> bool:
    """Whether the directory would let this person in with the right password, as far as their entry tells.

    Args:
        now: seconds since 1970.
    """
    if not settings.is_active_directory:
        return _FOR_EVER not in entry.texts(_LOCKED)
    is_disabled = _number(entry, "userAccountControl") & _AD_DISABLED
    ends = _number(entry, "accountExpires")
    return not is_disabled and (ends in _AD_NEVER or ends / _AD_TICKS - _AD_EPOCH > now)


def _id_of(entry: Entry, settings: LdapSettings) -> str:
    raw = next(iter(entry.raw(settings.id_attribute)), b"")
    if settings.id_attribute.lower() == "objectguid" and len(raw) == 16:
        return str(uuid.UUID(bytes_le=raw))
    return next(iter(entry.texts(settings.id_attribute)), "")


def _number(entry: Entry, attribute: str) -> int:
    text = next(iter(entry.texts(attribute)), "0")
    return int(text) if text.lstrip("-").isdecimal() else 0
