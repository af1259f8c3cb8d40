"""What the doctor says of certificates before it asks the registry."""

import pytest

from authsvc import settings as settings_module
from authsvc.core import keys
from authsvc.core.endings import read_end
from authsvc.domain.certificates import DAY
from authsvc.registry.client import RegistryClient
from authsvc.stack import doctor
from authsvc.stack import home as home_module
from authsvc.stack.doctor import examine
from tests.conftest import free_port


@pytest.fixture
def database_url(sqlite_url) -> str:
    return sqlite_url


@pytest.fixture
def environment() -> dict[str, str]:
    return {"AUTHSVC_TLS__SELF_SIGNED": "true"}


@pytest.fixture(autouse=True)
def certificate(settings, now):
    home_module.make(settings, now)


@pytest.fixture
def states(built):
    """The state of each check at a time, and what was said of each."""

    def ask(now: int) -> dict[str, tuple[str, str]]:
        client = RegistryClient(f"http://127.0.0.1:{free_port()}")
        found = examine(built, client, None, now, is_ours=False)
        return {finding.check: (finding.state.value, finding.message) for finding in found}

    return ask


@pytest.fixture
def ends(built, settings):
    """When each certificate ends."""
    with built.reading() as session:
        key = keys.get_newest(session).ends_at
    return {
        "signing key": key,
        "token CA": read_end(settings.paths.ca_certificate),
        "TLS certificate": read_end(settings.tls_certificate),
    }


@pytest.mark.parametrize("check", ["signing key", "token CA", "TLS certificate"])
@pytest.mark.parametrize(("left", "state"), [(15 * DAY, "ok"), (13 * DAY, "warn"), (1, "warn"), (0, "wrong")])
def test_the_end_of_a_certificate_is_told_before_it_comes(states, ends, check, left, state):
    assert states(ends[check] - left)[check][0] == state


def test_a_certificate_that_is_not_here_is_not_judged(states, settings, now):
    settings.tls_certificate.unlink()
    assert states(now)["TLS certificate"][0] == "unknown"


def test_a_file_that_is_no_certificate_is_wrong(states, settings, now):
    settings.tls_certificate.chmod(0o600)
    settings.tls_certificate.write_text("no certificate")
    assert states(now)["TLS certificate"][0] == "wrong"


class TestPlainHttp:
    @pytest.fixture
    def environment(self) -> dict[str, str]:
        return {}

    def test_has_no_certificate_to_look_at(self, states, now):
        assert "TLS certificate" not in states(now)


class TestOwnCertificate:
    @pytest.fixture
    def environment(self, tmp_path) -> dict[str, str]:
        own = tmp_path / "own"
        home_module.make(settings_module.load({"AUTHSVC_HOME": str(own), "AUTHSVC_TLS__SELF_SIGNED": "true"}), 0)
        return {"AUTHSVC_TLS__CERTIFICATE": f"{own}/tls/server.crt", "AUTHSVC_TLS__KEY": f"{own}/tls/server.key"}

    def test_is_looked_at_where_the_settings_say(self, states, now):
        assert (states(now)["TLS certificate"][0], "own" in states(now)["TLS certificate"][1]) == ("wrong", True)


@pytest.mark.parametrize(("sendfile", "state"), [("", "ok"), ("false", "warn")])
def test_whether_nginx_sends_blobs_is_told(settings, sendfile, state):
    chosen = {"AUTHSVC_REGISTRY__SENDFILE": sendfile} if sendfile else {}
    finding = doctor._pulls(settings_module.load({"AUTHSVC_HOME": str(settings.home), **chosen}))
    assert (finding.check, finding.state.value) == ("pulls", state)
