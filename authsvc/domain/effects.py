"""What a change of grants gives to somebody and takes from them, once all that they hold is taken together."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from authsvc.domain import patterns
from authsvc.domain.permissions import Grant, Right


@dataclass(frozen=True, slots=True)
class Held:
    """A right in a project.

    Args:
        pattern: the repositories that it counts for; "" for all, and for the project itself.
        ends_at: UTC seconds from which it counts no longer; None for never.
    """

    right: Right
    pattern: str
    ends_at: int | None

    def includes(self, other: "Held") -> bool:
        """Whether this is at least as much: the same right, for as many repositories, for as long."""
        lasts = self.ends_at is None or (other.ends_at is not None and other.ends_at <= self.ends_at)
        return lasts and self.right == other.right and patterns.covers(self.pattern, other.pattern)


@dataclass(frozen=True, slots=True)
class Effect:
    """What somebody has that they had not, and what they had that they have no longer (or not as long)."""

    gained: tuple[Held, ...]
    lost: tuple[Held, ...]

    def __bool__(self) -> bool:
        return bool(self.gained or self.lost)


def compare(before: Iterable[Grant], after: Iterable[Grant]) -> Effect:
    """The effect of holding some grants in one project in place of others."""
    had, have = _held(before), _held(after)
    return Effect(gained=_missing(have, had), lost=_missing(had, have))


def _held(grants: Iterable[Grant]) -> Mapping[Right, frozenset[Held]]:
    found: dict[Right, set[Held]] = {}
    for grant in grants:
        for right in grant.rights:
            found.setdefault(right, set()).add(Held(right, grant.pattern, grant.ends_at))
    return {right: frozenset(held) for right, held in found.items()}


def _missing(wanted: Mapping[Right, frozenset[Held]], there: Mapping[Right, frozenset[Held]]) -> tuple[Held, ...]:
    """What is wanted and not there; nothing twice that something else wanted includes."""
    missing: list[Held] = []
    for right, held in wanted.items():
        new = [one for one in held if not any(other.includes(one) for other in there.get(right, ()))]
        missing += [one for one in new if not any(other.includes(one) for other in new if other != one)]
    return tuple(sorted(missing, key=lambda one: (one.right, one.pattern, one.ends_at or 0)))
