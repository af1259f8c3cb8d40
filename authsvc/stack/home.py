"""The data directory: everything a first start makes, and no later start changes.

Not here: what is made anew at every start (render.py), and the database (core.setup).
"""

import base64
import fcntl
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from authsvc.domain import certificates
from authsvc.domain.certificates import Pair
from authsvc.errors import Misconfigured
from authsvc.settings import Settings
from authsvc.stack import files, places

_TEMPLATE = """\
# Settings of authsvc; README.md lists them all. An environment variable overrides a line here:
# AUTHSVC_PORT=5000 for `port`, AUTHSVC_TOKEN__LIFETIME=600 for `lifetime` under [token].

# port = 8080
# public_url = "https://registry.example.com"    # the address people use, where a proxy in front ends TLS
# trusted_proxies = ["192.0.2.0/24"]             # whose X-Forwarded-For is believed
# root_project = "library"                       # owns the repositories without a slash in their name

[token]
# lifetime = 300                                 # seconds

[web]
# processes = 2
# threads = 1024

[registry]
# url = "http://registry.example.com:5000"       # a registry that already runs; ours is not started then
# storage = "/srv/registry"                      # where ours keeps its images

[tls]
# certificate = "/etc/ssl/registry.crt"
# key = "/etc/ssl/registry.key"
# self_signed = true                             # or: make a CA and a certificate for `names`
# names = ["registry.example.com"]

[log]
# level = "info"
"""


def make(settings: Settings, now: int) -> list[str]:
    """Make what is missing in the data directory.

    Returns:
        a phrase for each file made, as `core.setup.prepare` does; nothing when nothing was missing.

    Raises:
        Misconfigured: it cannot be written, or holds half of a pair.
    """
    try:
        made = [f"the data directory {settings.home}"] if files.make_directory(settings.home, 0o700) else []
        with _locked(settings.home):
            return [*made, *_contents(settings, now)]
    except OSError as exc:
        raise Misconfigured(f"the data directory cannot be made: {exc.strerror}: {exc.filename}") from exc


def _contents(settings: Settings, now: int) -> Iterator[str]:
    paths = settings.paths
    for directory in (paths.secrets, paths.ca_key.parent, paths.log):
        files.make_directory(directory, 0o700)
    _make_rendered(settings)
    _make_runtime(settings)
    if not settings.registry.url and places.is_embedded(settings):
        # nginx's workers read it; the data directory around it is closed to others.
        files.make_directory(places.storage(settings), 0o755)
    yield from _file(settings.home / "authsvc.toml", _TEMPLATE, 0o600)
    yield from _secrets(settings)
    yield from _token_ca(settings, now)
    if settings.tls.self_signed:
        yield from _tls(settings, now)


def _make_rendered(settings: Settings) -> None:
    """Folders for configuration. In compose each is a volume of its own, read by a container that has another user."""
    mode = 0o700 if places.is_embedded(settings) else 0o755
    files.make_directory(settings.paths.rendered, mode)
    for name in ("nginx", "registry", *_servers(settings)):
        files.make_directory(settings.paths.rendered / name, mode)


def _make_runtime(settings: Settings) -> None:
    """Make `run`; for root a link to a directory under /run, which is empty after a reboot."""
    run = settings.paths.run
    target = places.runtime_directory(settings)
    if target is None:
        files.make_directory(run, 0o700)
        return
    if run.is_dir() and not run.is_symlink():
        raise Misconfigured(f"{run} was made by an ordinary user: start as that user, or remove it")
    files.make_directory(target, 0o700)
    worker = places.worker()
    if worker is not None:
        os.chown(target, -1, worker.pw_gid)
        target.chmod(0o2710)  # sockets made in it belong to that group, which is how the workers may use them
    if run.is_symlink() and run.readlink() != target:  # the data directory was moved
        run.unlink()
    if not run.is_symlink():
        run.symlink_to(target)


def _secrets(settings: Settings) -> Iterator[str]:
    paths = settings.paths
    given = settings.admin_password
    yield from _file(paths.master_key, base64.b64encode(secrets.token_bytes(32)).decode(), 0o400)
    yield from _file(paths.admin_password, given.get_secret_value() if given else secrets.token_urlsafe(18), 0o400)
    for path in (paths.registry_secret, paths.events_secret):
        yield from _file(path, secrets.token_urlsafe(32), 0o400)
    for server in _servers(settings).values():
        for name, value in server.items():
            yield from _file(paths.secrets / name, value, 0o400)


def _servers(settings: Settings) -> dict[str, dict[str, str]]:
    """The servers that are handed a password of our making, and the secrets of each."""
    servers = {}
    if _wants_password(settings.database.url, ("mysql", "mariadb")):
        given = settings.database.password
        servers["mariadb"] = {
            "database.password": given.get_secret_value() if given else secrets.token_urlsafe(24),
            "database-root.password": secrets.token_urlsafe(24),
        }
    if _wants_password(settings.queue.url, ("redis",)):
        given = settings.queue.password
        servers["redis"] = {"queue.password": given.get_secret_value() if given else secrets.token_urlsafe(24)}
    return servers


def _wants_password(url: str, schemes: tuple[str, ...]) -> bool:
    parts = urlsplit(url)
    return parts.scheme.split("+")[0] in schemes and parts.password is None


def _token_ca(settings: Settings, now: int) -> Iterator[str]:
    certificate, key = settings.paths.ca_certificate, settings.paths.ca_key
    if _is_missing(certificate, key):
        _write_pair(certificates.make_ca("authsvc token CA", now), certificate, key)
        yield f"{certificate}, the certificate that a registry trusts"


def _tls(settings: Settings, now: int) -> Iterator[str]:
    folder = settings.paths.tls
    files.make_directory(folder, 0o700)
    ca_certificate, ca_key = folder / "ca.crt", folder / "ca.key"
    if _is_missing(ca_certificate, ca_key):
        _write_pair(certificates.make_ca("authsvc TLS CA", now), ca_certificate, ca_key)
        yield f"{ca_certificate}, the certificate that docker and browsers must be told to trust"
    certificate, key = folder / "server.crt", folder / "server.key"
    if _is_missing(certificate, key):
        ca = certificates.load_pair(ca_certificate.read_bytes(), ca_key.read_bytes())
        names = _server_names(settings)
        _write_pair(certificates.make_server(ca, names, now), certificate, key)
        yield f"{certificate} for {', '.join(names)}"


def _server_names(settings: Settings) -> list[str]:
    named = settings.tls.names or tuple(filter(None, [urlsplit(settings.public_url).hostname]))
    return list(dict.fromkeys([*named, "localhost", "127.0.0.1", "::1", socket.gethostname()]))


def _is_missing(certificate: Path, key: Path) -> bool:
    there = [path for path in (certificate, key) if path.exists()]
    if len(there) == 1:
        other = key if there == [certificate] else certificate
        raise Misconfigured(
            f"{there[0]} is there, but not {other}: put {other.name} back from a backup, "
            f"or remove {there[0].name} to have both made anew"
        )
    return not there


def _write_pair(pair: Pair, certificate: Path, key: Path) -> None:
    files.create(key, pair.key_pem(), 0o400)
    files.create(certificate, pair.certificate_pem(), 0o444)


def _file(path: Path, text: str, mode: int) -> Iterator[str]:
    if files.create(path, text.encode(), mode):
        yield f"{path}"


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Keep two first starts from mixing one's certificate with the other's key."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
