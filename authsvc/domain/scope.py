"""The scope grammar of Docker's token protocol (distribution, "Token Scope Documentation").

`type[(class)]:name:action,action`; a request may repeat the parameter, and each may hold several scopes separated
by white space. What cannot be read is dropped, never an error: clients send odd scopes, and a scope that is not
granted is refused by the registry.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from authsvc.domain.names import is_repository
from authsvc.errors import Invalid

# 64 entries of about 80 bytes stay under the 8 kB that a stock nginx gives to one header line.
MAX_RESOURCES = 64
MAX_TEXT = 64 * 1024

_TYPE = re.compile(r"([a-z0-9]+)(?:\([a-z0-9]+\))?")
_ACTION = re.compile(r"[a-z]+|\*")


@dataclass(frozen=True, slots=True)
class Scope:
    """What is asked about one resource: `kind` is the type (`repository`, `registry`), without its class."""

    kind: str
    name: str
    actions: frozenset[str]


def parse(texts: Iterable[str]) -> tuple[Scope, ...]:
    """Every scope that the parameters ask for, one per resource, in order of type and name.

    Repetition and order do not matter: scopes for the same resource are united.

    Raises:
        Invalid: more than `MAX_RESOURCES` resources, or more than `MAX_TEXT` characters.
    """
    texts = list(texts)
    if sum(map(len, texts)) > MAX_TEXT:
        raise Invalid({"scope": f"at most {MAX_TEXT} characters of scopes in one request"})
    wanted: dict[tuple[str, str], frozenset[str]] = {}
    for text in texts:
        for word in text.split():
            scope = parse_one(word)
            if scope is not None:
                key = (scope.kind, scope.name)
                wanted[key] = wanted.get(key, frozenset()) | scope.actions
    if len(wanted) > MAX_RESOURCES:
        raise Invalid({"scope": f"at most {MAX_RESOURCES} repositories in one token"})
    return tuple(Scope(kind, name, actions) for (kind, name), actions in sorted(wanted.items()))


def parse_one(word: str) -> Scope | None:
    """One scope, or None when it is malformed or asks for nothing.

    The name stands between the first and the last colon, because it may hold a port.
    """
    kind_text, _, rest = word.partition(":")
    name, _, actions_text = rest.rpartition(":")
    kind = _TYPE.fullmatch(kind_text)
    actions = frozenset(action for action in actions_text.split(",") if _ACTION.fullmatch(action))
    if kind is None or not actions or not is_repository(name):
        return None
    return Scope(kind.group(1), name, actions)
