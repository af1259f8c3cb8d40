"""A Docker engine and clients. Which installation they talk to, each test file says with its `site` fixture."""

import os
import secrets
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.behaviour import Site, person
from tests.e2e import images
from tests.e2e.clients import Buildah, Containerd, Docker, Podman
from tests.e2e.servers import need, process, run, until


@pytest.fixture(scope="session")
def engine() -> Iterator[None]:
    """A Docker engine: the one that runs, else one of our own for as long as the tests last."""
    need("docker")

    def is_up() -> bool:
        return subprocess.run(["docker", "version"], capture_output=True, check=False).returncode == 0

    if is_up():
        yield
        return
    with tempfile.TemporaryDirectory(prefix="docker") as name:
        log, state = Path(name) / "log", Path(name) / "run"
        # Its own files of state: one that was killed may have left process ids that are somebody else's by now.
        own = ["--pidfile", str(Path(name) / "pid"), "--exec-root", str(state)]
        with process(need("dockerd"), *own, log=log) as started:
            until(lambda: started.poll() is not None or is_up(), "the Docker engine's first answer")
            assert started.poll() is None, log.read_text()[-2000:]
            yield


@pytest.fixture
def docker(engine: None, tmp_path: Path) -> Iterator[Docker]:
    """Docker as somebody who has not logged in yet. What it made is forgotten afterwards."""
    before = set(run("docker", "images", "-q", "--no-trunc").stdout.split())
    yield Docker(tmp_path / "docker")
    made = set(run("docker", "images", "-q", "--no-trunc").stdout.split()) - before
    if made:
        run("docker", "rmi", "-f", *made)


@pytest.fixture
def podman() -> Iterator[Podman]:
    """podman as somebody who has not logged in yet."""
    with tempfile.TemporaryDirectory(prefix="podman") as directory:
        yield Podman(Path(directory))


@pytest.fixture
def buildah() -> Iterator[Buildah]:
    """buildah with nothing in it."""
    need("buildah")
    with tempfile.TemporaryDirectory(prefix="buildah") as directory:
        yield Buildah(Path(directory))


@pytest.fixture(scope="module")
def containerd() -> Iterator[Containerd]:
    """A containerd of our own. It has no use for the kubelet's door, which wants a network."""
    need("ctr")
    with tempfile.TemporaryDirectory(prefix="containerd") as name:
        directory = Path(name)
        made, log = Containerd(directory / "sock"), directory / "log"
        config = directory / "config.toml"
        config.write_text('version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n')
        command = ["--config", config, "--root", directory / "root", "--state", directory / "state"]
        with process(need("containerd"), *map(str, command), "--address", str(made.socket), log=log) as started:
            until(lambda: started.poll() is not None or made("version", check=False).returncode == 0, "containerd")
            assert started.poll() is None, log.read_text()[-2000:]
            yield made


@pytest.fixture(scope="module")
def acme_image(site: Site, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image in the private project."""
    return _pushed(site, tmp_path_factory.mktemp("acme"), "acme/fixture")


@pytest.fixture(scope="module")
def open_image(site: Site, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image in the public project."""
    return _pushed(site, tmp_path_factory.mktemp("open"), "open/fixture")


def _pushed(site: Site, directory: Path, repository: str) -> str:
    reference = f"{site.host}/{repository}:{secrets.token_hex(4)}"
    person("bob").copy(f"dir:{images.make(directory / 'image')}", f"docker://{reference}")
    return reference


os.environ.setdefault("DOCKER_CLI_HINTS", "false")
