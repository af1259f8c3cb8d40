"""The connections to a directory, and which of its servers is asked.

At most `pool_size` connections are open, whoever's password they check. Servers are asked in their order; one that
fails is passed over for `cooldown` seconds, and after three failures of all of them in a row nobody waits any longer:
one login in each `cooldown` tries, the others are told at once.
"""

import logging
import ssl
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from authsvc.errors import Unavailable, say
from authsvc.identity.ldap_answers import Entry, Found, Search
from authsvc.identity.ldap_connection import Connection, ServiceRefused, Who
from authsvc.identity.ldap_referrals import Referral, readable
from authsvc.identity.ldap_wire import Deadline, Down
from authsvc.settings import LdapSettings

FAILURES_IN_A_ROW = 3
MAX_HOPS = 3

T = TypeVar("T")
log = logging.getLogger(__name__)


class Servers:
    """Which servers are to be asked, in which order.

    Args:
        clock: seconds that only go forward.
    """

    def __init__(self, urls: tuple[str, ...], cooldown: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._urls = urls
        self._cooldown = cooldown
        self._clock = clock
        self._lock = threading.Lock()
        self._resting: dict[str, float] = {}
        self._failures = 0
        self._closed_until = 0.0

    def order(self) -> list[str]:
        """The servers to ask now, best first; none while nobody is to wait for them."""
        now = self._clock()
        with self._lock:
            if self._failures >= FAILURES_IN_A_ROW:
                if now < self._closed_until:
                    return []
                self._closed_until = now + self._cooldown
                return list(self._urls)
            awake = [url for url in self._urls if self._resting.get(url, 0) <= now]
            # Whoever comes first tries one whose rest is over; the others leave it alone until that is known.
            self._resting.update({url: now + self._cooldown for url in awake if url in self._resting})
            return awake or list(self._urls)

    def are_closed(self) -> bool:
        """Whether nobody is to wait for them."""
        with self._lock:
            return self._failures >= FAILURES_IN_A_ROW and self._clock() < self._closed_until

    def answered(self, url: str) -> None:
        """This server works."""
        with self._lock:
            self._failures = 0
            if self._resting.pop(url, None) is not None:
                log.warning("ldap.server_back", extra={"facts": {"url": url}})

    def failed(self, url: str, reason: str) -> None:
        """This server does not."""
        with self._lock:
            self._resting[url] = self._clock() + self._cooldown
        log.warning("ldap.server_down", extra={"facts": {"url": url, "reason": reason}})

    def all_failed(self) -> None:
        """Nobody could say."""
        with self._lock:
            self._failures += 1
            self._closed_until = self._clock() + self._cooldown

    def give_up(self) -> None:
        """Nobody is to ask for a while."""
        with self._lock:
            self._failures = FAILURES_IN_A_ROW
            self._closed_until = self._clock() + self._cooldown


class Pool:
    """Connections to a directory. Opens none before it is asked.

    Args:
        name: the source's name, for sentences.
    """

    def __init__(self, name: str, settings: LdapSettings, context: ssl.SSLContext) -> None:
        self.name = name
        self._settings = settings
        self._context = context
        self._servers = Servers(settings.urls, settings.cooldown)
        self._places = threading.BoundedSemaphore(settings.pool_size)
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._busy = 0
        # A command that ends, or new settings, leave a pool to the garbage collector.
        weakref.finalize(self, _close, self._idle)

    def search(self, search: Search, deadline: Deadline) -> list[Entry]:
        """Everything that a search finds, also elsewhere where referrals are followed.

        Raises:
            Unavailable: the directory cannot say, or withholds a part.
        """
        found = self.run(lambda connection, limit: connection.search(search, limit), deadline, Who.SERVICE)
        return [*found.entries, *self._follow(found, search, deadline, MAX_HOPS)]

    @contextmanager
    def turn(self) -> Iterator[Deadline]:
        """The right to use one connection at a time, and the time for it, which begins when one is free.

        Raises:
            Unavailable: none is free in time, or nobody is to wait for this directory.
        """
        if self._servers.are_closed():
            raise self._away()
        if not self._places.acquire(timeout=self._settings.wait):
            raise Unavailable(
                say("too many people ask the directory %(name)s; try again in a few seconds", name=self.name)
            )
        try:
            if self._servers.are_closed():  # those who went before have found out
                raise self._away()
            yield Deadline(self._settings.timeout)
        finally:
            self._places.release()

    def run(self, call: Callable[[Connection, Deadline], T], deadline: Deadline, who: Who, server: str = "") -> T:
        """Call with a connection to the first server that answers.

        Args:
            deadline: that of a turn.
            who: as whom a connection should be bound already, if there is one.
            server: the URL of the only server to ask; the directory's own when empty.

        Raises:
            Unavailable: none answers; which one and why is in the log.
        """
        # Of a server that is not ours nothing is remembered.
        servers = Servers((server,), self._settings.cooldown) if server else self._servers
        urls = servers.order()
        for place, url in enumerate(urls):
            limit = deadline.capped(self._settings.connect_timeout) if urls[place + 1 :] else deadline
            try:
                answer = self._ask(url, call, limit, who)
            except Down as exc:
                servers.failed(url, str(exc))
            except ServiceRefused as exc:
                # Not asked again soon: each further attempt would bring the account nearer to being locked.
                servers.give_up()
                raise self._cannot_say(exc) from exc
            except Unavailable as exc:
                raise self._cannot_say(exc) from exc
            else:
                servers.answered(url)
                return answer
        if urls:
            servers.all_failed()
        raise self._away()

    def is_away(self) -> bool:
        """Whether it did not answer a moment ago, so that nobody waits for it now."""
        return self._servers.are_closed()

    def _away(self) -> Unavailable:
        return Unavailable(say("the directory %(name)s does not answer; try again in a moment", name=self.name))

    def _cannot_say(self, exc: Unavailable) -> Unavailable:
        log.warning("ldap.no_answer", extra={"facts": {"source": self.name, "reason": str(exc)}})
        return Unavailable(say("the directory %(name)s cannot say; the log says why", name=self.name))

    @contextmanager
    def _lease(self, url: str, deadline: Deadline, who: Who) -> Iterator[Connection]:
        """A connection for one thread; kept for the next one unless something is raised."""
        connection = self._take(url, who)
        try:
            if connection.who is None:
                connection.open(deadline)
            yield connection
        except BaseException:
            self._hang_up(connection)
            raise
        self._keep(connection)

    def close(self) -> None:
        """Hang up all that are idle."""
        with self._lock:
            _close(self._idle)

    def _ask(self, url: str, call: Callable[[Connection, Deadline], T], deadline: Deadline, who: Who) -> T:
        try:
            with self._lease(url, deadline, who) as connection:
                return call(connection, deadline)
        except Down as exc:
            if exc.timed_out:
                raise
            # A connection that was cut: the server may have restarted, and the others with it are cut, too.
            self._forget(url)
        with self._lease(url, deadline, who) as connection:
            return call(connection, deadline)

    def _take(self, url: str, who: Who) -> Connection:
        """An idle connection that is bound as `who`, else a new one, else an idle one that is bound otherwise."""
        now = time.monotonic()
        with self._lock:
            self._busy += 1
            stale = [one for one in self._idle if not one.is_good(now)]
            self._idle[:] = [one for one in self._idle if one not in stale]
            fitting = [one for one in self._idle if one.url == url]
            # Another bind is worth while only where there is no room for a connection of its own.
            is_full = len(self._idle) + self._busy > self._settings.pool_size
            others = fitting if is_full else []
            taken = next(iter([*(one for one in fitting if one.who is who), *others]), None)
            if taken is not None:
                self._idle.remove(taken)
            while len(self._idle) + self._busy > self._settings.pool_size:
                stale.append(self._idle.pop(0))
        _close(stale)
        return taken or Connection(self._settings, self._context, url)

    def _keep(self, connection: Connection) -> None:
        with self._lock:
            self._busy -= 1
            self._idle.append(connection)

    def _hang_up(self, connection: Connection) -> None:
        connection.close()
        with self._lock:
            self._busy -= 1

    def _forget(self, url: str) -> None:
        with self._lock:
            cut = [one for one in self._idle if one.url == url]
            self._idle[:] = [one for one in self._idle if one.url != url]
        _close(cut)

    def _follow(self, found: Found, search: Search, deadline: Deadline, hops: int) -> Iterator[Entry]:
        moved = [one for url in found.moved if (one := readable(url, self._settings))]
        if found.moved and not (moved and hops):
            reason = f"{search.base} lies on other servers, to which no referral is followed"
            raise self._cannot_say(Unavailable(reason))
        more = [one for url in found.elsewhere if (one := readable(url, self._settings))]
        for referral in [*moved[:1], *more] if hops else []:
            yield from self._entries_at(referral, search, deadline, hops)

    def _entries_at(self, referral: Referral, search: Search, deadline: Deadline, hops: int) -> Iterator[Entry]:
        there = referral.narrowed(search)
        found = self.run(lambda one, limit: one.search(there, limit), deadline, Who.SERVICE, referral.server)
        yield from (Entry(entry.dn, entry.attributes, referral.server) for entry in found.entries)
        yield from self._follow(found, there, deadline, hops - 1)


def _close(connections: list[Connection]) -> None:
    while connections:
        connections.pop().close()
