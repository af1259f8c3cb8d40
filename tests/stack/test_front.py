"""What clients, web and the registry see through a real nginx."""

import json
import ssl
import threading
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from .conftest import Front, Stub, free_port, wait_until

StartFront = Callable[..., Front]
CHALLENGE = 'Bearer realm="http://127.0.0.1:8080/service/token",service="authsvc",scope="repository:a/b:pull"'


def logged(front: Front) -> dict[str, object]:
    wait_until(lambda: "request_id" in front.log.read_text())
    return json.loads(next(line for line in front.log.read_text().splitlines() if line.startswith("{")))


def nowhere() -> dict[str, str]:
    return {"WEB__BIND": f"127.0.0.1:{free_port()}", "REGISTRY__BIND": f"127.0.0.1:{free_port()}"}


@pytest.mark.parametrize(
    "path", ["/v2/", "/v2/a/b/manifests/latest?n=1", "/api/v2.0/ping", "/healthz", "/readyz", "/", "/service/token?a=b"]
)
def test_a_path_arrives_unchanged(start_front: StartFront, stub: Stub, path: str):
    start_front().ask(path)
    assert stub.paths == [path]


def test_a_slash_after_the_token_endpoint_is_no_redirect(start_front: StartFront, stub: Stub):
    answer = start_front().ask("/service/token/?service=authsvc")
    assert (answer.status, stub.paths) == (200, ["/service/token?service=authsvc"])


@pytest.mark.parametrize("path", ["/metrics", "/metrics/", "/api/../metrics", "/%6detrics", "/api/..%2fmetrics"])
def test_metrics_are_not_shown(start_front: StartFront, stub: Stub, path: str):
    assert (start_front().ask(path).status, stub.paths) == (404, [])


class TestMetrics:
    """nginx with an address for Prometheus."""

    @pytest.fixture
    def shown(self, start_front: StartFront) -> Front:
        port = free_port()
        self.public = start_front(METRICS__LISTEN=f"127.0.0.1:{port}")
        return Front(port, self.public.log)

    def test_they_are_shown_on_their_own_address(self, shown: Front, stub: Stub):
        assert (shown.ask("/metrics").status, stub.paths) == (200, ["/metrics"])

    def test_nothing_else_is_shown_there(self, shown: Front, stub: Stub):
        paths = ["/", "/v2/", "/service/token", "/api/v2.0/ping", "/metrics/", "/metrics/../service/token"]
        assert ([shown.ask(path).status for path in paths], stub.paths) == ([404] * len(paths), [])

    def test_a_host_does_not_lead_to_them_from_the_public_port(self, shown: Front, stub: Stub):
        answer = self.public.ask("/metrics", Host=f"127.0.0.1:{shown.port}")
        assert (answer.status, stub.paths) == (404, [])

    def test_scrapes_are_not_logged(self, shown: Front):
        shown.ask("/metrics")
        self.public.ask("/healthz")
        assert logged(self.public)["path"] == "/healthz"


def test_the_realm_is_on_the_host_that_the_client_used(start_front: StartFront, stub: Stub):
    stub.status, stub.headers = 401, {"WWW-Authenticate": CHALLENGE}
    answer = start_front().ask("/v2/", Host="registry.example.com:5000", X_Forwarded_Proto="https")
    assert answer.headers.get_all("WWW-Authenticate") == [
        CHALLENGE.replace("http://127.0.0.1:8080", "https://registry.example.com:5000")
    ]


def test_the_realm_is_left_alone_where_a_public_url_is_set(start_front: StartFront, stub: Stub):
    stub.status, stub.headers = 401, {"WWW-Authenticate": CHALLENGE}
    answer = start_front(PUBLIC_URL="https://example.com").ask("/v2/", Host="other.example.com")
    assert answer.headers.get_all("WWW-Authenticate") == [CHALLENGE]


def test_a_host_that_is_none_does_not_get_into_the_realm(start_front: StartFront, stub: Stub):
    stub.status, stub.headers = 401, {"WWW-Authenticate": CHALLENGE}
    front = start_front()
    answer = front.ask("/v2/", Host='evil",realm="x')
    assert "evil" not in (answer.headers["WWW-Authenticate"] or "")


def test_another_challenge_is_left_alone(start_front: StartFront, stub: Stub):
    stub.status, stub.headers = 401, {"WWW-Authenticate": 'Basic realm="x"'}
    assert start_front().ask("/v2/").headers["WWW-Authenticate"] == 'Basic realm="x"'


def test_an_answer_without_challenge_gets_none(start_front: StartFront):
    assert "WWW-Authenticate" not in start_front().ask("/v2/").headers


@pytest.mark.parametrize(
    ("said", "passed"),
    [("https", "https"), ("https, http", "https"), ("http", "http"), ("gopher", "http"), ("", "http")],
)
def test_the_scheme_is_what_a_proxy_in_front_says(start_front: StartFront, stub: Stub, said: str, passed: str):
    start_front().ask("/v2/", X_Forwarded_Proto=said)
    assert stub.received[0].get_all("X-Forwarded-Proto") == [passed]


def test_a_client_cannot_name_its_own_address(start_front: StartFront, stub: Stub):
    start_front(TRUSTED_PROXIES="192.0.2.0/24").ask("/api/", X_Forwarded_For="10.9.8.7, 203.0.113.5, 192.0.2.1")
    assert stub.received[0].get_all("X-Forwarded-For") == ["203.0.113.5"]


@pytest.mark.parametrize("name", ["X-Forwarded-Host", "Host"])
def test_the_host_keeps_its_port(start_front: StartFront, stub: Stub, name: str):
    start_front().ask("/v2/", Host="registry.example.com:5000", X_Forwarded_Host="evil")
    assert stub.received[0].get_all(name) == ["registry.example.com:5000"]


def test_forwarded_does_not_pass(start_front: StartFront, stub: Stub):
    start_front().ask("/v2/", Forwarded="host=evil;proto=https")
    assert "Forwarded" not in stub.received[0]


@pytest.mark.parametrize("path", ["/v2/", "/service/token", "/"])
def test_one_request_id_is_passed_and_returned(start_front: StartFront, stub: Stub, path: str):
    stub.headers = {"X-Request-Id": "of-web"}
    answer = start_front().ask(path, X_Request_Id="of-client")
    passed = stub.received[0].get_all("X-Request-Id")
    assert (answer.headers.get_all("X-Request-Id"), len(passed[0])) == (passed, 32)


def test_the_registry_sees_the_request_id_as_the_referer_it_logs(start_front: StartFront, stub: Stub):
    answer = start_front().ask("/v2/", Referer="https://evil.example.com")
    assert stub.received[0].get_all("Referer") == [f"urn:request:{answer.headers['X-Request-Id']}"]


def test_web_sees_the_referer_of_the_client(start_front: StartFront, stub: Stub):
    start_front().ask("/", Referer="https://example.com/page")
    assert stub.received[0]["Referer"] == "https://example.com/page"


@pytest.mark.parametrize("path", ["/v2/", "/service/token", "/api/v2.0/ping"])
def test_docker_can_read_that_a_part_is_down(start_front: StartFront, path: str):
    answer = start_front(**nowhere()).ask(path)
    assert (answer.status, json.loads(answer.body)["errors"][0]["code"]) == (502, "UNAVAILABLE")


def test_a_failure_of_nginx_under_v2_has_the_headers_of_a_registry(start_front: StartFront):
    headers = start_front(**nowhere()).ask("/v2/").headers
    assert (headers["Docker-Distribution-Api-Version"], headers["Content-Type"]) == ("registry/2.0", "application/json")


def test_a_person_can_read_that_web_is_down(start_front: StartFront):
    answer = start_front(**nowhere()).ask("/")
    assert (answer.status, answer.headers["Content-Type"], answer.body) == (
        502, "text/plain", "the service does not answer, it may be starting: try again in a moment\n",
    )  # fmt: skip


@pytest.mark.parametrize("status", [401, 404, 405, 503])
def test_the_answers_of_the_registry_pass_unchanged(start_front: StartFront, stub: Stub, status: int):
    stub.status, stub.headers = status, {"X-Own": "yes"}
    answer = start_front().ask("/v2/")
    assert (answer.status, answer.headers["X-Own"], answer.body) == (status, "yes", "")


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [("/v2/" + "a" * 40_000, 414, "UNKNOWN"), ("/service/token?a=" + "b" * 40_000, 414, "UNKNOWN")],
)
def test_a_path_that_is_too_long_is_told_in_json(start_front: StartFront, path: str, status: int, code: str):
    answer = start_front().ask(path)
    assert (answer.status, json.loads(answer.body)["errors"][0]["code"]) == (status, code)


def test_headers_that_are_too_long_are_told_in_json(start_front: StartFront):
    answer = start_front().ask("/v2/", Authorization="Bearer " + "a" * 40_000)
    assert (answer.status, json.loads(answer.body)["errors"][0]["code"]) == (400, "UNKNOWN")


def test_a_long_token_passes(start_front: StartFront, stub: Stub):
    start_front().ask("/v2/", Authorization="Bearer " + "a" * 30_000)
    assert len(stub.received[0]["Authorization"]) == 30_007


def test_a_method_that_nobody_serves_is_told_in_json(start_front: StartFront):
    answer = start_front().ask("/v2/", method="TRACE")
    assert (answer.status, json.loads(answer.body)["errors"][0]["code"]) == (405, "UNSUPPORTED")


@pytest.mark.parametrize(("path", "size"), [("/service/token", 70_000), ("/service/events", 1_100_000)])
def test_a_body_that_is_too_large_is_told_in_json(start_front: StartFront, stub: Stub, path: str, size: int):
    answer = start_front().ask(path, method="POST", body=b"a" * size)
    assert (answer.status, json.loads(answer.body)["errors"][0]["code"], stub.paths) == (413, "SIZE_INVALID", [])


def test_a_layer_may_have_any_size(start_front: StartFront, stub: Stub):
    answer = start_front().ask("/v2/a/blobs/uploads/1", method="PUT", body=b"a" * 3_000_000)
    assert (answer.status, stub.received[0]["Content-Length"]) == (200, "3000000")


def test_the_log_has_the_facts_and_no_query(start_front: StartFront):
    front = start_front()
    answer = front.ask("/v2/a/blobs/uploads/1?_state=secret", User_Agent='say "hi"')
    facts = logged(front)
    assert {name: facts[name] for name in ("request_id", "address", "method", "path", "status", "agent")} == {
        "request_id": answer.headers["X-Request-Id"],
        "address": "127.0.0.1",
        "method": "GET",
        "path": "/v2/a/blobs/uploads/1",
        "status": 200,
        "agent": 'say "hi"',
    }


def test_the_log_keeps_no_secret(start_front: StartFront):
    front = start_front()
    front.ask("/service/token?password=s3cret", method="POST", body=b"password=s3cret", Authorization="Basic s3cret")
    logged(front)
    assert "s3cret" not in front.log.read_text()


def test_tls_serves(start_front: StartFront):
    port = start_front(TLS__SELF_SIGNED="true").port
    context = ssl._create_unverified_context()
    with urllib.request.urlopen(f"https://localhost:{port}/healthz", context=context) as answer:
        assert answer.status == 200


def test_plain_http_on_the_tls_port_is_sent_to_https(start_front: StartFront):
    front = start_front(TLS__SELF_SIGNED="true")
    answer = front.ask("/v2/?a=b", Host="registry.example.com:8443")
    assert (answer.status, answer.headers["Location"]) == (308, "https://registry.example.com:8443/v2/?a=b")


def test_the_answer_of_the_server_does_not_tell_its_version(start_front: StartFront):
    assert start_front().ask("/v2/").headers["Server"] == "nginx"


class TestAnonymousTokens:
    """What web gives to everybody who shows nothing, nginx gives again for as long as web says."""

    @pytest.fixture(autouse=True)
    def _kept(self, stub: Stub) -> None:
        stub.headers = {"Cache-Control": "no-store", "X-Accel-Expires": "60"}

    def test_the_same_question_is_asked_once(self, start_front: StartFront, stub: Stub):
        front = start_front()
        answers = [front.ask("/service/token?scope=repository:a/b:pull") for _ in range(3)]
        assert ([answer.status for answer in answers], len(stub.paths)) == ([200] * 3, 1)

    def test_each_answer_has_its_own_request_id(self, start_front: StartFront):
        front = start_front()
        assert len({front.ask("/service/token").headers["X-Request-Id"] for _ in range(3)}) == 3

    def test_clients_are_told_to_keep_nothing(self, start_front: StartFront):
        front = start_front()
        answers = [front.ask("/service/token").headers for _ in range(2)]
        assert [(one["Cache-Control"], one["X-Accel-Expires"]) for one in answers] == [("no-store", None)] * 2

    def test_another_question_is_asked(self, start_front: StartFront, stub: Stub):
        front = start_front()
        for scope in ("repository:a/b:pull", "repository:a/c:pull"):
            front.ask(f"/service/token?scope={scope}")
        assert len(stub.paths) == 2

    def test_who_shows_something_is_never_given_it(self, start_front: StartFront, stub: Stub):
        front = start_front()
        front.ask("/service/token")
        front.ask("/service/token", Authorization="Basic Ym9iOg==")
        assert [sent["Authorization"] for sent in stub.received] == [None, "Basic Ym9iOg=="]

    def test_what_somebody_got_is_never_given_to_another(self, start_front: StartFront, stub: Stub):
        front = start_front()
        front.ask("/service/token", Authorization="Basic Ym9iOg==")
        front.ask("/service/token")
        assert len(stub.paths) == 2

    def test_a_header_without_a_value_is_none(self, start_front: StartFront, stub: Stub):
        front = start_front()
        front.ask("/service/token", Authorization="")
        assert stub.received[0]["Authorization"] is None

    @pytest.mark.parametrize(("method", "times"), [("HEAD", 1), ("POST", 2)])
    def test_other_methods_are_asked_themselves(self, start_front: StartFront, stub: Stub, method: str, times: int):
        front = start_front()
        front.ask("/service/token")
        for _ in range(times):
            front.ask("/service/token", method=method)
        assert len(stub.paths) == 1 + times

    def test_what_web_does_not_mark_is_asked_each_time(self, start_front: StartFront, stub: Stub):
        stub.headers = {}
        front = start_front()
        for _ in range(2):
            front.ask("/service/token")
        assert len(stub.paths) == 2


@pytest.mark.parametrize(("grace", "status"), [("300", 200), ("0", 503)])
def test_an_anonymous_token_is_given_again_while_web_can_make_none(
    start_front: StartFront, stub: Stub, grace: str, status: int
):
    front = start_front(TOKEN__GRACE=grace)
    stub.headers = {"X-Accel-Expires": "@1"}  # over when it comes
    front.ask("/service/token")
    stub.status, stub.headers = 503, {}
    known, shown = front.ask("/service/token"), front.ask("/service/token", Authorization="Basic Ym9iOg==")
    assert (known.status, shown.status, front.ask("/service/token?another").status) == (status, 503, 503)


class TestAProcessThatIsGone:
    """A request that a process of web takes to its grave is asked again where that does no harm."""

    @pytest.mark.parametrize("resolver", ["", "127.0.0.11"])
    @pytest.mark.parametrize(
        ("method", "path"),
        [("GET", "/service/token"), ("POST", "/service/token"), ("GET", "/"), ("HEAD", "/"), ("GET", "/api/v2.0/ping")],
    )
    def test_it_is_asked_again(self, start_front: StartFront, stub: Stub, method: str, path: str, resolver: str):
        stub.drops = 1
        assert start_front(WEB__RESOLVER=resolver).ask(path, method=method).status == 200
        assert stub.paths == [path] * 2

    def test_what_changes_something_is_not(self, start_front: StartFront, stub: Stub):
        stub.drops = 1
        answer = start_front().ask("/api/v2.0/projects", method="POST", body=b"{}")
        assert (answer.status, len(stub.paths), json.loads(answer.body)["errors"][0]["code"]) == (502, 1, "UNAVAILABLE")

    @pytest.mark.parametrize("path", ["/service/token", "/api/v2.0/ping"])
    def test_twice_is_enough_and_said_in_the_envelope(self, start_front: StartFront, stub: Stub, path: str):
        stub.drops = 9
        answer = start_front().ask(path)
        assert (answer.status, json.loads(answer.body)["errors"][0]["code"]) == (502, "UNAVAILABLE")

    def test_a_page_says_it_in_words(self, start_front: StartFront, stub: Stub):
        stub.drops = 9
        answer = start_front().ask("/")
        assert (answer.status, "does not answer" in answer.body) == (502, True)


def test_of_two_instances_the_one_that_lives_answers(start_front: StartFront, stub: Stub):
    front = start_front(WEB__PEERS=f"127.0.0.1:{free_port()}")
    assert [front.ask("/service/token").status for _ in range(20)] == [200] * 20


def test_two_instances_share_the_work(start_front: StartFront, stub: Stub):
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as other:
        front = start_front(WEB__PEERS=f"127.0.0.1:{other.server_port}")
        serving = threading.Thread(target=other.serve_forever)
        serving.start()
        statuses = {front.ask("/healthz").status for _ in range(4)}
        other.shutdown()
        serving.join()
    # The second one knows no method, and says so.
    assert statuses == {200, 501}
