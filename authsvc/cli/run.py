"""Commands that make the data directory and run the parts: init, up, web, worker, migrate, registry-config."""

import os
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import click

from authsvc import settings as settings_module
from authsvc.core import metrics, settings_store, setup
from authsvc.errors import Misconfigured, Unavailable
from authsvc.settings import Settings
from authsvc.stack import files, home, parts, places, render, supervise
from authsvc.stack.parts import Part

_FOR_GLIBC = {
    # It would keep the 19 MiB of a hash for each of its arenas, of which it makes more than hashes ever run at once.
    "MALLOC_ARENA_MAX": "2",
    # It would wait ten seconds for a DNS server that does not answer, and no timeout of a connection covers that.
    "RES_OPTIONS": "timeout:1 attempts:1",
}


@click.command()
def init() -> None:
    """Make what is missing in the data directory, and write the configuration of nginx and the registry."""
    _init(settings_module.load())


@click.command()
def migrate() -> None:
    """Bring the database up to date: tables, signing key, administrator, root project."""
    settings = settings_module.load()
    _tell_made(setup.prepare(settings, int(time.time())))


@click.command()
def up() -> None:
    """Run everything on this machine: nginx, the registry, web and worker. Ctrl-C stops it."""
    settings = settings_module.load()
    _init(settings)
    made = setup.prepare(settings, int(time.time()))
    _tell_made(made)
    _check_stored(settings)
    is_first = f"the administrator {settings.admin_name}" in made
    sys.exit(
        supervise.run(
            settings,
            announce=lambda: click.echo(banner(settings, is_first=is_first)),
            say=click.echo,
            renew=_renew,
        )
    )


@click.command()
def reload() -> None:
    """Let what `authsvc up` runs take new settings and certificates, without dropping a request.

    What it was started with in its environment stays; the registry keeps its settings until the next start.
    """
    supervise.ask_to_reload(settings_module.load())
    click.echo("asked; whether it was done is said where `authsvc up` runs")


@click.command()
def web() -> None:
    """Serve the token endpoint, the API and the site (gunicorn); nginx stands in front of it."""
    settings = settings_module.load()
    command = gunicorn(settings)
    environment = _FOR_GLIBC | os.environ | {metrics.DIRECTORY: _metrics(settings)}
    os.execve(command[0], command, environment)  # noqa: S606 (no shell is wanted)


@click.command()
def worker() -> None:
    """Run the background jobs."""
    from authsvc.jobs import queue  # noqa: PLC0415 (the other commands need no queue)

    queue.run(settings_module.load())


@click.command("registry-config")
@click.option("--bundle", default="", metavar="PATH", help="Where that registry finds the CA certificate.")
@click.option("--realm", default="", metavar="URL", help="The token endpoint as clients of that registry reach it.")
@click.option("--notifications", is_flag=True, help="Let it tell authsvc of pushes, pulls and deletions.")
@click.option(
    "--sendfile", is_flag=True, help="Let nginx of authsvc send blobs (registry.sendfile); nobody else can pull then."
)
def registry_config(bundle: str, realm: str, *, notifications: bool, sendfile: bool) -> None:
    """Print what to append to the config.yml of a registry that already runs (2.x or 3.x)."""
    settings = settings_module.load()
    printed = render.registry_auth(settings, bundle=bundle, realm=realm, notifications=notifications, sendfile=sendfile)
    click.echo(printed, nl=False)


def gunicorn(settings: Settings) -> list[str]:
    """The command line of the web processes."""
    options = {
        "config": "python:authsvc.app",
        "bind": places.web_bind(settings),
        "umask": "0",  # of the socket, which nginx's workers must reach; the directory it lies in keeps others out
        "worker-class": "authsvc.web.gunicorn.Worker",
        "workers": str(settings.web.processes),
        "threads": str(settings.web.threads),
        "worker-connections": str(settings.web.threads + 1_000),  # those over the threads wait, or are kept alive
        # A process that hangs is replaced while docker, which gives up after 15 s, still waits.
        "timeout": "10",
        "graceful-timeout": "10",
        # Longer than nginx keeps an idle connection, so that it is nginx who closes it, not web under a request.
        "keep-alive": "75",
        # Heartbeats in memory: on a busy disk they make gunicorn kill healthy workers.
        "worker-tmp-dir": "/dev/shm",  # noqa: S108
        # Only nginx reaches us, and it overwrites what clients say about themselves.
        "forwarded-allow-ips": "*",
        # nginx has already refused what is too long.
        "limit-request-line": "0",
        "limit-request-field_size": "65536",
        "log-level": settings.log.level,
    }
    flags = [text for name, value in options.items() for text in (f"--{name}", value)]
    return [sys.executable, "-m", "gunicorn", *flags, "--no-control-socket", "authsvc.app:create_app()"]


def banner(settings: Settings, *, is_first: bool) -> str:
    """What `up` says when everything answers."""
    host = docker_host(settings.address)
    image = f"{host}/{settings.root_project}/hello"
    lines = [
        "",
        f"authsvc runs at    {settings.address}",
        f"administrator      {settings.admin_name}",
        *(_first_password(settings) if is_first else ()),
        "",
        "try:",
        f"  docker login {host} -u {settings.admin_name}",
        f"  docker tag IMAGE {image} && docker push {image}",
        f"  docker pull {image}",
        "",
        "Ctrl-C stops it.",
    ]
    return "\n".join(lines)


def docker_host(address: str) -> str:
    """A URL's host in the form that docker takes for a registry and not for a folder of Docker Hub."""
    parts = urlsplit(address)
    is_plain_word = "." not in parts.netloc and ":" not in parts.netloc and parts.netloc != "localhost"
    port = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.netloc}:{port}" if is_plain_word else parts.netloc


def _metrics(settings: Settings) -> str:
    """An empty directory for what the web processes count."""
    directory = places.metrics(settings)
    try:
        files.empty_directory(directory, 0o700)
    except OSError as exc:
        raise Misconfigured(f"the directory for metrics cannot be made: {exc.strerror}: {exc.filename}") from exc
    return str(directory)


def _first_password(settings: Settings) -> Iterable[str]:
    if settings.admin_password is not None:
        yield "password           the one given as AUTHSVC_ADMIN_PASSWORD"
        return
    yield f"password           {_text(settings.paths.admin_password)}"
    yield f"                   shown this once; kept in {settings.paths.admin_password}"


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip()


def _renew() -> Sequence[Part]:
    settings = settings_module.load()
    _check_stored(settings)
    _init(settings)
    render.check_nginx(settings)
    return parts.of(settings)


def _check_stored(settings: Settings) -> None:
    """What the database says has to fit to the file before anything is started; while it is away nothing is known."""
    engine = setup.connect(settings)
    with suppress(Unavailable):
        settings_store.load(settings, engine)
    engine.dispose()


def _init(settings: Settings) -> None:
    _tell_made(home.make(settings, int(time.time())))
    render.write(settings)


def _tell_made(things: Iterable[str]) -> None:
    for thing in things:
        click.echo(f"made {thing}")
