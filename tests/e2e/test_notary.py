"""Notary's own server and client with our tokens: a second service, with rights of its own."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import httpx
import pytest

from authsvc.domain.permissions import Audience, Role
from tests import behaviour
from tests.behaviour import PASSWORDS
from tests.e2e import native, servers
from tests.e2e.clients import Notary
from tests.e2e.native import Hasty, Native
from tests.e2e.protocol import ask, by_table, granted, password, pull

DENIED = "you are not authorized to perform this operation"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Native]:
    """The names of signed images begin with the registry's address, or with a name that it once had."""
    installed = native.new(tmp_path_factory.mktemp("notary"))
    hosts = f"{installed.host},old.example:5000"
    services = {"AUTHSVC_SERVICES__NOTARY__KIND": "notary", "AUTHSVC_SERVICES__NOTARY__HOSTS": hosts}
    with installed.running(**services):
        behaviour.cast(Hasty(installed.home, installed.port))
        yield installed


@dataclass(frozen=True)
class Server:
    """A notary-server that knows of us what a registry knows: realm, service, issuer and the CA's certificate."""

    url: str
    site: Native
    directory: Path

    def person(self, name: str, *, like: Notary | None = None) -> Notary:
        """One of the cast with an empty trust directory, or with a copy of another one's keys and trust data."""
        directory = self.directory / f"{name}-{len(list(self.directory.iterdir()))}"
        if like:
            shutil.copytree(like.directory, directory)
        directory.mkdir(exist_ok=True)
        return Notary(self.url, directory, f"{name}:{PASSWORDS[name]}" if name else "")

    def name(self, repository: str) -> str:
        return f"{self.site.host}/acme/{repository}"


@pytest.fixture(scope="module")
def notary(site: Native, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    servers.need("notary")
    directory, port = tmp_path_factory.mktemp("notary-server"), servers.free_port()
    token = {
        "realm": f"http://{site.host}/service/token",
        "service": "notary",
        "issuer": "authsvc",
        "rootcertbundle": str(site.home / "ca" / "ca.crt"),
    }
    config, log, url = directory / "server.json", directory / "log", f"http://127.0.0.1:{port}"
    tree = {
        "server": {"http_addr": f"127.0.0.1:{port}"},
        "trust_service": {"type": "local"},
        "storage": {"backend": "memory"},
        "auth": {"type": "token", "options": token},
        "logging": {"level": "info"},
    }
    config.write_text(json.dumps(tree))
    with servers.process(servers.need("notary-server"), f"-config={config}", log=log) as started:
        health = f"{url}/_notary_server/health"
        servers.until(lambda: started.poll() is not None or servers.answers(health), "notary-server's first answer")
        assert started.poll() is None, log.read_text()
        yield Server(url, site, tmp_path_factory.mktemp("people"))


def _publish(bob: Notary, name: str, tag: str = "v1") -> None:
    bob("init", name)
    bob("add", name, tag, str(servers.ROOT / "README.md"))
    bob("publish", name)


def _failed(done: CompletedProcess[str], sentence: str = DENIED) -> bool:
    return done.returncode != 0 and sentence in done.stdout + done.stderr


def test_a_developer_signs_and_a_guest_reads(notary: Server) -> None:
    name = notary.name("signed")
    _publish(notary.person("bob"), name)
    assert "v1" in notary.person("charlie")("list", name).stdout
    notary.person("charlie")("lookup", name, "v1")


def test_a_guest_cannot_begin_to_sign(notary: Server) -> None:
    assert _failed(notary.person("charlie")("init", notary.name("guests"), check=False))


def test_a_guest_cannot_publish_even_with_a_developers_keys(notary: Server) -> None:
    name, bob = notary.name("stolen"), notary.person("bob")
    _publish(bob, name)
    charlie = notary.person("charlie", like=bob)
    charlie("add", name, "v2", str(servers.ROOT / "Makefile"))
    assert _failed(charlie("publish", name, check=False))
    assert "v2" not in notary.person("bob")("list", name).stdout


@pytest.mark.parametrize("who", ["stranger", ""], ids=["a stranger", "nobody"])
def test_neither_a_stranger_nor_nobody_reads(notary: Server, who: str) -> None:
    name = notary.name(f"private-{who or 'nobody'}")
    _publish(notary.person("bob"), name)
    assert _failed(notary.person(who)("list", name, check=False))


def test_anybody_reads_the_signatures_of_a_public_project(notary: Server, site: Native) -> None:
    name = f"{site.host}/open/signed"
    _publish(notary.person("bob"), name)
    assert "v1" in notary.person("")("list", name).stdout


def test_a_wrong_password_is_named_as_such(notary: Server) -> None:
    wrong = Notary(notary.url, notary.person("bob").directory, "bob:not-the-password")
    assert _failed(wrong("init", notary.name("wrong"), check=False), "wrong user name or password")


def test_a_maintainer_deletes_signatures(notary: Server) -> None:
    name = notary.name("deleted")
    _publish(notary.person("bob"), name)
    notary.person("alice")("delete", name, "--remote")
    assert _failed(notary.person("bob")("list", name, check=False), "does not have trust data")


def test_a_developer_does_not_delete_signatures(notary: Server) -> None:
    name, bob = notary.name("kept"), notary.person("bob")
    _publish(bob, name)
    assert _failed(notary.person("bob")("delete", name, "--remote", check=False))
    assert "v1" in notary.person("bob")("list", name).stdout


@pytest.mark.parametrize(
    ("who", "role"), [("alice", Role.MAINTAINER), ("bob", Role.DEVELOPER), ("charlie", Role.GUEST)]
)
@pytest.mark.parametrize("asked", ["pull", "push,pull", "*"])
def test_a_token_for_notary_says_what_the_rights_table_says(site: Native, who: str, role: Role, asked: str) -> None:
    name = f"{site.host}/acme/web"
    answer = ask(site, f"repository:{name}:{asked}", password(who), service="notary")
    assert granted(site, answer, to=who, service="notary") == by_table(name, asked, role, Audience.NOTARY)


@pytest.mark.parametrize("host", ["old.example:5000", "{site}", ""])
def test_a_name_may_begin_with_any_host_that_is_ours(site: Native, host: str) -> None:
    name = f"{host.format(site=site.host)}/acme/web".removeprefix("/")
    answer = ask(site, f"repository:{name}:push,pull", password("bob"), service="notary")
    assert granted(site, answer, to="bob", service="notary") == {name: ["pull", "push"]}


@pytest.mark.parametrize("host", ["other.example:5000", "old.example", "old.example:5000/old.example:5000"])
def test_a_name_under_another_host_is_nobodys(site: Native, host: str) -> None:
    answer = ask(site, f"repository:{host}/acme/web:push,pull", password("bob"), service="notary")
    assert granted(site, answer, to="bob", service="notary") == {}


def test_a_name_with_a_host_is_no_repository_of_the_registry(site: Native) -> None:
    answer = ask(site, f"repository:{site.host}/acme/web:push,pull", password("bob"))
    assert granted(site, answer, to="bob") == {}


def test_the_catalog_is_not_given_to_notary(site: Native) -> None:
    admin = "admin", (site.home / "secrets" / "admin.password").read_text().strip()
    answer = ask(site, "registry:catalog:*", admin, service="notary")
    assert granted(site, answer, to="admin", service="notary") == {}


def test_a_service_that_is_not_on_the_list_is_refused(site: Native) -> None:
    assert ask(site, who=password("bob"), service="another").status_code == 400


@pytest.mark.parametrize(("service", "at_registry", "at_notary"), [("authsvc", 404, 401), ("notary", 401, 404)])
def test_each_service_refuses_the_tokens_of_the_other(
    site: Native, notary: Server, service: str, at_registry: int, at_notary: int
) -> None:
    """404: accepted, and there is nothing of that name."""
    answer = ask(site, "repository:acme/nothing:pull", password("bob"), service=service)
    assert granted(site, answer, to="bob", service=service) == by_table("acme/nothing", "pull", Role.DEVELOPER)
    token = answer.json()["token"]
    headers = {"Authorization": f"Bearer {token}"}
    trust = httpx.get(f"{notary.url}/v2/acme/nothing/_trust/tuf/root.json", headers=headers)
    assert pull(site, token, "acme/nothing") == at_registry
    assert trust.status_code == at_notary
