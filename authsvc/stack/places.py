"""Where the parts meet: the sockets between nginx, web and registry, and whom nginx's workers run as."""

import hashlib
import os
import pwd
import subprocess
import tempfile
from functools import cache
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


def web_servers(settings: Settings) -> tuple[str, ...]:
    """Where nginx finds the web instances, in nginx's words, ours first."""
    own = settings.web.address or settings.web.bind or f"unix:{socket(settings, 'web')}"
    return own, *settings.web.peers


def metrics(settings: Settings) -> Path:
    """Where the processes of this web instance keep what they count, until it starts again."""
    if not is_embedded(settings):
        # In compose the data directory is read-only for web, and /tmp the container's own.
        return Path(tempfile.gettempdir()) / "authsvc-metrics"
    instance = settings.web.bind.replace("/", "-").replace(":", "-")
    return settings.paths.run / "-".join(filter(None, ["metrics", instance]))


def storage(settings: Settings) -> Path:
    """Where our registry keeps its images."""
    return Path(settings.registry.storage) if settings.registry.storage else settings.paths.registry


def blobs(settings: Settings) -> Path | None:
    """Where nginx finds the registry's files to send blobs itself, or None where they pass through the registry.

    Raises:
        Misconfigured: `registry.sendfile` is on, and nginx cannot read the storage.
    """
    wanted = settings.registry.sendfile
    if wanted is False or (settings.registry.url and not wanted):
        return None
    trouble = why_no_blobs(settings)
    if trouble and wanted:
        raise Misconfigured(f"registry.sendfile: {trouble}")
    if trouble:
        return None
    return _mounted(settings) if needs_mount(settings) else storage(settings)


def why_no_blobs(settings: Settings) -> str:
    """Why nginx cannot read the registry's storage, as a sentence; empty where it can, or is in another container."""
    if settings.registry.url and not settings.registry.storage:
        return "registry.storage must name the folder of the registry at registry.url"
    if not is_embedded(settings):
        return ""
    if needs_mount(settings) and not _may_mount():
        return "nginx's workers cannot reach it, since this machine lets nobody mount (unshare --mount fails)"
    try:
        mode = storage(settings).stat().st_mode
    except OSError as exc:
        return f"{storage(settings)} cannot be read: {exc.strerror}"
    allowed = mode & 0o005 == 0o005 if needs_mount(settings) else os.access(storage(settings), os.R_OK | os.X_OK)
    return "" if allowed else f"nginx's workers may not read {storage(settings)}: chmod o+rx lets them"


def needs_mount(settings: Settings) -> bool:
    """Whether nginx's workers are another user than the owner of the data directory, which is closed to others.

    They see the storage alone, read-only, through a mount that only nginx has (stack/parts.py).
    """
    return runtime_directory(settings) is not None


def _mounted(settings: Settings) -> Path:
    return (runtime_directory(settings) or settings.paths.run) / "blobs"


@cache
def _may_mount() -> bool:
    try:
        return subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0  # noqa: S607
    except OSError:
        return False


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
