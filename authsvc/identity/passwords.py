"""Hashes of people's passwords: Argon2id as PHC strings (OWASP's minimum: t=2, m=19 MiB, p=1).

A hash costs about 30 ms and 19 MiB, so no more run at once than there are processors. bcrypt hashes, which only an
import brings, are checked, too; they always are outdated.
"""

import os
import re
import threading

import bcrypt
from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from authsvc.domain import htpasswd
from authsvc.domain.passwords import normalize

ITERATIONS, LANES, MEMORY_KIB = 2, 1, 19 * 1024
BCRYPT_BYTES = 72

_CURRENT = f"$argon2id$v=19$m={MEMORY_KIB},t={ITERATIONS},p={LANES}$"
_ARGON2ID = re.compile(r"\$argon2id\$v=\d+\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+")
_slots = threading.BoundedSemaphore(os.cpu_count() or 1)


def hash_password(password: str) -> str:
    """The PHC string to store for a password."""
    with _slots:
        hasher = Argon2id(salt=os.urandom(16), length=32, iterations=ITERATIONS, lanes=LANES, memory_cost=MEMORY_KIB)
        return hasher.derive_phc_encoded(normalize(password).encode())


def is_correct(password: str, stored: str) -> bool:
    """Whether a stored hash is this password's. Anything that is neither Argon2id nor bcrypt never is."""
    if htpasswd.is_bcrypt(stored):
        return _is_correct_bcrypt(password, stored)
    if not _ARGON2ID.fullmatch(stored):
        return False
    with _slots:
        try:
            Argon2id.verify_phc_encoded(normalize(password).encode(), stored)
        except (InvalidKey, ValueError):
            return False
    return True


def _is_correct_bcrypt(password: str, stored: str) -> bool:
    # As htpasswd and the registry did: the bytes as typed, of which bcrypt reads 72. It takes `x` and `x\0x` for the
    # same, because it repeats the password with a NUL between; nobody's has one.
    with _slots:
        found = "\0" not in password and bcrypt.checkpw(password.encode()[:BCRYPT_BYTES], stored.encode())
    if not found:
        # htpasswd's default cost takes 2 ms: without this, a wrong password would answer sooner than an unknown name.
        waste_a_hash(password)
    return found


def is_outdated(stored: str) -> bool:
    """Whether a stored hash was made with other parameters than today's."""
    return not stored.startswith(_CURRENT)


# Nobody's: a salt and a hash of zeros, which cost a check what any others do.
_NOBODY = f"{_CURRENT}{'A' * 22}${'A' * 43}"


def waste_a_hash(password: str) -> None:
    """Spend what a check costs, so that an unknown name takes as long as a wrong password."""
    is_correct(password, _NOBODY)
