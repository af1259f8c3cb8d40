"""A password login: proved by the chain of identity sources, then remembered for a minute.

What is remembered is a keyed hash of name and password, never the password; it is good only while the user's
`password_version` is the one it was proved under, which `core/standing.py` reads with the roles. When its minute is
over and nobody can say whether it still holds, it is good for pulls for a while (design decision 15).
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from weakref import WeakValueDictionary

from sqlalchemy import Engine, bindparam, select

from authsvc.core import metrics, onboarding
from authsvc.core.proofs import Proof, Proofs
from authsvc.core.throttle import Throttle
from authsvc.db.engine import fetch
from authsvc.db.tables import User
from authsvc.domain.names import canonical_user
from authsvc.errors import Unavailable, say
from authsvc.identity import Identity, PasswordBackend, Verdict, passwords
from authsvc.identity.local import LocalBackend

MAX_TYPED = 255
_ACCOUNT = select(User.source, User.password_version).where(User.name == bindparam("name"))


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who somebody says to be. `name` is as typed."""

    name: str
    password: str

    def __repr__(self) -> str:
        return f"Credentials({self.name!r}, ***)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long proofs last, and how many are made at once.

    Args:
        ttl: seconds for which a proof is remembered.
        grace: seconds more for which it is good for pulls while a source does not answer.
        room: how many may wait to be proved. Each holds a thread, and the others' threads must not run out.
    """

    ttl: int
    grace: int
    room: int


class Login:
    """Proves names with passwords, asking each source in turn; who has an account is asked of its source alone.

    Args:
        backends: the identity sources, in order.
        proofs: what was proved by whichever process.
        newcomers: whether whom a source vouches for gets an account at the first login.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        engine: Engine,
        backends: Sequence[PasswordBackend],
        throttle: Throttle,
        proofs: Proofs,
        limits: Limits,
        clock: Callable[[], float] = time.monotonic,
        *,
        newcomers: bool = True,
    ) -> None:
        self._engine = engine
        self._backends = tuple(backends)
        self._throttle = throttle
        self._proofs = proofs
        self._limits = limits
        self._clock = clock
        self._newcomers = newcomers
        self._room = threading.BoundedSemaphore(limits.room)
        self._turns: WeakValueDictionary[bytes, threading.Lock] = WeakValueDictionary()
        self._lock = threading.Lock()

    def prove(self, credentials: Credentials, source: str, now: int) -> Proof | None:
        """Who this is, or None for a wrong name or password.

        Raises:
            TooMany: there were too many failures; the password was not looked at.
            Unauthenticated: the password is right, and they cannot have an account here all the same.
            Unavailable: a source that would have to answer does not, or too many wait for it.
        """
        name = canonical_user(credentials.name)
        digest = self._proofs.digest(name, credentials.password)
        proof = self._find(digest, self._limits.ttl)
        if proof is not None:
            metrics.PROOF_HITS.inc()
            return proof
        with self._place(), self._turn(digest):
            return self._find(digest, self._limits.ttl) or self._prove(name, credentials.password, source, digest, now)

    def forget(self, credentials: Credentials) -> None:
        """Drop what was remembered about these credentials."""
        self._proofs.drop(self._proofs.digest(canonical_user(credentials.name), credentials.password))

    def _prove(self, name: str, password: str, source: str, digest: bytes, now: int) -> Proof | None:
        metrics.PROOF_MISSES.inc()
        asked_at = self._clock()
        try:
            self._throttle.check(name, source, now)
            proof = self._ask(name, password, asked_at, now)
        except Unavailable:
            before = self._find(digest, self._limits.ttl + self._limits.grace)
            if before is None:
                raise
            return replace(before, is_outdated=True)
        if proof is None:
            self._proofs.drop(digest)
            self._throttle.failed(name, source, password, now)
            return None
        self._proofs.keep(digest, proof)
        self._throttle.succeeded(name, source, now)
        return proof

    def _find(self, digest: bytes, seconds: int) -> Proof | None:
        """A proof that is not older than so many seconds."""
        proof = self._proofs.find(digest)
        return proof if proof is not None and self._clock() - proof.at < seconds else None

    @contextmanager
    def _place(self) -> Iterator[None]:
        if not self._room.acquire(blocking=False):
            raise Unavailable(say("too many people log in at this moment; try again in a few seconds"))
        try:
            yield
        finally:
            self._room.release()

    def _turn(self, digest: bytes) -> threading.Lock:
        """One attempt at a time for the same credentials: what all nodes of a cluster ask at once is hashed once."""
        with self._lock:
            return self._turns.setdefault(digest, threading.Lock())

    def _ask(self, name: str, password: str, asked_at: float, now: int) -> Proof | None:
        if not password or not _is_askable(name):
            passwords.waste_a_hash(password)
            return None
        # Read before the password is checked: a change in between must leave the proof outdated, not renewed.
        known = fetch(self._engine, _ACCOUNT, {"name": name})
        silent: Unavailable | None = None
        for backend in self._backends:
            if known and backend.name != known[0].source:
                continue
            try:
                answer = backend.check(name, password)
            except Unavailable as exc:
                silent = silent or exc
                continue
            match answer:
                case Verdict.UNKNOWN:
                    continue
                case Verdict.REFUSED:
                    return None
                case identity:
                    return self._proof(backend.name, identity, known[0].password_version if known else 0, asked_at, now)
        if silent is not None:
            raise silent
        passwords.waste_a_hash(password)
        return None

    def _proof(self, source: str, identity: Identity, version: int, asked_at: float, now: int) -> Proof:
        if source == LocalBackend.name:
            return Proof(identity.name, version, asked_at)
        admitted = onboarding.admit(self._engine, source, identity, now, newcomers=self._newcomers)
        return Proof(admitted.name, admitted.version, asked_at)


def _is_askable(name: str) -> bool:
    """Whether a source may be asked for what was typed: a directory knows people by more than their user names."""
    return 0 < len(name) <= MAX_TYPED and name.isprintable()
