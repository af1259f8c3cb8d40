"""supervisord as a child process: its configuration, its start, and what it says about the parts (XML-RPC).

Not here: what to do about it (supervise.py).
"""

import configparser
import io
import os
import resource
import shlex
import shutil
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from xmlrpc.client import Error, ServerProxy

from supervisor.xmlrpc import SupervisorTransport

from authsvc.errors import Misconfigured
from authsvc.settings import Settings
from authsvc.stack import files, places
from authsvc.stack.parts import DRAIN_SECONDS, Part

_LOG_BYTES = 20_000_000
_LOG_BACKUPS = 5
_WITHHELD = ("AUTHSVC_ADMIN_PASSWORD",)


@dataclass(frozen=True, slots=True)
class State:
    """What supervisord says of one part: its state in supervisor's words, its process id (0 for none), and why."""

    name: str
    state: str
    pid: int
    description: str


class Supervisor:
    """A running supervisord."""

    def __init__(self, settings: Settings, parts: Sequence[Part]) -> None:
        """Write the configuration and start it."""
        socket = _socket(settings)
        config = settings.paths.rendered / "supervisord.conf"
        files.replace(config, configuration(settings, parts).encode(), 0o400)
        self.pid = _spawn([sys.executable, "-m", "supervisor.supervisord", "-c", str(config)], settings)
        self._rpc = ServerProxy("http://localhost", transport=SupervisorTransport(serverurl=f"unix://{socket}"))

    def states(self) -> list[State]:
        """The state of each part; nothing while supervisord does not answer, as when it starts or ends."""
        try:
            rows: Any = self._rpc.supervisor.getAllProcessInfo()
        except (OSError, HTTPException, Error):
            return []
        return [State(row["name"], row["statename"], row["pid"], row["description"] or row["spawnerr"]) for row in rows]

    def has_ended(self) -> bool:
        """Whether it has; asking collects the ended process, so ask no more after a yes."""
        return os.waitpid(self.pid, os.WNOHANG)[0] == self.pid

    def reload(self, parts: Sequence[Part]) -> None:
        """Let the parts take new settings.

        Raises:
            Misconfigured: supervisord does not answer, or a part does not run at the moment.
        """
        try:
            for part in parts:
                if part.reload_signal:
                    self._rpc.supervisor.signalProcess(part.name, part.reload_signal)
                elif not part.keeps_settings:
                    self._rpc.supervisor.stopProcess(part.name)
                    self._rpc.supervisor.startProcess(part.name, False)
        except (OSError, HTTPException, Error) as exc:
            raise Misconfigured(f"the parts cannot be reloaded now: {exc}") from exc

    def stop(self) -> None:
        """Ask it to stop the parts, the last one started first, and to end."""
        os.kill(self.pid, signal.SIGTERM)


def configuration(settings: Settings, parts: Sequence[Part]) -> str:
    """supervisord.conf for these parts."""
    paths = settings.paths
    socket = _socket(settings)
    config = configparser.RawConfigParser()
    config["supervisord"] = {
        "nodaemon": "true",
        "silent": "true",
        "logfile": str(paths.log / "supervisord.log"),
        "pidfile": str(paths.run / "supervisord.pid"),
        "childlogdir": str(paths.log),
        "minfds": str(min(65_536, resource.getrlimit(resource.RLIMIT_NOFILE)[1])),
    }
    if os.geteuid() == 0:
        config["supervisord"]["user"] = "root"
    config["unix_http_server"] = {"file": socket, "chmod": "0600"}
    config["rpcinterface:supervisor"] = {
        "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
    }
    for number, part in enumerate(parts, 1):
        config[f"program:{part.name}"] = _program(settings, part, priority=number)
    return _escaped(config)


def _program(settings: Settings, part: Part, priority: int) -> dict[str, str]:
    return {
        "command": shlex.join(_dying_with_its_parent(part.command)),
        "priority": str(priority),
        "umask": part.umask,
        "autorestart": "true",
        "startsecs": "2",
        "startretries": "3",
        "stopsignal": part.stop_signal,
        "stopwaitsecs": str(DRAIN_SECONDS + 5),
        # The signal to stop goes to the main process alone, which brings its own children down in order.
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": str(settings.paths.log / f"{part.name}.log"),
        "stdout_logfile_maxbytes": str(_LOG_BYTES),
        "stdout_logfile_backups": str(_LOG_BACKUPS),
    }


def _socket(settings: Settings) -> str:
    # supervisord makes its socket under another name first, to which it adds its process id.
    return places.socket(settings, "up", spare=len(".4194304"))


def _dying_with_its_parent(command: Sequence[str]) -> tuple[str, ...]:
    """A command that is told to stop when the process that started it is killed, which could not tell it itself.

    TERM and not KILL: nginx and gunicorn have children of their own, to which only they can pass it on.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise Misconfigured("setpriv is not installed: `apt-get install util-linux`")
    return (setpriv, "--pdeathsig", "TERM", "--", *command)


def _escaped(config: configparser.RawConfigParser) -> str:
    """The configuration as text, in which no value is taken for a comment, a new line or a `%(variable)s`."""
    for section in config.values():
        for name, value in section.items():
            if not value.isprintable() or " ;" in value or " #" in value:
                raise Misconfigured(
                    f"{value!r} cannot stand in supervisord's configuration: choose another AUTHSVC_HOME"
                )
            section[name] = value.replace("%", "%%")
    text = io.StringIO()
    config.write(text)
    return text.getvalue()


def _spawn(command: Sequence[str], settings: Settings) -> int:
    argv = _dying_with_its_parent(command)
    environment = {name: value for name, value in os.environ.items() if name not in _WITHHELD}
    environment |= {"AUTHSVC_HOME": str(settings.home), "AUTHSVC_PORT": str(settings.port)}
    # posix_spawn, since it can clear the mask of signals that supervise.py waits for; and a session of its own, so that
    # Ctrl-C in the terminal reaches us alone and the parts are stopped in order.
    # It says there what it could not write to a log, and ends when that cannot be written either: on a full disk.
    actions = [(os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)]
    return os.posix_spawn(argv[0], argv, environment, file_actions=actions, setsigmask=[], setsid=True)
