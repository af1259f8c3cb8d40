"""Who are you: the contract that every source of identity keeps."""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody whose proof was good.

    Args:
        subject: stable and unique over all sources, such as `local:alice`.
        name: the canonical user name.
        email: as the source knows it.
    """

    subject: str
    name: str
    email: str = ""


class Verdict(Enum):
    """Why a source did not say who it is."""

    REFUSED = "ours, and the password is wrong: stop the chain"
    UNKNOWN = "not our user: ask the next source"


class PasswordBackend(Protocol):
    """A source that can check a password."""

    name: str

    def check(self, username: str, password: str) -> Identity | Verdict:
        """Whether the password proves the name, which is canonical. The password is never empty.

        Raises:
            Unavailable: the source cannot say; a bad password is an answer, not an error.
        """
