"""The token protocol, case by case, through nginx and where it matters against the registry.

The numbers are those of the protocol's test matrix; odd ones are the halves that even ones leave open. bob may pull
and push in acme, charlie may pull there, anybody pulls from open, and every token is compared with what the rights
table gives. Case 98, each client for real, is tests/e2e/test_clients.py and tests/behaviour.py; 92 under load is
tests/e2e/test_rotation.py; 88 has a longer corpus in tests/e2e/test_forged.py.
"""

import base64
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from sqlalchemy import Engine, create_engine, text

from authsvc.domain import certificates
from tests import behaviour
from tests.behaviour import PASSWORDS
from tests.e2e import images, native
from tests.e2e.clients import Skopeo
from tests.e2e.native import Native
from tests.e2e.servers import answers, registry_config, run, until
from tests.e2e.servers import registry as running_registry

BOB = ("bob", PASSWORDS["bob"])
PULL, PUSH = "repository:acme/app:pull", "repository:acme/app:push"
ODD_PASSWORD = "a+ & = % space ü : z"


@dataclass(frozen=True)
class Endpoint:
    """The token endpoint of one installation."""

    site: Native

    @property
    def url(self) -> str:
        return f"http://{self.site.host}/service/token"

    def get(self, *scopes: str, auth: tuple[str, str] | None = None, **more: str) -> httpx.Response:
        return self.ask([("service", "authsvc"), *(("scope", one) for one in scopes), *more.items()], auth=auth)

    def ask(
        self,
        parameters: list[tuple[str, str]],
        auth: tuple[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        return httpx.get(self.url, params=parameters, auth=auth, headers=headers, timeout=30)

    def post(self, headers: dict[str, str] | None = None, **form: Any) -> httpx.Response:
        return httpx.post(self.url, data={"service": "authsvc", "client_id": "test", **form}, headers=headers)

    def basic(self, raw: bytes, scheme: str = "Basic") -> httpx.Response:
        return self.ask(
            [("service", "authsvc")], headers={"Authorization": f"{scheme} {base64.b64encode(raw).decode()}"}
        )

    def header(self, value: str) -> httpx.Response:
        return self.ask([("service", "authsvc")], headers={"Authorization": value})

    def audit(self, answer: httpx.Response) -> list[dict[str, str]]:
        rows = json.loads(self.site.authsvc("audit", "list", "--json").stdout)
        return [row for row in rows if row["request_id"] == answer.headers["x-request-id"]]


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    site = native.new(tmp_path_factory.mktemp("matrix"))
    with site.running(AUTHSVC_TOKEN__REFRESH_TOKENS="true"):
        behaviour.cast(site)
        site.authsvc("user", "add", "odd", "--password-stdin", stdin=ODD_PASSWORD)
        site.authsvc("user", "add", "off", "--password-stdin", stdin="switched-off-1")
        site.authsvc("user", "disable", "off")
        yield Endpoint(site)


@pytest.fixture(scope="module")
def admin(endpoint: Endpoint) -> tuple[str, str]:
    return "admin", (endpoint.site.home / "secrets" / "admin.password").read_text().strip()


def claims(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    return behaviour.checked(answer.json()["access_token"])


def access(answer: httpx.Response) -> dict[str, list[str]]:
    return {entry["name"]: entry["actions"] for entry in claims(answer)["access"]}


def is_refused(answer: httpx.Response, status: int = 401) -> bool:
    """In the registry's envelope, and without a token."""
    code = {400: "BAD_REQUEST", 401: "UNAUTHORIZED", 405: "UNSUPPORTED", 503: "UNAVAILABLE"}[status]
    body = answer.json()
    return answer.status_code == status and body["errors"][0]["code"] == code and "token" not in body


@pytest.fixture(scope="module")
def registry(endpoint: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry of its own beside the site, pointed at it as README says."""
    directory = tmp_path_factory.mktemp("registry")
    port = native.free_port()
    config = directory / "config.yml"
    printed = endpoint.site.authsvc("registry-config", "--notifications").stdout
    config.write_text(registry_config(port, directory / "storage") + printed)
    with running_registry(config, port):
        yield f"127.0.0.1:{port}"


class TestHappyGet:
    def test_01_a_login_without_a_scope_gets_a_token_that_allows_nothing(self, endpoint: Endpoint) -> None:
        found = claims(endpoint.get(auth=BOB))
        assert (found["sub"], found["access"]) == ("bob", [])

    def test_02_an_offline_token_is_given_where_the_setting_allows_it(self, endpoint: Endpoint) -> None:
        asked = endpoint.get(auth=BOB, offline_token="true", client_id="docker", account="bob")
        assert asked.json()["refresh_token"].startswith("asf_")
        assert "refresh_token" not in endpoint.get(auth=BOB).json()

    @pytest.mark.parametrize(
        ("scope", "given"),
        [
            pytest.param(PULL, ["pull"], id="03-pull"),
            pytest.param("repository:acme/app:push,pull", ["pull", "push"], id="04-push,pull"),
            pytest.param("repository:acme/app:pull,push,delete", ["pull", "push"], id="05-delete-is-left-out"),
            pytest.param("repository:acme/app:*", ["pull", "push"], id="06-star-is-what-one-may"),
            pytest.param(f"{PULL} {PUSH}", ["pull", "push"], id="07-two-in-one-parameter"),
            pytest.param(f"{PULL} {PULL}", ["pull"], id="09-twice-the-same"),
            pytest.param("repository:acme/app:pull repository:acme/app:pull,push", ["pull", "push"], id="10-helm"),
        ],
    )
    def test_a_scope_is_cut_down_to_the_rights(self, endpoint: Endpoint, scope: str, given: list[str]) -> None:
        assert access(endpoint.get(scope, auth=BOB)) == {"acme/app": given}

    def test_08_two_parameters_are_two_entries(self, endpoint: Endpoint) -> None:
        asked = endpoint.get("repository:acme/a:pull", "repository:acme/b:pull", auth=BOB)
        assert access(asked) == {"acme/a": ["pull"], "acme/b": ["pull"]}

    def test_11_a_mount_from_a_readable_source_has_both(self, endpoint: Endpoint) -> None:
        asked = endpoint.get("repository:acme/dst:push,pull", "repository:open/src:pull", auth=BOB)
        assert access(asked) == {"acme/dst": ["pull", "push"], "open/src": ["pull"]}

    def test_12_a_mount_from_an_unreadable_source_has_the_target_alone(self, endpoint: Endpoint) -> None:
        asked = endpoint.get(
            "repository:acme/dst:push,pull", "repository:library/secret:pull", auth=("charlie", PASSWORDS["charlie"])
        )
        assert access(asked) == {"acme/dst": ["pull"]}

    def test_13_an_administrator_gets_the_catalog(self, endpoint: Endpoint, admin: tuple[str, str]) -> None:
        assert access(endpoint.get("registry:catalog:*", auth=admin)) == {"catalog": ["*"]}

    def test_14_catalog_pull_is_not_made_a_star(self, endpoint: Endpoint, admin: tuple[str, str]) -> None:
        assert access(endpoint.get("registry:catalog:pull", auth=admin)) == {}

    def test_15_anybody_gets_a_token_without_a_scope(self, endpoint: Endpoint) -> None:
        assert claims(endpoint.get())["sub"] == ""

    def test_16_anybody_pulls_what_is_public_and_pushes_nothing(self, endpoint: Endpoint) -> None:
        assert access(endpoint.get("repository:open/app:pull")) == {"open/app": ["pull"]}
        assert access(endpoint.get("repository:open/app:push")) == {}

    def test_17_anybody_gets_nothing_of_what_is_private(self, endpoint: Endpoint) -> None:
        assert access(endpoint.get(PULL)) == {}

    def test_18_the_answer_has_the_form_that_clients_read(self, endpoint: Endpoint) -> None:
        answer = endpoint.get(PULL, auth=BOB)
        body = answer.json()
        assert body["token"] == body["access_token"]
        assert type(body["expires_in"]) is int
        assert body["expires_in"] >= 60
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "no-store"
        assert "issued_at" not in body

    def test_19_an_empty_scope_is_none(self, endpoint: Endpoint) -> None:
        assert access(endpoint.get("", auth=BOB)) == {}

    def test_20_the_account_parameter_decides_nothing(self, endpoint: Endpoint) -> None:
        assert claims(endpoint.get(auth=BOB, account="alice"))["sub"] == "bob"


class TestHappyPost:
    def _password(self, endpoint: Endpoint, **more: Any) -> httpx.Response:
        return endpoint.post(grant_type="password", username="bob", password=BOB[1], **more)

    def test_21_a_password_grant_gives_an_access_token_and_the_scope(self, endpoint: Endpoint) -> None:
        answer = self._password(endpoint, scope="repository:acme/app:pull,push,delete")
        assert access(answer) == {"acme/app": ["pull", "push"]}
        assert answer.json()["scope"] == "repository:acme/app:pull,push"
        assert "refresh_token" not in answer.json()

    def test_22_offline_access_gives_a_refresh_token(self, endpoint: Endpoint) -> None:
        assert self._password(endpoint, access_type="offline").json()["refresh_token"].startswith("asf_")

    def test_23_a_refresh_gives_the_same_refresh_token_back(self, endpoint: Endpoint) -> None:
        kept = self._password(endpoint, access_type="offline").json()["refresh_token"]
        answer = endpoint.post(grant_type="refresh_token", refresh_token=kept, scope=PULL)
        assert access(answer) == {"acme/app": ["pull"]}
        assert answer.json()["refresh_token"] == kept

    def test_24_a_refresh_for_another_service_is_refused(self, endpoint: Endpoint) -> None:
        kept = self._password(endpoint, access_type="offline").json()["refresh_token"]
        refused = endpoint.post(grant_type="refresh_token", refresh_token=kept, service="another")
        assert is_refused(refused, 400)

    def test_25_a_revoked_refresh_token_is_refused(self, endpoint: Endpoint) -> None:
        kept = self._password(endpoint, access_type="offline").json()["refresh_token"]
        endpoint.site.authsvc("refresh-token", "revoke", "--user", "bob")
        assert is_refused(endpoint.post(grant_type="refresh_token", refresh_token=kept))

    @pytest.mark.parametrize("change", [("disable", "kept"), ("passwd", "kept", "--password-stdin")])
    def test_26_a_refresh_after_a_change_of_the_account_is_refused(
        self, endpoint: Endpoint, change: tuple[str, ...]
    ) -> None:
        endpoint.site.authsvc("user", "add", "kept", "--password-stdin", stdin="kept-a-while-1")
        form = {"grant_type": "password", "username": "kept", "password": "kept-a-while-1"}
        kept = endpoint.post(**form, access_type="offline").json()["refresh_token"]
        endpoint.site.authsvc("user", *change, stdin="kept-a-while-2")
        refused = endpoint.post(grant_type="refresh_token", refresh_token=kept)
        endpoint.site.authsvc("user", "delete", "kept")
        assert is_refused(refused)

    def test_27_scope_may_be_repeated(self, endpoint: Endpoint) -> None:
        answer = self._password(endpoint, scope=["repository:acme/a:pull", "repository:acme/b:pull"])
        assert set(access(answer)) == {"acme/a", "acme/b"}

    def test_28_a_chunked_body_without_a_length_is_read(self, endpoint: Endpoint) -> None:
        form = httpx.QueryParams({"grant_type": "password", "username": "bob", "password": BOB[1], "scope": PULL})
        body = str(form).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = httpx.post(endpoint.url, content=iter([body[:10], body[10:]]), headers=headers)
        assert access(answer) == {"acme/app": ["pull"]}

    def test_29_a_charset_beside_the_content_type_does_not_matter(self, endpoint: Endpoint) -> None:
        headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
        assert claims(endpoint.post(headers, grant_type="password", username="bob", password=BOB[1]))["sub"] == "bob"

    def test_30_a_password_of_odd_characters_authenticates(self, endpoint: Endpoint) -> None:
        assert claims(endpoint.post(grant_type="password", username="odd", password=ODD_PASSWORD))["sub"] == "odd"

    @pytest.mark.parametrize("form", [{}, {"grant_type": "authorization_code"}, {"grant_type": ""}])
    def test_31_another_grant_is_refused_with_400(self, endpoint: Endpoint, form: dict[str, str]) -> None:
        assert is_refused(endpoint.post(**form), 400)

    def test_32_a_header_beside_the_form_is_refused_with_400(self, endpoint: Endpoint) -> None:
        header = {"Authorization": f"Basic {base64.b64encode(b'alice:x').decode()}"}
        assert is_refused(endpoint.post(header, grant_type="password", username="bob", password=BOB[1]), 400)

    def test_33_a_wrong_password_in_the_form_is_401(self, endpoint: Endpoint) -> None:
        assert is_refused(endpoint.post(grant_type="password", username="charlie", password="wrong-one"))


class TestCredentials:
    def test_34_a_wrong_password_is_401_where_anybody_may_pull(self, endpoint: Endpoint) -> None:
        assert is_refused(endpoint.get("repository:open/app:pull", auth=("charlie", "wrong-34")))

    def test_35_an_unknown_user_gets_the_answer_of_a_wrong_password(self, endpoint: Endpoint) -> None:
        unknown = endpoint.get(auth=("nobody", "wrong-35"))
        assert is_refused(unknown)
        assert unknown.json() == endpoint.get(auth=("charlie", "wrong-35")).json()

    @pytest.mark.parametrize(
        "raw",
        [
            pytest.param(b"bob:", id="36-empty-password"),
            pytest.param(b"bob", id="38-no-colon"),
            pytest.param(b"bob:" + BOB[1].encode() + b"\x00", id="45-nul"),
            pytest.param(b"bob:" + BOB[1].encode() + b"\r\n", id="45-crlf"),
            pytest.param("odd:ü".encode("latin-1"), id="46-latin-1"),
            pytest.param(b"*)(uid=*:x", id="48-ldap-metacharacters"),
            pytest.param(b"\\:x", id="48-backslash"),
            pytest.param(b":", id="53-nothing"),
        ],
    )
    def test_credentials_that_are_none_are_refused_and_audited(self, endpoint: Endpoint, raw: bytes) -> None:
        answer = endpoint.basic(raw)
        assert is_refused(answer)
        assert [row["result"] for row in endpoint.audit(answer)] == ["refused"]

    @pytest.mark.parametrize(
        "value",
        [
            pytest.param("Basic !!!", id="37-no-base64"),
            pytest.param("Basic Ym9iOt__", id="43-url-safe-base64"),
            pytest.param("Digest username=bob", id="44-another-scheme"),
            pytest.param("Basic", id="53-no-value"),
        ],
    )
    def test_a_header_that_cannot_be_read_is_refused(self, endpoint: Endpoint, value: str) -> None:
        assert is_refused(endpoint.header(value))

    def test_39_two_authorization_headers_are_refused(self, endpoint: Endpoint) -> None:
        good = f"Basic {base64.b64encode(':'.join(BOB).encode()).decode()}"
        lines = ["GET /service/token HTTP/1.1", "Host: x", "Connection: close", *[f"Authorization: {good}"] * 2, "", ""]
        with socket.create_connection(("127.0.0.1", endpoint.site.port)) as connection:
            connection.sendall("\r\n".join(lines).encode())
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert answer.split()[1] in {b"400", b"401"}
        assert b'"token"' not in answer

    def test_40_missing_padding_is_forgiven(self, endpoint: Endpoint) -> None:
        encoded = base64.b64encode(":".join(BOB).encode()).decode().rstrip("=")
        assert claims(endpoint.header(f"Basic {encoded}"))["sub"] == "bob"

    def test_41_a_password_may_hold_colons(self, endpoint: Endpoint) -> None:
        assert claims(endpoint.basic(f"odd:{ODD_PASSWORD}".encode()))["sub"] == "odd"

    def test_42_the_scheme_is_read_in_any_case(self, endpoint: Endpoint) -> None:
        assert claims(endpoint.basic(":".join(BOB).encode(), "bAsIc"))["sub"] == "bob"

    def test_44_a_registry_token_is_no_credential_here(self, endpoint: Endpoint) -> None:
        token = endpoint.get(PULL, auth=BOB).json()["token"]
        assert is_refused(endpoint.header(f"Bearer {token}"))

    def test_46_a_password_in_utf_8_authenticates(self, endpoint: Endpoint) -> None:
        assert claims(endpoint.get(auth=("odd", ODD_PASSWORD)))["sub"] == "odd"

    def test_47_a_decomposed_password_is_the_same_one(self, endpoint: Endpoint) -> None:
        assert claims(endpoint.get(auth=("odd", ODD_PASSWORD.replace("ü", "u\u0308"))))["sub"] == "odd"

    def test_49_a_name_in_another_case_is_the_same_person(self, endpoint: Endpoint) -> None:
        assert claims(endpoint.get(auth=("BoB", BOB[1])))["sub"] == "bob"

    @pytest.mark.parametrize("credentials", [("b" * 4096, "x"), ("bob", "x" * 16_000)])
    def test_50_long_credentials_are_refused(self, endpoint: Endpoint, credentials: tuple[str, str]) -> None:
        assert is_refused(endpoint.get(auth=credentials))

    def test_50_credentials_beyond_the_header_limit_are_refused_by_nginx(self, endpoint: Endpoint) -> None:
        answer = endpoint.get(auth=("bob", "x" * 65_536))
        assert answer.status_code == 400
        assert "errors" in answer.json()

    def test_51_a_disabled_user_is_told_so_after_the_right_password_alone(self, endpoint: Endpoint) -> None:
        assert "disabled" in endpoint.get(auth=("off", "switched-off-1")).text
        assert "disabled" not in endpoint.get(auth=("off", "wrong-51")).text

    def test_54_failures_are_slowed_down_and_others_are_not(self, endpoint: Endpoint) -> None:
        endpoint.site.authsvc("user", "add", "target", "--password-stdin", stdin="hard-to-guess-1")
        tries = [endpoint.get(auth=("target", f"guess-{number}")) for number in range(8)]
        throttled = tries[-1]
        assert throttled.status_code == 429
        assert throttled.json()["errors"][0]["code"] == "TOOMANYREQUESTS"
        assert int(throttled.headers["retry-after"]) >= 1
        assert claims(endpoint.get(auth=BOB))["sub"] == "bob"


class TestServiceAndMethod:
    def test_55_the_service_is_the_audience(self, endpoint: Endpoint) -> None:
        assert claims(endpoint.get(auth=BOB))["aud"] == "authsvc"

    def test_56_without_a_service_it_is_the_registrys(self, endpoint: Endpoint) -> None:
        assert claims(endpoint.ask([], auth=BOB))["aud"] == "authsvc"

    @pytest.mark.parametrize(
        "services",
        [
            pytest.param(["another"], id="57-unknown"),
            pytest.param(["authsvc", "authsvc"], id="58-two"),
            pytest.param([""], id="59-empty"),
        ],
    )
    def test_another_service_is_refused_with_400(self, endpoint: Endpoint, services: list[str]) -> None:
        assert is_refused(endpoint.ask([("service", one) for one in services], auth=BOB), 400)

    def test_60_head_answers_without_a_body(self, endpoint: Endpoint) -> None:
        good, bad = httpx.head(endpoint.url, auth=BOB), httpx.head(endpoint.url, auth=("bob", "wrong-60"))
        assert (good.status_code, good.content) == (200, b"")
        assert (bad.status_code, bad.content) == (401, b"")

    @pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
    def test_61_another_method_is_405(self, endpoint: Endpoint, method: str) -> None:
        assert is_refused(httpx.request(method, endpoint.url), 405)

    def test_62_a_trailing_slash_is_the_same_endpoint(self, endpoint: Endpoint) -> None:
        assert httpx.get(f"{endpoint.url}/", auth=BOB).status_code == 200

    def test_63_a_trailing_slash_does_not_redirect_a_post(self, endpoint: Endpoint) -> None:
        form = {"grant_type": "password", "username": "bob", "password": BOB[1]}
        assert httpx.post(f"{endpoint.url}/", data=form).status_code == 200

    def test_64_unknown_parameters_do_not_matter(self, endpoint: Endpoint) -> None:
        assert access(endpoint.get(PULL, auth=BOB, admin="true", sub="admin")) == {"acme/app": ["pull"]}

    def test_65_forwarded_headers_change_nothing_in_a_token(self, endpoint: Endpoint) -> None:
        headers = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "Forwarded": "host=evil.example"}
        found = claims(endpoint.ask([("scope", PULL)], auth=BOB, headers=headers))
        assert "evil" not in json.dumps(found)

    def test_66_a_made_up_address_does_not_reach_the_audit_trail(self, endpoint: Endpoint) -> None:
        # From loopback, which is a trusted proxy: the last address that is none is the client's.
        headers = {"X-Forwarded-For": "203.0.113.9, 198.51.100.7", "X-Real-IP": "203.0.113.9"}
        answer = endpoint.ask([], auth=("charlie", "wrong-66"), headers=headers)
        assert [row["source"] for row in endpoint.audit(answer)] == ["198.51.100.7"]

    def test_67_a_made_up_request_id_is_replaced(self, endpoint: Endpoint) -> None:
        answer = endpoint.ask([], headers={"X-Request-Id": "made-up"})
        assert answer.headers["x-request-id"] != "made-up"


class TestScopeAbuse:
    @pytest.mark.parametrize(
        "scope",
        [
            pytest.param("repository:acme/app:", id="68-no-action"),
            pytest.param("repository:acme/app", id="69-no-actions-part"),
            pytest.param("repository::pull", id="70-no-name"),
            pytest.param("repository:other:5000/acme/app:pull", id="71-with-a-host"),
            pytest.param("repository:acme/äpp:pull", id="72-unicode"),
            pytest.param("repository:acme/xn--pp-uia/..:pull", id="72-dots"),
            pytest.param("repository:acme%2Fapp:pull", id="72-percent"),
            pytest.param("repository:acme//app:pull", id="72-two-slashes"),
            pytest.param("repository:/acme/app:pull", id="72-leading-slash"),
            pytest.param("repository:acme/app/:pull", id="72-trailing-slash"),
            pytest.param("repository:acme/a..b:pull", id="72-two-dots"),
            pytest.param("repository:acme/-a:pull", id="72-leading-dash"),
            pytest.param(f"repository:acme/{'a' * 251}:pull", id="74-256-characters"),
            pytest.param(f"repository:acme/{'a' * 10_000}:pull", id="74-10-kB"),
            pytest.param("blob:acme/app:pull", id="75-unknown-type"),
            pytest.param("repository(plugin:acme/app:pull", id="76-half-a-class"),
            pytest.param("REPOSITORY:acme/app:pull", id="77-upper-case-type"),
            pytest.param("repository:acme/app:PULL", id="78-upper-case-action"),
            pytest.param("repository:*:pull", id="80-any-name"),
            pytest.param("repository:acme/*:pull", id="80-any-name-in-a-project"),
            pytest.param("repository:acmeapp/x:pull", id="81-a-project-that-begins-alike"),
            pytest.param("repository:acme/../library/x:pull", id="86-out-of-the-project"),
        ],
    )
    def test_what_is_no_scope_of_bobs_gives_nothing(self, endpoint: Endpoint, scope: str) -> None:
        assert access(endpoint.get(scope, auth=BOB)) == {}

    @pytest.mark.parametrize(
        ("scope", "given"),
        [
            pytest.param(f"repository:acme/{'a' * 250}:pull", {f"acme/{'a' * 250}": ["pull"]}, id="73-255-characters"),
            pytest.param("repository(plugin):acme/app:pull", {"acme/app": ["pull"]}, id="76-class"),
            pytest.param("repository:acme/app:pull,frobnicate", {"acme/app": ["pull"]}, id="78-unknown-action"),
            pytest.param("repository:acme/app:,pull,,pull", {"acme/app": ["pull"]}, id="79-empty-actions"),
            pytest.param(f" {PULL}\t\n  {PUSH} ", {"acme/app": ["pull", "push"]}, id="84-other-white-space"),
        ],
    )
    def test_what_is_odd_and_readable_is_read(
        self, endpoint: Endpoint, scope: str, given: dict[str, list[str]]
    ) -> None:
        assert access(endpoint.get(scope, auth=BOB)) == given

    def test_76_the_type_in_the_token_has_no_class(self, endpoint: Endpoint) -> None:
        entry = claims(endpoint.get("repository(plugin):acme/app:pull", auth=BOB))["access"][0]
        assert entry["type"] == "repository"

    def test_82_too_many_scopes_are_refused_with_400(self, endpoint: Endpoint) -> None:
        scopes = [f"repository:acme/r{number}:pull" for number in range(200)]
        assert is_refused(endpoint.get(*scopes, auth=BOB), 400)

    def test_82_the_largest_token_passes_to_the_registry(self, endpoint: Endpoint) -> None:
        scopes = [f"repository:acme/repository-{number:03}:pull,push" for number in range(64)]
        token = endpoint.get(*scopes, auth=BOB).json()["token"]
        answer = httpx.get(f"http://{endpoint.site.host}/v2/", headers={"Authorization": f"Bearer {token}"})
        assert (answer.status_code, len(token) < 8_000) == (200, True)

    def test_83_a_plus_and_a_percent_20_are_both_blanks(self, endpoint: Endpoint) -> None:
        for blank in ("+", "%20"):
            answer = httpx.get(f"{endpoint.url}?scope={PULL}{blank}{PUSH}", auth=BOB)
            assert access(answer) == {"acme/app": ["pull", "push"]}

    def test_85_line_ends_in_a_name_make_no_line_in_a_log(self, endpoint: Endpoint) -> None:
        endpoint.get("repository:x\r\nINJECTED-85:pull", auth=("charlie\r\nINJECTED-85", "x"))
        logs = "".join(log.read_text() for log in (endpoint.site.home / "log").iterdir())
        assert [line for line in logs.splitlines() if line.startswith("INJECTED-85")] == []

    def test_87_a_project_that_does_not_exist_gives_nothing_to_an_administrator(
        self, endpoint: Endpoint, admin: tuple[str, str]
    ) -> None:
        assert access(endpoint.get("repository:nothing/here:pull,push", auth=admin)) == {}


class TestRegistry:
    def _token(self, endpoint: Endpoint, scope: str, auth: tuple[str, str] = BOB) -> dict[str, str]:
        return {"Authorization": f"Bearer {endpoint.get(scope, auth=auth).json()['token']}"}

    def test_89_a_token_is_accepted(self, endpoint: Endpoint, registry: str) -> None:
        assert httpx.get(f"http://{registry}/v2/", headers=self._token(endpoint, PULL)).status_code == 200

    @pytest.mark.parametrize(
        ("changed", "accepted"),
        [
            pytest.param({}, True, id="88-unchanged"),
            pytest.param({"iss": "another"}, False, id="88-issuer"),
            pytest.param({"aud": "another"}, False, id="88-audience"),
            pytest.param({"exp": "float"}, False, id="90-float"),
            pytest.param({"aud": ["authsvc"]}, False, id="91-list"),
            pytest.param({"exp": -50}, True, id="93-50-s-over"),
            pytest.param({"exp": -90}, False, id="93-90-s-over"),
            pytest.param({"nbf": 50}, True, id="94-50-s-early"),
            pytest.param({"nbf": 90}, False, id="94-90-s-early"),
        ],
    )
    def test_the_registry_reads_the_claims(
        self, endpoint: Endpoint, registry: str, changed: dict[str, Any], accepted: bool
    ) -> None:
        token = _signed(endpoint.site, changed)
        answer = httpx.get(f"http://{registry}/v2/", headers={"Authorization": f"Bearer {token}"})
        assert (answer.status_code == 200) is accepted

    def test_92_a_rotation_leaves_old_tokens_good(self, endpoint: Endpoint, registry: str) -> None:
        old = self._token(endpoint, PULL)
        endpoint.site.authsvc("key", "rotate")
        until(lambda: _kid(self._token(endpoint, PULL)) != _kid(old), "a token of the new key")
        new = self._token(endpoint, PULL)
        statuses = [httpx.get(f"http://{registry}/v2/", headers=headers).status_code for headers in (old, new)]
        assert statuses == [200, 200]

    def test_95_a_leaf_of_another_ca_is_refused(self, registry: str) -> None:
        now = int(time.time())
        stranger = certificates.make_leaf(certificates.make_ca("another", now), "stranger", now)
        header = {"x5c": [certificates.x5c(stranger.certificate)]}
        body = {
            "iss": "authsvc",
            "aud": "authsvc",
            "sub": "bob",
            "exp": now + 300,
            "nbf": now,
            "iat": now,
            "access": [],
        }
        token = jwt.encode(body, stranger.key, algorithm="ES256", headers=header)
        assert httpx.get(f"http://{registry}/v2/", headers={"Authorization": f"Bearer {token}"}).status_code == 401

    def test_96_an_upload_is_cancelled_with_delete_alone(self, endpoint: Endpoint, registry: str) -> None:
        writer = self._token(endpoint, "repository:acme/cancelled:pull,push")
        begun = httpx.post(f"http://{registry}/v2/acme/cancelled/blobs/uploads/", headers=writer)
        where = httpx.URL(f"http://{registry}").join(begun.headers["location"])
        alice = ("alice", PASSWORDS["alice"])
        remover = self._token(endpoint, "repository:acme/cancelled:delete", alice)
        assert httpx.delete(where, headers=writer).status_code == 401
        assert httpx.delete(where, headers=remover).status_code == 204

    def test_97_push_alone_does_not_write(self, endpoint: Endpoint, registry: str) -> None:
        token = self._token(endpoint, "repository:acme/app:push")
        assert httpx.post(f"http://{registry}/v2/acme/app/blobs/uploads/", headers=token).status_code == 401

    def test_99_the_catalog_wants_its_star(self, endpoint: Endpoint, registry: str, admin: tuple[str, str]) -> None:
        def status(scope: str) -> int:
            return httpx.get(f"http://{registry}/v2/_catalog", headers=self._token(endpoint, scope, admin)).status_code

        assert (status("registry:catalog:*"), status("registry:catalog:pull")) == (200, 401)

    def test_100_a_notification_names_who_pushed(self, endpoint: Endpoint, registry: str, tmp_path: Path) -> None:
        Skopeo(":".join(BOB)).copy(f"dir:{images.make(tmp_path / 'image')}", f"docker://{registry}/acme/event:1")
        database = endpoint.site.home / "authsvc.db"
        query = (
            "select count(*) from registry_events where body like '%\"name\": \"bob\"%' and body like '%acme/event%'"
        )
        until(lambda: run("python3", "-c", _SELECT, str(database), query).stdout.strip() != "0", "bob's push event")

    def test_101_a_mount_wants_pull_on_its_source(self, endpoint: Endpoint, registry: str, tmp_path: Path) -> None:
        image = images.make(tmp_path / "image")
        Skopeo(":".join(BOB)).copy(f"dir:{image}", f"docker://{registry}/acme/source:1")
        digest = json.loads((image / "manifest.json").read_text())["layers"][0]["digest"]
        url = f"http://{registry}/v2/open/target/blobs/uploads/?mount={digest}&from=acme/source"
        target = "repository:open/target:pull,push"
        both = self._token(endpoint, f"{target} repository:acme/source:pull")
        assert httpx.post(url, headers=self._token(endpoint, target)).status_code == 401
        assert httpx.post(url, headers=both).status_code == 201

    def test_103_a_deleted_user_gets_no_token_and_the_last_one_is_good_until_its_end(
        self, endpoint: Endpoint, registry: str
    ) -> None:
        endpoint.site.authsvc("user", "add", "leaver", "--password-stdin", stdin="about-to-leave-1")
        leaver = ("leaver", "about-to-leave-1")
        last = self._token(endpoint, "repository:open/app:pull", leaver)
        endpoint.site.authsvc("user", "delete", "leaver")
        assert is_refused(endpoint.get(auth=leaver))
        assert httpx.get(f"http://{registry}/v2/", headers=last).status_code == 200

    def test_104_the_order_of_a_challenges_scopes_does_not_matter(self, endpoint: Endpoint) -> None:
        scopes = ["repository:acme/dst:push,pull", "repository:open/src:pull"]
        assert access(endpoint.get(*scopes, auth=BOB)) == access(endpoint.get(*reversed(scopes), auth=BOB))


class TestOutage:
    """What breaks something has a site of its own."""

    def test_52_a_database_that_refuses_is_503_with_a_reason(
        self, tmp_path: Path, mariadb: str, make_mariadb: Callable[[str], str]
    ) -> None:
        site = native.new(tmp_path)
        server = create_engine(f"{mariadb}/mysql")
        url = make_mariadb("outage").replace("root@", "outage@")
        _sql(server, "CREATE USER outage IDENTIFIED BY 'outage'", "GRANT ALL ON outage.* TO outage")
        with site.running(AUTHSVC_DATABASE__URL=url, AUTHSVC_DATABASE__PASSWORD="outage"):
            admin = ("admin", (site.home / "secrets" / "admin.password").read_text().strip())
            before = Endpoint(site).get("repository:library/known:pull,push", auth=admin)
            _sql(server, "DROP USER outage", "KILL USER outage")
            new = Endpoint(site).get("repository:library/known:pull", auth=("bob", "unknown-yet-1"))
            known = Endpoint(site).get("repository:library/known:pull,push", auth=admin)
            _sql(server, "CREATE USER outage IDENTIFIED BY 'outage'", "GRANT ALL ON outage.* TO outage")
            until(lambda: Endpoint(site).get(auth=admin).status_code == 200, "the database's return")
        _sql(server, "DROP USER outage")
        server.dispose()
        assert access(before) == {"library/known": ["pull", "push"]}
        assert is_refused(new, 503)
        assert new.headers["retry-after"]
        assert "database" in new.reason_phrase
        assert access(known)["library/known"] in (["pull", "push"], ["pull"])

    def test_102_a_token_outlives_the_web_process_that_signed_it(self, tmp_path: Path) -> None:
        site = native.new(tmp_path)
        with site.running():
            behaviour.cast(site)
            token = Endpoint(site).get(PULL, auth=BOB).json()["token"]
            for pid in site.web_processes():
                os.kill(pid, signal.SIGKILL)
            until(lambda: answers(f"http://{site.host}/readyz"), "web's return")
            headers = {"Authorization": f"Bearer {token}"}
            assert httpx.get(f"http://{site.host}/v2/", headers=headers).status_code == 200


def _sql(server: Engine, *statements: str) -> None:
    with server.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))


_SELECT = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute(sys.argv[2]).fetchone()[0])"


def _kid(headers: dict[str, str]) -> str:
    return str(jwt.get_unverified_header(headers["Authorization"].split()[1])["kid"])


def _signed(site: Native, changed: dict[str, Any]) -> str:
    """A token with the site's own key, and some claims as they should not be; numbers are offsets from now."""
    import sqlite3

    from authsvc.core.keys import KeyRing
    from authsvc.core.sealing import Sealer
    from authsvc.db.tables import SigningKey

    with sqlite3.connect(site.home / "authsvc.db") as database:
        row = database.execute("select * from signing_keys order by id desc limit 1").fetchone()
        names = [column[1] for column in database.execute("pragma table_info(signing_keys)")]
    database.close()
    key = SigningKey(**dict(zip(names, row, strict=True)))
    signer = KeyRing(Sealer.from_file(site.home / "secrets" / "master.key"), lambda _: key).signer(1)
    now = int(time.time())
    wanted: dict[str, Any] = {
        "iss": "authsvc",
        "aud": "authsvc",
        "sub": "bob",
        "exp": 300,
        "nbf": -30,
        "iat": 0,
    } | changed
    times = {name: now + wanted[name] for name in ("exp", "nbf", "iat") if isinstance(wanted[name], int)}
    body = wanted | times | ({"exp": now + 300.0} if wanted["exp"] == "float" else {}) | {"access": []}
    return jwt.encode(body, signer.key, algorithm="ES256", headers={"x5c": [signer.x5c], "kid": signer.key_id})
