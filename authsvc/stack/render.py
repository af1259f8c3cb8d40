"""Configuration of nginx, the registry and redis, made from the settings and the templates at every start.

Every value in a template goes through `quoted` or `yaml`, so that no setting can end the string it stands in.
"""

import json
import re
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from authsvc.errors import Misconfigured
from authsvc.settings import Settings
from authsvc.stack import files, parts, places

CONTAINER_PORT = 8080
"""Where nginx listens in its own container; compose publishes it as the port that the settings name."""

_COPIES = ("server.crt", "server.key")
"""nginx takes relative names from the folder of nginx.conf, so these hold wherever a container mounts it."""

_ADDRESS = re.compile(r"[A-Za-z0-9_.\-\[\]:]+:[0-9]{1,5}|unix:/.+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """What nginx.conf is made of."""

    port: int
    ipv6: bool
    scratch: Path
    """Where the process id and buffered bodies go."""
    user: str | None
    web: tuple[str, ...]
    """The web instances; with a resolver, one name for all of them."""
    resolver: str
    """The DNS server to ask for that name while nginx runs; empty for at its start only."""
    registry: str
    registry_scheme: str
    registry_name: str
    """The host name that an external registry's certificate must bear."""
    certificate: Path | str
    """Empty for plain HTTP."""
    key: Path | str
    trusted_proxies: tuple[str, ...]
    address: str
    """The address to fall back on where a request names no host."""
    rewrite_realm: bool
    metrics: str
    """Where /metrics is shown; empty for nowhere."""
    goes_on: bool
    """Whether an anonymous token is given again while web cannot make one."""
    storage: Path | None
    """Where nginx finds the registry's files, to send blobs itself."""


def front(settings: Settings) -> Front:
    """What the settings say about nginx.

    Raises:
        Misconfigured: an address or a URL in the settings is none.
    """
    embedded = places.is_embedded(settings)
    worker = places.worker() if embedded else None
    certificate, key = (_certificate_sources(settings) if embedded else _COPIES) if settings.tls.enabled else ("", "")
    external = urlsplit(settings.registry.url)
    return Front(
        port=settings.port if embedded else CONTAINER_PORT,
        ipv6=_has_ipv6(),
        scratch=(places.runtime_directory(settings) or settings.paths.run) if embedded else Path("/tmp"),  # noqa: S108 (the container's own)
        user=worker.pw_name if worker else None,
        web=tuple(_server("web.address", server) for server in places.web_servers(settings)),
        resolver=settings.web.resolver,
        registry=_server("registry.address", places.registry_server(settings)),
        registry_scheme=external.scheme or "http",
        registry_name=external.hostname or "",
        certificate=certificate,
        key=key,
        trusted_proxies=tuple(str(network) for network in settings.trusted_proxies),
        address=settings.address,
        rewrite_realm=not settings.public_url,
        metrics=_metrics(settings),
        goes_on=settings.token.grace > 0,
        storage=places.blobs(settings),
    )


def nginx_conf(settings: Settings) -> str:
    """The whole of nginx's configuration."""
    return _render("nginx", "nginx.conf.j2", front=front(settings))


def registry_config(settings: Settings) -> str:
    """The whole of our registry's configuration, for 2.x and 3.x."""
    network, address = places.registry_bind(settings)
    return _render(
        "registry-config",
        "config.yml.j2",
        storage=places.storage(settings),
        redirect=places.blobs(settings) is not None,
        network=network,
        address=address,
        secret=_secret(settings.paths.registry_secret),
        **_auth(settings, bundle=settings.registry.bundle, realm=settings.realm),
    )


def registry_auth(
    settings: Settings, *, bundle: str = "", realm: str = "", notifications: bool = False, sendfile: bool = False
) -> str:
    """What to append to the configuration of a registry that already runs.

    Args:
        settings: the settings.
        bundle: where that registry finds the CA certificate, if not in our data directory.
        realm: the URL of the token endpoint, if not the one that the settings say.
        notifications: whether it shall tell us of pushes, pulls and deletions.
        sendfile: whether it shall leave the sending of blobs to nginx in front of it.
    """
    auth = _auth(settings, bundle=bundle or settings.registry.bundle, realm=realm or settings.realm)
    events = {
        "events_url": auth["realm"].removesuffix("/service/token") + "/service/events",
        "events_secret": _secret(settings.paths.events_secret),
    }
    chosen = {"redirect": sendfile, **(events if notifications else {"events_url": None})}
    return _render("registry-config", "auth.yml.j2", **auth, **chosen)


def write(settings: Settings) -> None:
    """Write the configuration of every part that runs beside us into the data directory's `rendered`.

    Raises:
        Misconfigured: a setting cannot stand in a configuration file, or the directory cannot be written.
    """
    rendered = settings.paths.rendered
    embedded = places.is_embedded(settings)
    # In compose each folder is a volume that only one other container mounts, and that container has another user.
    secret_mode = 0o400 if embedded else 0o444
    try:
        if settings.tls.enabled and not embedded:
            for name, source in zip(_COPIES, _certificate_sources(settings), strict=True):
                files.replace(rendered / "nginx" / name, source.read_bytes(), secret_mode)
        files.replace(rendered / "nginx" / "nginx.conf", nginx_conf(settings).encode(), 0o444)
        files.replace(rendered / "registry" / "ca.crt", settings.paths.ca_certificate.read_bytes(), 0o444)
        if not settings.registry.url:
            files.replace(rendered / "registry" / "config.yml", registry_config(settings).encode(), secret_mode)
        for target, text in _for_servers(settings).items():
            files.replace(rendered / target, text.encode(), secret_mode)
    except OSError as exc:
        raise Misconfigured(f"the configuration cannot be written: {exc.strerror}: {exc.filename}") from exc


def check_nginx(settings: Settings) -> None:
    """Ask nginx what it thinks of its configuration, which it would read again only to go on with the old one.

    Raises:
        Misconfigured: it would not start with it.
    """
    command = [parts.nginx(), "-t", "-q", "-c", str(settings.paths.rendered / "nginx" / "nginx.conf"), "-e", "stderr"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (nothing of others' in it)
    if checked.returncode:
        raise Misconfigured(f"nginx refuses its configuration: {checked.stderr.strip()}")


def _for_servers(settings: Settings) -> dict[str, str]:
    """Files for the database's and the queue's containers, by their place under `rendered`."""
    texts = {}
    secrets = settings.paths.secrets
    if (secrets / "database.password").exists():
        texts["mariadb/password"] = _secret(secrets / "database.password")
        texts["mariadb/root-password"] = _secret(secrets / "database-root.password")
    if (secrets / "queue.password").exists():
        password = _quoted(_secret(secrets / "queue.password"))
        texts["redis/redis.conf"] = f"requirepass {password}\nappendonly yes\n"
    return texts


def _certificate_sources(settings: Settings) -> tuple[Path, Path]:
    tls = settings.tls
    if tls.certificate and tls.key:
        return tls.certificate.absolute(), tls.key.absolute()
    return settings.paths.tls / "server.crt", settings.paths.tls / "server.key"


def _auth(settings: Settings, *, bundle: str, realm: str) -> dict[str, Any]:
    return {
        "realm": realm,
        "service": settings.token.service,
        "issuer": settings.token.issuer,
        "bundle": bundle or settings.paths.ca_certificate,
    }


def _server(setting: str, text: str) -> str:
    if not _ADDRESS.fullmatch(text):
        raise Misconfigured(f"{setting}: {text!r} is not a host and a port, such as 127.0.0.1:5000")
    return text


def _metrics(settings: Settings) -> str:
    listen = settings.metrics.listen
    if listen.endswith(f":{settings.port}"):
        raise Misconfigured(f"metrics.listen: {settings.port} is the public port; choose another one")
    return listen


def _secret(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as exc:
        raise Misconfigured(f"{path} cannot be read ({exc.strerror}): run `authsvc init`") from exc


def _has_ipv6() -> bool:
    """Whether this kernel knows IPv6; where it does not, nginx refuses to start on `[::]`."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::", 0))
    except OSError:
        return False
    return True


def _quoted(value: object) -> str:
    """A value in double quotes for nginx or redis."""
    text = _line(value)
    if set(text) & set('"\\$'):
        raise Misconfigured(
            f"{text!r} cannot stand in nginx's configuration: it holds a quote, a backslash or a dollar"
        )
    return f'"{text}"'


def _yaml(value: object) -> str:
    """A value as a JSON string, which is a YAML string too."""
    return json.dumps(_line(value), ensure_ascii=False)


def _line(value: object) -> str:
    text = str(value)
    if not text.isprintable():
        raise Misconfigured(
            f"{text!r} cannot stand in a configuration file: it holds characters that are not printable"
        )
    return text


def _render(folder: str, template: str, **values: object) -> str:
    environment = Environment(  # noqa: S701 (no HTML: `quoted` and `yaml` escape for these formats)
        loader=FileSystemLoader(_templates(folder)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(quoted=_quoted, yaml=_yaml)
    return environment.get_template(template).render(values)


def _templates(folder: str) -> Path:
    """The checkout's folder of templates, or the one that setup.cfg installs."""
    checkout = Path(__file__).parents[2] / folder
    return checkout if checkout.is_dir() else Path(sys.prefix) / "share" / "authsvc" / folder
