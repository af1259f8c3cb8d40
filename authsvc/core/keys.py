"""Token-signing keys: made with the CA, kept sealed in the database, loaded once by each process.

Every replica signs with the newest row, so that a rotation is one insert (design decision 2).
"""

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from jwt.utils import base64url_encode
from sqlalchemy import select
from sqlalchemy.orm import Session

from authsvc.core import audit
from authsvc.core.rights import require
from authsvc.core.sealing import Sealer
from authsvc.db.tables import SigningKey
from authsvc.domain import certificates
from authsvc.domain.certificates import Pair
from authsvc.domain.permissions import Actor, Right
from authsvc.errors import Misconfigured, say

CREATE, LIST = Right("signing-key", "create"), Right("signing-key", "list")
RENEW_SECONDS = 30 * certificates.DAY
"""A leaf is renewed when less than this is left, long before it could end under a token it signed."""


_ES256 = jwt.get_algorithm_by_name("ES256")
_compact = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Signer:
    """A key ready to sign, and what stands in a token's header beside the signature.

    Args:
        header: the whole of it, encoded once: it is the same for every token, and longer than the rest.
    """

    key: EllipticCurvePrivateKey
    key_id: str
    x5c: str
    ends_at: int
    header: bytes

    def sign(self, claims: Mapping[str, object]) -> str:
        """A token in its compact form (RFC 7515, 7.1)."""
        signed = self.header + b"." + base64url_encode(_compact(claims).encode())
        return (signed + b"." + base64url_encode(_ES256.sign(signed, self.key))).decode()


class KeyRing:
    """The signing keys this process has opened, by their row's id."""

    def __init__(self, sealer: Sealer, find_key: Callable[[int], SigningKey | None]) -> None:
        self._sealer = sealer
        self._find_key = find_key
        self._signers: dict[int, Signer] = {}
        self._lock = threading.Lock()

    def signer(self, row_id: int | None) -> Signer:
        """The signer of one row, opened at its first use.

        Raises:
            Misconfigured: there is no key, or it does not open with this master key.
        """
        if row_id is None:
            raise Misconfigured("there is no signing key: run `authsvc migrate`")
        with self._lock:
            if row_id not in self._signers:
                self._signers = {row_id: self._open(row_id)}
            return self._signers[row_id]

    def _open(self, row_id: int) -> Signer:
        row = self._find_key(row_id)
        if row is None:
            raise Misconfigured("the signing key is gone: run `authsvc migrate`")
        pair = certificates.load_pair(row.certificate.encode(), self._sealer.open(row.sealed_key, _place(row.key_id)))
        x5c = certificates.x5c(pair.certificate)
        # x5c is what the registry verifies; kid documents the key and is ignored beside it (distribution 2.8, 3.x).
        header = {"alg": "ES256", "typ": "JWT", "kid": row.key_id, "x5c": [x5c]}
        return Signer(pair.key, row.key_id, x5c, row.ends_at, base64url_encode(_compact(header).encode()))


def load_ca(certificate: Path, key: Path) -> Pair:
    """The token CA from its two files.

    Raises:
        Misconfigured: a file is missing or unreadable, or the two do not belong together.
    """
    try:
        return certificates.load_pair(certificate.read_bytes(), key.read_bytes())
    except OSError as exc:
        raise Misconfigured(
            f"{exc.filename} cannot be read ({exc.strerror}): run `authsvc init`, or put it back from your backup"
        ) from exc


@dataclass(frozen=True, slots=True)
class Listed:
    """A key as people want to see one."""

    key_id: str
    signs: bool
    created_at: int
    ends_at: int


def list_all(session: Session, actor: Actor) -> Sequence[Listed]:
    """Every key, the newest first."""
    require(actor, LIST)
    rows = session.scalars(select(SigningKey).order_by(SigningKey.id.desc())).all()
    return [Listed(row.key_id, row is rows[0], row.created_at, row.ends_at) for row in rows]


@dataclass(frozen=True, slots=True)
class Condition:
    """How the key that signs and the CA are.

    Args:
        ca_ends_at: when the CA's certificate ends; None where it cannot be read.
        fault: why a registry would refuse what is signed, in one sentence; "" where it would not.
    """

    key: SigningKey | None
    ca_starts_at: int | None
    ca_ends_at: int | None
    fault: str = ""


def examine(session: Session, actor: Actor, ca_certificate: Path) -> Condition:
    """How the key that signs and the CA are, as far as their certificates tell."""
    require(actor, LIST)
    key = find_newest(session)
    try:
        ca = x509.load_pem_x509_certificate(ca_certificate.read_bytes())
    except (OSError, ValueError):
        return Condition(key, None, None, say("the CA's certificate cannot be read here: put it back from your backup"))
    begins, ends = (int(at.timestamp()) for at in (ca.not_valid_before_utc, ca.not_valid_after_utc))
    return Condition(key, begins, ends, find_fault(key, ca))


def find_fault(key: SigningKey | None, ca: x509.Certificate) -> str:
    """Why a registry that trusts this CA would refuse what the key signs; "" where it would not."""
    if key is None:
        return say("there is no signing key: run `authsvc migrate`")
    leaf = x509.load_pem_x509_certificate(key.certificate.encode())
    if not certificates.is_signed_by(leaf, ca):
        return say("the signing key was not signed by this CA: put the CA's files back, or rotate the key")
    if certificates.key_id(leaf.public_key()) != key.key_id:
        return say("the key id is not the libtrust id of the certificate: run `authsvc migrate`")
    return ""


def find_newest(session: Session) -> SigningKey | None:
    """The key that signs."""
    return session.scalar(select(SigningKey).order_by(SigningKey.id.desc()).limit(1))


def get_newest(session: Session) -> SigningKey:
    """The key that signs.

    Raises:
        Misconfigured: there is none.
    """
    key = find_newest(session)
    if key is None:
        raise Misconfigured("there is no signing key: run `authsvc migrate`")
    return key


def find(session: Session, row_id: int) -> SigningKey | None:
    """The key of one row."""
    return session.get(SigningKey, row_id)


def is_due(key: SigningKey | None, now: int) -> bool:
    """Whether a new key must be made: there is none, or it ends soon."""
    return key is None or key.ends_at - now < RENEW_SECONDS


def add(session: Session, actor: Actor, ca: Pair, sealer: Sealer, now: int, detail: str = "") -> SigningKey:
    """Make a key that signs from now on. Tokens already signed carry their own certificate and stay good.

    Args:
        detail: what the audit trail says beside it.
    """
    require(actor, CREATE)
    leaf = certificates.make_leaf(ca, "authsvc token signing", now)
    key_id = certificates.key_id(leaf.key.public_key())
    key = SigningKey(
        key_id=key_id,
        certificate=leaf.certificate_pem().decode(),
        sealed_key=sealer.seal(leaf.key_pem(), _place(key_id)),
        created_at=now,
        ends_at=certificates.ends_at(leaf.certificate),
    )
    session.add(key)
    audit.record(session, actor, "signing-key.add", key_id, now, detail=detail)
    return key


def _place(key_id: str) -> str:
    return f"signing_keys/{key_id}"
