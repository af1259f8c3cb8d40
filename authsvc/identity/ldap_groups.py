"""The groups of a person: one search for all that they are in, and one for each level of groups in groups.

A matcher says how somebody belongs to a group, `attribute of the person=attribute of the group`: `dn=member`,
`uid=memberUid`, `memberOf=dn`; any pair will do.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from authsvc.identity import Group
from authsvc.identity.ldap_answers import Ask, Entry, Search
from authsvc.identity.ldap_names import escape_value, first_values, is_under, normalize_dn
from authsvc.settings import PRIMARY_GROUP, LdapSettings

NAMES_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Membership:
    """A group that somebody belongs to, and in which way."""

    group: Group
    dn: str
    how: str


def wanted_attributes(settings: LdapSettings) -> list[str]:
    """What a person's entry must show so that their groups can be found."""
    sides = [matcher.split("=", 1)[0] for matcher in settings.group_matchers]
    more = ["objectSid"] if PRIMARY_GROUP in settings.group_matchers else []
    return [side for side in [*sides, *more] if side != "dn"]


def find(person: Entry, settings: LdapSettings, ask: Ask) -> frozenset[Group] | None:
    """All groups of a person; None where the directory is not asked for any.

    Args:
        ask: searches as the service.
    """
    if not settings.group_matchers:
        return None
    return frozenset(one.group for one in _memberships(person, settings, settings.group_matchers, ask))


def explain(person: Entry, settings: LdapSettings, ask: Ask) -> list[Membership]:
    """The same with how each was found first, at the price of the searches for each matcher."""
    found: dict[Group, Membership] = {}
    for matcher in settings.group_matchers:
        for one in _memberships(person, settings, (matcher,), ask):
            found.setdefault(one.group, one)
    return list(found.values())


def is_admin(groups: frozenset[Group] | None, settings: LdapSettings) -> bool:
    """Whether one of the groups is among those of administrators, by its DN or its name."""
    named = {name.casefold() for name in settings.admin_groups}
    keys = {normalize_dn(name) for name in settings.admin_groups if "=" in name}
    return any(group.key in keys or group.name.casefold() in named for group in groups or ())


def _memberships(person: Entry, settings: LdapSettings, matchers: Sequence[str], ask: Ask) -> Iterator[Membership]:
    seen: set[str] = set()
    level = [*_by_attribute(person, settings, matchers), *_by_search(person, settings, matchers, ask)]
    how = " or ".join(matchers)
    for depth in range(settings.group_depth + 1):
        fresh = {one.key: (one, dn) for one, dn in level if one.key not in seen}
        if not fresh:
            return
        seen |= fresh.keys()
        yield from (Membership(one, dn, how if not depth else f"{how}, {depth} deep") for one, dn in fresh.values())
        is_deepest = depth == settings.group_depth
        level = [] if is_deepest else _above([dn for _, dn in fresh.values()], settings, ask)


def _by_attribute(person: Entry, settings: LdapSettings, matchers: Sequence[str]) -> Iterator[tuple[Group, str]]:
    """Groups that the person's own entry names: no search, and their names are the first parts of their DNs."""
    for matcher in matchers:
        attribute, side = matcher.split("=", 1)
        for dn in person.texts(attribute) if side == "dn" else ():
            if is_under(dn, settings.group_base or settings.base):
                yield Group(normalize_dn(dn), first_values(dn)[0][1]), dn


def _by_search(person: Entry, settings: LdapSettings, matchers: Sequence[str], ask: Ask) -> list[tuple[Group, str]]:
    pairs = [matcher.split("=", 1) for matcher in matchers if not matcher.endswith("=dn")]
    return _search([part for mine, theirs in pairs for part in _parts(person, mine, theirs)], settings, ask)


def _parts(person: Entry, mine: str, theirs: str) -> Iterator[str]:
    """The parts of a filter that find the groups of one matcher."""
    if f"{mine}={theirs}" == PRIMARY_GROUP:
        values: Sequence[str | bytes] = _primary_group(person)
    else:
        values = person.texts("dn") if mine == "dn" else person.raw(mine)
    return (f"({theirs}={escape_value(value)})" for value in values)


def _primary_group(person: Entry) -> list[bytes]:
    """The SID of a person's primary group, which no attribute names: their own SID with another last part (MS-DTYP)."""
    sids = person.raw("objectSid")
    return [sids[0][:-4] + struct.pack("<I", int(last)) for last in person.texts("primaryGroupID")] if sids else []


def _above(dns: Sequence[str], settings: LdapSettings, ask: Ask) -> list[tuple[Group, str]]:
    """The groups that these groups are in."""
    sides = [matcher.removeprefix("dn=") for matcher in settings.group_matchers if matcher.startswith("dn=")]
    return _search([f"({side}={escape_value(dn)})" for dn in dns for side in sides], settings, ask)


def _search(parts: Sequence[str], settings: LdapSettings, ask: Ask) -> list[tuple[Group, str]]:
    name = settings.group_name_attribute
    base, scope = settings.group_base or settings.base, settings.group_scope
    entries: list[Entry] = []
    for begin in range(0, len(parts), NAMES_AT_ONCE):
        some = "".join(parts[begin : begin + NAMES_AT_ONCE])
        entries += ask(Search(base, scope, f"(&{settings.group_filter}(|{some}))", [name]))
    return [(Group(normalize_dn(entry.dn), _name(entry, name)), entry.dn) for entry in entries]


def _name(entry: Entry, attribute: str) -> str:
    return min(entry.texts(attribute), default=first_values(entry.dn)[0][1])
