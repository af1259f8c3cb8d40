"""The check of providers, at npm's certified one; that of directories is in test_ldap_probe.py."""

import pytest

from authsvc.identity import oidc, uaa
from authsvc.identity.probes import list_sources, probe
from authsvc.settings import Settings
from tests.conftest import free_port
from tests.e2e.servers import standing_still
from tests.identity.servers import Authority
from tests.oidc_provider import CLIENT, SECRET
from tests.provider import SECRET as PROVIDER_SECRET
from tests.provider import running

CA, REACH = "set ca_certificate", "check the address"


@pytest.fixture
def configure(oidc_provider):
    """Settings with the provider as a UAA and for logins on the site, both called `sso`, with changes."""

    def configure(**changes: object) -> Settings:
        fields = {"issuer": oidc_provider.issuer, "client_id": CLIENT, "client_secret": SECRET}
        fields |= {"ca_certificate": oidc_provider.ca} | changes
        return Settings.model_validate({"uaa": {"sso": fields}, "oidc": {"sso": fields}})

    return configure


def failed(steps) -> tuple[list[bool], str, str, str]:
    """Which steps were well, and the last one: which it is, what it says, and how to mend it."""
    return [step.is_well for step in steps], steps[-1].step, steps[-1].message, steps[-1].mend


@pytest.mark.parametrize(
    ("kind", "names"), [("uaa", ["discovery", "our client"]), ("oidc", ["discovery", "keys", "our client"])]
)
def test_every_step_of_a_good_provider_is_well(configure, kind, names):
    steps = probe(configure(), kind, "sso")
    assert ([step.step for step in steps if step.is_well], {step.mend for step in steps}) == (names, {""})


def test_the_keys_that_can_be_used_are_counted(configure):
    assert probe(configure(), "oidc", "sso")[1].message == "keys that can be used: 1"


@pytest.mark.parametrize(("kind", "answer"), [("uaa", "unsupported_grant_type"), ("oidc", "invalid_request")])
def test_a_client_without_that_grant_is_known_nevertheless(configure, kind, answer):
    said = probe(configure(), kind, "sso")[-1].message
    assert said == f"client_id and client_secret are good (answer: {answer})"


def test_a_provider_that_knows_our_client_but_no_such_code_is_good():
    with running() as provider:
        fields = {"issuer": provider.url, "client_id": CLIENT, "client_secret": PROVIDER_SECRET}
        steps = probe(Settings.model_validate({"oidc": {"sso": fields}}), "oidc", "sso")
    assert [(step.is_well, step.message) for step in steps][-1] == (
        True,
        "client_id and client_secret are good (answer: invalid_grant)",
    )


@pytest.mark.parametrize("kind", ["uaa", "oidc"])
def test_a_wrong_client_secret_is_found(configure, kind):
    well, step, message, mend = failed(probe(configure(client_secret="wrong"), kind, "sso"))
    assert (well[:-1], step, "refuses our client" in message) == ([True] * len(well[:-1]), "our client", True)
    assert "check client_id and client_secret" in mend


@pytest.mark.parametrize("kind", ["uaa", "oidc"])
def test_a_certificate_of_another_ca_is_found(configure, tmp_path, kind):
    other = Authority(tmp_path, "other-ca").certificate
    well, step, message, mend = failed(probe(configure(ca_certificate=other), kind, "sso"))
    assert (well, step, "CERTIFICATE_VERIFY_FAILED" in message, CA in mend) == ([False], "discovery", True, True)


@pytest.mark.parametrize("kind", ["uaa", "oidc"])
def test_a_name_that_is_not_in_the_certificate_is_found(configure, oidc_provider, kind):
    settings = configure(issuer=oidc_provider.issuer.replace("127.0.0.1", "localhost"))
    assert failed(probe(settings, kind, "sso"))[3] == "write a name into issuer that stands in the server's certificate"


@pytest.mark.parametrize("kind", ["uaa", "oidc"])
def test_an_issuer_that_calls_itself_otherwise_is_found(configure, oidc_provider, kind):
    well, step, _, mend = failed(probe(configure(issuer=f"{oidc_provider.issuer}/"), kind, "sso"))
    assert (well, step, "letter by letter" in mend) == ([False], "discovery", True)


@pytest.mark.parametrize("kind", ["uaa", "oidc"])
def test_a_provider_that_is_not_there_is_found(configure, kind):
    _, step, _, mend = failed(probe(configure(issuer=f"https://127.0.0.1:{free_port()}"), kind, "sso"))
    assert (step, REACH in mend) == ("discovery", True)


@pytest.mark.parametrize(("kind", "module"), [("uaa", uaa), ("oidc", oidc)])
def test_a_provider_that_does_not_answer_is_found_in_time(configure, oidc_provider, monkeypatch, kind, module):
    monkeypatch.setattr(module, "CONNECT_SECONDS", 0.5)
    with standing_still(oidc_provider.process.pid):
        assert REACH in failed(probe(configure(), kind, "sso"))[3]


def test_endpoints_that_are_named_need_no_discovery(configure, oidc_provider):
    where = {"token_endpoint": f"{oidc_provider.issuer}/token", "userinfo_endpoint": f"{oidc_provider.issuer}/me"}
    settings = configure()
    of_sso = settings.uaa["sso"].model_dump() | {"issuer": ""} | where
    named = settings.model_copy(update={"uaa": {"sso": settings.uaa["sso"].model_validate(of_sso)}})
    assert [(one.step, one.is_well) for one in probe(named, "uaa", "sso")] == [("our client", True)]


def test_a_provider_without_keys_that_can_be_used_is_found():
    with running() as provider:
        provider.publish()
        fields = {"issuer": provider.url, "client_id": CLIENT, "client_secret": SECRET}
        well, step, message, _ = failed(probe(Settings.model_validate({"oidc": {"sso": fields}}), "oidc", "sso"))
    assert (well, step, "no key that can be used" in message) == ([True, False], "keys", True)


def test_every_source_but_the_accounts_that_are_kept_here_can_be_checked(configure):
    assert list_sources(configure()) == [("uaa", "sso"), ("oidc", "sso")]
