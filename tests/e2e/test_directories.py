"""`docker login` with the password of a directory: OpenLDAP and Active Directory side by side, as README has them."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from authsvc.domain.permissions import Role
from tests.e2e import native
from tests.e2e.clients import Docker
from tests.e2e.native import Hasty, Native
from tests.e2e.protocol import ask, by_table, granted, is_refused
from tests.factories import PASSWORD
from tests.identity import seed_slapd, servers
from tests.identity.conftest import README
from tests.identity.servers import Authority, Samba, Seeded, Slapd

SCOPE = "repository:acme/web:pull,push"
BOB, ALICE = ("bob", PASSWORD), ("EXAMPLE\\alice", PASSWORD)


@dataclass(frozen=True)
class Company:
    """An installation with an OpenLDAP server and a domain controller."""

    site: Native
    corp: Slapd


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    authority = Authority(tmp_path_factory.mktemp("ca"), "example-ca")
    seeded = Seeded(tmp_path_factory.mktemp("slapd"), authority, authority.issue("ldap.example.com"), seed_slapd.ldif())
    with ExitStack() as stack:
        corp = stack.enter_context(seeded.running())
        ad = stack.enter_context(servers.samba(tmp_path_factory.mktemp("samba")))
        installed = native.new(tmp_path_factory.mktemp("company"))
        _configure(installed.home, corp, authority, ad)
        stack.enter_context(installed.running())
        _roles(Hasty(installed.home, installed.port))
        yield Company(installed, corp)


def _configure(home: Path, corp: Slapd, authority: Authority, ad: Samba) -> None:
    """README's two examples in `authsvc.toml`, with these servers' addresses and secrets."""
    home.mkdir(parents=True)
    (home / "corp.password").write_text(f"{servers.SERVICE_PASSWORD}\n")
    (home / "ad.password").write_text(f"{PASSWORD}\n")
    lines = [*_example("corp", corp.tls_url, authority.certificate, home), *_example("ad", ad.url, ad.ca, home)]
    (home / "authsvc.toml").write_text("\n".join(lines))


def _example(name: str, url: str, ca: Path, home: Path) -> Iterator[str]:
    block = next(part for part in README.read_text().split("```") if f"toml\n[ldap.{name}]" in part)
    kept = [line for line in block.splitlines()[1:] if not line.startswith(("urls", "ca_certificate"))]
    yield from [*kept, f'urls = ["{url}"]', f'ca_certificate = "{ca}"']
    yield f'bind_password_file = "{home / name}.password"'


def _roles(site: Native) -> None:
    """developer for one group of each directory; bob is in it three levels down, alice directly."""
    site.authsvc("project", "add", "acme")
    site.authsvc("group", "add", "board", "--source", "corp", "--key", "cn=board,ou=groups,dc=example,dc=com")
    site.authsvc("group", "add", "mates", "--source", "ad", "--key", "cn=mates,ou=staff,dc=example,dc=com")
    for group in ("board", "mates"):
        site.authsvc("member", "set", "acme", group, "developer", "--group")


@pytest.mark.parametrize("who", [BOB, ALICE], ids=["OpenLDAP", "Active Directory"])
def test_people_push_and_pull_with_what_their_groups_may(
    company: Company, docker: Docker, who: tuple[str, str]
) -> None:
    reference = f"{company.site.host}/acme/web:{who[0][-3:]}"
    assert "Login Succeeded" in docker.login(company.site.host, *who).stdout
    docker.image(reference)
    docker("push", reference)
    docker("rmi", "-f", reference)
    docker("pull", reference)


@pytest.mark.parametrize(("who", "name"), [(BOB, "bob"), (("BOB", PASSWORD), "bob"), (ALICE, "alice")])
def test_a_token_has_the_one_name_whatever_was_typed(company: Company, who: tuple[str, str], name: str) -> None:
    allowed = by_table("acme/web", "pull,push", Role.DEVELOPER)
    assert granted(company.site, ask(company.site, SCOPE, who), to=name) == allowed


@pytest.mark.parametrize("name", ["bob", "EXAMPLE\\alice", "nobody"])
def test_docker_says_that_the_password_is_wrong(company: Company, docker: Docker, name: str) -> None:
    refused = docker.login(company.site.host, name, "not-the-password", check=False)
    assert "unauthorized: wrong user name or password" in refused.stderr


@pytest.mark.parametrize("name", ["EXAMPLE\\disabled", "EXAMPLE\\expired"])
def test_who_may_not_log_in_to_the_domain_may_not_here(company: Company, name: str) -> None:
    assert is_refused(ask(company.site, SCOPE, (name, PASSWORD)))


def test_a_directory_that_is_frozen_keeps_only_its_strangers_out(company: Company) -> None:
    admin = "admin", (company.site.home / "secrets" / "admin.password").read_text().strip()
    ask(company.site, SCOPE, BOB)
    with company.corp.frozen():
        known, local = (ask(company.site, SCOPE, who) for who in (BOB, admin))
        stranger = ask(company.site, SCOPE, ("charlie", PASSWORD))
    assert (known.status_code, local.status_code) == (200, 200)
    assert (stranger.status_code, stranger.json()["errors"][0]["message"]) == (
        503,
        "the directory corp does not answer; try again in a moment",
    )


def test_explain_says_through_which_group(company: Company) -> None:
    ask(company.site, SCOPE, BOB)
    answer = json.loads(company.site.authsvc("explain", "bob", "push", "acme/web", "--json").stdout)
    assert (answer["allowed"], "through group board" in answer["reason"]) == (True, True)
