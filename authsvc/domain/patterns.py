"""Patterns of names: `*` stands for anything within a part, `**` for anything at all.

`acme/web-*` matches `acme/web-api` and not `acme/web-api/dev`; `acme/**` matches everything in acme. Parts end at a
slash, which is all that repositories know; claims have other separators, too (domain/trusts.py). Matching takes time
proportional to both lengths, so that no pattern can be made to hang the token service.
"""

import re

from authsvc.errors import Invalid, say

MAX_LENGTH = 255
_ALLOWED = re.compile(r"[a-z0-9._/*-]+")
_WITHIN, _ACROSS = "*", "**"
_ANYTHING = "\0"
"""What stands for `**` where a pattern is read as a name; in no pattern."""


def parse(text: str) -> str:
    """A pattern, unchanged; "" stands for every repository.

    Raises:
        Invalid: it has characters that are in no repository's name, or is too long.
    """
    if text and (len(text) > MAX_LENGTH or not _ALLOWED.fullmatch(text) or "***" in text):
        raise Invalid(
            {"pattern": say("%(text)s is no pattern: use a repository's name with * or ** in it", text=repr(text[:64]))}
        )
    return text


def matches(pattern: str, name: str, separators: str = "/") -> bool:
    """Whether a name is one that the pattern stands for; "" stands for all.

    Args:
        separators: the characters at which a part ends, which `*` does not stand for.
    """
    if not pattern:
        return True
    tokens = re.findall(r"\*\*|.", pattern)
    # The places in the pattern that the name so far can have led to.
    places = _with_empty(tokens, {0})
    for character in name:
        is_within = character not in separators
        moved = {_next(tokens, place, character, is_within=is_within) for place in places if place < len(tokens)}
        places = _with_empty(tokens, moved - {None})
    return len(tokens) in places


def covers(wide: str, narrow: str) -> bool:
    """Whether every repository that the narrow pattern stands for is surely one of the wide one's; "" stands for all.

    For this the narrow one is read as a name: in it, `*` is a character of a part, and `**` one that ends a part.
    """
    if not wide or not narrow:
        return not wide
    return matches(wide, narrow.replace("**", _ANYTHING), f"/{_ANYTHING}")


def _next(tokens: list[str], place: int, character: str, *, is_within: bool) -> int | None:
    token = tokens[place]
    if token == _ACROSS or (token == _WITHIN and is_within):
        return place
    return place + 1 if token == character and token != _WITHIN else None


def _with_empty(tokens: list[str], places: set[int | None]) -> set[int]:
    """The places, and those behind wildcards that stand for nothing there."""
    reached: set[int] = set()
    for start in places:
        place = start
        while place is not None and place not in reached:
            reached.add(place)
            place = place + 1 if place < len(tokens) and tokens[place] in (_WITHIN, _ACROSS) else None
    return reached
