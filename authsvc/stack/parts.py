"""The parts that `authsvc up` runs, each with its command and how it is stopped."""

import os
import shutil
import sys
from dataclasses import dataclass

from authsvc.errors import Misconfigured
from authsvc.settings import Settings
from authsvc.stack import places

DRAIN_SECONDS = 10
"""How long a part may finish what it is doing; nginx.conf and the registry's config.yml say the same."""


@dataclass(frozen=True, slots=True)
class Part:
    """One program under the supervisor."""

    name: str
    command: tuple[str, ...]
    stop_signal: str = "TERM"
    reload_signal: str = ""
    """What lets it take new settings without dropping anything; empty: it is started anew."""
    keeps_settings: bool = False
    """Whether a reload passes it by."""
    umask: str = "022"


def of(settings: Settings) -> list[Part]:
    """The parts in the order in which they start; they stop in the opposite one.

    Raises:
        Misconfigured: a program is not installed.
    """
    rendered = settings.paths.rendered
    python = (sys.executable, "-m", "authsvc")
    parts = [Part("web", (*python, "web"), reload_signal="HUP"), Part("worker", (*python, "worker"))]
    if not settings.registry.url:
        binary = _program("docker-registry", "registry", package="docker-registry")
        # The umask opens the socket to nginx's workers, by the group of the directory that it lies in, and lets them
        # read blobs; the data directory keeps others out.
        command = (binary, "serve", str(rendered / "registry" / "config.yml"))
        parts.append(Part("registry", command, umask="002", keeps_settings=True))
    front = (nginx(), "-c", str(rendered / "nginx" / "nginx.conf"), "-e", "stderr")
    return [*parts, Part("nginx", (*_seeing_blobs(settings), *front), stop_signal="QUIT", reload_signal="HUP")]


def nginx() -> str:
    """The path of nginx.

    Raises:
        Misconfigured: it is not installed.
    """
    return _program("nginx", package="nginx")


def _seeing_blobs(settings: Settings) -> tuple[str, ...]:
    """What starts a command so that it, and nothing else, sees the registry's storage where nginx's workers may go."""
    target = places.blobs(settings)
    if target is None or not places.needs_mount(settings):
        return ()
    mount = 'mkdir -p "$1" && mount --bind "$0" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"'
    return ("unshare", "--mount", "--", "sh", "-c", mount, str(places.storage(settings).absolute()), str(target))


def _program(*names: str, package: str) -> str:
    # An ordinary user's PATH lacks sbin on Debian, where nginx is.
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])
    found = next(filter(None, (shutil.which(name, path=path) for name in names)), None)
    if found is None:
        raise Misconfigured(f"{names[0]} is not installed: `apt-get install {package}`, or `make run`, which does it")
    return found
