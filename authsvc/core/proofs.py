"""Proofs of passwords that every process of web shares: a table in memory that processes inherit, and never a file.

What a password proves in one process, each of them knows, so a storm of logins is hashed once and not once for each
process. A slot is sealed with a key of this table's own, so that one written half, or by two at once, is no proof.
"""

import hashlib
import hmac
import math
import mmap
import os
import struct
from dataclasses import dataclass

from authsvc.domain.names import MAX_NAME_LENGTH

BUCKETS, WAYS = 4_096, 4
"""As many buckets, each with room for so many proofs; a new one takes the place of the oldest."""

_SEAL_BYTES = 16
_FACTS = struct.Struct(f"<32sdqB{MAX_NAME_LENGTH}s")
_SLOT = 256  # a power of two, so that no slot lies on two pages


@dataclass(frozen=True, slots=True)
class Proof:
    """A name that was proved, and the version of the password that proved it.

    Args:
        at: when, in seconds of `time.monotonic`, which is one clock for all processes.
        is_outdated: whether it should have been proved again, and could not be.
    """

    name: str
    version: int
    at: float
    is_outdated: bool = False


class Proofs:
    """The table. Made before processes are forked, it is one for all of them."""

    def __init__(self) -> None:
        self._key = os.urandom(32)
        self._memory = mmap.mmap(-1, BUCKETS * WAYS * _SLOT)

    def digest(self, name: str, password: str) -> bytes:
        """What a canonical name and a password are known by: a keyed hash of 32 bytes."""
        whose, secret = (text.encode(errors="surrogatepass") for text in (name, password))
        return self._hash(len(whose).to_bytes(8, "big") + whose + secret, b"credentials", 32)

    def find(self, digest: bytes) -> Proof | None:
        """The proof that was kept, however old it is."""
        for place in range(WAYS):
            found, proof = self._read(digest, place)
            if found == digest and proof is not None:
                return proof
        return None

    def keep(self, digest: bytes, proof: Proof) -> None:
        """Remember a proof, in place of the oldest that it meets. A name that is too long is not remembered."""
        name = proof.name.encode()
        if len(name) > MAX_NAME_LENGTH:
            return
        facts = _FACTS.pack(digest, proof.at, proof.version, len(name), name)
        self._write(digest, min(range(WAYS), key=lambda place: self._worth(digest, place)), self._seal(facts) + facts)

    def drop(self, digest: bytes) -> None:
        """Forget a proof."""
        for place in range(WAYS):
            if self._read(digest, place)[0] == digest:
                self._write(digest, place, bytes(_SEAL_BYTES + _FACTS.size))

    def _worth(self, digest: bytes, place: int) -> float:
        """How much would be lost with what is there: nothing if it is the same, else the more, the newer it is."""
        found, proof = self._read(digest, place)
        return -math.inf if found == digest else proof.at if proof is not None else 0.0

    def _read(self, digest: bytes, place: int) -> tuple[bytes, Proof | None]:
        """Whose a slot of this digest's bucket is, and what it says; None when nothing can be read there."""
        start = self._start(digest, place)
        slot = self._memory[start : start + _SEAL_BYTES + _FACTS.size]
        found, at, version, length, name = _FACTS.unpack_from(slot, _SEAL_BYTES)
        if not hmac.compare_digest(slot[:_SEAL_BYTES], self._seal(slot[_SEAL_BYTES:])):
            return found, None
        return found, Proof(name[:length].decode(), version, at)

    def _write(self, digest: bytes, place: int, data: bytes) -> None:
        start = self._start(digest, place)
        self._memory[start : start + len(data)] = data

    def _seal(self, facts: bytes) -> bytes:
        return self._hash(facts, b"slot", _SEAL_BYTES)

    def _hash(self, data: bytes, purpose: bytes, size: int) -> bytes:
        """A keyed hash (RFC 7693): BLAKE2 needs no HMAC around it, which costs three times as much."""
        return hashlib.blake2b(data, digest_size=size, key=self._key, person=purpose).digest()

    def _start(self, digest: bytes, place: int) -> int:
        bucket = int.from_bytes(digest[:4], "big") % BUCKETS
        return (bucket * WAYS + place) * _SLOT
