"""How names are written in LDAP: values in filters (RFC 4515), distinguished names (RFC 4514). No I/O."""

import re
import unicodedata
from collections.abc import Iterator

_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.@")
_SPECIAL_IN_DN = re.compile(r'[,+"\\<>;=\x00]|^[ #]| $')
_ESCAPED = re.compile(r"((?:\\[0-9A-Fa-f]{2})+)|\\(.)", re.DOTALL)


def escape_value(value: str | bytes) -> str:
    """A value as it stands in a filter, where it matches itself and nothing else.

    Every byte but the plainest is written in hexadecimal, because ldap3 strips blanks around what is not.
    """
    raw = value if isinstance(value, bytes) else value.encode()
    return "".join(chr(byte) if byte in _PLAIN else f"\\{byte:02x}" for byte in raw)


def escape_dn(value: str) -> str:
    """A value as it stands in a distinguished name."""
    return _SPECIAL_IN_DN.sub(lambda found: f"\\{ord(found[0]):02x}", value)


def normalize_dn(dn: str) -> str:
    """The one form of all spellings of a distinguished name: case, blanks and ways to escape make no difference."""
    return ",".join("+".join(sorted(_normalize(part) for part in _split(rdn, "+"))) for rdn in _split(dn, ",;"))


def is_under(dn: str, base: str) -> bool:
    """Whether an entry lies in the tree below `base`, or is `base` itself."""
    return f",{normalize_dn(dn)}".endswith(f",{normalize_dn(base)}")


def first_values(dn: str) -> list[tuple[str, str]]:
    """The attributes and values of a distinguished name's first part, which name the entry."""
    parts = (part.partition("=") for part in _split(next(_split(dn, ",;")), "+"))
    return [(attribute.strip().lower(), _unescape(value)) for attribute, _, value in parts]


def _normalize(part: str) -> str:
    attribute, _, value = part.partition("=")
    text = unicodedata.normalize("NFKC", _unescape(value)).casefold()
    return f"{attribute.strip().lower()}={escape_dn(' '.join(text.split()))}"


def _unescape(value: str) -> str:
    def replaced(found: re.Match[str]) -> str:
        return bytes.fromhex(found[1].replace("\\", "")).decode(errors="replace") if found[1] else found[2]

    # A blank at an end counts only when it is escaped.
    bare = value.strip(" ")
    return _ESCAPED.sub(replaced, bare + " " if bare.endswith("\\") and len(bare) < len(value) else bare)


def _split(text: str, separators: str) -> Iterator[str]:
    """The parts between separators that are not escaped."""
    begin, is_escaped = 0, False
    for place, character in enumerate(text):
        if not is_escaped and character in separators:
            yield text[begin:place]
            begin = place + 1
        is_escaped = character == "\\" and not is_escaped
    yield text[begin:]
