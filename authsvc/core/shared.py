"""What every process of web shares: tables in memory that processes inherit, and never a file.

A slot is sealed with a key of its table's own, so that one written half, or by two at once, says nothing.
"""

import hashlib
import hmac
import math
import mmap
import os
import struct

BUCKETS, WAYS = 4_096, 4
"""As many buckets, each with room for so many slots; a new entry takes the place of the oldest."""

_SEAL_BYTES = 16
_HEAD = struct.Struct("<32sdH")


class Table:
    """Finds short texts of bytes by a digest. Made before processes are forked, it is one for all of them.

    Args:
        slot: bytes for an entry and what is written beside it; a power of two, so that none lies on two pages.
    """

    def __init__(self, slot: int) -> None:
        self._slot = slot
        self._room = slot - _SEAL_BYTES - _HEAD.size
        self._key = os.urandom(32)
        self._memory = mmap.mmap(-1, BUCKETS * WAYS * slot)

    def digest(self, *parts: str) -> bytes:
        """What these texts are known by here: a keyed hash of 32 bytes."""
        encoded = [part.encode(errors="surrogatepass") for part in parts]
        return self._hash(b"".join(len(part).to_bytes(8, "big") + part for part in encoded), b"digest", 32)

    def find(self, digest: bytes) -> tuple[float, bytes] | None:
        """When an entry was made, in seconds of `time.monotonic` (one clock for all processes), and what it says."""
        for place in range(WAYS):
            found, entry = self._read(digest, place)
            if found == digest and entry is not None:
                return entry
        return None

    def keep(self, digest: bytes, at: float, data: bytes) -> None:
        """Remember something, in place of the oldest that it meets. What is too long is not remembered."""
        if len(data) > self._room:
            return
        facts = _HEAD.pack(digest, at, len(data)) + data
        place = min(range(WAYS), key=lambda place: self._worth(digest, place))
        self._write(digest, place, self._seal(facts) + facts)

    def drop(self, digest: bytes) -> None:
        """Forget something."""
        for place in range(WAYS):
            if self._read(digest, place)[0] == digest:
                self._write(digest, place, bytes(_SEAL_BYTES + _HEAD.size))

    def _worth(self, digest: bytes, place: int) -> float:
        """How much would be lost with what is there: nothing if it is the same, else the more, the newer it is."""
        found, entry = self._read(digest, place)
        return -math.inf if found == digest else entry[0] if entry is not None else 0.0

    def _read(self, digest: bytes, place: int) -> tuple[bytes, tuple[float, bytes] | None]:
        """Whose a slot of this digest's bucket is, and what it says; None when nothing can be read there."""
        start = self._start(digest, place)
        found, at, length = _HEAD.unpack_from(self._memory, start + _SEAL_BYTES)
        end = start + _SEAL_BYTES + _HEAD.size + min(length, self._room)
        slot = self._memory[start:end]
        if not hmac.compare_digest(slot[:_SEAL_BYTES], self._seal(slot[_SEAL_BYTES:])):
            return found, None
        return found, (at, slot[_SEAL_BYTES + _HEAD.size :])

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
        return (bucket * WAYS + place) * self._slot
