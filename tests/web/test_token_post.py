import io
from urllib.parse import urlencode

import pytest

from authsvc.app import MAX_BODY
from authsvc.core import access_tokens, robots, users
from authsvc.core.access_tokens import AddToken
from authsvc.core.robots import AddRobot, Permission, Reach
from authsvc.core.users import SetEnabled, SetPassword
from authsvc.domain.permissions import PULL
from tests.factories import PASSWORD, access, basic, claims

URL = "/service/token"
MISSPELT = "this secret is misspelt or incomplete: copy it again"
WRONG, ENDED = "wrong user name or password", "this login has ended: run docker login again"
ACME, OPEN = "repository:acme/app:pull", "repository:open/app:pull"
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def environment(environment) -> dict[str, str]:
    services = {"AUTHSVC_SERVICES__NOTARY__KIND": "notary"}
    return environment | services | {"AUTHSVC_TOKEN__REFRESH_TOKENS": "true"}


@pytest.fixture
def post(client):
    """Send a form; a field that is None is left out."""

    def send(url: str = URL, headers: dict[str, str] | None = None, **fields: object):
        form = {"grant_type": "password", "service": "authsvc", "client_id": "docker"} | fields
        given = {name: value for name, value in form.items() if value is not None}
        return client.post(url, data=given, headers=headers)

    return send


@pytest.fixture
def login(post):
    """The password grant of somebody."""

    def send(username: str = "bob", password: str = PASSWORD, **fields: object):
        return post(username=username, password=password, **fields)

    return send


@pytest.fixture
def refresh(post):
    """The refresh grant."""

    def send(token: str, **fields: object):
        return post(grant_type="refresh_token", refresh_token=token, **fields)

    return send


def envelope(answer) -> tuple[int, str, str]:
    (error,) = answer.json["errors"]
    return answer.status_code, error["code"], error["message"]


# The password grant


@pytest.mark.parametrize(
    ("asked", "granted", "said"),
    [
        (ACME, {"repository:acme/app": ["pull"]}, ACME),
        (f"{ACME},push", {"repository:acme/app": ["pull", "push"]}, f"{ACME},push"),
        (
            f"{ACME} {OPEN}",
            {"repository:acme/app": ["pull"], "repository:open/app": ["pull"]},
            f"{ACME} {OPEN}",
        ),
        ([ACME, OPEN], {"repository:acme/app": ["pull"], "repository:open/app": ["pull"]}, f"{ACME} {OPEN}"),
        ("repository:acme/app:delete", {}, ""),
        ("registry:catalog:*", {}, ""),
        (None, {}, ""),
    ],
)
def test_the_answer_says_what_was_granted(login, asked, granted, said):
    found = login(scope=asked).json
    assert (access(found["access_token"]), found["scope"]) == (granted, said)


def test_the_answer_has_the_fields_of_oauth2(login):
    answer = login()
    assert (answer.status_code, set(answer.json), answer.json["expires_in"]) == (
        200,
        {"access_token", "expires_in", "scope"},
        300,
    )


def test_the_answer_is_json_that_no_cache_keeps(login):
    answer = login()
    assert (answer.content_type, answer.headers["Cache-Control"]) == ("application/json", "no-store")


def test_the_token_is_the_users_for_the_service(login):
    found = claims(login("Bob", service="notary").json["access_token"])
    assert (found["sub"], found["aud"]) == ("bob", "notary")


def test_22_who_asks_for_offline_access_is_given_a_refresh_token(login):
    assert login(access_type="offline").json["refresh_token"].startswith("asf_")


@pytest.mark.parametrize("access_type", [None, "", "online", "OFFLINE"])
def test_who_does_not_ask_is_given_none(login, access_type):
    assert "refresh_token" not in login(access_type=access_type).json


@pytest.mark.parametrize("environment", [{}], ids=[""])
def test_where_the_setting_is_off_nobody_is_given_one(login):
    assert "refresh_token" not in login(access_type="offline").json


@pytest.mark.parametrize("kind", ["access", "robot"])
def test_a_machine_is_let_in_without_a_refresh_token(built, login, root, bob, kind):
    right = Permission(Reach.PROJECT, frozenset({PULL}), "acme")
    with built.transaction() as session:
        shown = {
            "access": ("bob", access_tokens.add(session, bob, AddToken(user="bob", name="laptop"), 1_800_000_000)),
            "robot": ("robot$ci", robots.add(session, root, AddRobot(name="ci", permissions=(right,), days=-1), 1)),
        }
    name, made = shown[kind]
    answer = login(name, made.secret, access_type="offline", scope=ACME).json
    assert ("refresh_token" in answer, answer["scope"]) == (False, ACME)


def test_docker_login_over_get_is_given_a_refresh_token(client):
    asked = f"{URL}?service=authsvc&offline_token=true&client_id=docker"
    assert client.get(asked, headers=basic("bob")).json["refresh_token"].startswith("asf_")


@pytest.mark.parametrize(
    ("username", "password"), [("bob", "wrong"), ("bob", ""), ("nobody", PASSWORD), ("", ""), ("", PASSWORD)]
)
def test_a_wrong_password_is_refused(login, refusals, username, password):
    answer = login(username, password, scope=OPEN)
    assert (envelope(answer), refusals()) == ((401, "UNAUTHORIZED", WRONG), [(username, WRONG)])


@pytest.mark.parametrize("left_out", ["username", "password"])
def test_half_of_the_credentials_is_a_wrong_password(login, left_out):
    assert envelope(login(**{left_out: None}))[:2] == (401, "UNAUTHORIZED")


@pytest.mark.parametrize("password", ["a+ &=% ü:;é/", "100%25+plus", " leading and trailing ", "パスワード十二文字"])
def test_30_a_password_comes_through_the_form_as_it_is(built, login, root, password):
    with built.transaction() as session:
        users.set_password(session, root, SetPassword(name="bob", password=password), 0)
    assert login(password=password).status_code == 200


@pytest.mark.parametrize("header", [basic("alice"), basic("bob"), basic("bob", "wrong"), {"Authorization": "Bearer x"}])
def test_32_credentials_in_a_header_beside_the_form_are_a_mistake(post, header):
    status, code, message = envelope(post(username="bob", password=PASSWORD, headers=header))
    assert (status, code, "credentials go into the form" in message) == (400, "BAD_REQUEST", True)


@pytest.mark.parametrize("grant_type", [None, "", "authorization_code", "client_credentials", "Password", "x" * 5000])
def test_another_grant_is_a_mistake(login, grant_type):
    status, _, message = envelope(login(grant_type=grant_type))
    assert (status, "grant_type" in message, len(message) < 200) == (400, True, True)


@pytest.mark.parametrize("services", [["authsvc", "notary"], ["authsvc", "authsvc"], "elsewhere"])
def test_the_service_is_one_of_ours_and_one_alone(login, services):
    assert login(service=services).status_code == 400


@pytest.mark.parametrize("service", ["authsvc", None])
def test_56_the_service_is_ours_even_when_it_is_not_named(login, service):
    assert claims(login(service=service).json["access_token"])["aud"] == "authsvc"


def test_62_a_slash_at_the_end_is_not_a_redirect(login):
    assert login(url=URL + "/").status_code == 200


def test_what_stands_in_the_query_is_not_the_form(client):
    query = urlencode({"grant_type": "password", "username": "bob", "password": PASSWORD})
    assert client.post(f"{URL}?{query}").status_code == 400


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", ""])
def test_a_body_that_is_no_form_is_a_mistake(client, content_type):
    body = urlencode({"grant_type": "password", "username": "bob", "password": PASSWORD})
    assert client.post(URL, data=body, content_type=content_type).status_code == 400


# The refresh grant


def test_a_refresh_gives_the_same_refresh_token_back(login, refresh):
    secret = login(access_type="offline").json["refresh_token"]
    found = refresh(secret, scope=ACME).json
    assert (found["refresh_token"], found["scope"], claims(found["access_token"])["sub"]) == (secret, ACME, "bob")


def test_24_a_refresh_for_another_service_is_refused(login, refresh, refusals):
    secret = login(access_type="offline").json["refresh_token"]
    answer = refresh(secret, service="notary")
    assert (envelope(answer), refusals()) == ((401, "UNAUTHORIZED", ENDED), [("bob", ENDED)])


def test_26_a_refresh_after_a_change_of_password_is_refused(built, login, refresh, root):
    secret = login(access_type="offline").json["refresh_token"]
    with built.transaction() as session:
        users.set_password(session, root, SetPassword(name="bob", password="another-long-password"), 0)
    assert envelope(refresh(secret)) == (401, "UNAUTHORIZED", ENDED)


def test_26_a_refresh_of_a_disabled_user_is_refused(built, login, refresh, root):
    secret = login(access_type="offline").json["refresh_token"]
    with built.transaction() as session:
        users.set_enabled(session, root, SetEnabled(name="bob", enabled=False), 0)
    assert envelope(refresh(secret)) == (401, "UNAUTHORIZED", "the account bob is disabled")


@pytest.mark.parametrize(
    ("secret", "reason"),
    [
        *((secret, ENDED) for secret in (None, "", "nonsense", "ü" * 5000, PASSWORD)),
        *((secret, MISSPELT) for secret in ("asf_x", "asf_" + "A" * 49)),
    ],
)
def test_a_wrong_refresh_token_is_refused_and_not_repeated(refresh, refusals, secret, reason):
    answer = refresh(secret)
    assert (envelope(answer), refusals()) == ((401, "UNAUTHORIZED", reason), [("", reason)])


def test_a_refresh_token_is_no_password(login):
    secret = login(access_type="offline").json["refresh_token"]
    assert envelope(login(password=secret)) == (401, "UNAUTHORIZED", WRONG)


def test_a_password_beside_a_refresh_token_decides_nothing(login, refresh):
    secret = login(access_type="offline").json["refresh_token"]
    assert claims(refresh(secret, username="alice", password="x").json["access_token"])["sub"] == "bob"


# The body


def test_28_a_body_in_chunks_without_a_length_is_read(client):
    body = urlencode({"grant_type": "password", "username": "bob", "password": PASSWORD, "scope": ACME}).encode()
    chunked = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    answer = client.post(URL, input_stream=io.BytesIO(body), content_type=FORM, environ_overrides=chunked)
    assert (answer.status_code, answer.json["scope"]) == (200, ACME)


def test_a_body_without_an_end_is_not_read_to_it(client):
    chunked = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    body = io.BytesIO(b"grant_type=password&password=" + b"x" * (3 * MAX_BODY))
    client.post(URL, input_stream=body, content_type=FORM, environ_overrides=chunked)
    assert body.tell() <= MAX_BODY


def test_a_form_of_several_parts_is_read_too(client):
    form = {"grant_type": "password", "username": "bob", "password": PASSWORD}
    assert client.post(URL, data=form, content_type="multipart/form-data").status_code == 200


@pytest.mark.parametrize("body", [b"", b"&&&", b"grant_type", b"%", b"\xff\xfe", b"grant_type=password&username=%ff"])
def test_a_broken_form_is_no_error_of_ours(client, body):
    assert client.post(URL, data=body, content_type=FORM).status_code in (400, 401)
