"""The directories, started once for each process of the tests, and their settings as README has them."""

import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from authsvc.identity.ldap import LdapBackend
from authsvc.settings import LdapSettings
from tests.factories import PASSWORD
from tests.identity import seed_slapd, servers
from tests.identity.servers import Authority, Certificate, Samba, Slapd
from tests.issuer import Issuer, running

README = Path(__file__).parents[2] / "README.md"

Configure = Callable[..., LdapSettings]


def example(source: str) -> dict[str, object]:
    """The settings of that directory in README."""
    block = next(part for part in README.read_text(encoding="utf-8").split("```") if f"[ldap.{source}]" in part)
    return tomllib.loads(block.removeprefix("toml\n"))["ldap"][source]


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The CA of the OpenLDAP servers."""
    return Authority(tmp_path_factory.mktemp("ca"), "example-ca")


@pytest.fixture(scope="session")
def certificate(authority: Authority) -> Certificate:
    """A certificate for ldap.example.com and 127.0.0.1."""
    return authority.issue("ldap.example.com")


@pytest.fixture(scope="session")
def directory(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority, certificate: Certificate
) -> Iterator[Slapd]:
    """An OpenLDAP server that lives as long as the tests."""
    folder = tmp_path_factory.mktemp("slapd")
    with servers.Seeded(folder, authority, certificate, seed_slapd.ldif()).running() as started:
        yield started


@pytest.fixture
def mortal(tmp_path: Path, authority: Authority, certificate: Certificate) -> Iterator[Slapd]:
    """One of the test's own, to be stopped and killed."""
    with servers.Seeded(tmp_path / "slapd", authority, certificate, seed_slapd.ldif()).running() as started:
        yield started


@pytest.fixture
def configure(directory: Slapd, authority: Authority) -> Configure:
    """README's settings for OpenLDAP, with this server's address, and changes."""

    def configure(**changes: object) -> LdapSettings:
        given = example("corp") | {
            "urls": (directory.tls_url,),
            "ca_certificate": authority.certificate,
            "bind_password": servers.SERVICE_PASSWORD,
        }
        return LdapSettings.model_validate(given | changes)

    return configure


@pytest.fixture
def plain(configure: Configure, directory: Slapd) -> Configure:
    """The same without TLS."""
    return lambda **changes: configure(**{"urls": (directory.url,), "ca_certificate": None} | changes)


@pytest.fixture
def make() -> Iterator[Callable[[LdapSettings], LdapBackend]]:
    """Make a backend, whose connections are closed after the test."""
    made = []

    def make(settings: LdapSettings) -> LdapBackend:
        made.append(LdapBackend("corp", settings))
        return made[-1]

    yield make
    for backend in made:
        backend.close()


@pytest.fixture(scope="session")
def domain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Samba]:
    """An Active Directory domain."""
    with servers.samba(tmp_path_factory.mktemp("samba")) as started:
        yield started


@pytest.fixture
def configure_domain(domain: Samba) -> Configure:
    """README's settings for Active Directory, with this server's address, and changes."""

    def configure(**changes: object) -> LdapSettings:
        given = example("ad") | {"urls": (domain.url,), "ca_certificate": domain.ca, "bind_password": PASSWORD}
        return LdapSettings.model_validate(given | changes)

    return configure


class Clock:
    """Seconds that go forward when a test says so."""

    def __init__(self) -> None:
        self.at = 1_000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """An issuer of identity tokens."""
    with running() as started:
        yield started


@pytest.fixture
def clock() -> Clock:
    """A clock that stands."""
    return Clock()
