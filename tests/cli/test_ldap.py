"""`authsvc ldap`, on an OpenLDAP server with README's settings."""

import json

import pytest

from tests.conftest import free_port
from tests.factories import PASSWORD
from tests.identity import servers
from tests.identity.conftest import authority, certificate, directory, example  # noqa: F401 (fixtures)
from tests.identity.seed_slapd import PEOPLE


@pytest.fixture
def run(run, home, directory, authority):  # noqa: F811 (the fixtures)
    """`authsvc` with README's example in its settings."""
    given = example("corp") | {"urls": [directory.tls_url], "ca_certificate": str(authority.certificate)}
    lines = [f"{name} = {json.dumps(value)}" for name, value in given.items()]
    with (home / "authsvc.toml").open("a") as file:
        file.write("\n".join(["", "[ldap.corp]", *lines, ""]))
    password = {"AUTHSVC_LDAP__CORP__BIND_PASSWORD": servers.SERVICE_PASSWORD}
    return lambda line, **environment: run(line, **password | environment)


def test_a_directory_that_is_well_is_told_step_by_step(run, read):
    steps = read("ldap check")
    assert ([step["ok"] for step in steps], steps[2]["result"]) == ([True] * 7, "certificate and host name are good")


def test_check_ends_well(run):
    done = run("ldap check")
    assert (done.exit_code, done.stdout.split()[:3]) == (0, ["SOURCE", "SERVER", "STEP"])


def test_without_directories_there_is_nothing_to_check(home, run):
    (home / "authsvc.toml").write_text("")
    done = run("ldap check", AUTHSVC_LDAP__CORP__BIND_PASSWORD=None)
    assert (done.exit_code, done.stdout) == (0, "there is no directory in the settings\n")


def test_check_says_how_to_mend_what_fails(run):
    done = run("ldap check", AUTHSVC_LDAP__CORP__URLS=f"ldaps://127.0.0.1:{free_port()}")
    assert (done.exit_code, "check host and port in urls" in done.stdout) == (1, True)


@pytest.mark.parametrize("command", ["check other", "user bob --source other"])
def test_a_directory_that_is_not_there_is_told(run, command):
    done = run(f"ldap {command}")
    assert (done.exit_code, "one of corp" in done.stderr) == (2, True)


def test_a_person_is_shown(run, read):
    (bob,) = read("ldap user bob@example.com")
    shown = [bob[fact] for fact in ("dn", "name", "email", "administrator", "may_log_in")]
    assert shown == [f"uid=bob,{PEOPLE}", "bob", "bob@example.com", False, True]


def test_groups_are_shown_with_the_way_they_were_found(run, read):
    groups = {group["group"]: group["found_by"] for group in read("ldap user bob")[0]["groups"]}
    assert (groups["devs"], groups["leads"], groups["posix"]) == ("dn=member", "dn=member, 1 deep", "uid=memberUid")


def test_the_roles_that_follow_are_shown(run, read):
    run("group add developers --source corp --key cn=devs,ou=groups,dc=example,dc=com")
    run("member set acme --group developers developer")
    roles = {group["group"]: group["roles"] for group in read("ldap user bob")[0]["groups"]}
    assert (roles["devs"], roles["leads"]) == ("developer in acme", "")


def test_a_person_of_a_directory_is_imported_with_their_groups(run, read):
    assert run("user import corp jörg").exit_code == 0
    assert [row["source"] for row in read("user list") if row["name"] == "jörg"] == ["corp"]


def test_without_a_service_account_a_directory_cannot_be_asked_about_its_people(home, run):
    settings = (
        (home / "authsvc.toml")
        .read_text()
        .replace("bind_dn = ", "bind_template = ")
        .replace("cn=authsvc", "uid={name}")
    )
    (home / "authsvc.toml").write_text(settings)
    done = run("user import corp bob", AUTHSVC_LDAP__CORP__BIND_PASSWORD=None)
    assert (done.exit_code, "none is configured" in done.stderr) == (2, True)


def test_an_administrator_is_shown_as_one(run, read):
    assert read("ldap user alice --source corp")[0]["administrator"]


def test_a_person_is_shown_as_a_table(run):
    shown = run("ldap user bob").stdout
    assert [word in shown for word in ("WHAT", "may log in", "GROUP", "dn=member, 1 deep")] == [True] * 4


def test_who_is_locked_is_shown_as_such(run, read):
    assert not read("ldap user locked")[0]["may_log_in"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("nobody", "no directory has nobody"), ("twin", "several entries of corp are called twin")],
)
def test_who_cannot_be_shown_is_a_sentence(run, name, sentence):
    done = run(f"ldap user {name}")
    assert (done.exit_code, sentence in done.stderr) == (1, True)


def test_a_directory_that_is_down_is_a_sentence(run):
    done = run("ldap user bob", AUTHSVC_LDAP__CORP__URLS=f"ldaps://127.0.0.1:{free_port()}")
    assert (done.exit_code, "the directory corp does not answer" in done.stderr) == (1, True)


@pytest.mark.parametrize("command", ["ldap check", "ldap check --json", "ldap user bob", "ldap user bob --json"])
def test_no_secret_is_shown(run, command):
    done = run(command)
    assert (servers.SERVICE_PASSWORD in done.output, PASSWORD in done.output) == (False, False)
