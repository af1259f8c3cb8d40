"""Which passwords a person may choose (NIST SP 800-63B: a length and a list of common ones, no composition rules)."""

import unicodedata

from authsvc.errors import Invalid, say

MAX_BYTES = 1024
_ESTIMATED = 72
"""As many characters are looked at for an estimate, which takes the longer the more there are."""


def normalize(password: str) -> str:
    """The one form of a password that is hashed: NFKC, so that it is the same from every keyboard."""
    return unicodedata.normalize("NFKC", password)


def check(password: str, *, name: str, min_length: int) -> None:
    """Refuse a password that is too short, too long, common, or the name itself.

    Raises:
        Invalid: with the sentence that says which.
    """
    # zxcvbn brings lists of a megabyte, which only those who choose a password need.
    from zxcvbn.frequency_lists import FREQUENCY_LISTS  # noqa: PLC0415

    plain = normalize(password)
    if len(plain) < min_length:
        raise Invalid({"password": say("at least %(least)s characters", least=min_length)})
    if len(plain.encode()) > MAX_BYTES:
        raise Invalid({"password": say("at most %(most)s bytes", most=MAX_BYTES)})
    if plain.casefold() in FREQUENCY_LISTS["passwords"]:
        raise Invalid({"password": say("this is one of the passwords that are tried first; choose another")})
    if name in plain.casefold() and len(plain) < len(name) + min_length:
        raise Invalid({"password": say("too close to the user name")})


def strength(password: str, name: str) -> int:
    """How hard a password is to guess, from 0 to 4, as zxcvbn estimates it. A hint and no rule."""
    from zxcvbn import zxcvbn  # noqa: PLC0415 (as above)

    return int(zxcvbn(normalize(password)[:_ESTIMATED], [name])["score"]) if password else 0
