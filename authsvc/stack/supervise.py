"""`authsvc up`: all parts under supervisord, watched in the foreground until a signal or a failure ends them."""

import errno
import fcntl
import http.client
import os
import signal
import socket
import ssl
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from authsvc.errors import AppError, Misconfigured
from authsvc.settings import Settings
from authsvc.stack import parts as stack_parts
from authsvc.stack.parts import DRAIN_SECONDS, Part
from authsvc.stack.supervisord import State, Supervisor

Say = Callable[[str], None]
Renew = Callable[[], Sequence[Part]]
Check = Callable[[], bool]

_START_SECONDS = 120
_SLOW_SECONDS = 5
_POLL_SECONDS = 0.5
_LOG_LINES = 20
_RESTARTS = 5
"""A part that ends more often than this within `_RESTART_WINDOW` seconds takes the rest down."""
_RESTART_WINDOW = 60


def run(
    settings: Settings,
    *,
    announce: Callable[[], None],
    say: Say,
    renew: Renew,
    parts: Sequence[Part] | None = None,
    is_ready: Check | None = None,
) -> int:
    """Run the parts until a signal ends them, or one cannot be kept running.

    Args:
        settings: the settings.
        announce: called once, when everything answers.
        say: told, a sentence at a time, what a person should know.
        renew: called on SIGUSR1 to read the settings and write the configuration anew; returns the parts to reload.
        parts: those to run; all of them when None.
        is_ready: whether the front answers; `GET /readyz` through nginx when None.

    Returns:
        the exit status: 0 after SIGINT, SIGTERM or SIGHUP, 1 after a failure.

    Raises:
        Misconfigured: the port is taken, a program is missing, or another `up` uses the data directory.
    """
    parts = stack_parts.of(settings) if parts is None else parts
    is_ready = is_ready or (lambda: _front_answers(settings))
    with _only_one(_lock(settings)), _waited_for() as signals:
        _require_free(settings.port)
        watch = _Watch(Supervisor(settings, parts), len(parts), settings.paths.log, say, renew, signals)
        return watch.run(is_ready, announce)


def ask_to_reload(settings: Settings) -> None:
    """Let the `authsvc up` that runs on this data directory reload.

    Raises:
        Misconfigured: none runs there.
    """
    lock = _lock(settings)
    try:
        with lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        os.kill(int(lock.read_text()), signal.SIGUSR1)
        return
    except OSError:
        pass
    raise Misconfigured(f"nothing runs on {settings.home}: start it with `authsvc up`")


def _lock(settings: Settings) -> Path:
    """Held by the `authsvc up` of a data directory, with its process id in it."""
    return settings.paths.run / "up.lock"


class _Watch:
    """One run of the parts, from start to end. Each step returns the exit status, or None to go on."""

    def __init__(
        self, supervisor: Supervisor, count: int, log: Path, say: Say, renew: Renew, signals: set[int]
    ) -> None:
        self._supervisor = supervisor
        self._count = count
        self._log = log
        self._tell = say
        self._renew = renew
        self._signals = signals
        self._begun = time.monotonic()
        self._is_slow = False
        self._states: list[State] = []
        self._pids: dict[str, int] = {}
        self._ended: set[str] = set()
        self._restarts: deque[tuple[float, str]] = deque()

    def run(self, is_ready: Check, announce: Callable[[], None]) -> int:
        while not (self._are_running() and is_ready()):
            status = self._step() if self._may_wait_longer() else self._stop(1)
            if status is not None:
                return status
        announce()
        while (status := self._step()) is None:
            pass
        return status

    def _step(self) -> int | None:
        received = signal.sigtimedwait(self._signals, _POLL_SECONDS)
        if received is not None and received.si_signo == signal.SIGUSR1:
            self._reload()
        elif received is not None and received.si_signo != signal.SIGCHLD:
            return self._stop(0)
        if self._supervisor.has_ended():
            self._say(f"supervisord has ended unexpectedly, and the parts with it: see {self._log}/supervisord.log")
            self._end_orphans()
            return 1
        self._states = self._supervisor.states()
        self._note_restarts()
        failed = self._find_failed()
        if failed is not None:
            self._say(f"{failed} does not stay up; the last lines of {self._log / failed}.log:")
            self._say(_tail(self._log / f"{failed}.log"))
            return self._stop(1)
        return None

    def _reload(self) -> None:
        try:
            parts = self._renew()
            self._supervisor.reload(parts)
        except AppError as exc:
            self._say(f"not reloaded: {exc}")
            return
        for part in parts:
            if not part.reload_signal and not part.keeps_settings:
                self._pids.pop(part.name, None)  # it was ended on purpose
        self._say("reloaded")

    def _are_running(self) -> bool:
        return len(self._states) == self._count and all(state.state == "RUNNING" for state in self._states)

    def _say(self, text: str) -> None:
        with suppress(OSError):  # a full disk, or a terminal that is gone, must not end what runs
            self._tell(text)

    def _may_wait_longer(self) -> bool:
        waited = time.monotonic() - self._begun
        if waited > _START_SECONDS:
            self._say(f"not ready after {_START_SECONDS} seconds: the reason is in one of the logs in {self._log}")
            return False
        if waited > _SLOW_SECONDS and not self._is_slow:
            self._is_slow = True
            missing = [state.name for state in self._states if state.state != "RUNNING"]
            self._say(f"still waiting for {', '.join(missing) or 'the first answer'}")
        return True

    def _note_restarts(self) -> None:
        now = time.monotonic()
        for state in self._states:
            before = self._pids.get(state.name)
            if before and before != state.pid:
                # What a killed part leaves behind: nginx's workers would keep the port from their successors.
                _signal_groups([self._pids.pop(state.name)], signal.SIGKILL)
                self._ended.add(state.name)
            if state.pid:
                self._pids[state.name] = state.pid
            if state.pid and state.name in self._ended:
                self._ended.remove(state.name)
                self._restarts.append((now, state.name))
                self._say(f"{state.name} ended and was started again; its log is {self._log / state.name}.log")
        while self._restarts and self._restarts[0][0] < now - _RESTART_WINDOW:
            self._restarts.popleft()

    def _find_failed(self) -> str | None:
        fatal = [state.name for state in self._states if state.state == "FATAL"]
        restarts = Counter(name for _, name in self._restarts)
        return next(iter(fatal + [name for name, times in restarts.items() if times > _RESTARTS]), None)

    def _stop(self, status: int) -> int:
        """Stop everything in order; a Ctrl-C meanwhile stops it at once."""
        self._say("stopping")
        self._supervisor.stop()
        while not self._supervisor.has_ended():
            received = signal.sigtimedwait(self._signals, _POLL_SECONDS)
            if received is not None and received.si_signo == signal.SIGINT:
                _signal_groups(self._pids.values(), signal.SIGKILL)
        return status

    def _end_orphans(self) -> None:
        """Parts are told to stop when supervisord dies (supervisord.py); make sure that they do."""
        deadline = time.monotonic() + DRAIN_SECONDS + 5
        while _signal_groups(self._pids.values(), 0) and time.monotonic() < deadline:
            signal.sigtimedwait(self._signals, _POLL_SECONDS)
        _signal_groups(self._pids.values(), signal.SIGKILL)


def _signal_groups(leaders: Iterable[int], number: int) -> int:
    """Signal the process groups of parts; how many there still are."""
    reached = 0
    for leader in leaders:
        with suppress(ProcessLookupError):
            os.killpg(leader, number)
            reached += 1
    return reached


@contextmanager
def _waited_for() -> Iterator[set[int]]:
    """Keep signals for `sigtimedwait`, which has no handlers that could interrupt anything half-way."""
    signals: set[int] = {signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGUSR1}
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as nohup has it
        signals.add(signal.SIGHUP)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield signals
    finally:
        while signal.sigtimedwait(signals, 0):
            pass
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    try:
        file = lock.open("a", encoding="ascii")
    except OSError as exc:
        raise Misconfigured(f"{lock} cannot be written: {exc.strerror}") from exc
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise Misconfigured(f"another `authsvc up` already runs on {lock.parent.parent}") from exc
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _require_free(port: int) -> None:
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):  # noqa: S104 (as nginx will)
        try:
            _try_to_listen(family, address, port)
        except OSError as exc:
            if exc.errno == errno.EADDRINUSE:
                raise Misconfigured(
                    f"port {port} is in use by another program: stop it, or choose another port with AUTHSVC_PORT"
                ) from exc
            if exc.errno == errno.EACCES:
                raise Misconfigured(f"port {port} is for root only: choose one above 1023 with AUTHSVC_PORT") from exc
            if family == socket.AF_INET:
                raise Misconfigured(f"port {port} cannot be used: {exc.strerror}") from exc


def _try_to_listen(family: socket.AddressFamily, address: str, port: int) -> None:
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        probe.bind((address, port))
        probe.listen()


def _front_answers(settings: Settings) -> bool:
    connection = _connect(settings)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _connect(settings: Settings) -> http.client.HTTPConnection:
    if not settings.tls.enabled:
        return http.client.HTTPConnection("127.0.0.1", settings.port, timeout=2)
    # Our own nginx, on the loopback address, which its certificate need not name.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection("127.0.0.1", settings.port, timeout=2, context=context)


def _tail(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as exc:
        return f"  ({exc.strerror})"
    return "\n".join(f"  {line}" for line in lines[-_LOG_LINES:]) or "  (it is empty)"
