"""What `authsvc ldap check` tries with each server of a directory, step by step, and how to mend what fails."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from authsvc.errors import Unavailable
from authsvc.identity.ldap_answers import Found, Search
from authsvc.identity.ldap_connection import Connection
from authsvc.identity.ldap_wire import Deadline, connect, make_context, resolve, secure
from authsvc.settings import LdapSettings

T = TypeVar("T")

_A_FEW = 10
_MENDS = {
    "resolve": "check the host name in urls, and this machine's DNS",
    "connect": "check host and port in urls, the firewall between, and that a server listens there",
    "TLS": "ldaps:// is for a port that begins with TLS (636), starttls for one that does not (389)",
    "bind": "check bind_dn and bind_password",
    "search": "check base, and that the account of bind_dn may read it",
    "people": "check user_base and user_filter, and that the account of bind_dn may read people",
    "groups": "check group_base and group_filter, and that the account of bind_dn may read groups",
}
_SPECIAL_MENDS = {
    "mismatch": "write a name into urls that stands in the server's certificate",
    "has expired": "renew the server's certificate",
    "local issuer": "set ca_certificate to the file of the CA that issued the server's certificate",
    "self-signed": "set ca_certificate to the file of the CA that issued the server's certificate",
    "strongerAuthRequired": "use ldaps:// or starttls",
    "confidentialityRequired": "use ldaps:// or starttls",
    "successful bind": "set bind_dn and bind_password: this directory is not searched anonymously",
    "inappropriateAuthentication": "set bind_dn and bind_password: this directory is not searched anonymously",
}


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


def probe(settings: LdapSettings) -> Iterator[Step]:
    """Try each server, to its first failure.

    Raises:
        Misconfigured: a certificate or key cannot be read.
    """
    for url in settings.urls:
        yield from _Probe(settings, url).run()


class _Probe:
    def __init__(self, settings: LdapSettings, url: str) -> None:
        self._settings = settings
        self._url = url
        self._steps: list[Step] = []

    def run(self) -> list[Step]:
        with suppress(_Failed):
            self._run()
        return self._steps

    def _run(self) -> None:
        settings, url, context = self._settings, self._url, make_context(self._settings)
        addresses = self._try("resolve", lambda limit: resolve(url, limit), ", ".join)
        wire = self._try("connect", lambda limit: connect(url, addresses, limit), lambda _: "connected")
        connection = Connection(settings, context, url, wire)
        try:
            self._try("TLS", lambda limit: secure(wire, settings, context, url, limit), self._about_tls)
            if settings.bind_template:
                return
            who = settings.bind_dn or "anonymously"
            self._try("bind", connection.become_service, lambda _: f"bound as {who}" if settings.bind_dn else who)
            self._search(connection, "search", Search(settings.base, "base", "(objectClass=*)", ()))
            user_base, group_base = settings.user_base or settings.base, settings.group_base or settings.base
            people = Search(user_base, settings.user_scope, settings.user_filter or "(objectClass=*)", (), _A_FEW)
            self._search(connection, "people", people)
            if settings.group_matchers:
                filter_ = settings.group_filter or f"({settings.group_name_attribute}=*)"
                self._search(connection, "groups", Search(group_base, settings.group_scope, filter_, (), _A_FEW))
        finally:
            connection.close()

    def _search(self, connection: Connection, step: str, search: Search) -> None:
        def ask(limit: Deadline) -> Found:
            found = connection.search(search, limit)
            if not found.entries and step != "groups":
                raise Unavailable(f"nothing is found in {search.base}")
            return found

        self._try(step, ask, lambda found: f"found in {search.base}: {_count(len(found.entries))}")

    def _about_tls(self, is_on: bool) -> str:
        if not is_on:
            return "off: passwords cross the network in the clear"
        return "certificate and host name are good" if self._settings.verify else "on, the certificate is not checked"

    def _try(self, step: str, action: Callable[[Deadline], T], message: Callable[[T], str]) -> T:
        begun = time.monotonic()
        try:
            answer = action(Deadline(self._settings.timeout))
        except Unavailable as exc:
            self._add(step, str(exc).removeprefix(f"{self._url}: "), begun, _mend(step, str(exc)))
            raise _Failed from exc
        self._add(step, message(answer), begun, "")
        return answer

    def _add(self, step: str, message: str, begun: float, mend: str) -> None:
        spent = round((time.monotonic() - begun) * 1000, 1)
        self._steps.append(Step(self._url, step, not mend, message, spent, mend))


def _count(number: int) -> str:
    return f"{_A_FEW} or more" if number >= _A_FEW else str(number)


def _mend(step: str, reason: str) -> str:
    return next((mend for sign, mend in _SPECIAL_MENDS.items() if sign in reason), _MENDS[step])
