"""Where the parts meet: the sockets between nginx, web and registry, and whom nginx's workers run as."""

import hashlib
import os
import pwd
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from authsvc.errors import Misconfigured
from authsvc.settings import Settings

_LONGEST_SOCKET = 107
"""Bytes in `sun_path`, less the final NUL (unix(7))."""

_WORKERS = ("www-data", "nginx", "nobody")


def is_embedded(settings: Settings) -> bool:
    """Whether every part runs on this machine and shares the data directory, as `authsvc up` has it.

    Otherwise (docker compose) a part runs in its own container and is given its own folder under `rendered`.
    """
    return not settings.web.address


def runtime_directory(settings: Settings) -> Path | None:
    """Where root's `run` really lies, or None where `run` is a plain directory.

    The data directory is closed to others, and may lie in /root, but nginx's workers must reach the sockets.
    """
    if os.geteuid() != 0 or not is_embedded(settings):
        return None
    name = hashlib.sha256(os.fsencode(settings.home)).hexdigest()[:12]
    return Path("/run") / f"authsvc-{name}"


def worker() -> pwd.struct_passwd | None:
    """The user for nginx's workers when root starts it; None lets them be whoever starts it."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    return next(known[name] for name in _WORKERS if name in known)


def socket(settings: Settings, name: str, *, spare: int = 0) -> str:
    """The path of a part's socket.

    Raises:
        Misconfigured: the kernel cannot hold a path of that length, with `spare` bytes more.
    """
    path = str((runtime_directory(settings) or settings.paths.run) / f"{name}.sock")
    if len(os.fsencode(path)) + spare > _LONGEST_SOCKET:
        raise Misconfigured(f"{path} is too long for a socket: choose a shorter AUTHSVC_HOME")
    return path


def web_bind(settings: Settings) -> str:
    """Where gunicorn listens, in gunicorn's words."""
    return settings.web.bind or f"unix:{socket(settings, 'web')}"


def web_server(settings: Settings) -> str:
    """Where nginx finds the web processes, in nginx's words."""
    return settings.web.address or settings.web.bind or f"unix:{socket(settings, 'web')}"


def metrics(settings: Settings) -> Path:
    """Where the web processes keep what they count, until web starts again."""
    # In compose the data directory is read-only for web, and /tmp the container's own.
    return settings.paths.run / "metrics" if is_embedded(settings) else Path(tempfile.gettempdir()) / "authsvc-metrics"


def registry_server(settings: Settings) -> str:
    """Where nginx finds the registry, in nginx's words."""
    if settings.registry.url:
        return _host_and_port(settings.registry.url)
    return settings.registry.address or settings.registry.bind or f"unix:{socket(settings, 'registry')}"


def registry_bind(settings: Settings) -> tuple[str, str]:
    """Where our registry listens: the network and the address, in the registry's words."""
    if settings.registry.bind:
        return "tcp", settings.registry.bind
    return "unix", socket(settings, "registry")


def _host_and_port(url: str) -> str:
    parts = urlsplit(url)
    try:
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (KeyError, ValueError) as exc:
        raise Misconfigured(f"registry.url: {url!r} is not the URL of a registry, such as http://host:5000") from exc
    if not parts.hostname or parts.username or parts.path.strip("/") or parts.query or parts.fragment:
        raise Misconfigured(f"registry.url: {url!r} must name a host and a port, nothing more")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{host}:{port}"
