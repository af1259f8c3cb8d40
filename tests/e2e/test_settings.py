"""Settings that change while everything runs: every process follows without a restart."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import httpx
import pytest

from authsvc.domain.permissions import Role
from tests import behaviour
from tests.e2e import native
from tests.e2e.native import Hasty, Native
from tests.e2e.protocol import ask, by_table, granted, is_refused, password
from tests.e2e.servers import until
from tests.factories import PASSWORD
from tests.identity import seed_slapd, servers
from tests.identity.conftest import example
from tests.identity.servers import Authority, Seeded

SCOPE = "repository:acme/web:pull,push"
DEVELOPER = by_table("acme/web", "pull,push", Role.DEVELOPER)
Ask = Callable[[Native | httpx.Client], httpx.Response]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Native]:
    installed = native.new(tmp_path_factory.mktemp("settings"))
    with installed.running():
        behaviour.cast(Hasty(installed.home, installed.port))
        yield installed


@pytest.fixture(scope="module")
def corp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """A directory as `authsvc setting set` is told it, without its secret."""
    authority = Authority(tmp_path_factory.mktemp("ca"), "example-ca")
    seeded = Seeded(tmp_path_factory.mktemp("slapd"), authority, authority.issue("ldap.example.com"), seed_slapd.ldif())
    with ExitStack() as stack:
        running = stack.enter_context(seeded.running())
        place = {"urls": running.tls_url, "ca_certificate": str(authority.certificate)}
        yield [f"{name}={_typed(value)}" for name, value in (example("corp") | place).items()]


def _typed(value: object) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)


@contextmanager
def _followed(site: Native) -> Iterator[None]:
    """The end of the block is when each process of web has taken the change that was made in it."""
    before = _changes(site)
    yield
    until(lambda: _changes(site) == before + len(site.web_processes()), "a change in every process")


def _changes(site: Native) -> int:
    return sum(log.read_text().count("settings.changed") for log in (site.home / "log").glob("web*"))


def _in_each_process(site: Native, question: Ask) -> list[httpx.Response]:
    answers = []
    for process in site.web_processes():
        with site.only(process) as web:
            answers += [question(web)]
    return answers


def _allowed(site: Native, question: Ask, to: str) -> list[dict[str, list[str]]]:
    return [granted(site, answer, to=to) for answer in _in_each_process(site, question)]


def test_passwords_are_refused_and_let_in_again_in_every_process(site: Native) -> None:
    question: Ask = partial(ask, scope=SCOPE, who=password("bob"))
    assert _allowed(site, question, "bob") == [DEVELOPER] * 2
    with _followed(site):
        site.authsvc("setting", "set", "token.passwords", "false")
    refusals = _in_each_process(site, question)
    assert [is_refused(one) for one in refusals] == [True, True]
    assert "takes no passwords" in refusals[0].json()["errors"][0]["message"]
    with _followed(site):
        site.authsvc("setting", "unset", "token.passwords")
    assert _allowed(site, question, "bob") == [DEVELOPER] * 2


def test_people_of_a_directory_come_in_while_it_is_set(site: Native, corp: list[str]) -> None:
    question: Ask = partial(ask, scope="", who=("many", PASSWORD))
    secret = f"{servers.SERVICE_PASSWORD}\n"
    with _followed(site):
        site.authsvc("setting", "set", "ldap.corp", *corp, "--secret", "bind_password", stdin=secret)
    assert _allowed(site, question, "many") == [{}] * 2
    with _followed(site):
        site.authsvc("setting", "unset", "ldap.corp")
    assert [is_refused(one) for one in _in_each_process(site, question)] == [True, True]


def test_the_secret_is_in_no_file_but_sealed(site: Native, corp: list[str]) -> None:
    secret = f"{servers.SERVICE_PASSWORD}\n"
    with _followed(site):
        site.authsvc("setting", "set", "ldap.other", *corp, "--secret", "bind_password", stdin=secret)
    listed = site.authsvc("setting", "list", "--json").stdout
    files = [site.home / "authsvc.db", *(site.home / "log").iterdir(), site.output]
    assert [row["name"] for row in json.loads(listed)] == ["ldap.other"]
    assert servers.SERVICE_PASSWORD not in listed
    assert [path.name for path in files if servers.SERVICE_PASSWORD.encode() in path.read_bytes()] == []
    with _followed(site):
        site.authsvc("setting", "unset", "ldap.other")
