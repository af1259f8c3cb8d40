"""Where the parts meet."""

import tempfile
from pathlib import Path

import pytest

from authsvc.errors import Misconfigured
from authsvc.stack import places

from .conftest import MakeSettings


def test_what_web_counts_lies_with_the_sockets(make_settings: MakeSettings):
    settings = make_settings()
    assert places.metrics(settings) == settings.paths.run / "metrics"


def test_what_web_counts_in_a_container_lies_outside_the_read_only_data_directory(make_settings: MakeSettings):
    assert places.metrics(make_settings(WEB__ADDRESS="web:8000")).parent == Path(tempfile.gettempdir())


def test_two_web_instances_on_one_machine_count_apart(make_settings: MakeSettings):
    assert places.metrics(make_settings(WEB__BIND="127.0.0.1:8001")).name == "metrics-127.0.0.1-8001"


def test_blobs_pass_through_the_registry_where_nginx_may_not_read_them(make_home: MakeSettings):
    settings = make_home()
    settings.paths.registry.chmod(0o700)
    assert (places.blobs(settings) is None) is places.needs_mount(settings)


def test_nginx_that_cannot_read_blobs_and_must_is_a_mistake(make_settings: MakeSettings):
    with pytest.raises(Misconfigured, match=r"registry\.sendfile"):
        places.blobs(make_settings(REGISTRY__SENDFILE="true"))


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({"REGISTRY__SENDFILE": "false"}, None),
        ({"REGISTRY__URL": "http://127.0.0.1:5000"}, None),
        ({"WEB__ADDRESS": "web:8000", "REGISTRY__STORAGE": "/var/lib/registry"}, Path("/var/lib/registry")),
    ],
)
def test_where_nginx_finds_blobs(make_home: MakeSettings, environment: dict[str, str], found: Path | None):
    assert places.blobs(make_home(**environment)) == found
