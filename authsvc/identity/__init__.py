"""Who are you: the contracts that sources of identity keep, each one those that it can."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Group:
    """A group as its source knows it.

    Args:
        key: what the source tells it by, such as a normalised DN or a claim's value.
        name: what people call it.
    """

    key: str
    name: str


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody whom a source vouches for.

    Args:
        subject: stable and unique over all sources, such as `local:alice`; it outlives a change of name.
        name: the canonical user name, whatever alias was typed.
        email: as the source knows it.
        groups: all that they belong to, nested ones included; None where the source knows no groups.
        admin: whether the source says that they administer this service.
    """

    subject: str
    name: str
    email: str = ""
    groups: frozenset[Group] | None = None
    admin: bool = False


class Verdict(Enum):
    """Why a source did not say who it is."""

    REFUSED = "ours, and the password is wrong: stop the chain"
    UNKNOWN = "not our user: ask the next source"


class PasswordBackend(Protocol):
    """A source that can check a password."""

    name: str

    def check(self, username: str, password: str) -> Identity | Verdict:
        """Whether the password proves the name, in whatever form it was typed. The password is never empty.

        Raises:
            Unavailable: the source cannot say; a bad password is an answer, not an error.
        """


@dataclass(frozen=True, slots=True)
class Pending:
    """A login that goes on at a redirect source; the browser alone keeps it. All but the time is random.

    Args:
        state: what the browser must bring back.
        nonce: what the source's proof must say.
        verifier: what the source asks for before it tells who it is.
        begun_at: UTC seconds.
    """

    state: str
    nonce: str
    verifier: str
    begun_at: int


class RedirectBackend(Protocol):
    """A source to which the browser is sent, and from which it comes back with an answer."""

    name: str
    label: str

    def start(self, now: int) -> tuple[str, Pending]:
        """Where to send the browser, and what it must keep until it is back.

        Raises:
            Unavailable: the source does not answer.
        """

    def finish(self, pending: Pending, answer: Mapping[str, str], now: int) -> Identity:
        """Who came back.

        Args:
            answer: the parameters of the address at which the browser came back.

        Raises:
            Unauthenticated: it is nobody, or the answer is not to be trusted; the sentence is for administrators.
            Unavailable: the source does not answer.
        """


@runtime_checkable
class Directory(Protocol):
    """A source that can be asked about people without their passwords."""

    name: str

    def find(self, username: str) -> Identity | None:
        """The one person of this name or alias; None when there is none who may log in.

        Raises:
            Unavailable: the source cannot say.
        """

    def look_up(self, subjects: Collection[str]) -> Mapping[str, Identity]:
        """Those of these subjects who are there and may log in.

        Raises:
            Unavailable: the source cannot say of each.
        """


@runtime_checkable
class Resting(Protocol):
    """A source that is left alone for a while when it does not answer."""

    def is_away(self) -> bool:
        """Whether this process leaves it alone now. Asks nobody."""
