"""A wire to a directory server: its address, TCP, TLS. Every call ends at the deadline it is given.

ldap3's own TLS checks no certificate unless it is told to, and its limits count for each packet; here certificates and
host names are checked by the standard library, and a limit counts for a whole call.
"""

import queue
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit

import ldap3
from ldap3.core.exceptions import LDAPException

from authsvc.errors import Misconfigured, Unavailable, say
from authsvc.settings import LdapSettings

MAX_ANSWER = 64 * 1024 * 1024

_STARTTLS = "1.3.6.1.4.1.1466.20037"


class Down(Unavailable):
    """This server does not answer, or not sensibly; another one may.

    Args:
        timed_out: whether it said nothing in time.
    """

    def __init__(self, url: str, reason: str, *, timed_out: bool = False) -> None:
        super().__init__(f"{url}: {reason}", reason)
        self.timed_out = timed_out


class Deadline:
    """A moment after which nobody waits for an answer any longer."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def seconds(self) -> float:
        """Seconds left; less than 0 when it is over."""
        return self._end - time.monotonic()

    def left(self) -> float:
        """Seconds left, more than 0.

        Raises:
            TimeoutError: there are none.
        """
        seconds = self.seconds
        if seconds <= 0:
            raise TimeoutError("no answer in time")
        return seconds

    def capped(self, seconds: float) -> "Deadline":
        """The earlier one of this and of so many seconds from now."""
        return Deadline(min(seconds, self.seconds))


def make_context(settings: LdapSettings) -> ssl.SSLContext:
    """How TLS is spoken to these servers.

    Raises:
        Misconfigured: a certificate or key cannot be read.
    """
    try:
        context = ssl.create_default_context(cafile=settings.ca_certificate)
        if settings.client_certificate:
            context.load_cert_chain(settings.client_certificate, settings.client_key)
    except (OSError, ssl.SSLError) as exc:
        raise Misconfigured(f"the directory's certificates or its client key cannot be read: {exc}") from exc
    if not settings.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def address_of(url: str) -> tuple[str, int]:
    """Host and port of a URL."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (636 if parts.scheme == "ldaps" else 389)


class TimedSocket:
    """A socket whose calls all end at one deadline; ldap3 knows only a limit for each call."""

    def __init__(self, raw: socket.socket, deadline: Deadline) -> None:
        self.raw = raw
        self.begin(deadline)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def begin(self, deadline: Deadline) -> None:
        """A call begins, which ends at `deadline`."""
        self._deadline, self._received = deadline, 0

    def wrapped(self, context: ssl.SSLContext, host: str, deadline: Deadline) -> "TimedSocket":
        """The same socket, with TLS."""
        self.raw.settimeout(deadline.left())
        return TimedSocket(context.wrap_socket(self.raw, server_hostname=host), deadline)

    def recv(self, size: int) -> bytes:
        """See `socket.recv`."""
        self.raw.settimeout(self._deadline.left())
        data = self.raw.recv(size)
        self._received += len(data)
        if self._received > MAX_ANSWER:
            raise OSError("the answer is too long")
        return data

    def sendall(self, data: bytes) -> None:
        """See `socket.sendall`."""
        self.raw.settimeout(self._deadline.left())
        self.raw.sendall(data)

    def shutdown(self, how: int) -> None:
        """See `socket.shutdown`."""
        self.raw.shutdown(how)

    def close(self) -> None:
        """See `socket.close`."""
        self.raw.close()


@contextmanager
def failures(url: str, what: str) -> Iterator[None]:
    """Whatever ldap3 raises, and it raises a lot when an answer is junk, is a server that is down."""
    try:
        yield
    except Unavailable:
        raise
    except Exception as exc:
        timed_out = isinstance(exc, TimeoutError) or "timed out" in str(exc) or "in time" in str(exc)
        why = say("no answer in time") if timed_out else _first_line(exc)
        raise Down(url, say("%(what)s: %(why)s", what=what, why=why), timed_out=timed_out) from exc


def open_wire(settings: LdapSettings, context: ssl.SSLContext, url: str, deadline: Deadline) -> ldap3.Connection:
    """Connect, and speak TLS where the settings say so.

    Raises:
        Down: there is no such server, or its certificate is not good.
    """
    wire = connect(url, resolve(url, deadline), deadline)
    try:
        secure(wire, settings, context, url, deadline)
    except Down:
        wire.strategy.close()
        raise
    return wire


def resolve(url: str, deadline: Deadline) -> list[str]:
    """The addresses of a server.

    Raises:
        Down: its name has none, or nobody says.
    """
    host, port = address_of(url)
    answers: queue.SimpleQueue[list[str] | OSError] = queue.SimpleQueue()

    # In a thread, because nothing else can leave a resolver that does not answer.
    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as exc:
            answers.put(exc)
        else:
            answers.put(list(dict.fromkeys(str(address[4][0]) for address in found)))

    threading.Thread(target=ask, daemon=True, name="ldap-resolve").start()
    with failures(url, say("its name has no address")):
        try:
            answer = answers.get(timeout=deadline.left())
        except queue.Empty:
            raise TimeoutError from None
        if isinstance(answer, OSError):
            raise answer
    return answer


def connect(url: str, addresses: Sequence[str], deadline: Deadline) -> ldap3.Connection:
    """Connect to the first address that answers.

    Raises:
        Down: none does.
    """
    first, *others = addresses
    share = deadline.capped(deadline.seconds / len(addresses))
    try:
        with failures(url, say("cannot connect")):
            return _connect(first, address_of(url)[1], share)
    except Down:
        if not others:
            raise
    return connect(url, others, deadline)


def _connect(address: str, port: int, deadline: Deadline) -> ldap3.Connection:
    server = ldap3.Server(address, port, get_info=ldap3.NONE, connect_timeout=deadline.left())
    wire = ldap3.Connection(server, check_names=False, auto_referrals=False, auto_escape=False, read_only=True)
    try:
        wire.open(read_server_info=False)
    except LDAPException:
        # ldap3 leaves a socket that could not be connected to the garbage collector.
        if wire.socket is not None:
            wire.socket.close()
        raise
    wire.socket = TimedSocket(wire.socket, deadline)
    return wire


def secure(
    wire: ldap3.Connection, settings: LdapSettings, context: ssl.SSLContext, url: str, deadline: Deadline
) -> bool:
    """Speak TLS from here on, where the settings say so; whether they do.

    Raises:
        Down: the server cannot, or its certificate is not good.
    """
    if not is_protected(settings, url):
        return False
    wire.socket.begin(deadline)
    with failures(url, say("TLS fails")):
        if not url.startswith("ldaps:"):
            wire.extended(_STARTTLS)
            if wire.result["result"] != 0:
                raise Down(url, say("StartTLS is refused: %(why)s", why=wire.result["description"]))
        wire.socket = wire.socket.wrapped(context, address_of(url)[0], deadline)
    return True


def is_protected(settings: LdapSettings, url: str) -> bool:
    """Whether TLS is spoken with that server."""
    return settings.starttls or url.startswith("ldaps:")


def _first_line(exc: Exception) -> str:
    return (str(exc) or type(exc).__name__).splitlines()[0]
