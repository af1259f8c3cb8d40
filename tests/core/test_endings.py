import pytest
from prometheus_client import CollectorRegistry

from authsvc.core import robots
from authsvc.core.endings import Endings, read_end
from authsvc.core.robots import AddRobot, parse_permission
from authsvc.domain import certificates
from authsvc.stack import home as home_module
from tests.conftest import NOW

CERTIFICATE = "authsvc_certificate_end_timestamp_seconds"


@pytest.fixture
def read(built, settings):
    """A gauge's value, read by a new collector."""

    def read(name: str, engine=built.engine, **labels: str) -> float | None:
        registry = CollectorRegistry()
        registry.register(Endings(engine, settings, NOW))
        return registry.get_sample_value(name, labels)

    return read


def test_the_signing_key_ends_when_its_certificate_does(read):
    assert read(CERTIFICATE, certificate="signing_key") == NOW + certificates.LEAF_LIFETIME


def test_the_end_of_the_ca_is_read_from_its_file(read, settings):
    ends_at = read_end(settings.paths.ca_certificate)
    assert (read(CERTIFICATE, certificate="token_ca"), ends_at > NOW) == (ends_at, True)


def test_plain_http_has_no_certificate_for_tls(read):
    assert read(CERTIFICATE, certificate="tls") is None


class TestTls:
    @pytest.fixture
    def environment(self):
        return {"AUTHSVC_TLS__SELF_SIGNED": "true"}

    def test_the_end_of_the_certificate_of_nginx_is_shown(self, read, settings):
        home_module.make(settings, NOW)
        assert read(CERTIFICATE, certificate="tls") == NOW + certificates.TLS_LIFETIME

    def test_one_that_is_not_there_is_left_out(self, read):
        assert read(CERTIFICATE, certificate="tls") is None


@pytest.mark.parametrize("content", ["", "no certificate", None])
def test_a_file_that_cannot_be_read_has_no_end(tmp_path, content):
    path = tmp_path / "file"
    if content is not None:
        path.write_text(content)
    assert read_end(path) is None


@pytest.mark.parametrize(("days", "expected"), [(13, 1), (15, 0), (robots.FOREVER, 0)])
def test_robots_that_expire_within_the_warning_time_are_counted(read, built, cast, root, days, expected):
    with built.transaction() as session:
        permissions = (parse_permission("acme:repository:pull"),)
        robots.add(session, root, AddRobot(name="ci", project="acme", permissions=permissions, days=days), NOW)
    assert read("authsvc_robots_expiring") == expected


def test_a_database_that_answers_is_up(read):
    assert read("authsvc_database_up") == 1


def test_a_database_that_is_away_leaves_the_rest(read, no_database):
    found = [read(name, no_database) for name in ("authsvc_database_up", "authsvc_robots_expiring")]
    assert (found, read(CERTIFICATE, no_database, certificate="token_ca") is None) == ([0, None], False)
