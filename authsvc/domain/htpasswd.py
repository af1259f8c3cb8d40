"""What stands in a htpasswd file: `name:hash` a line, as Apache's htpasswd writes it and a registry reads it.

Of the hashes only bcrypt is taken, as the registry does (distribution, registry/auth/htpasswd). Nothing of a hash,
which may be a password in plain text, comes into a reason.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from authsvc.domain import names
from authsvc.errors import Invalid

MAX_COST = 14
"""A second's work. Each step doubles it, and whoever logs in holds a processor so long."""

# The last character of the salt carries two bits; where the other four are set, no bcrypt has made it.
_BCRYPT = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")
_OTHER_KINDS = {"$apr1$": "MD5 (apr1)", "{SHA}": "SHA-1", "$1$": "MD5", "$5$": "SHA-256", "$6$": "SHA-512"}


@dataclass(frozen=True, slots=True)
class Line:
    """A line that can be taken. `name` is canonical."""

    number: int
    name: str
    hash: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A line that cannot, and a sentence that says why."""

    number: int
    name: str
    reason: str


def parse(text: str) -> tuple[list[Line], list[Refusal]]:
    """The lines that can be taken, and those that cannot. Blank lines and comments are neither."""
    taken: dict[str, Line] = {}
    refused = []
    for number, name, stored in _pairs(text):
        try:
            line = Line(number, _name(name), _hash(stored))
            _check_is_first(line.name, taken)
        except Invalid as exc:
            refused.append(Refusal(number, _printable(name), "; ".join(exc.fields.values())))
        else:
            taken[line.name] = line
    return list(taken.values()), refused


def is_bcrypt(text: str) -> bool:
    """Whether `text` is a bcrypt hash of a cost that we are ready to pay."""
    found = _BCRYPT.fullmatch(text)
    return found is not None and 4 <= int(found[1]) <= MAX_COST


def _pairs(text: str) -> Iterator[tuple[int, str, str]]:
    for number, line in enumerate(text.split("\n"), start=1):
        bare = line.strip()
        if bare and not bare.startswith("#"):
            name, _, stored = bare.partition(":")
            yield number, name, stored


def _name(text: str) -> str:
    try:
        return names.parse_user(text)
    except Invalid as exc:
        raise Invalid({"line": exc.fields["name"]}) from exc


def _hash(text: str) -> str:
    if is_bcrypt(text):
        return text
    if not text:
        raise Invalid({"line": "there is no hash after the name"})
    raise Invalid({"line": _why_not(text)})


def _why_not(text: str) -> str:
    found = _BCRYPT.fullmatch(text)
    if found is not None:
        return (
            f"the cost of its bcrypt is {int(found[1])}, and only 4 to {MAX_COST} are taken: a login would take seconds"
        )
    if text.startswith("$2"):
        return "this is no whole bcrypt hash"
    kind = next((kind for mark, kind in _OTHER_KINDS.items() if text.startswith(mark)), "crypt or plain text")
    return f"the hash is {kind}, not bcrypt; the registry did not take it either"


def _check_is_first(name: str, taken: dict[str, Line]) -> None:
    if name in taken:
        raise Invalid({"line": f"{name} stands in line {taken[name].number} already"})


def _printable(name: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in name[: names.MAX_NAME_LENGTH])
