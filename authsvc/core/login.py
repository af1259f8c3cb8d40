"""A password login: proved by the chain of identity sources, then remembered for a minute.

What is remembered is a keyed hash of name and password, never the password; it is good only while the user's
`password_version` is the one it was proved under, which `core/standing.py` reads with the roles.
"""

import hashlib
import hmac
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from cachetools import TTLCache
from sqlalchemy import Engine, select

from authsvc.core import metrics
from authsvc.core.throttle import Throttle
from authsvc.db.engine import reading
from authsvc.db.tables import User
from authsvc.domain.names import canonical_user, is_user
from authsvc.identity import PasswordBackend, Verdict, passwords

MAX_PROOFS = 20_000


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who somebody says to be. `name` is as typed."""

    name: str
    password: str

    def __repr__(self) -> str:
        return f"Credentials({self.name!r}, ***)"


@dataclass(frozen=True, slots=True)
class Proof:
    """A name that was proved, and the version of the password that proved it."""

    name: str
    version: int


class Login:
    """Proves names with passwords, asking each source in turn.

    Args:
        backends: the identity sources, in order.
        ttl: seconds for which a proof is remembered.
    """

    def __init__(self, engine: Engine, backends: Sequence[PasswordBackend], throttle: Throttle, ttl: int) -> None:
        self._engine = engine
        self._backends = tuple(backends)
        self._throttle = throttle
        self._key = os.urandom(32)
        self._proofs: TTLCache[bytes, Proof] = TTLCache(MAX_PROOFS, ttl, timer=time.monotonic)
        self._lock = threading.Lock()

    def prove(self, credentials: Credentials, source: str, now: int) -> Proof | None:
        """Who this is, or None for a wrong name or password.

        Raises:
            TooMany: there were too many failures; the password was not looked at.
            Unavailable: a source that would have to answer does not.
        """
        key = self._digest(credentials)
        with self._lock:
            proof = self._proofs.get(key)
        if proof is not None:
            metrics.PROOF_HITS.inc()
            return proof
        metrics.PROOF_MISSES.inc()
        name = canonical_user(credentials.name)
        self._throttle.check(name, source, now)
        proof = self._ask(name, credentials.password)
        if proof is None:
            self._throttle.failed(name, source, credentials.password, now)
            return None
        self._throttle.succeeded(name, source, now)
        with self._lock:
            self._proofs[key] = proof
        return proof

    def forget(self, credentials: Credentials) -> None:
        """Drop what was remembered about these credentials."""
        with self._lock:
            self._proofs.pop(self._digest(credentials), None)

    def _ask(self, name: str, password: str) -> Proof | None:
        if not password or not is_user(name):
            passwords.waste_a_hash(password)
            return None
        version = self._version(name)
        for backend in self._backends:
            match backend.check(name, password):
                case Verdict.UNKNOWN:
                    continue
                case Verdict.REFUSED:
                    return None
                case identity:
                    return Proof(identity.name, version)
        passwords.waste_a_hash(password)
        return None

    def _version(self, name: str) -> int:
        # Read before the password is checked: a change in between must leave the proof outdated, not renewed.
        with reading(self._engine) as session:
            return session.scalar(select(User.password_version).where(User.name == name)) or 0

    def _digest(self, credentials: Credentials) -> bytes:
        name = canonical_user(credentials.name).encode(errors="surrogatepass")
        secret = credentials.password.encode(errors="surrogatepass")
        return hmac.digest(self._key, len(name).to_bytes(8, "big") + name + secret, hashlib.sha256)
