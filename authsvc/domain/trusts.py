"""What an identity token of an external issuer must say for a robot to be let in with it.

A rule compares one claim with a text in which `*` stands for anything within a part and `**` for anything at all. Parts
end at `/`, `:` and `@`, so that `repo:acme/*` is no pattern for `repo:acme/app:pull_request`. All rules of a trust must
hold; a robot's trusts are alternatives.

Not here: whether a token is genuine (identity/federated.py), HTTP (identity/issuers.py).
"""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

from authsvc.domain.patterns import matches
from authsvc.errors import Invalid, say

MAX_LENGTH = 255
MAX_VALUE = 1_024
"""A claim that is longer fits no rule, so that comparing takes no time to speak of."""
MAX_RULES = 10
SEPARATORS = "/:@"
_SHOWN = 80
_FIXED = frozenset({"iss", "aud", "exp", "iat", "nbf", "jti"})
_TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")

_PATH, _EXACT = re.compile(r"[^*/]+/"), re.compile(r"[^*]+\Z")
SHARED: Mapping[str, Mapping[str, re.Pattern[str]]] = {
    "https://token.actions.githubusercontent.com": {
        "sub": re.compile(r"repo:[^*/:]+/"),
        "repository": _PATH,
        "workflow_ref": _PATH,
        **dict.fromkeys(("repository_id", "repository_owner", "repository_owner_id", "enterprise_id"), _EXACT),
    },
    "https://gitlab.com": {
        "sub": re.compile(r"project_path:[^*/:]+/"),
        "project_path": _PATH,
        **dict.fromkeys(("project_id", "namespace_id", "namespace_path"), _EXACT),
    },
}
"""Issuers that everybody can have tokens of, and how a rule's pattern begins that says whose jobs are meant."""


class Rule(NamedTuple):
    """A claim, and the pattern that it must fit."""

    claim: str
    pattern: str

    def __str__(self) -> str:
        return f"{self.claim}={self.pattern}"


@dataclass(frozen=True, slots=True)
class Trust:
    """An issuer that a robot trusts, and what its tokens must say.

    Args:
        issuer: `iss`, to the letter.
        audience: what `aud` must be, or have among others.
        jwks_url: where the issuer's keys are; "" where its discovery document says.
    """

    id: int
    issuer: str
    audience: str
    jwks_url: str
    rules: tuple[Rule, ...]

    def __str__(self) -> str:
        keys = [f"keys={self.jwks_url}"] if self.jwks_url else []
        return " ".join([self.issuer, f"aud={self.audience}", *keys, *map(str, self.rules)])


def is_identity_token(secret: str) -> bool:
    """Whether a secret has the form of a JWT (RFC 7519): three parts of base64url, of which the first is JSON."""
    return _TOKEN.fullmatch(secret) is not None


def parse_rule(text: str) -> Rule:
    """`ref=refs/tags/v*` as a rule.

    Raises:
        Invalid: it cannot be read, or is about a claim that other options are for.
    """
    claim, equals, pattern = text.partition("=")
    if not (equals and _is_plain(claim) and _is_plain(pattern)) or "***" in pattern:
        raise Invalid({"claim": say("%(text)s is not NAME=PATTERN, with * or ** in the pattern", text=shown(text))})
    if claim in _FIXED:
        raise Invalid(
            {
                "claim": say(
                    "%(claim)s is always checked and takes no rule; --issuer and --audience say the rest", claim=claim
                )
            }
        )
    return Rule(claim, pattern)


def check(trust: Trust, *, whole_issuer: bool) -> None:
    """Whether a trust can be entered.

    Args:
        whole_issuer: whether everybody is meant to whom the issuer gives tokens for this audience.

    Raises:
        Invalid: it cannot, with the reason.
    """
    if not _is_plain(trust.audience):
        raise Invalid({"audience": say("say for whom the tokens are made, such as registry.example.com")})
    repeated = [rule.claim for rule in trust.rules if [one.claim for one in trust.rules].count(rule.claim) > 1]
    if repeated:
        raise Invalid(
            {"claim": say("two rules for %(repeated)s: add a second trust where either may hold", repeated=repeated[0])}
        )
    if len(trust.rules) > MAX_RULES:
        raise Invalid({"claim": say("at most %(most)s rules", most=MAX_RULES)})
    owners = SHARED.get(trust.issuer)
    if owners is not None and not any(_names_owner(rule, owners) for rule in trust.rules):
        raise Invalid(
            {
                "claim": say(
                    "anybody can have tokens of %(issuer)s: one rule must say whose jobs are meant, by %(owners)s, "
                    "without * in the owner's name",
                    issuer=trust.issuer,
                    owners=", ".join(owners),
                )
            }
        )
    if not whole_issuer and all(set(rule.pattern) <= {"*", *SEPARATORS} for rule in trust.rules):
        raise Invalid({"claim": say("without a rule everybody comes in to whom this issuer gives such tokens")})


def parse_url(text: str, field: str, *, allow_http: bool) -> str:
    """The address of an issuer or of its keys, unchanged, since issuers are compared to the letter.

    Raises:
        Invalid: it is not `https://host/path` alone.
    """
    try:
        parts = urlsplit(text)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:
        has_host = False
    if not has_host or not _is_plain(text) or not text.isascii() or set(text) & set(' ?#@\\"<>'):
        raise Invalid({field: say("%(text)s is not the address of a server and a path on it", text=shown(text))})
    if parts.scheme != "https" and not (allow_http and parts.scheme == "http"):
        raise Invalid({field: say("an address that begins with https://")})
    return text


def unmet(rules: Sequence[Rule], claims: Mapping[str, object]) -> str | None:
    """The first rule that does not hold, as a sentence for administrators; None when all do."""
    for rule in rules:
        if rule.claim not in claims:
            return f"claim {rule.claim} is missing, the rule wants {rule.pattern}"
        value = _text(claims[rule.claim])
        if value is None:
            return f"claim {rule.claim} is a list or an object, and rules compare texts"
        if len(value) > MAX_VALUE or not matches(rule.pattern, value, SEPARATORS):
            return f"claim {rule.claim} is {shown(value)}, the rule wants {rule.pattern}"
    return None


def dump(rules: Collection[Rule]) -> str:
    """Rules as they are stored."""
    return json.dumps(list(rules))


def load(stored: str) -> tuple[Rule, ...]:
    """Rules as they were stored."""
    return tuple(Rule(claim, pattern) for claim, pattern in json.loads(stored))


def shown(value: object) -> str:
    """What somebody sent, cut, quoted and in ASCII, so that it can be written anywhere."""
    text = str(value)
    return json.dumps(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")


def _text(value: object) -> str | None:
    """A claim as rules see it: texts, whole numbers, and `true` and `false`."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
    return None


def _names_owner(rule: Rule, owners: Mapping[str, re.Pattern[str]]) -> bool:
    begins = owners.get(rule.claim)
    return begins is not None and begins.match(rule.pattern) is not None


def _is_plain(text: str) -> bool:
    return 0 < len(text) <= MAX_LENGTH and text.isprintable()
