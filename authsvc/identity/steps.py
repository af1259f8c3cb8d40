"""The steps by which a source is checked: what each one came to, how long it took, and how to mend what fails.

Not here: what is tried (ldap_probe.py, and `probe` of the providers' backends).
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from authsvc.errors import Unavailable, say

T = TypeVar("T")
DISCOVERY, KEYS, CLIENT = say("discovery"), say("keys"), say("our client")
"""What providers are asked for: what they say of themselves, the keys that they sign with, whether they know us."""
_REACH = say("check the address, this machine's DNS and the firewall: nothing answers there in time")
UNREACHABLE: Mapping[str, str] = dict.fromkeys(
    ("does not answer", "ConnectError", "ConnectTimeout", "ReadTimeout", "TimeoutError"), _REACH
)
"""What stands in the reasons of providers that cannot be reached, and how to mend that."""
ENDPOINTS_ARE_GOOD = say("certificate, issuer and endpoints are good")


@dataclass(frozen=True, slots=True)
class Step:
    """What one step came to. `mend` is empty where nothing is wrong."""

    server: str
    step: str
    is_well: bool
    message: str
    milliseconds: float
    mend: str = ""


class _Failed(Exception):
    """A step that failed, after which the others make no sense."""


class Trial:
    """Tries one server, to the first failure.

    Args:
        setting: the one that has the server's address.
        mends: for each step, how to mend it.
        signs: what, where it stands in a reason, tells more, and how to mend that.
    """

    def __init__(self, server: str, setting: str, mends: Mapping[str, str], signs: Mapping[str, str]) -> None:
        self._server = server
        self._mends = mends
        self._signs = {**_certificate_mends(setting), **signs}
        self._steps: list[Step] = []

    def run(self, work: Callable[[], None]) -> list[Step]:
        """The steps that `work` takes, up to one that fails."""
        with suppress(_Failed):
            work()
        return self._steps

    def take(self, step: str, action: Callable[[], T], message: Callable[[T], str]) -> T:
        """What a step comes to. One that fails raises `Unavailable`, and is the last one."""
        begun = time.monotonic()
        try:
            answer = action()
        except Unavailable as exc:
            self._add(step, exc.reason, begun, self._mend(step, exc.reason))
            raise _Failed from exc
        self._add(step, message(answer), begun, "")
        return answer

    def _add(self, step: str, message: str, begun: float, mend: str) -> None:
        spent = round((time.monotonic() - begun) * 1000, 1)
        self._steps.append(Step(self._server, step, not mend, message, spent, mend))

    def _mend(self, step: str, reason: str) -> str:
        return next((mend for sign, mend in self._signs.items() if sign in reason), self._mends[step])


def client_is_good(answer: str) -> str:
    """A sentence about our client's credentials, after a question that proved them, whatever its answer was."""
    return say("client_id and client_secret are good (answer: %(answer)s)", answer=answer or say("a token"))


def _certificate_mends(setting: str) -> Mapping[str, str]:
    """By what stands in OpenSSL's reasons."""
    ca = say("set ca_certificate to the file of the CA that issued the server's certificate")
    return {
        "mismatch": say("write a name into %(setting)s that stands in the server's certificate", setting=setting),
        "has expired": say("renew the server's certificate"),
        "local issuer": ca,
        "self-signed": ca,
    }
