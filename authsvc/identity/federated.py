"""Identity tokens of external issuers: whether one is genuine, and good for one of a robot's trusts.

Specification: JWT Best Current Practices, RFC 8725; OpenID Connect Core 1.0, section 3.1.3.7. The key that the issuer
published under the token's `kid` says which algorithms are good. What a token brings itself (`jwk`, `jku`, `x5c`,
`x5u`) is never looked at.

Not here: what the claims must say (domain/trusts.py), where keys come from (identity/issuers.py).
"""

import hashlib
import math
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import jwt
from cachetools import LRUCache

from authsvc.domain.trusts import Trust, shown, unmet
from authsvc.identity.issuers import IssuerKeys, Source

MAX_TOKEN = 16_384
LEEWAY_SECONDS = 60
"""By how much an issuer's clock may go before ours. `exp` has no leeway."""
REMEMBERED_SECONDS, MAX_REMEMBERED = 60, 10_000

_Question = tuple[bytes, tuple[Trust, ...]]
# Dates are checked here, against the time of the request.
_OPTIONS: Any = {
    "require": ["iss", "aud", "exp"],
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
}


class _Refused(Exception):
    """A token is not good, with the reason."""


class Federation:
    """Judges identity tokens. Remembers good ones for a minute, as a keyed hash, beside the trusts that they fit.

    Args:
        own_issuer: `iss` of the tokens that we sign ourselves, which are no proof of anything here.
    """

    def __init__(self, keys: IssuerKeys, own_issuer: str) -> None:
        self._keys = keys
        self._own_issuer = own_issuer
        self._secret = os.urandom(32)
        self._good_until: LRUCache[_Question, int] = LRUCache(MAX_REMEMBERED)
        self._lock = threading.Lock()

    def refusal(self, token: str, trusts: tuple[Trust, ...], now: int) -> str | None:
        """Why none of these trusts lets this token in, as a sentence for administrators; None when one does.

        Raises:
            Unavailable: the issuer's keys are needed and cannot be fetched.
        """
        question = hashlib.blake2b(token.encode(), digest_size=32, key=self._secret).digest(), trusts
        with self._lock:
            if now < self._good_until.get(question, 0):
                return None
        try:
            until = self._verify(token, trusts, now)
        except _Refused as exc:
            return str(exc)
        with self._lock:
            self._good_until[question] = until
        return None

    def _verify(self, token: str, trusts: Sequence[Trust], now: int) -> int:
        """Until when the token need not be looked at again."""
        key_id, said = _read(token)
        if said.get("iss") == self._own_issuer:
            raise _Refused("it is a token of this service itself")
        reasons = []
        for trust in _addressed(said, trusts):
            try:
                return min(self._judge(token, key_id, trust, now), now + REMEMBERED_SECONDS)
            except _Refused as exc:
                reasons.append(str(exc))
        raise _Refused("; or ".join(dict.fromkeys(reasons)))

    def _judge(self, token: str, key_id: str, trust: Trust, now: int) -> int:
        """When the token ends, if it is genuine and says what this trust wants."""
        claims = self._claims(token, key_id, trust)
        ends_at = _date(claims, "exp", now)
        if ends_at <= now:
            raise _Refused("it has expired")
        if max(_date(claims, "nbf", now), _date(claims, "iat", now)) > now + LEEWAY_SECONDS:
            raise _Refused("it is not valid yet: is a clock wrong?")
        reason = unmet(trust.rules, claims)
        if reason is not None:
            raise _Refused(reason)
        return int(ends_at)

    def _claims(self, token: str, key_id: str, trust: Trust) -> Mapping[str, Any]:
        key = self._keys.find(Source(trust.issuer, trust.jwks_url), key_id)
        if key is None:
            raise _Refused(f"{trust.issuer} has no key {shown(key_id)}")
        try:
            return jwt.decode(
                token,
                key.public,
                algorithms=key.algorithms,
                audience=trust.audience,
                issuer=trust.issuer,
                options=_OPTIONS,
            )
        except jwt.PyJWTError as exc:
            raise _Refused(f"it is not genuine: {shown(exc)}") from exc


def _read(token: str) -> tuple[str, Mapping[str, Any]]:
    """The id of the key and what the token says, none of it checked."""
    if len(token) > MAX_TOKEN:
        raise _Refused(f"it is longer than {MAX_TOKEN} characters")
    try:
        header = jwt.get_unverified_header(token)
        said = jwt.decode(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, RecursionError) as exc:
        raise _Refused(f"it cannot be read: {shown(exc)}") from exc
    key_id = header.get("kid")
    if not isinstance(key_id, str) or not key_id:
        raise _Refused("its header names no key (kid)")
    return key_id, said


def _addressed(said: Mapping[str, Any], trusts: Sequence[Trust]) -> Sequence[Trust]:
    """The trusts in the token's issuer that want its audience. So nobody is asked whom no trust names."""
    issuer, audience = said.get("iss"), said.get("aud")
    of_issuer = [trust for trust in trusts if trust.issuer == issuer]
    if not of_issuer:
        raise _Refused(f"its issuer is {shown(issuer)}, which no trust names")
    audiences = audience if isinstance(audience, list) else [audience]
    wanted = [trust for trust in of_issuer if trust.audience in audiences]
    if not wanted:
        raise _Refused(f"its audience is {shown(audience)}, the trust wants {of_issuer[0].audience}")
    return wanted


def _date(claims: Mapping[str, Any], name: str, otherwise: int) -> float:
    value: object = claims.get(name, otherwise)
    match value:
        case bool():
            pass
        case int():
            return value
        case float() if math.isfinite(value):
            return value
    raise _Refused(f"its {name} is no time")
