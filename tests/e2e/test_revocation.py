"""What was revoked is refused by the token endpoint in every process, although each had just accepted it.

Each looks for changes once a second; these tests wait until it has, and then nobody may get in any more.
"""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpx
import pytest

from authsvc.domain.permissions import Role
from tests import behaviour
from tests.e2e import native
from tests.e2e.native import Hasty, Native
from tests.e2e.protocol import ask, by_table, granted, is_refused, password, refresh, refresh_token
from tests.e2e.servers import until

Ask = Callable[[Native | httpx.Client], httpx.Response]
SCOPE = "repository:acme/web:pull,push"
MANY = 12


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Native]:
    installed = native.new(tmp_path_factory.mktemp("revoked"))
    with installed.running(AUTHSVC_TOKEN__REFRESH_TOKENS="true"):
        behaviour.cast(Hasty(installed.home, installed.port))
        yield installed


def _with(who: tuple[str, str]) -> Ask:
    return partial(ask, scope=SCOPE, who=who)


def _hasty(site: Native) -> Native:
    return Hasty(site.home, site.port)


def _made(site: Native, *command: str) -> str:
    return str(json.loads(_hasty(site).authsvc(*command, "--json").stdout)["secret"])


def _in_each_process(site: Native, question: Ask) -> list[httpx.Response]:
    answers = []
    for process in site.web_processes():
        with site.only(process) as web:
            answers += [question(web) for _ in range(3)]
    return answers


def _on_many_connections(site: Native, question: Ask) -> list[httpx.Response]:
    with ThreadPoolExecutor(MANY) as pool:
        return list(pool.map(question, [site] * MANY))


def _grants_everywhere(site: Native, question: Ask, to: str) -> None:
    """Also what makes each process remember what it can."""
    allowed = by_table("acme/web", "pull,push", Role.DEVELOPER)
    assert len(site.web_processes()) == 2
    assert [granted(site, answer, to=to) for answer in _in_each_process(site, question)] == [allowed] * 6


def _nobody_grants(site: Native, question: Ask) -> None:
    until(lambda: all(map(is_refused, _in_each_process(site, question))), "a refusal of every process")
    assert all(map(is_refused, _on_many_connections(site, question)))


def test_an_access_token_is_refused_when_revoked(site: Native) -> None:
    question = _with(("bob", _made(site, "access-token", "add", "bob", "laptop")))
    _grants_everywhere(site, question, "bob")
    site.authsvc("access-token", "revoke", "bob", "laptop")
    _nobody_grants(site, question)


@pytest.mark.parametrize("end", [("set", "--disable"), ("refresh",), ("delete",)], ids=lambda end: end[0])
def test_a_robot_is_refused_when_disabled_renewed_or_deleted(site: Native, end: tuple[str, ...]) -> None:
    name = f"{end[0]}-everywhere"
    secret = _made(site, "robot", "add", name, "--project", "acme", "--allow", "acme:repository:push")
    question = _with((f"robot$acme+{name}", secret))
    _grants_everywhere(site, question, f"robot$acme+{name}")
    site.authsvc("robot", end[0], f"acme+{name}", *end[1:])
    _nobody_grants(site, question)


@pytest.mark.parametrize("which", [("--user", "bob"), ("--all",)], ids=lambda which: which[0])
def test_refresh_tokens_are_refused_when_revoked(site: Native, which: tuple[str, ...]) -> None:
    question: Ask = partial(refresh, token=refresh_token(site, "bob"), scope=SCOPE)
    _grants_everywhere(site, question, "bob")
    site.authsvc("refresh-token", "revoke", *which)
    _nobody_grants(site, question)


def test_one_refresh_token_is_revoked_by_its_number_and_no_other_one(site: Native) -> None:
    first: Ask = partial(refresh, token=refresh_token(site, "bob"), scope=SCOPE)
    rows = json.loads(_hasty(site).authsvc("refresh-token", "list", "--user", "bob", "--json").stdout)
    other: Ask = partial(refresh, token=refresh_token(site, "bob"), scope=SCOPE)
    site.authsvc("refresh-token", "revoke", str(max(row["id"] for row in rows)))
    _nobody_grants(site, first)
    _grants_everywhere(site, other, "bob")


@pytest.fixture
def dave(site: Native) -> Iterator[tuple[str, str]]:
    """A developer whom a test may disable or delete."""
    _hasty(site).authsvc("user", "add", "dave", "--password-stdin", stdin="daves-own-secret-7")
    _hasty(site).authsvc("member", "set", "acme", "dave", "developer")
    yield "dave", "daves-own-secret-7"
    _hasty(site).authsvc("user", "delete", "dave", check=False)


@pytest.mark.parametrize("end", ["disable", "delete"])
def test_a_user_is_refused_when_disabled_or_deleted_whatever_they_show(
    site: Native, dave: tuple[str, str], end: str
) -> None:
    access_token = "dave", _made(site, "access-token", "add", "dave", "laptop")
    questions = [_with(dave), _with(access_token), _with_refresh_token_of(site, dave)]
    for question in questions:
        _grants_everywhere(site, question, "dave")
    site.authsvc("user", end, "dave")
    for question in questions:
        _nobody_grants(site, question)


def test_a_changed_password_ends_the_old_one_and_its_refresh_tokens(site: Native, dave: tuple[str, str]) -> None:
    by_password, by_token = _with(dave), _with_refresh_token_of(site, dave)
    _grants_everywhere(site, by_password, "dave")
    _grants_everywhere(site, by_token, "dave")
    site.authsvc("user", "passwd", "dave", "--password-stdin", stdin="another-secret-of-dave-8")
    _nobody_grants(site, by_password)
    _nobody_grants(site, by_token)


def test_a_role_that_was_taken_away_is_in_no_token_of_any_process(site: Native) -> None:
    question = _with(password("stranger"))
    _hasty(site).authsvc("member", "set", "acme", "stranger", "developer")
    _grants_everywhere(site, question, "stranger")
    site.authsvc("member", "remove", "acme", "stranger")

    def given() -> list[dict[str, list[str]]]:
        return [granted(site, answer, to="stranger") for answer in _in_each_process(site, question)]

    until(lambda: given() == [{}] * 6, "tokens without the role from every process")


def _with_refresh_token_of(site: Native, who: tuple[str, str]) -> Ask:
    token = ask(site, who=who, offline_token="true").json()["refresh_token"]
    return partial(refresh, token=token, scope=SCOPE)
