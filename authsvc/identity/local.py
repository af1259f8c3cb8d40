"""Accounts whose passwords we keep ourselves."""

from collections.abc import Callable

from authsvc.identity import Identity, Verdict, passwords


class LocalBackend:
    """Checks passwords against stored hashes.

    Args:
        find_hash: the stored hash of a local user, or None when there is no such user.
        renew_hash: keeps a hash made with today's parameters in place of that outdated one.
    """

    name = "local"

    def __init__(self, find_hash: Callable[[str], str | None], renew_hash: Callable[[str, str, str], None]) -> None:
        self._find_hash = find_hash
        self._renew_hash = renew_hash

    def check(self, username: str, password: str) -> Identity | Verdict:
        """See `PasswordBackend.check`."""
        stored = self._find_hash(username)
        if stored is None:
            return Verdict.UNKNOWN
        if not passwords.is_correct(password, stored):
            return Verdict.REFUSED
        if passwords.is_outdated(stored):
            self._renew_hash(username, stored, passwords.hash_password(password))
        return Identity(subject=f"local:{username}", name=username)
