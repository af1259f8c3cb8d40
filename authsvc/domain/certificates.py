"""X.509 for token signing and for a self-signed TLS set-up. Times are arguments; only randomness comes from outside.

P-256 throughout: distribution 2.8 refuses Ed25519 in a bundle, and ES256 signs ten times faster than RS256.
"""

import base64
import datetime
import hashlib
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from authsvc.errors import Misconfigured

DAY = 86_400
CA_LIFETIME = 20 * 365 * DAY
LEAF_LIFETIME = 90 * DAY
TLS_LIFETIME = 825 * DAY
WARN_BEFORE = 14 * DAY
"""Seconds before the end of a certificate from which on people are warned."""
BACKDATED = 15 * 60
"""Seconds before `now` at which a certificate begins: a registry allows no leeway on these dates."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def certificate_pem(self) -> bytes:
        """The certificate as PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def key_pem(self) -> bytes:
        """The private key as unencrypted PKCS#8 PEM."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def load_pair(certificate_pem: bytes, key_pem: bytes) -> Pair:
    """Read a pair back.

    Raises:
        Misconfigured: one of the two cannot be read, the key is not P-256, or they do not belong together.
    """
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem)
        key = serialization.load_pem_private_key(key_pem, None)
    except (ValueError, TypeError) as exc:
        raise Misconfigured(f"a certificate or key cannot be read: {exc}") from exc
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise Misconfigured("the key is not an EC key on P-256")
    if key.public_key() != certificate.public_key():
        raise Misconfigured("the certificate and the key do not belong together")
    return Pair(certificate, key)


def make_ca(name: str, now: int) -> Pair:
    """A certificate authority, valid for `CA_LIFETIME` seconds."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(name)
    usage = _key_usage(key_cert_sign=True, crl_sign=True)
    certificate = (
        _builder(subject, subject, key.public_key(), now, CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    return Pair(certificate, key)


def make_leaf(ca: Pair, name: str, now: int) -> Pair:
    """A token-signing certificate, valid for `LEAF_LIFETIME` seconds and never longer than its CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    lifetime = min(LEAF_LIFETIME, int(ca.certificate.not_valid_after_utc.timestamp()) - now)
    certificate = (
        _builder(_subject(name), ca.certificate.subject, key.public_key(), now, lifetime)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(_authority(ca), critical=False)
        .sign(ca.key, hashes.SHA256())
    )
    return Pair(certificate, key)


def make_server(ca: Pair, names: Iterable[str], now: int) -> Pair:
    """A TLS server certificate for host names and addresses, valid for `TLS_LIFETIME` seconds."""
    names = list(names)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(_subject(names[0]), ca.certificate.subject, key.public_key(), now, TLS_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(map(_general_name, names)), critical=False)
        .add_extension(_authority(ca), critical=False)
        .sign(ca.key, hashes.SHA256())
    )
    return Pair(certificate, key)


def key_id(public_key: PublicKeyTypes) -> str:
    """The libtrust id of a key: what distribution 2.8 calls `kid` (libtrust, "fingerprint")."""
    der = public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    text = base64.b32encode(hashlib.sha256(der).digest()[:30]).decode()
    return ":".join(text[start : start + 4] for start in range(0, len(text), 4))


def x5c(certificate: x509.Certificate) -> str:
    """The certificate as one entry of a JWS `x5c` header (RFC 7515, 4.1.6): padded standard base64 of the DER."""
    return base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()


def is_signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether `issuer` signed `certificate`, whatever their dates."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def ends_at(certificate: x509.Certificate) -> int:
    """When the certificate ends, in UTC seconds."""
    return int(certificate.not_valid_after_utc.timestamp())


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: int, lifetime: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_moment(now - BACKDATED))
        .not_valid_after(_moment(now + lifetime))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _authority(ca: Pair) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.key.public_key())


def _moment(seconds: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def _key_usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
