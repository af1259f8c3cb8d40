"""CI without stored secrets: a job's own identity token is what docker logs in with, and gives its robot's rights.

The issuer is a server of its own with a certificate of a private CA, as a cluster's is.
"""

import base64
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import jwt
import pytest

from authsvc.domain import certificates
from authsvc.domain.permissions import Role
from tests import behaviour
from tests.e2e import images, native
from tests.e2e.clients import Docker, Skopeo
from tests.e2e.native import Hasty, Native
from tests.e2e.protocol import PATH, ask, by_table, client, granted, is_refused, password
from tests.e2e.servers import until
from tests.issuer import AUDIENCE, Issuer, github, jwk_of, make_key, make_tls, running

ROBOT = "robot$acme+ci"
SCOPE = "repository:acme/web:pull,push,delete"


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> tuple[certificates.Pair, Path]:
    """The CA of the issuer's certificate, and where its own certificate is."""
    pair = certificates.make_ca("private CA", int(time.time()))
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    path.write_bytes(pair.certificate_pem())
    return pair, path


@pytest.fixture(scope="module")
def issuer(ca: tuple[certificates.Pair, Path]) -> Iterator[Issuer]:
    with running(make_tls(ca[1].parent, ca[0])) as started:
        yield started


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, ca: tuple[certificates.Pair, Path], issuer: Issuer
) -> Iterator[Native]:
    installed = native.new(tmp_path_factory.mktemp("ci"))
    with installed.running(AUTHSVC_FEDERATION__CA=str(ca[1])):
        hasty = Hasty(installed.home, installed.port)
        behaviour.cast(hasty)
        hasty.authsvc("robot", "add", "ci", "--project", "acme", "--allow", "acme:repository:pull,push")
        _trust(hasty, issuer)
        yield installed


def _trust(site: Native, issuer: Issuer, robot: str = "acme+ci") -> None:
    claims = ("--claim", "repository=acme/app", "--claim", "ref=refs/heads/main")
    site.authsvc("robot", "trust", "add", robot, "--issuer", issuer.url, "--audience", AUDIENCE, *claims)


def _signed(issuer: Issuer, **claims: object) -> str:
    return issuer.sign(github(issuer.url, int(time.time()), **claims))


def _edited(token: str, **changed: object) -> str:
    """The token with its header changed and its signature left."""
    header = base64.urlsafe_b64encode(json.dumps(jwt.get_unverified_header(token) | changed).encode())
    return ".".join([header.decode().rstrip("="), *token.split(".")[1:]])


def test_a_job_logs_in_to_docker_pushes_and_pulls(site: Native, issuer: Issuer, docker: Docker) -> None:
    reference = f"{site.host}/acme/web:job"
    assert "Login Succeeded" in docker.login(site.host, ROBOT, _signed(issuer)).stdout
    docker.image(reference)
    docker("push", reference)
    docker("rmi", "-f", reference)
    docker("pull", reference)


def test_a_job_cannot_log_in_to_docker_from_another_branch(site: Native, issuer: Issuer, docker: Docker) -> None:
    refused = docker.login(site.host, ROBOT, _signed(issuer, ref="refs/heads/x"), check=False)
    assert "unauthorized: wrong robot name or secret" in refused.stderr
    trail = site.authsvc("audit", "list").stdout
    assert 'claim ref is "refs/heads/x", the rule wants refs/heads/main' in trail


def test_a_job_copies_with_skopeo(site: Native, issuer: Issuer, tmp_path: Path) -> None:
    job = Skopeo(f"{ROBOT}:{_signed(issuer)}")
    job.copy(f"dir:{images.make(tmp_path / 'image')}", f"docker://{site.host}/acme/web:skopeo")
    assert job.copy(f"docker://{site.host}/acme/web:skopeo", f"dir:{tmp_path / 'copy'}").returncode == 0


@pytest.mark.parametrize("repository", ["acme/web", "open/web", "web"])
def test_a_job_has_the_rights_of_its_robot_and_no_others(site: Native, issuer: Issuer, repository: str) -> None:
    scope = f"repository:{repository}:pull,push,delete"
    allowed = {
        "acme/web": by_table(repository, "pull,push", Role.DEVELOPER),
        "open/web": by_table(repository, "pull", Role.VISITOR),
    }
    answer = ask(site, scope, (ROBOT, _signed(issuer)))
    assert granted(site, answer, to=ROBOT) == allowed.get(repository, {})


def test_a_job_may_use_the_form(site: Native, issuer: Issuer) -> None:
    form = {"grant_type": "password", "username": ROBOT, "password": _signed(issuer), "service": "authsvc"}
    with client(site) as http:
        answer = http.post(PATH, data={**form, "scope": "repository:acme/web:pull", "client_id": "test"})
    assert granted(site, answer, to=ROBOT) == by_table("acme/web", "pull", Role.DEVELOPER)


def test_a_long_token_fits_through_nginx(site: Native, issuer: Issuer) -> None:
    answer = ask(site, SCOPE, (ROBOT, _signed(issuer, more="x" * 11_000)))
    assert granted(site, answer, to=ROBOT) == by_table("acme/web", "pull,push", Role.DEVELOPER)


FORGED: dict[str, Callable[[Issuer], str]] = {
    "another key": lambda i: i.sign(github(i.url, int(time.time())), key=make_key("forger")),
    "an embedded key": lambda i: i.sign(
        github(i.url, int(time.time())), key=make_key("forger"), jwk=jwk_of(make_key("forger"), "one")
    ),
    "no algorithm": lambda i: _edited(_signed(i), alg="none").rpartition(".")[0] + ".",
    "HS256": lambda i: _edited(_signed(i), alg="HS256"),
    "expired": lambda i: _signed(i, exp=int(time.time()) - 1),
    "not valid yet": lambda i: _signed(i, nbf=int(time.time()) + 600),
    "another audience": lambda i: _signed(i, aud="sts.example.com"),
    "another issuer": lambda i: _signed(i, iss="https://evil.example.com"),
    "another repository": lambda i: _signed(i, repository="evil/app"),
    "another key's name": lambda i: i.sign(github(i.url, int(time.time())), kid="two"),
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
def test_a_forged_token_is_refused(site: Native, issuer: Issuer, forge: Callable[[Issuer], str]) -> None:
    assert is_refused(ask(site, SCOPE, (ROBOT, forge(issuer))))


@pytest.mark.parametrize("name", ["bob", "acme+ci", "robot$ci", "robot$acme+other"])
def test_a_good_token_under_another_name_is_refused(site: Native, issuer: Issuer, name: str) -> None:
    assert is_refused(ask(site, SCOPE, (name, _signed(issuer))))


@pytest.mark.parametrize("who", ["bob", ROBOT])
def test_a_token_of_this_registry_is_no_identity_token(site: Native, issuer: Issuer, who: str) -> None:
    shown = password("bob") if who == "bob" else (ROBOT, _signed(issuer))
    registry_token = str(ask(site, SCOPE, shown).json()["token"])
    assert is_refused(ask(site, SCOPE, (ROBOT, registry_token)))


def test_a_trust_that_is_removed_is_refused_in_every_process(site: Native, issuer: Issuer) -> None:
    made = json.loads(site.authsvc("robot", "add", "gone", "--allow", "*:repository:pull", "--json").stdout)
    _trust(site, issuer, "gone")
    token = _signed(issuer)

    def in_each_process() -> list[httpx.Response]:
        found = []
        for process in site.web_processes():
            with site.only(process) as web:
                found.append(ask(web, "repository:acme/web:pull", (made["name"], token)))
        return found

    assert [granted(site, answer, to="robot$gone") for answer in in_each_process()] == [{"acme/web": ["pull"]}] * 2
    trusts = json.loads(site.authsvc("robot", "trust", "list", "gone", "--json").stdout)
    site.authsvc("robot", "trust", "remove", "gone", str(trusts[0]["id"]))
    until(lambda: all(map(is_refused, in_each_process())), "a refusal of every process")


def test_an_unknown_issuer_that_is_away_is_said_so_and_others_go_on(
    site: Native, ca: tuple[certificates.Pair, Path], tmp_path: Path
) -> None:
    with running(make_tls(tmp_path, ca[0])) as away:
        _trust(site, away)
        token = _signed(away)
        away.stop()

    def told() -> str:
        answer = ask(site, SCOPE, (ROBOT, token))
        return answer.json()["errors"][0]["message"] if answer.status_code == 503 else ""

    until(lambda: "does not answer" in told(), "a word about the issuer, once its trust counts")
    assert granted(site, ask(site, "repository:acme/web:pull", password("bob")), to="bob") == {"acme/web": ["pull"]}
