"""The databases, a data directory, the application, and the cast.

alice is project admin of `acme`, bob is developer there, charlie has an account and nothing else, root is system
administrator. `acme` is private, `open` is public.
"""

import copy
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, text

from authsvc import services as services_module
from authsvc import settings as settings_module
from authsvc.app import create_app
from authsvc.core import keys, standings
from authsvc.core.rights import system
from authsvc.core.sealing import Sealer
from authsvc.db import migrate
from authsvc.db.engine import Session, make_engine, transaction
from authsvc.db.tables import Base
from authsvc.domain.permissions import Actor, Credential, Role
from authsvc.jobs.producer import Producer
from authsvc.services import Services
from authsvc.settings import Settings
from authsvc.stack import home as home_module
from tests import factories
from tests import oidc_provider as oidc_provider_module
from tests.e2e import servers
from tests.oidc_provider import OidcProvider

NOW = 1_800_000_000
DATABASES = ("sqlite", "mariadb")
PATH = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin:/sbin:/bin"


ONE_ENGINE = {
    "test_native.py", "test_compose.py", "test_clients.py", "test_ci.py", "test_directories.py", "test_provider.py",
}  # fmt: skip
"""Files that make and forget images in the one Docker engine of this machine."""


@pytest.hookimpl(tryfirst=True)  # xdist reads the marks in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With several processes, a file stays in one of them, and so do all that use the Docker engine.

    What takes longest begins first, so that at the end no process waits for another.
    """
    items.sort(key=lambda item: (item.path.name not in ONE_ENGINE, item.path.parent.name != "e2e"))
    for item in items:
        group = "docker" if item.path.name in ONE_ENGINE else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))


def program(name: str) -> str:
    """The path of a Debian program; a missing one fails the test, never skips it."""
    found = shutil.which(name, path=PATH)
    return found or pytest.fail(f"{name} is not installed: run `make test`, which installs what the tests need")


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(is_true: Callable[[], object], process: subprocess.Popen, log: Path) -> None:
    """Ask until it is so, the process ends, or patience does (a minute is no promise about speed)."""
    pause = threading.Event()
    for _ in range(1200):
        if is_true():
            return
        if process.poll() is not None:
            break
        pause.wait(0.05)
    pytest.fail(f"{process.args[0]} did not start:\n{log.read_text()[-2000:]}")


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a MariaDB of our own, without a database's name."""
    with servers.mariadb(tmp_path_factory.mktemp("mariadb"), *servers.FAST) as server:
        yield server.url


@pytest.fixture(scope="session")
def oidc_provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OidcProvider]:
    """A certified OpenID Connect provider, with the password grant, that lives as long as the tests."""
    with oidc_provider_module.running(tmp_path_factory.mktemp("provider")) as started:
        yield started


@pytest.fixture
def make_mariadb(mariadb: str) -> Iterator[Callable[[str], str]]:
    """Make an empty database of that name, gone after the test; returns its URL."""
    server = make_engine(f"{mariadb}/mysql", None, Path())
    made = []

    def make(name: str) -> str:
        made.append(name)
        with server.begin() as connection:
            connection.execute(text(f"CREATE DATABASE {name} CHARACTER SET latin1"))
        return f"{mariadb}/{name}"

    yield make
    with server.begin() as connection:
        for name in made:
            connection.execute(text(f"DROP DATABASE {name}"))
    server.dispose()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite file."""
    path = tmp_path_factory.mktemp("template") / "authsvc.db"
    engine = make_engine("", None, path)
    migrate.upgrade(engine)
    with engine.connect() as connection:
        connection.exec_driver_sql("ROLLBACK")
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.exec_driver_sql("BEGIN")
    engine.dispose()
    return path


@pytest.fixture(scope="session")
def mariadb_template(mariadb: str) -> str:
    """The URL of a migrated MariaDB database."""
    server = make_engine(f"{mariadb}/mysql", None, Path())
    with server.begin() as connection:
        connection.execute(text("CREATE DATABASE authsvc CHARACTER SET latin1"))
    server.dispose()
    engine = make_engine(f"{mariadb}/authsvc", None, Path())
    migrate.upgrade(engine)
    engine.dispose()
    return f"{mariadb}/authsvc"


@pytest.fixture(scope="session")
def home_template(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Path]:
    """A data directory as `authsvc init` makes it, with a migrated, empty embedded database."""
    directory = tmp_path_factory.mktemp("template") / "home"
    # Today, because a real registry looks at the dates of certificates.
    home_module.make(settings_module.load({"AUTHSVC_HOME": str(directory)}), int(time.time()))
    shutil.copyfile(sqlite_template, directory / "authsvc.db")
    yield directory
    shutil.rmtree((directory / "run").resolve())  # which lies in /run when root runs the tests


@pytest.fixture
def home(tmp_path: Path, home_template: Path) -> Path:
    """A copy of that directory, without the place for sockets: nothing runs here."""
    return Path(shutil.copytree(home_template, tmp_path / "home", ignore=shutil.ignore_patterns("run")))


@pytest.fixture
def sqlite_url(home: Path) -> str:
    """What `database.url` says for the embedded database."""
    return ""


@pytest.fixture
def mariadb_url(mariadb_template: str) -> str:
    """The URL of the migrated database, emptied."""
    engine = make_engine(mariadb_template, None, Path())
    with engine.begin() as connection:
        for table in reversed(Base.metadata.sorted_tables):
            # Its trigger refuses DELETE; the others are emptied faster row by row.
            verb = "TRUNCATE" if table.name == "audit_events" else "DELETE FROM"
            connection.execute(text(f"{verb} {table.name}"))
        connection.execute(text("INSERT INTO audit_heads (id, length, changes, hash) VALUES (1, 0, 0, '')"))
    engine.dispose()
    return mariadb_template


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest) -> str:
    """What `database.url` says: each test that uses this runs on both databases."""
    return request.getfixturevalue(f"{request.param}_url")


@pytest.fixture
def engine(database_url: str, home: Path) -> Iterator[Engine]:
    """A migrated, empty database."""
    made = make_engine(database_url, None, home / "authsvc.db")
    yield made
    made.dispose()


@pytest.fixture
def no_database() -> Engine:
    """A database on a port that nothing listens on."""
    return make_engine(f"mysql+pymysql://root@127.0.0.1:{free_port()}/authsvc", None, Path())


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    """A unit of work. It stands in no line of writers, since a test's other fixtures write while it is open."""
    with Session(engine.execution_options(write=True), expire_on_commit=False) as opened, opened.begin():
        yield opened


@pytest.fixture
def now() -> int:
    """The time, which stands still."""
    return NOW


@pytest.fixture
def environment() -> dict[str, str]:
    """Further settings, as environment variables."""
    return {}


@pytest.fixture
def settings(home: Path, database_url: str, environment: dict[str, str]) -> Settings:
    """Settings with the data directory and the database."""
    return settings_module.load({"AUTHSVC_HOME": str(home), "AUTHSVC_DATABASE__URL": database_url} | environment)


@pytest.fixture
def built(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    """Every long-lived object, with a signing key in the database. Here every change counts at once."""
    monkeypatch.setattr(standings, "CHECK_SECONDS", 0.0)
    made = services_module.build(settings)
    ca = keys.load_ca(settings.paths.ca_certificate, settings.paths.ca_key)
    with made.transaction() as opened:
        keys.add(opened, system("test"), ca, Sealer.from_file(settings.paths.master_key), NOW)
    yield made
    made.minutes.flush()
    made.engine.dispose()


@pytest.fixture(scope="session")
def made_once() -> list[Flask]:
    """The first application of this process."""
    return []


@pytest.fixture
def app(built: Services, made_once: list[Flask]) -> Flask:
    """The application; its rules and templates, which take a tenth of a second each, are compiled once."""
    if not made_once:
        made_once.append(create_app(built))
    made = copy.copy(made_once[0])
    made.config, made.view_functions = copy.copy(made.config), dict(made.view_functions)
    made.extensions = made.extensions | {"authsvc": built, "producer": Producer(lambda: built.settings)}
    made.secret_key = built.site_key
    return made


@pytest.fixture
def own_app(built: Services) -> Flask:
    """An application that a test may give further routes."""
    return create_app(built)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A client of the application."""
    return app.test_client()


@pytest.fixture
def root() -> Actor:
    """The system administrator."""
    return Actor("root", Credential.PASSWORD, Role.SYSTEM_ADMIN)


@pytest.fixture
def alice() -> Actor:
    """Project admin of `acme`."""
    return Actor("alice", Credential.PASSWORD, Role.USER, (factories.make_grant("acme", Role.PROJECT_ADMIN),))


@pytest.fixture
def bob() -> Actor:
    """Developer in `acme`."""
    return Actor("bob", Credential.PASSWORD, Role.USER, (factories.make_grant("acme", Role.DEVELOPER),))


@pytest.fixture
def charlie() -> Actor:
    """Somebody with an account and nothing else."""
    return Actor("charlie", Credential.PASSWORD, Role.USER)


@pytest.fixture
def cast(engine: Engine) -> None:
    """The cast and their projects, in the database."""
    with transaction(engine) as opened:
        factories.make_cast(opened)
