"""What directory servers answer: entries, and the meaning of result codes (RFC 4511, appendix A). No I/O."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from authsvc.errors import Unavailable, say
from authsvc.identity.ldap_wire import Down

PASSWORD_POLICY = "1.3.6.1.4.1.42.2.27.8.5.1"
SUCCESS, SIZE_LIMIT, REFERRAL, NO_SUCH_OBJECT = 0, 4, 10, 32

_REFUSED = {19: "constraint violation", 32: "no such entry", 48: "no password", 49: "wrong name or password"}
_ANOTHER_MAY_KNOW = {51, 52, 80}  # busy, unavailable, other

# Active Directory says why in the text of invalidCredentials (Microsoft, "Common Active Directory Bind Errors").
_AD_REASON = re.compile(r"\bdata ([0-9a-f]{2,8})\b")
_AD_REASONS = {
    "525": "no such entry",
    "52e": "wrong name or password",
    "530": "not at this hour",
    "531": "not from this machine",
    "532": "password expired",
    "533": "disabled",
    "701": "account expired",
    "773": "must change the password",
    "775": "locked",
}
# draft-behera-ldap-password-policy-10, 6.2; errors of binds.
_POLICY_REASONS = {0: "password expired", 1: "locked", 2: "must change the password"}
_MUST_CHANGE = 2


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry that a search found. `server` is the URL of the one that has it, where that is not one of ours."""

    dn: str
    attributes: Mapping[str, Sequence[bytes]]
    server: str = ""

    def raw(self, attribute: str) -> Sequence[bytes]:
        """The values of an attribute; none when it is not there."""
        return self.attributes.get(attribute.lower(), ())

    def texts(self, attribute: str) -> list[str]:
        """The same as text; values that are none are left out. `dn` is the entry's name."""
        if attribute == "dn":
            return [self.dn]
        return [text for raw in self.raw(attribute) if (text := raw.decode(errors="ignore")).encode() == raw]


@dataclass(frozen=True, slots=True)
class Search:
    """A search (RFC 4511, 4.5.1).

    Args:
        at_most: entries that are enough; 0 for all of them, which a directory must then not withhold.
    """

    base: str
    scope: str
    filter: str
    attributes: Sequence[str]
    at_most: int = 0


Ask = Callable[[Search], list[Entry]]
"""Searches, and raises `Unavailable` when the directory cannot say."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found, the URLs where there is more of it, and those where all of it has gone."""

    entries: list[Entry] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Bound:
    """What became of a person's bind. `reason` is why it was refused, `is_specific` whether that tells of an entry."""

    is_proved: bool
    reason: str = ""
    is_specific: bool = False


def read_bind(url: str, result: Mapping[str, Any]) -> Bound:
    """What a server's answer says about a password. Nothing but success is success.

    Raises:
        Unavailable: nothing.
    """
    code, policy = result["result"], _policy_error(result)
    if code == SUCCESS and policy != _MUST_CHANGE:
        return Bound(is_proved=True)
    if code == SUCCESS or code in _REFUSED:
        reason = _reason(result, policy)
        return Bound(is_proved=False, reason=reason, is_specific=reason not in _REFUSED.values())
    raise failure(url, say("a password cannot be checked"), result)


def collect(responses: Sequence[Mapping[str, Any]], found: Found) -> None:
    """Add what ldap3 has read of the answer to a search."""
    for response in responses:
        if response["type"] == "searchResEntry":
            attributes = {name.lower(): values or [] for name, values in response["raw_attributes"].items()}
            found.entries.append(Entry(response["raw_dn"].decode(), attributes))
        elif response["type"] == "searchResRef":
            found.elsewhere.extend(response["uri"])


def failure(url: str, what: str, result: Mapping[str, Any]) -> Unavailable:
    """The error for an answer that is none."""
    reason = say("%(what)s: %(why)s", what=what, why=_words(result))
    return Down(url, reason) if result["result"] in _ANOTHER_MAY_KNOW else Unavailable(f"{url}: {reason}", reason)


def _words(result: Mapping[str, Any]) -> str:
    message = " ".join(str(result["message"]).replace("\0", "").split())
    return f"{result['description']} ({result['result']})" + (f", {message}" if message else "")


def _reason(result: Mapping[str, Any], policy: int | None) -> str:
    found = _AD_REASON.search(str(result["message"]))
    if found and found[1] in _AD_REASONS:
        return _AD_REASONS[found[1]]
    if policy in _POLICY_REASONS:
        return _POLICY_REASONS[policy]
    return _REFUSED.get(result["result"], "refused")


def _policy_error(result: Mapping[str, Any]) -> int | None:
    """The error in the answer of a password policy: the last element of a sequence, `[1] ENUMERATED`."""
    value = result.get("controls", {}).get(PASSWORD_POLICY, {}).get("value") or b""
    return value[-1] if len(value) >= 5 and value[-3:-1] == b"\x81\x01" else None
