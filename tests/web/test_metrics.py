from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.factories import basic

NAMES = {
    "authsvc_token_requests",
    "authsvc_token_request_duration_seconds",
    "authsvc_refresh_tokens_issued",
    "authsvc_throttled",
    "authsvc_proof_cache_lookups",
    "authsvc_database_up",
    "authsvc_certificate_end_timestamp_seconds",
    "authsvc_robots_expiring",
}


@pytest.fixture
def database_url(sqlite_url) -> str:
    return sqlite_url


@pytest.fixture
def page(client, cast):
    """The page, as Prometheus reads it."""

    def read() -> dict:
        return {family.name: family for family in text_string_to_metric_families(client.get("/metrics").text)}

    return read


def test_every_metric_is_on_the_page(page):
    assert page().keys() >= NAMES


def test_the_format_is_the_one_of_prometheus(client):
    assert client.get("/metrics").content_type.startswith("text/plain; version=0.0.4")


def test_no_user_or_repository_is_named(client, cast):
    client.get("/service/token?scope=repository:acme/very-secret:pull", headers=basic("charlie"))
    client.get("/service/token?scope=repository:acme/very-secret:pull", headers=basic("charlie", "wrong"))
    text = client.get("/metrics").text
    assert ("charlie" in text, "very-secret" in text) == (False, False)


def test_the_page_is_shown_while_the_database_is_away(page, built, monkeypatch, no_database):
    object.__setattr__(built, "engine", no_database)
    assert page()["authsvc_database_up"].samples[0].value == 0


def test_readme_has_a_row_for_every_metric():
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    assert [name for name in NAMES if f"| `{name}" not in readme] == []
