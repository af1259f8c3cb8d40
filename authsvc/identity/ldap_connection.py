"""One connection to one directory server: bind, search. ldap3 speaks the protocol.

It never searches as the person whose password it has checked: what it is bound as is known at every moment, a search
begins by becoming the service, and a password check ends by becoming nobody.
"""

import math
import select
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from typing import Any, TypeVar

import ldap3

from authsvc.errors import Unavailable, say
from authsvc.identity.ldap_answers import (
    NO_SUCH_OBJECT,
    PASSWORD_POLICY,
    REFERRAL,
    SIZE_LIMIT,
    SUCCESS,
    Ask,
    Bound,
    Found,
    Search,
    collect,
    failure,
    read_bind,
)
from authsvc.identity.ldap_wire import Deadline, Down, failures, open_wire
from authsvc.settings import LdapSettings

_SCOPES: Mapping[str, Any] = {"subtree": ldap3.SUBTREE, "one": ldap3.LEVEL, "base": ldap3.BASE}
_PAGES = "1.2.840.113556.1.4.319"

T = TypeVar("T")


class ServiceRefused(Unavailable):
    """The directory does not take the service account."""


class Who(Enum):
    """As whom a connection is bound."""

    SERVICE = "the service account, or anonymously where there is none"
    NOBODY = "anonymously, after a password was checked"
    PERSON = "whoever's password is being checked"


class Connection:
    """An open connection. One thread at a time; after any exception it is only good for `close`."""

    def __init__(
        self, settings: LdapSettings, context: ssl.SSLContext, url: str, wire: ldap3.Connection | None = None
    ) -> None:
        self.url = url
        self.who: Who | None = None
        self.opened_at = time.monotonic()
        self._settings = settings
        self._context = context
        self._wire = wire

    def open(self, deadline: Deadline) -> None:
        """Connect, and speak TLS where the settings say so.

        Raises:
            Down: there is no such server, or its certificate is not good.
        """
        limit = deadline.capped(self._settings.connect_timeout)
        self._wire = open_wire(self._settings, self._context, self.url, limit)

    def become_service(self, deadline: Deadline) -> None:
        """Bind as the service account, or anonymously where there is none.

        Raises:
            Unavailable: the directory does not take that account.
        """
        if self.who is Who.SERVICE:
            return
        settings = self._settings
        password = settings.bind_password.get_secret_value().encode() if settings.bind_password else b""
        result = self._bind(settings.bind_dn, password, deadline)
        if result["result"] != SUCCESS:
            refusal = failure(self.url, say("the bind as %(dn)s is refused", dn=settings.bind_dn or "nobody"), result)
            raise refusal if isinstance(refusal, Down) else ServiceRefused(str(refusal), refusal.reason)
        self.who = Who.SERVICE

    def search(self, search: Search, deadline: Deadline) -> Found:
        """Search as the service.

        Raises:
            Unavailable: the directory cannot say, or withholds a part.
        """
        self.become_service(deadline)
        return self._search(search, deadline)

    def prove(self, dn: str, password: bytes, deadline: Deadline) -> Bound:
        """Whether a password is that of an entry. The connection is nobody's afterwards.

        Raises:
            Unavailable: the directory cannot say.
        """
        bound = self._bind_as_person(dn, password, deadline)
        self._become_nobody(deadline)
        return bound

    def prove_and_read(
        self, dn: str, password: bytes, read: Callable[[Ask], T], deadline: Deadline
    ) -> tuple[Bound, T | None]:
        """The same, and what the person then reads: for a directory that has no account for a service.

        Raises:
            Unavailable: the directory cannot say.
        """
        bound = self._bind_as_person(dn, password, deadline)
        answer = read(lambda search: self._search(search, deadline).entries) if bound.is_proved else None
        self._become_nobody(deadline)
        return bound, answer

    def is_good(self, now: float) -> bool:
        """Whether it may be used once more: young, and nothing has come from the server that nobody asked for."""
        if self._wire is None or self._wire.closed or now - self.opened_at > self._settings.pool_age:
            return False
        poll = select.poll()
        poll.register(self._wire.socket.raw, select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        """Hang up, without waiting for anything."""
        self.who = None
        if self._wire is not None and self._wire.socket is not None:
            self._wire.strategy.close()

    def _bind_as_person(self, dn: str, password: bytes, deadline: Deadline) -> Bound:
        return read_bind(self.url, self._bind(dn, password, deadline))

    def _become_nobody(self, deadline: Deadline) -> None:
        # Whatever it answers: a bind that fails leaves a connection anonymous, too (RFC 4511, 4.2.1). Where it is cut,
        # the password was checked nevertheless.
        try:
            self._bind("", b"", deadline)
            self.who = Who.NOBODY
        except Down:
            self.close()

    def _bind(self, dn: str, password: bytes, deadline: Deadline) -> Mapping[str, Any]:
        self.who = Who.PERSON
        with self._call(deadline) as wire:
            wire.user = dn
            wire.password = password  # bytes, because ldap3 would change some characters of a text
            wire.authentication = ldap3.SIMPLE if dn else ldap3.ANONYMOUS
            try:
                wire.bind(read_server_info=False, controls=[(PASSWORD_POLICY, False, None)] if dn else None)
            finally:
                wire.password = wire.request = None
            result: Mapping[str, Any] = wire.result
            if result["type"] != "bindResponse":
                raise Down(self.url, say("the answer to a bind is none"))
        return result

    def _search(self, search: Search, deadline: Deadline) -> Found:
        found, cookie = Found(), b""
        while True:
            result = self._search_page(search, cookie, found, deadline)
            cookie = result.get("controls", {}).get(_PAGES, {}).get("value", {}).get("cookie") or b""
            if not cookie or (search.at_most and len(found.entries) >= search.at_most):
                return found

    def _search_page(self, search: Search, cookie: bytes, found: Found, deadline: Deadline) -> Mapping[str, Any]:
        with self._call(deadline) as wire:
            wire.search(
                search.base,
                search.filter,
                _SCOPES[search.scope],
                dereference_aliases=ldap3.DEREF_NEVER,
                attributes=list(search.attributes) or [ldap3.NO_ATTRIBUTES],
                size_limit=search.at_most,
                time_limit=math.ceil(deadline.left()),
                paged_size=None if search.at_most or search.scope == "base" else self._settings.page_size,
                paged_cookie=cookie or None,
            )
            result: dict[str, Any] = wire.result
            if result["type"] != "searchResDone":
                raise Down(self.url, say("the answer to a search is none"))
            collect(wire.response or [], found)
        if result["result"] == REFERRAL:
            found.moved.extend(result["referrals"] or [])
        elif result["result"] == NO_SUCH_OBJECT and search.scope != "base":
            raise failure(self.url, say("%(base)s is not there, or may not be read", base=search.base), result)
        elif result["result"] == SIZE_LIMIT and not search.at_most:
            raise failure(self.url, say("it withholds a part of what was searched for"), result)
        elif result["result"] not in (SUCCESS, NO_SUCH_OBJECT, SIZE_LIMIT):
            raise failure(self.url, say("a search in %(base)s fails", base=search.base), result)
        return result

    @contextmanager
    def _call(self, deadline: Deadline) -> Iterator[ldap3.Connection]:
        if self._wire is None or self._wire.closed:
            raise Down(self.url, say("the connection is closed"))
        self._wire.socket.begin(deadline)
        with failures(self.url, say("no sensible answer")):
            yield self._wire
