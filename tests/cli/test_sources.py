"""`authsvc source check`, on a provider and with a directory that is not there; the rest is in test_ldap.py."""

import pytest

from tests.conftest import free_port
from tests.oidc_provider import CLIENT, SECRET


@pytest.fixture
def run(run, home, oidc_provider):
    """`authsvc` with a provider for both ways in."""
    lines = [f'issuer = "{oidc_provider.issuer}"', f'client_id = "{CLIENT}"', f'ca_certificate = "{oidc_provider.ca}"']
    with (home / "authsvc.toml").open("a") as file:
        file.write("\n".join(["", "[uaa.sso]", *lines, "[oidc.sso]", *lines, ""]))
    secrets = {"AUTHSVC_UAA__SSO__CLIENT_SECRET": SECRET, "AUTHSVC_OIDC__SSO__CLIENT_SECRET": SECRET}
    return lambda line, **environment: run(line, **secrets | environment)


def test_every_kind_of_source_is_checked_step_by_step(run, read):
    steps = read("source check")
    assert ([step["step"] for step in steps], {step["ok"] for step in steps}) == (
        ["discovery", "our client", "discovery", "keys", "our client"],
        {True},
    )


def test_a_step_that_fails_says_how_to_mend_it(run):
    done = run("source check sso", AUTHSVC_UAA__SSO__CLIENT_SECRET="wrong")
    assert (done.exit_code, "check client_id and client_secret" in done.stdout, "wrong" in done.output) == (
        1,
        True,
        False,
    )


def test_a_directory_is_checked_too(run):
    there = {"URLS": f"ldaps://127.0.0.1:{free_port()}", "BASE": "dc=example,dc=com"}
    done = run("source check corp", **{f"AUTHSVC_LDAP__CORP__{name}": value for name, value in there.items()})
    assert (done.exit_code, "check host and port in urls" in done.stdout) == (1, True)


def test_a_source_that_is_not_there_is_told(run):
    done = run("source check nothing")
    assert (done.exit_code, "one of sso" in done.stderr) == (2, True)
