"""People of a certified OAuth2 provider log in to docker with the password that they have there."""

import json
from collections.abc import Iterator

import pytest

from authsvc.domain.permissions import Role
from tests.e2e import native
from tests.e2e.clients import Docker
from tests.e2e.native import Native
from tests.e2e.protocol import ask, by_table, granted, is_refused
from tests.e2e.servers import standing_still
from tests.factories import PASSWORD
from tests.oidc_provider import CLIENT, SECRET, OidcProvider

SCOPE = "repository:acme/web:pull,push"
LOCAL = ("charlie", "a-local-password")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, oidc_provider: OidcProvider) -> Iterator[Native]:
    """charlie has a local account; the provider's group acme develops in the project acme, admins administer."""
    installed = native.new(tmp_path_factory.mktemp("uaa"))
    installed.home.mkdir()
    (installed.home / "authsvc.toml").write_text(f"""\
[uaa.cf]
issuer = "{oidc_provider.issuer}"
client_id = "{CLIENT}"
client_secret = "{SECRET}"
ca_certificate = "{oidc_provider.ca}"
admin_groups = ["admins"]
""")
    with installed.running():
        installed.authsvc("user", "add", LOCAL[0], "--password-stdin", stdin=LOCAL[1])
        installed.authsvc("project", "add", "acme")
        installed.authsvc("group", "add", "acme", "--source", "cf", "--key", "acme")
        installed.authsvc("member", "set", "acme", "acme", "developer", "--group")
        yield installed


def test_a_person_logs_in_to_docker_pushes_and_pulls(site: Native, docker: Docker) -> None:
    reference = f"{site.host}/acme/web:uaa"
    assert "Login Succeeded" in docker.login(site.host, "bob", PASSWORD).stdout
    docker.image(reference)
    docker("push", reference)
    docker("rmi", "-f", reference)
    docker("pull", reference)


def test_a_person_has_the_role_of_their_group(site: Native) -> None:
    answer = ask(site, SCOPE, ("bob", PASSWORD))
    assert granted(site, answer, to="bob") == by_table("acme/web", "pull,push", Role.DEVELOPER)


def test_an_alias_gets_the_account_of_the_name(site: Native) -> None:
    answer = ask(site, SCOPE, ("bob@example.com", PASSWORD))
    assert granted(site, answer, to="bob") == by_table("acme/web", "pull,push", Role.DEVELOPER)


def test_a_group_makes_administrators(site: Native) -> None:
    answer = ask(site, SCOPE, ("root", PASSWORD))
    assert granted(site, answer, to="root") == {"acme/web": ["pull", "push"]}


def test_the_account_says_where_it_comes_from(site: Native) -> None:
    ask(site, SCOPE, ("root", PASSWORD))
    (root,) = [one for one in json.loads(site.authsvc("user", "list", "--json").stdout) if one["name"] == "root"]
    assert (root["source"], root["email"]) == ("cf", "root@example.com")


@pytest.mark.parametrize("who", [("bob", "wrong"), ("nobody", PASSWORD), ("charlie", PASSWORD)])
def test_a_wrong_name_or_password_is_refused(site: Native, who: tuple[str, str]) -> None:
    assert is_refused(ask(site, SCOPE, who))


def test_a_local_user_logs_in_beside(site: Native) -> None:
    assert granted(site, ask(site, SCOPE, LOCAL), to="charlie") == {}


def test_while_the_provider_stands_still_its_people_are_told_so_and_others_log_in(
    site: Native, oidc_provider: OidcProvider
) -> None:
    ask(site, SCOPE, ("bob", PASSWORD))
    with standing_still(oidc_provider.process.pid):
        told, local = ask(site, SCOPE, ("bob", "not-remembered")), ask(site, SCOPE, LOCAL)
    assert (told.status_code, "cf does not answer" in told.json()["errors"][0]["message"]) == (503, True)
    assert granted(site, local, to="charlie") == {}
