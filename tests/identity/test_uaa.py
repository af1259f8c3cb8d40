"""Against npm's certified provider, and for what such a one never says, against one that says whatever a test wants."""

import json
import logging
import socket
import ssl
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from authsvc.domain import certificates
from authsvc.errors import Misconfigured, Unavailable
from authsvc.identity import Group, Identity, Verdict, uaa
from authsvc.identity.uaa import UaaBackend
from authsvc.settings import UaaSettings
from tests import oidc_provider as provider
from tests.conftest import free_port
from tests.e2e.servers import standing_still
from tests.factories import PASSWORD
from tests.identity.contract import PasswordBackendContract
from tests.oidc_provider import OidcProvider

README = Path(__file__).parents[2] / "README.md"
BOB = {"sub": "74", "user_name": "bob", "email": "bob@example.com"}
GRANTED = {"access_token": "t0ken", "token_type": "bearer", "scope": "openid acme"}

Configure = Callable[..., UaaBackend]


def example(source: str) -> dict[str, object]:
    """The settings of that provider in README."""
    block = next(part for part in README.read_text(encoding="utf-8").split("```") if f"[uaa.{source}]" in part)
    return tomllib.loads(block.removeprefix("toml\n"))["uaa"][source]


def settings(running: OidcProvider, **changes: object) -> UaaSettings:
    """README's settings for a UAA, with this provider's address, and changes."""
    client = {"client_id": provider.CLIENT, "client_secret": provider.SECRET}
    where = {"issuer": running.issuer, "ca_certificate": running.ca}
    return UaaSettings.model_validate(example("cf") | client | where | changes)


@pytest.fixture
def backend(oidc_provider) -> UaaBackend:
    return UaaBackend("cf", settings(oidc_provider))


@pytest.fixture
def configure(oidc_provider) -> Configure:
    """A backend with changed settings."""
    return lambda **changes: UaaBackend("cf", settings(oidc_provider, **changes))


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[OidcProvider]:
    """A provider of the test's own, to be stopped and killed."""
    with provider.running(tmp_path) as started:
        yield started


class TestUaa(PasswordBackendContract):
    tells_unknown = False

    @pytest.fixture
    def backend(self, backend) -> UaaBackend:
        return backend

    @pytest.fixture
    def unreachable(self, configure) -> UaaBackend:
        return configure(issuer=f"https://127.0.0.1:{free_port()}")


def reason(backend: UaaBackend) -> str:
    """Why the backend cannot say who bob is."""
    with pytest.raises(Unavailable) as silent:
        backend.check("bob", PASSWORD)
    return str(silent.value)


def test_a_person_is_what_the_provider_says(backend):
    assert backend.check("bob", PASSWORD) == Identity(
        subject="cf:7f3c",
        name="bob",
        email="bob@example.com",
        groups=frozenset({Group("acme", "acme"), Group("staff", "staff")}),
    )


def test_whoever_types_an_alias_is_known_by_the_name(backend):
    assert backend.check("bob@example.com", PASSWORD).name == "bob"


@pytest.mark.parametrize(("typed", "is_known"), [("bob@example.com", True), ("bob ", False), ("robert", False)])
def test_a_spelling_that_only_the_provider_takes_is_not_known(spoiled, typed, is_known):
    assert isinstance(believing(spoiled).check(typed, PASSWORD), Identity) is is_known


def test_the_administrators_are_those_of_a_group(backend):
    assert (backend.check("root", PASSWORD).admin, backend.check("bob", PASSWORD).admin) == (True, False)


def test_a_name_is_kept_in_its_one_form(backend):
    assert backend.check("root", PASSWORD).name == "root"


def test_another_provider_says_who_it_is_by_other_claims(configure):
    changes = {name: example("sso")[name] for name in ("scopes", "name_claim", "groups_claim", "admin_groups")}
    assert configure(**changes).check("root", PASSWORD) == Identity(
        subject="cf:0001",
        name="root",
        email="root@example.com",
        groups=frozenset({Group("admins", "admins")}),
        admin=True,
    )


def test_a_wrong_client_secret_is_told_with_the_setting(configure):
    assert "client_secret of uaa.cf" in reason(configure(client_secret="wrong"))


def test_a_scope_that_the_client_has_not_is_told_with_the_setting(configure):
    assert "check scopes of uaa.cf" in reason(configure(scopes=("openid", "admin")))


def test_a_client_without_openid_is_told_with_the_setting(configure):
    assert "needs the scope openid" in reason(configure(client_id=provider.CLIENT_WITHOUT_OPENID))


def test_a_claim_that_is_not_there_is_told_with_the_setting(configure):
    assert "check name_claim" in reason(configure(name_claim="nickname"))


def test_an_issuer_that_calls_itself_otherwise_is_not_believed(configure, oidc_provider):
    assert "check issuer of uaa.cf" in reason(configure(issuer=f"{oidc_provider.issuer}/"))


def test_a_certificate_of_a_strange_ca_is_refused(configure):
    assert "CERTIFICATE_VERIFY_FAILED" in reason(configure(ca_certificate=None))


def test_a_certificate_for_another_host_is_refused(configure, oidc_provider):
    assert "localhost" in reason(configure(issuer=oidc_provider.issuer.replace("127.0.0.1", "localhost")))


def test_a_ca_certificate_that_cannot_be_read_is_told_at_the_start(configure):
    with pytest.raises(Misconfigured, match=r"uaa\.cf\.ca_certificate: /missing"):
        configure(ca_certificate="/missing")


def test_neither_password_nor_secret_nor_token_is_logged(backend, caplog):
    caplog.set_level(logging.DEBUG)
    backend.check("bob", PASSWORD)
    assert (PASSWORD in caplog.text, "a-client-secret" in caplog.text, "Bearer" in caplog.text) == (False,) * 3


def test_a_provider_that_was_killed_is_no_answer(mortal):
    backend = UaaBackend("cf", settings(mortal))
    before = backend.check("bob", PASSWORD)
    mortal.process.kill()
    mortal.process.wait()
    assert (type(before), "does not answer" in reason(backend)) == (Identity, True)


def test_a_provider_that_is_frozen_is_no_answer(mortal, monkeypatch):
    monkeypatch.setattr(uaa, "CONNECT_SECONDS", 0.5)
    with standing_still(mortal.process.pid):
        told = reason(UaaBackend("cf", settings(mortal)))
    assert told == "the identity provider cf does not answer within 5 seconds"


def test_a_name_that_does_not_resolve_in_time_is_no_answer(configure, monkeypatch):
    over = threading.Event()
    monkeypatch.setattr(uaa, "TOTAL_SECONDS", 1.0)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_given, **_more: over.wait(60))
    told = reason(configure(issuer="https://uaa.example.com"))
    over.set()
    assert "within 1 seconds" in told


class Spoiled(ThreadingHTTPServer):
    """A provider whose answers, by path, are (status, headers, body); `asked` are the paths, `posted` the forms."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), SpoiledHandler)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.server_address[1]}"
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.posted: list[dict[str, list[str]]] = []
        self.says("/token", GRANTED)
        self.says("/userinfo", BOB)

    def says(self, path: str, body: object, status: int = 200, **headers: str) -> None:
        """Answer so from now on."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers[path] = (status, given, body if isinstance(body, bytes) else json.dumps(body).encode())

    def discoverable(self, **changes: object) -> None:
        """Have a discovery document."""
        document = {"issuer": self.url, "token_endpoint": f"{self.url}/token"}
        document |= {"userinfo_endpoint": f"{self.url}/userinfo"} | changes
        self.says("/.well-known/openid-configuration", document)

    def handle_error(self, *_: object) -> None:
        """Who hangs up in mid-answer is no news."""


class SpoiledHandler(BaseHTTPRequestHandler):
    server: Spoiled

    def do_GET(self) -> None:
        self.server.asked.append((self.path, dict(self.headers)))
        status, headers, body = self.server.answers[self.path]
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        form = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.posted.append(parse_qs(form))
        self.do_GET()

    def log_message(self, *_given: object) -> None:
        pass


@pytest.fixture
def spoiled() -> Iterator[Spoiled]:
    """A provider that says whatever a test wants."""
    server = Spoiled()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def believing(spoiled: Spoiled, clock: Callable[[], float] = time.monotonic, **changes: object) -> UaaBackend:
    """A backend that asks it."""
    where = {"token_endpoint": f"{spoiled.url}/token", "userinfo_endpoint": f"{spoiled.url}/userinfo"}
    given = {"client_id": "us", "client_secret": "s3cret", "allow_http": True} | where | changes
    return UaaBackend("cf", UaaSettings.model_validate(given), clock)


def test_uaa_is_asked_as_it_wants(spoiled):
    believing(spoiled, client_secret="a:b+c %").check("bob", "p&ss=wörd")
    (_, headers), _ = spoiled.asked
    assert (spoiled.posted[0], headers["Authorization"], headers["X-CF-ENCODED-CREDENTIALS"]) == (
        {"grant_type": ["password"], "username": ["bob"], "password": ["p&ss=wörd"]},
        "Basic dXM6YSUzQWIlMkJjKyUyNQ==",
        "true",
    )


def test_scopes_are_asked_for_when_they_are_set(spoiled):
    believing(spoiled, scopes="openid, profile").check("bob", PASSWORD)
    assert spoiled.posted[0]["scope"] == ["openid profile"]


def test_who_it_is_is_asked_with_the_token(spoiled):
    believing(spoiled).check("bob", PASSWORD)
    path, headers = spoiled.asked[1]
    assert (path, headers["Authorization"]) == ("/userinfo", "Bearer t0ken")


@pytest.mark.parametrize(
    ("status", "said", "challenge"),
    [
        (400, {"error": "invalid_grant"}, ""),
        (401, {"error": "invalid_grant", "error_description": "Invalid user credentials"}, ""),
        (401, {"error": "unauthorized", "error_description": "Bad credentials"}, ""),
        (401, {"error": "unauthorized", "error_description": "Bad credentials"}, 'Bearer realm="UAA/oauth"'),
    ],
    ids=["the standard", "keycloak", "uaa", "uaa with a challenge"],
)
def test_a_wrong_password_is_known_in_each_providers_words(spoiled, status, said, challenge):
    spoiled.says("/token", said, status, www_authenticate=challenge)
    assert believing(spoiled).check("bob", "wrong") is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("status", "said", "challenge", "told"),
    [
        (401, {"error": "invalid_client"}, "", "client_secret of uaa.cf"),
        (401, {"error": "unauthorized"}, 'Basic realm="UAA/client", error="unauthorized"', "client_secret of uaa.cf"),
        (400, {"error": "unauthorized_client"}, "", "client_id of uaa.cf"),
        (400, {"error": "invalid_scope"}, "", "scopes of uaa.cf"),
        (400, {"error": "unsupported_grant_type"}, "", "has no password grant"),
        (403, {"error": "password_change_required"}, "", "answers HTTP 403 password_change_required"),
        (400, {"error": ["x"]}, "", "answers HTTP 400"),
        (400, {"error": "x\x1b[2J"}, "", "answers HTTP 400"),
        (401, {}, "", "answers HTTP 401"),
        (403, {"error": "invalid_grant"}, "", "answers HTTP 403"),
        (429, {}, "", "answers HTTP 429"),
        (500, {"error": "invalid_grant"}, "", "answers HTTP 500"),
        (503, b"<html>", "", "answers HTTP 503"),
        (200, {"error": "invalid_grant"}, "", "something else than a token"),
        (200, b"<html>", "", "something else than a token"),
        (200, ["access_token"], "", "something else than a token"),
        (200, {"access_token": 7}, "", "something else than a token"),
        (200, b"[" * 100_000, "", "something else than a token"),
        (200, b"x" * 300_000, "", "too long"),
    ],
)
def test_everything_else_is_no_answer(spoiled, status, said, challenge, told):
    spoiled.says("/token", said, status, www_authenticate=challenge)
    assert told in reason(believing(spoiled))


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, {"error": "invalid_token"}),
        (200, {}),
        (200, b"<html>"),
        (200, BOB | {"sub": None}),
        (200, BOB | {"sub": 74}),
        (200, BOB | {"sub": ""}),
        (200, BOB | {"sub": "7" * 201}),
        (200, BOB | {"user_name": None}),
        (200, BOB | {"user_name": ["bob"]}),
        (200, {"user_name": "bob"}),
    ],
)
def test_whom_the_provider_does_not_name_is_nobody(spoiled, status, said):
    spoiled.says("/userinfo", said, status)
    assert "whom it let in" in reason(believing(spoiled))


@pytest.mark.parametrize("path", ["/token", "/userinfo"])
def test_no_redirect_is_followed(spoiled, path):
    spoiled.says(path, b"", 307, location=f"{spoiled.url}/elsewhere")
    told = reason(believing(spoiled))
    assert ("HTTP 307" in told, [one for one, _ in spoiled.asked][-1]) == (True, path)


def test_an_answer_that_is_packed_is_not_unpacked(spoiled):
    spoiled.says("/token", json.dumps(GRANTED).encode(), content_encoding="gzip")
    assert type(believing(spoiled).check("bob", PASSWORD)) is Identity


@pytest.mark.parametrize(
    ("claim", "granted", "said", "groups"),
    [
        ("scope", "openid acme staff", {}, {"acme", "staff"}),
        ("scope", "openid profile email", {}, set()),
        ("scope", None, {}, set()),
        ("groups", "openid acme", {"groups": ["staff", "Team A"]}, {"staff", "Team A"}),
        ("groups", "openid acme", {"groups": ["", 7, None, "x" * 256]}, set()),
        ("groups", "openid acme", {"groups": {"acme": 1}}, set()),
        ("groups", "openid acme", {}, set()),
    ],
)
def test_groups_are_those_of_the_claim(spoiled, claim, granted, said, groups):
    spoiled.says("/token", GRANTED | {"scope": granted})
    spoiled.says("/userinfo", BOB | said)
    found = believing(spoiled, groups_claim=claim).check("bob", PASSWORD).groups
    assert {group.key for group in found} == groups


def test_without_a_claim_no_groups_are_known(spoiled):
    assert believing(spoiled, groups_claim="").check("bob", PASSWORD).groups is None


def test_more_groups_than_anybody_has_are_no_answer(spoiled):
    spoiled.says("/userinfo", BOB | {"groups": [f"g{n}" for n in range(1_001)]})
    assert "more than 1000 groups" in reason(believing(spoiled, groups_claim="groups"))


@pytest.mark.parametrize("email", [None, 7, ["bob@example.com"]])
def test_an_address_that_is_none_is_left_out(spoiled, email):
    spoiled.says("/userinfo", BOB | {"email": email})
    assert believing(spoiled).check("bob", PASSWORD).email == ""


@pytest.mark.parametrize(
    ("name", "password"), [("", PASSWORD), ("b" * 256, PASSWORD), ("bob", "x" * 1_025), ("bob", "ö" * 513)]
)
def test_what_no_provider_takes_is_not_sent(spoiled, name, password):
    assert (believing(spoiled).check(name, password), spoiled.asked) == (Verdict.UNKNOWN, [])


def discovering(spoiled: Spoiled, clock: Callable[[], float] = time.monotonic) -> UaaBackend:
    return believing(spoiled, clock, issuer=spoiled.url, token_endpoint="", userinfo_endpoint="")


def discoveries(spoiled: Spoiled) -> int:
    return [path for path, _ in spoiled.asked].count("/.well-known/openid-configuration")


def test_the_endpoints_are_looked_up_once_an_hour(spoiled):
    spoiled.discoverable()
    times = iter([0.0, 0.0, 3_599.0, 3_600.0, 3_600.0])
    backend = discovering(spoiled, lambda: next(times))
    counts = [(backend.check("bob", PASSWORD), discoveries(spoiled))[1] for _ in range(3)]
    assert counts == [1, 1, 2]


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "https://elsewhere.example.com"},
        {"issuer": None},
        {"token_endpoint": None},
        {"token_endpoint": "file:///etc/passwd"},
        {"token_endpoint": "https://"},
        {"userinfo_endpoint": "/userinfo"},
        {"userinfo_endpoint": "https://x@y/userinfo"},
    ],
)
def test_a_discovery_document_that_is_not_the_issuers_is_no_answer(spoiled, changes):
    spoiled.discoverable(**changes)
    told = reason(discovering(spoiled))
    assert ("cf" in told, [path for path, _ in spoiled.asked]) == (True, ["/.well-known/openid-configuration"])


@contextmanager
def over_tls(directory: Path, made_at: float) -> Iterator[tuple[Spoiled, Path]]:
    """Such a provider with a certificate made at that time, and the certificate of its CA."""
    ca = certificates.make_ca("ca", int(time.time()))
    pair = certificates.make_server(ca, ["127.0.0.1"], int(made_at))
    (directory / "ca.pem").write_bytes(ca.certificate_pem())
    (directory / "server.pem").write_bytes(pair.certificate_pem() + pair.key_pem())
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(directory / "server.pem")
    with Spoiled(tls) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server, directory / "ca.pem"
        server.shutdown()


def test_an_expired_certificate_is_refused(tmp_path):
    with over_tls(tmp_path, time.time() - 20 * 365 * 86_400) as (server, ca):
        told = reason(believing(server, ca_certificate=ca, allow_http=False))
    assert "expired" in told


def test_an_endpoint_without_tls_is_not_taken_from_a_document(tmp_path):
    with over_tls(tmp_path, time.time()) as (server, ca):
        server.discoverable(token_endpoint=server.url.replace("https", "http") + "/token")
        given = {"issuer": server.url, "token_endpoint": "", "userinfo_endpoint": ""}
        told = reason(believing(server, ca_certificate=ca, allow_http=False, **given))
    assert ("begins with https://" in told, server.posted) == (True, [])


@pytest.fixture
def dripping() -> Iterator[str]:
    """A server that answers a byte at a time, and its address."""
    over = threading.Event()

    def drip(listener: socket.socket) -> None:
        with suppress(OSError), listener.accept()[0] as connection:  # until whoever asked hangs up
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-Drip: ")
            while not over.wait(0.05):
                connection.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=(listener,))
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        over.set()
        thread.join()


def test_a_server_that_answers_a_byte_at_a_time_is_no_answer(dripping, monkeypatch):
    monkeypatch.setattr(uaa, "TOTAL_SECONDS", 1.0)
    given = {"client_id": "us", "client_secret": "s3cret", "allow_http": True, "issuer": dripping}
    assert "within 1 seconds" in reason(UaaBackend("cf", UaaSettings.model_validate(given)))
