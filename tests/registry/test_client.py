import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from authsvc.core import setup
from authsvc.errors import Misconfigured, Unavailable
from authsvc.registry.client import RegistryClient
from authsvc.services import build
from tests.conftest import free_port


@pytest.fixture
def database_url(sqlite_url) -> str:
    return sqlite_url


@pytest.fixture
def nowhere() -> RegistryClient:
    return RegistryClient(f"http://127.0.0.1:{free_port()}")


@pytest.fixture
def start_guarded(start_registry, settings):
    """A registry that trusts our certificate."""

    def start(**more) -> RegistryClient:
        bundle = str(settings.paths.ca_certificate)
        token = {"realm": "http://auth.example/service/token", "service": "authsvc", "issuer": "authsvc"}
        return RegistryClient(start_registry(auth={"token": token | {"rootcertbundle": bundle}}, **more))

    return start


@pytest.fixture
def tokens(settings):
    setup.prepare(settings, int(time.time()))
    built = build(settings)
    yield built.tokens
    built.engine.dispose()


@pytest.fixture
def answering():
    """A server that answers everything with the status and headers it is told."""
    servers = []

    def start(status: int, **headers: str) -> RegistryClient:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response_only(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        servers.append((server, thread))
        return RegistryClient(f"http://127.0.0.1:{server.server_port}")

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_registry_that_runs_answers(start_registry):
    assert RegistryClient(start_registry()).answers()


def test_a_slash_at_the_end_of_the_address_does_no_harm(start_registry):
    assert RegistryClient(start_registry() + "/").challenge().status == 200


def test_a_registry_that_does_not_run_does_not_answer(nowhere):
    assert not nowhere.answers()


@pytest.mark.parametrize(("status", "answers"), [(200, True), (401, True), (404, True), (500, False), (503, False)])
def test_a_registry_that_is_broken_does_not_answer(answering, status, answers):
    assert answering(status).answers() is answers


@pytest.mark.parametrize("ask", [RegistryClient.challenge, lambda client: client.can_delete("x", "")])
def test_a_registry_that_does_not_run_is_unavailable(nowhere, ask):
    with pytest.raises(Unavailable, match=r"the registry at http://127.0.0.1:[0-9]+ does not answer"):
        ask(nowhere)


@pytest.mark.parametrize("address", ["http://[::1", "http://host:port", "nonsense", "ftp://host", ""])
def test_an_address_that_is_none_says_so(address):
    with pytest.raises((Misconfigured, Unavailable), match=r"the registry at|is not the address of a registry"):
        RegistryClient(address).challenge()


def test_an_open_registry_asks_for_nothing(start_registry):
    found = RegistryClient(start_registry()).challenge()
    assert (found.status, found.scheme, found.parameters) == (200, "", {})


def test_a_registry_tells_the_time(start_registry):
    before = int(time.time())
    assert before <= RegistryClient(start_registry()).challenge().date <= time.time()


@pytest.mark.parametrize("headers", [{}, {"Date": "yesterday"}])
def test_a_registry_may_keep_the_time_to_itself(answering, headers):
    assert answering(200, **headers).challenge().date is None


def test_a_guarded_registry_says_whose_token_it_wants(start_guarded):
    found = start_guarded().challenge()
    assert (found.status, found.scheme, found.parameters) == (
        401,
        "bearer",
        {"realm": "http://auth.example/service/token", "service": "authsvc"},
    )


def test_a_guarded_registry_says_that_a_token_is_bad(start_guarded):
    assert start_guarded().challenge("x.y.z").parameters["error"] == "invalid_token"


def test_a_guarded_registry_takes_our_token(start_guarded, tokens):
    token = tokens.probe("authsvc", "authsvc-doctor/x", int(time.time()))
    assert start_guarded().challenge(token).status == 200


@pytest.mark.parametrize("delete", [True, False])
def test_whether_deletion_is_enabled_is_found_out(start_guarded, tokens, delete):
    token = tokens.probe("authsvc", "authsvc-doctor/x", int(time.time()))
    assert start_guarded(delete=delete).can_delete("authsvc-doctor/x", token) is delete


def test_a_registry_behind_a_socket_is_asked_too(start_registry, tmp_path):
    assert RegistryClient(start_registry(socket=tmp_path / "r.sock")).challenge().status == 200


def test_a_redirect_is_not_followed(answering):
    elsewhere = answering(200)
    assert answering(307, Location=f"{elsewhere._address}/v2/").challenge().status == 307
