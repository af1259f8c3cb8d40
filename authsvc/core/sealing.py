"""Secrets at rest: AES-256-GCM under the installation's master key, bound to the place they belong to.

The place is authenticated with the secret, so a row copied over another one does not open.
"""

import base64
import hmac
import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from authsvc.errors import Misconfigured

KEY_BYTES = 32
_NONCE_BYTES = 12


class Sealer:
    """Seals and opens with one master key of 32 bytes."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._aead = AESGCM(key)

    @classmethod
    def from_file(cls, path: Path) -> "Sealer":
        """The sealer for the master key in a file, which holds 32 bytes as base64.

        Raises:
            Misconfigured: the file is missing, unreadable, or not a key.
        """
        try:
            key = base64.b64decode(path.read_text(encoding="ascii").strip(), validate=True)
        except OSError as exc:
            raise Misconfigured(
                f"the master key {path} cannot be read ({exc.strerror}): run `authsvc init`, or put "
                "the key back from your backup"
            ) from exc
        except ValueError as exc:
            raise Misconfigured(f"the master key {path} is damaged: put it back from your backup") from exc
        if len(key) != KEY_BYTES:
            raise Misconfigured(f"the master key {path} is damaged: put it back from your backup")
        return cls(key)

    def derive(self, purpose: str) -> bytes:
        """A key of 32 bytes for one purpose, the same in every process."""
        return hmac.digest(self._key, purpose.encode(), "sha256")

    def seal(self, secret: bytes, place: str) -> str:
        """The secret as text that can be stored at `place`, such as `signing_keys/ABCD:…`."""
        nonce = os.urandom(_NONCE_BYTES)
        return base64.b64encode(nonce + self._aead.encrypt(nonce, secret, place.encode())).decode()

    def open(self, sealed: str, place: str) -> bytes:
        """The secret that was sealed for `place`.

        Raises:
            Misconfigured: it was sealed with another master key or for another place, or is damaged.
        """
        try:
            raw = base64.b64decode(sealed, validate=True)
            return self._aead.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], place.encode())
        except (ValueError, InvalidTag) as exc:
            raise Misconfigured(
                f"{place} does not open with this master key: put back the one it was sealed with"
            ) from exc
