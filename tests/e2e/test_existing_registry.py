"""A registry that people already run is pointed at authsvc: it keeps its images, and `doctor` says what is wrong."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.e2e import images, native, servers
from tests.e2e.clients import Skopeo
from tests.e2e.native import Native
from tests.e2e.servers import free_port, registry_config, run


@dataclass(frozen=True)
class Existing:
    """A registry with two images that it took before it had any auth."""

    config: Path
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def image(self, name: str) -> str:
        return f"docker://127.0.0.1:{self.port}/{name}"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Native]:
    site = native.new(tmp_path_factory.mktemp("beside"))
    with site.running():
        site.authsvc("project", "add", "team")
        yield site


@pytest.fixture
def existing(tmp_path: Path) -> Existing:
    found = Existing(tmp_path / "config.yml", free_port())
    found.config.write_text(registry_config(found.port, tmp_path / "storage"))
    with servers.registry(found.config, found.port):
        for name in ("team/app:1", "legacy:1"):
            Skopeo().copy(f"dir:{images.make(tmp_path / name.replace('/', '-'))}", found.image(name))
    return found


def _point(existing: Existing, installed: Native, *arguments: str) -> None:
    """What README says: append what is printed to the configuration as it is."""
    with existing.config.open("a") as config:
        config.write(installed.authsvc("registry-config", *arguments).stdout)


def _edit(existing: Existing, key: str, value: str) -> None:
    tree = yaml.safe_load(existing.config.read_text())
    tree["auth"]["token"][key] = value
    existing.config.write_text(yaml.safe_dump(tree))


def _admin(installed: Native) -> Skopeo:
    return Skopeo(f"admin:{(installed.home / 'secrets' / 'admin.password').read_text().strip()}")


def _findings(existing: Existing, installed: Native, *more: str, **environment: str) -> dict[str, tuple[str, str]]:
    command = [str(servers.ROOT / ".venv/bin/authsvc"), "doctor", "--json", "--registry", existing.url]
    answer = run(
        *more, *command, "--config", str(existing.config), env=installed.environment | environment, check=False
    )
    return {row["check"]: (row["state"], row["message"]) for row in json.loads(answer.stdout)}


@pytest.mark.parametrize("name", ["team/app:1", "legacy:1"])
def test_it_keeps_its_images(existing: Existing, installed: Native, tmp_path: Path, name: str) -> None:
    _point(existing, installed)
    with servers.registry(existing.config, existing.port):
        assert Skopeo()("inspect", existing.image(name), check=False).returncode != 0
        _admin(installed).copy(existing.image(name), f"dir:{tmp_path / 'back'}")


def test_the_doctor_is_content_with_notifications_and_all(existing: Existing, installed: Native) -> None:
    _point(existing, installed, "--notifications")
    with servers.registry(existing.config, existing.port):
        found = _findings(existing, installed)
    assert {check: state for check, (state, _) in found.items() if state != "ok"} == {}


def test_the_doctor_names_a_registry_without_auth(existing: Existing, installed: Native) -> None:
    with servers.registry(existing.config, existing.port):
        assert _findings(existing, installed)["auth"][0] == "wrong"


@pytest.mark.parametrize(
    ("key", "check"), [("issuer", "issuer"), ("service", "service"), ("realm", "realm"), ("rootcertbundle", "bundle")]
)
def test_the_doctor_names_what_differs(
    existing: Existing, installed: Native, tmp_path: Path, key: str, check: str
) -> None:
    _point(existing, installed)
    _edit(existing, key, {"realm": "http://127.0.0.1:1/token"}.get(key, "another"))
    if key == "rootcertbundle":
        _edit(existing, key, str(_another_ca(tmp_path)))
    with servers.registry(existing.config, existing.port):
        found = _findings(existing, installed)
    assert found[check][0] == "wrong"


def test_the_doctor_names_a_clock_difference_of_ten_minutes(existing: Existing, installed: Native) -> None:
    _point(existing, installed)
    with servers.registry(existing.config, existing.port):
        state, message = _findings(existing, installed, servers.need("faketime"), "-f", "+10m")["clock"]
    assert state == "wrong"
    assert "behind ours" in message


def test_the_doctor_names_deletion_that_is_off_and_a_cache(existing: Existing, installed: Native) -> None:
    tree = yaml.safe_load(existing.config.read_text())
    tree["storage"] |= {"delete": {"enabled": False}, "cache": {"blobdescriptor": "inmemory"}}
    existing.config.write_text(yaml.safe_dump(tree))
    _point(existing, installed)
    with servers.registry(existing.config, existing.port):
        found = _findings(existing, installed)
    assert (found["delete"][0], found["cache"][0]) == ("warn", "warn")


def test_notifications_arrive(existing: Existing, installed: Native, tmp_path: Path) -> None:
    _point(existing, installed, "--notifications")
    with servers.registry(existing.config, existing.port):
        _admin(installed).copy(f"dir:{images.make(tmp_path / 'new')}", existing.image("team/new:1"))
        servers.until(lambda: _findings(existing, installed)["notifications"][1] == "configured", "a notification")


def _another_ca(directory: Path) -> Path:
    made = directory / "another.pem"
    run(
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
        "-subj", "/CN=another", "-keyout", str(directory / "another.key"), "-out", str(made),
    )  # fmt: skip
    return made
