"""Proofs of passwords, shared by every process of web.

What a password proves in one process, each of them knows, so a storm of logins is hashed once and not once for each
process.
"""

import hashlib
import struct
from dataclasses import dataclass

from authsvc.core.shared import Table

_VERSION = struct.Struct("<q")
_SLOT = 256


@dataclass(frozen=True, slots=True)
class Proof:
    """A name that was proved, and the version of the password that proved it.

    Args:
        at: when, in seconds of `time.monotonic`.
        is_outdated: whether it should have been proved again, and could not be.
    """

    name: str
    version: int
    at: float
    is_outdated: bool = False


class Proofs:
    """Proofs by the credentials that made them.

    Args:
        under: what the sources were when they were asked; nobody finds a proof that was made under other ones.
    """

    def __init__(self, table: Table | None = None, under: str = "") -> None:
        self._table = table or Table(_SLOT)
        self._under = under

    def under(self, sources: str) -> "Proofs":
        """The proofs in the same memory that were made, or will be, with sources as this text says."""
        return Proofs(self._table, hashlib.sha256(sources.encode()).hexdigest())

    def digest(self, name: str, password: str) -> bytes:
        """What a canonical name and a password are known by."""
        return self._table.digest(self._under, name, password)

    def find(self, digest: bytes) -> Proof | None:
        """The proof that was kept, however old it is."""
        found = self._table.find(digest)
        if found is None:
            return None
        at, data = found
        (version,) = _VERSION.unpack_from(data)
        return Proof(data[_VERSION.size :].decode(), version, at)

    def keep(self, digest: bytes, proof: Proof) -> None:
        """Remember a proof."""
        self._table.keep(digest, proof.at, _VERSION.pack(proof.version) + proof.name.encode())

    def drop(self, digest: bytes) -> None:
        """Forget a proof."""
        self._table.drop(digest)
