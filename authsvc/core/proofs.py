"""Proofs of passwords, shared by every process of web.

What a password proves in one process, each of them knows, so a storm of logins is hashed once and not once for each
process.
"""

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
    """Proofs by the credentials that made them."""

    def __init__(self) -> None:
        self._table = Table(_SLOT)

    def digest(self, name: str, password: str) -> bytes:
        """What a canonical name and a password are known by."""
        return self._table.digest(name, password)

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
