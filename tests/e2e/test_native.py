"""The promises, kept by `make run`: SQLite, Debian's registry and nginx, no Docker beside the client."""

from collections.abc import Iterator

import pytest

from tests import behaviour
from tests.behaviour import Site
from tests.e2e import native


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    installed = native.new(tmp_path_factory.mktemp("native"))
    with installed.running():
        behaviour.cast(installed)
        yield installed


class TestDocker(behaviour.DockerPromises):
    pass


class TestOtherClients(behaviour.OtherClientPromises):
    pass


class TestService(behaviour.ServicePromises):
    pass
