"""Where the parts meet."""

import tempfile
from pathlib import Path

from authsvc.stack import places

from .conftest import MakeSettings


def test_what_web_counts_lies_with_the_sockets(make_settings: MakeSettings):
    settings = make_settings()
    assert places.metrics(settings) == settings.paths.run / "metrics"


def test_what_web_counts_in_a_container_lies_outside_the_read_only_data_directory(make_settings: MakeSettings):
    assert places.metrics(make_settings(WEB__ADDRESS="web:8000")).parent == Path(tempfile.gettempdir())
