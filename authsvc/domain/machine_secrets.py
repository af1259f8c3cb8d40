"""Secrets for machines: 256 random bits in a text that scanners recognise and that shows a slip of the pen.

`asr_` robot, `asp_` personal access token, `asf_` refresh token; then 43 characters of base64url, then 6 of a checksum.
They cannot be guessed, so they are stored and found by their SHA-256, and cost no slow hash (OWASP ASVS 6.5.2).
"""

import base64
import hashlib
import zlib
from enum import StrEnum

RANDOM_BYTES = 32


class Kind(StrEnum):
    """What a secret is for, which its first characters tell."""

    ROBOT = "asr_"
    ACCESS_TOKEN = "asp_"
    REFRESH_TOKEN = "asf_"


def render(kind: Kind, random: bytes) -> str:
    """The secret made of 32 random bytes."""
    body = kind + base64.urlsafe_b64encode(random).decode().rstrip("=")
    return body + _checksum(body)


def is_kind(text: str, kind: Kind) -> bool:
    """Whether the text claims to be such a secret."""
    return text.startswith(kind)


def is_well_formed(text: str) -> bool:
    """Whether the checksum fits: a typing error or half a copy does not."""
    return len(text) == len(Kind.ROBOT) + 43 + 6 and text.isascii() and _checksum(text[:-6]) == text[-6:]


def digest(text: str) -> str:
    """What is stored in place of the secret: SHA-256 in hexadecimal, 64 characters."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _checksum(body: str) -> str:
    crc = zlib.crc32(body.encode()).to_bytes(4, "big")
    return base64.urlsafe_b64encode(crc).decode().rstrip("=")
