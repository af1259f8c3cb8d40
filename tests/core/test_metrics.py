import importlib.util
import os
import subprocess
import sys

import pytest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from authsvc.core import metrics
from authsvc.core.login import Credentials
from authsvc.core.metrics import Outcome
from authsvc.domain.permissions import Credential
from tests.conftest import NOW
from tests.factories import ORIGIN, PASSWORD

BOUNDED = {"outcome", "kind", "source", "result"}


class Whole(Collector):
    def collect(self):
        yield GaugeMetricFamily("whole", "What is true for the installation.", value=7)


def sample(text: str, name: str) -> float:
    families = text_string_to_metric_families(text)
    return sum(found.value for family in families for found in family.samples if found.name == name)


def families() -> list:
    return list(metrics.REGISTRY.collect())


@pytest.fixture
def database_url(sqlite_url) -> str:
    return sqlite_url


@pytest.fixture
def proofs(built, cast):
    """Log in as bob, and say how many hits and misses there have been since the test began."""

    def lookups() -> tuple[float, ...]:
        name = "authsvc_proof_cache_lookups_total"
        return tuple(metrics.REGISTRY.get_sample_value(name, {"result": result}) for result in ("hit", "miss"))

    def log_in(password: str = PASSWORD) -> tuple[float, ...]:
        built.tokens.check(Credentials("bob", password), ORIGIN, NOW)
        return tuple(now - before for now, before in zip(lookups(), began, strict=True))

    began = lookups()
    return log_in


def test_every_metric_has_our_prefix_and_a_help_text():
    assert [
        family.name
        for family in families()
        if not family.name.startswith("authsvc_") or not family.documentation.endswith(".")
    ] == []


def test_no_label_names_a_user_or_a_repository():
    names = {label for family in families() for found in family.samples for label in found.labels}
    assert names - {"le"} <= BOUNDED


def test_a_request_is_counted_and_timed():
    labels = {"outcome": "failed"}
    before = metrics.REGISTRY.get_sample_value("authsvc_token_request_duration_seconds_count", labels) or 0
    metrics.count_token(Outcome.FAILED, Credential.ROBOT, "", 0.02)
    assert metrics.REGISTRY.get_sample_value("authsvc_token_request_duration_seconds_count", labels) == before + 1


def test_a_password_proved_a_moment_ago_is_a_hit(proofs):
    assert (proofs(), proofs()) == ((0, 1), (1, 1))


def test_the_module_can_be_imported_twice():
    spec = importlib.util.spec_from_file_location("metrics_again", metrics.__file__)
    again = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(again)
    assert {family.name for family in again.REGISTRY.collect()} == {family.name for family in families()}


def test_the_page_shows_counts_and_what_is_true_for_the_whole():
    page = metrics.page(Whole()).decode()
    assert ("authsvc_throttled_total" in page, sample(page, "whole")) == (True, 7)


@pytest.fixture
def run_apart(tmp_path):
    """Run a line of Python in a process of its own, which shares the directory of metrics; returns what it printed."""

    def run(line: str) -> str:
        code = f"from tests.core.test_metrics import *\n{line}"
        environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
        return subprocess.run(
            [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
        ).stdout

    return run


def test_processes_are_added_up(run_apart):
    for _ in range(3):
        run_apart("metrics.THROTTLED.inc(2)")
    assert sample(run_apart("print(metrics.page(Whole()).decode())"), "authsvc_throttled_total") == 6


def test_what_is_true_for_the_whole_is_not_multiplied(run_apart):
    run_apart("metrics.page(Whole())")
    assert sample(run_apart("print(metrics.page(Whole()).decode())"), "whole") == 7
