"""What pulls go on with while the database is away: how callers stood when it last answered any process of web.

Only what a pull needs is kept, and only while no process has seen a change since (design decision 15).
"""

import json
import struct
from collections.abc import Sequence
from dataclasses import astuple, replace
from typing import Any

from authsvc.core.shared import Table
from authsvc.core.standing import Account, Key, Machine, Standing
from authsvc.domain import permissions
from authsvc.domain.permissions import PULL, Grant, Limit
from authsvc.domain.trusts import Rule, Trust

_SLOT = 2_048
_CHANGES = struct.Struct("<q")


class LastKnown:
    """Standings by the question that they answer, shared by every process of web."""

    def __init__(self) -> None:
        self._table = Table(_SLOT)
        self._newest = self._table.digest("changes")

    def keep(self, key: Key, found: Standing, changes: int, at: float) -> None:
        """Remember a standing.

        Args:
            changes: how many there had been when it was read.
            at: when that was, in seconds of `time.monotonic`.
        """
        self._table.keep(self._digest(key), at, _CHANGES.pack(changes) + _packed(found))

    def saw(self, changes: int, at: float) -> None:
        """The database answered at that time, and there had been so many changes."""
        before = self._table.find(self._newest)
        if before is None or before[0] <= at:
            self._table.keep(self._newest, at, _CHANGES.pack(changes))

    def find(self, key: Key, since: float) -> Standing | None:
        """A standing, for pulls alone; None if it is not known, or the database has not answered since."""
        newest, found = self._table.find(self._newest), self._table.find(self._digest(key))
        if newest is None or found is None or newest[0] < since:
            return None
        changes, packed = found[1][: _CHANGES.size], found[1][_CHANGES.size :]
        return _unpacked(packed) if changes == newest[1] else None

    def _digest(self, key: Key) -> bytes:
        return self._table.digest(key.way.value, key.name, key.digest, *sorted(key.projects))


def _packed(found: Standing) -> bytes:
    pulls = [grant for grant in found.grants if PULL in grant.rights]
    facts = {
        "key": found.key,
        "account": astuple(found.account) if found.account else None,
        "machine": astuple(found.machine) if found.machine else None,
        "projects": [(one.name, one.public) for one in found.projects.values()],
        "grants": [astuple(replace(grant, rights=frozenset())) for grant in pulls],
        "trusts": [astuple(trust) for trust in found.trusts],
        "limit": (PULL in found.limit.rights, found.limit.patterns) if found.limit else None,
    }
    return json.dumps(facts, default=list, separators=(",", ":")).encode()


def _unpacked(packed: bytes) -> Standing:
    facts = json.loads(packed)
    return Standing(
        key=facts["key"],
        account=Account(*facts["account"]) if facts["account"] else None,
        machine=Machine(*facts["machine"]) if facts["machine"] else None,
        projects={name: permissions.Project(name, public) for name, public in facts["projects"]},
        grants=tuple(replace(Grant(*grant), rights=frozenset({PULL})) for grant in facts["grants"]),
        system_rights=frozenset(),
        limit=_limit(facts["limit"]),
        trusts=tuple(_trust(*trust) for trust in facts["trusts"]),
    )


def _trust(row_id: int, issuer: str, audience: str, jwks_url: str, rules: Sequence[Sequence[str]]) -> Trust:
    return Trust(row_id, issuer, audience, jwks_url, tuple(Rule(*rule) for rule in rules))


def _limit(packed: Sequence[Any] | None) -> Limit:
    """Pulls alone, and none at all if the limit did not let them through."""
    if packed is None:
        return permissions.pulls_only(None)
    allowed, patterns = packed
    return Limit(frozenset({PULL} if allowed else ()), tuple(patterns))
