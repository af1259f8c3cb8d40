import base64

import jwt
import pytest
from cryptography import x509
from sqlalchemy import select

from authsvc.core import users
from authsvc.core.rights import system
from authsvc.db.tables import AuditEvent
from tests.factories import PASSWORD, access, basic, claims

URL = "/service/token?service=authsvc"
WRONG = "wrong user name or password"
ACME, OPEN = "repository:acme/app:pull", "repository:open/app:pull"


def case(name: object, asked: str, found: str, user: str = "bob"):
    """A row of the protocol's test matrix, under its number there."""
    return pytest.param(user, asked, found, id=str(name))


@pytest.fixture
def ask(client):
    """Ask for scopes as somebody; anonymous without a name."""

    def send(*scopes: str, user: str = "", password: str = PASSWORD, url: str = URL, **headers: str):
        given = basic(user, password) if user else {}
        query = "".join(f"&scope={scope}" for scope in scopes)
        return client.get(url + query, headers=given | {name.replace("_", "-"): headers[name] for name in headers})

    return send


def envelope(answer) -> tuple[int, str, str, object]:
    (error,) = answer.json["errors"]
    return answer.status_code, error["code"], error["message"], error["detail"]


def encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


@pytest.mark.parametrize(
    ("user", "asked", "found"),
    [
        case(4, "repository:acme/app:push,pull", "repository:acme/app:pull,push"),
        case(6, "repository:acme/app:*", "repository:acme/app:pull,push"),
        case(8, f"{ACME}&scope={OPEN}", f"{ACME} {OPEN}"),
        case("8 in one parameter", f"{ACME}%20{OPEN}", f"{ACME} {OPEN}"),
        case(10, f"{ACME}&scope={ACME},push", f"{ACME},push"),
        case("12 mount", f"{ACME},push&scope=repository:library/x:pull", f"{ACME},push"),
        case("14 pull", "registry:catalog:pull", "", user="root"),
        case("14 as bob", "registry:catalog:*", ""),
        case("14 as root", "registry:catalog:*", "registry:catalog:*", user="root"),
        case(16, OPEN, OPEN, user=""),
        case("16 push", "repository:open/app:push", "", user=""),
        case("no scope", "", ""),
        case(68, "repository:acme/app:", ""),
        case(70, "repository::pull", ""),
        case("72 accent", "repository:acme/%C3%A9:pull", ""),
        case("72 up", "repository:acme/../library/x:pull", ""),
        case("72 //", "repository:acme//app:pull", ""),
        case("72 trailing", "repository:acme/app/:pull", ""),
        case("72 dots", "repository:acme/a..b:pull", ""),
        case("74 256", f"repository:acme/{'a' * 251}:pull", ""),
        case("74 10 kB", f"repository:acme/{'a' * 10_000}:pull", ""),
        case(76, "repository(plugin):acme/app:pull", ACME),
        case("76 broken", "repository(plugin:acme/app:pull", ""),
        case(78, f"{ACME},frobnicate", ACME),
        case("78 upper", "repository:acme/app:PULL", ""),
        case(80, "repository:*:pull", ""),
        case("80 prefix", "repository:acme/*:pull", ""),
        case(84, f"%20%20{ACME}%09%0A{OPEN}%20", f"{ACME} {OPEN}"),
        case(104, f"{OPEN}&scope=repository:acme/app:push,pull", f"{ACME},push {OPEN}"),
    ],
)
def test_a_token_holds_what_was_asked_and_is_allowed(ask, user, asked, found):
    granted = access(ask(asked, user=user).json["token"])
    assert " ".join(f"{resource}:{','.join(actions)}" for resource, actions in granted.items()) == found


def test_docker_logs_in_without_a_refresh_token(client):
    answer = client.get(f"{URL}&offline_token=true&client_id=docker&account=bob", headers=basic("bob"))
    assert (answer.status_code, set(answer.json)) == (200, {"token", "access_token", "expires_in"})


def test_nobody_has_an_empty_subject(ask):
    assert claims(ask("repository:open/app:pull").json["token"])["sub"] == ""


def test_both_names_of_the_token_hold_the_same(ask):
    found = ask(user="bob").json
    assert found["token"] == found["access_token"]


def test_the_lifetime_is_an_integer_that_clients_believe(ask):
    found = ask(user="bob").json["expires_in"]
    assert (type(found), found) == (int, 300)


def test_a_token_is_json_that_no_cache_keeps(ask):
    answer = ask(user="bob")
    assert (answer.content_type, answer.headers["Cache-Control"]) == ("application/json", "no-store")


def test_the_account_parameter_decides_nothing(ask):
    assert claims(ask(user="alice", url=URL + "&account=bob").json["token"])["sub"] == "alice"


def test_a_wrong_password_is_refused_where_anybody_may_pull(ask):
    answer = ask("repository:open/app:pull", user="bob", password="wrong")
    assert envelope(answer) == (401, "UNAUTHORIZED", WRONG, None)


@pytest.mark.parametrize(
    "user",
    ["nobody", "*)(uid=*", "bob\\", "a" * 4096, "bob$ci", "アリス"],
    ids=["nobody", "48", "48-backslash", "50", "$", "46"],
)
def test_an_unknown_name_is_refused_in_the_same_words(ask, user):
    assert envelope(ask(user=user)) == (401, "UNAUTHORIZED", WRONG, None)


@pytest.mark.parametrize("password", ["", "x" * 65_536, "wrong"], ids=["36", "50", "34"])
def test_a_wrong_password_is_refused_in_the_same_words(ask, password):
    assert envelope(ask(user="bob", password=password)) == (401, "UNAUTHORIZED", WRONG, None)


@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC"])
def test_the_scheme_is_read_in_any_case(client, scheme):
    header = basic("bob")["Authorization"].replace("Basic", scheme)
    assert client.get(URL, headers={"Authorization": header}).status_code == 200


def test_missing_padding_is_forgiven(client):
    header = basic("bob")["Authorization"]
    assert (header.endswith("="), client.get(URL, headers={"Authorization": header.rstrip("=")}).status_code) == (
        True,
        200,
    )


def test_a_password_in_utf_8_is_read(client, built):
    with built.transaction() as session:
        users.set_password(session, system("test"), users.SetPassword(name="bob", password="mot de passé"), 0)
    assert client.get(URL, headers=basic("bob", "mot de passé")).status_code == 200


def test_a_token_of_ours_is_no_credential(client, ask):
    token = ask(user="bob").json["token"]
    assert client.get(URL, headers={"Authorization": f"Bearer {token}"}).status_code == 401


UNREADABLE = {
    "not basic": "Bearer x",
    "no scheme": encoded(b"bob:" + PASSWORD.encode()),
    "empty": "",
    "only the scheme": "Basic",
    "nothing after the scheme": "Basic ",
    "no colon (38)": "Basic " + encoded(b"bob"),
    "bad base64": "Basic ???",
    "half of a group": "Basic " + "A" * 5,
    "url-safe base64": "Basic " + encoded(b"bob:\xc3\xbf\xc3\xbf\xc3\xbe").replace("/", "_").replace("+", "-"),
    "latin-1 (46)": "Basic " + encoded("bob:é".encode("latin-1")),
    "NUL": "Basic " + encoded(b"bob:pass\0word"),
    "line break": "Basic " + encoded(b"bob:pass\r\nX: y"),
    "two headers": ", ".join([basic("bob")["Authorization"]] * 2),
    "raw password": "Basic bob:" + PASSWORD,
    "not ascii": "Basic \xe9",
}


@pytest.mark.parametrize("header", UNREADABLE.values(), ids=UNREADABLE)
def test_a_header_that_cannot_be_read_is_never_anonymous(client, header):
    answer = client.get(URL + "&scope=repository:open/app:pull", headers={"Authorization": header})
    assert envelope(answer)[:3] == (
        401,
        "UNAUTHORIZED",
        "the Authorization header cannot be read: send Basic with base64 of name:password in UTF-8",
    )


@pytest.mark.parametrize("header", UNREADABLE.values(), ids=UNREADABLE)
def test_a_header_that_cannot_be_read_is_audited(client, refusals, header):
    client.get(URL, headers={"Authorization": header})
    assert [(name, reason[:38]) for name, reason in refusals()] == [
        ("", "the Authorization header cannot be read"[:38])
    ]


def test_a_refused_login_is_audited_with_its_origin(ask, built):
    ask(user="bob", password="wrong", X_Real_IP="192.0.2.9", X_Forwarded_For="203.0.113.1", X_Request_Id="abc-1")
    with built.reading() as session:
        row = session.scalars(select(AuditEvent).where(AuditEvent.result == "refused")).one()
    assert (row.actor, row.source, row.request_id, row.detail) == ("bob", "192.0.2.9", "abc-1", WRONG)


def test_a_refusal_asks_for_basic_and_not_for_another_token(ask):
    assert ask(user="bob", password="wrong").headers["WWW-Authenticate"] == 'Basic realm="authsvc"'


def test_a_refusal_holds_no_token(ask):
    assert set(ask(user="bob", password="wrong").json) == {"errors"}


def test_a_missing_service_is_ours(ask):
    answer = ask(user="bob", url="/service/token?")
    assert (answer.status_code, claims(answer.json["token"])["aud"]) == (200, "authsvc")


@pytest.mark.parametrize(
    "url",
    [URL + "&service=authsvc", URL + "&service=other", "/service/token?service=other"],
    ids=["58", "58-other", "other"],
)
def test_another_service_is_a_bad_request(ask, url):
    assert envelope(ask(url=url))[:2] == (400, "BAD_REQUEST")


@pytest.mark.parametrize(("password", "status"), [(PASSWORD, 200), ("wrong", 401)])
def test_head_answers_with_headers_only(client, password, status):
    answer = client.head(URL, headers=basic("bob", password))
    assert (answer.status_code, answer.data) == (status, b"")


def test_a_trailing_slash_is_not_redirected(client):
    assert client.get("/service/token/?service=authsvc").status_code == 200


def test_parameters_nobody_knows_are_ignored(client):
    assert client.get(URL + "&frobnicate=1&client_id=%00").status_code == 200


@pytest.mark.parametrize("count", [65, 10_000], ids=["65", "82"])
def test_more_repositories_than_a_token_holds_are_a_bad_request(ask, count):
    answer = ask(*(f"repository:acme/{number}:pull" for number in range(count)))
    assert envelope(answer)[:2] == (400, "BAD_REQUEST")


def test_the_largest_token_fits_one_header_line_of_a_stock_nginx(ask):
    answer = ask(*(f"repository:library/{number}:pull,push" for number in range(64)), user="root")
    assert len(f"Authorization: Bearer {answer.json['token']}") < 8192


@pytest.mark.parametrize("method", ["put", "delete", "patch"])
def test_a_method_that_the_protocol_does_not_know_is_refused_in_the_envelope(client, method):
    answer = getattr(client, method)(URL)
    assert envelope(answer)[:2] == (405, "UNSUPPORTED")


def test_a_database_that_is_down_is_503_that_docker_can_show(ask, built, monkeypatch, no_database):
    monkeypatch.setattr(built.callers._standings, "_engine", no_database)
    answer = ask("repository:open/app:pull")
    assert (answer.status, envelope(answer)[:2], answer.headers["Retry-After"]) == (
        "503 the database does not answer; try again in a moment",
        (503, "UNAVAILABLE"),
        "5",
    )


def test_the_signature_is_that_of_the_leaf(ask):
    token = ask(user="bob").json["token"]
    leaf = base64.b64decode(jwt.get_unverified_header(token)["x5c"][0])
    key = x509.load_der_x509_certificate(leaf).public_key()
    assert jwt.decode(token, key, algorithms=["ES256"], audience="authsvc", issuer="authsvc")["sub"] == "bob"


@pytest.mark.parametrize(("user", "kept"), [("", "5"), ("bob", None)])
def test_nginx_may_keep_what_nobody_in_particular_got(ask, user, kept):
    assert ask("repository:open/app:pull", user=user).headers.get("X-Accel-Expires") == kept


def test_no_cache_tells_answers_apart_by_what_a_browser_says(ask):
    assert not ask().vary


def test_an_error_is_not_kept(client):
    assert "X-Accel-Expires" not in client.get("/service/token?service=another").headers
