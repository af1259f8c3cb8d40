import logging

import pytest

from authsvc.core import metrics
from authsvc.core.callers import Callers
from authsvc.domain import machine_secrets
from authsvc.domain.machine_secrets import Kind
from authsvc.errors import Misconfigured, TooMany, Unavailable
from authsvc.services import LineFormatter
from tests.factories import PASSWORD, basic

ACCESS_TOKEN = machine_secrets.render(Kind.ACCESS_TOKEN, bytes(32))
TOKEN = "/service/token"


@pytest.fixture
def database_url(sqlite_url) -> str:
    return sqlite_url


@pytest.fixture
def environment() -> dict[str, str]:
    return {"AUTHSVC_TOKEN__REFRESH_TOKENS": "true"}


@pytest.fixture(autouse=True)
def people(cast):
    pass


@pytest.fixture
def lines(caplog):
    """What `authsvc` logged above DEBUG, as it stands in the log."""
    caplog.set_level(logging.DEBUG, "authsvc")
    formatter = LineFormatter("%(levelname)s %(message)s")

    def read() -> list[str]:
        return [formatter.format(record) for record in caplog.records if record.levelno > logging.DEBUG]

    return read


@pytest.fixture
def counted():
    """By how much requests with these labels grew since the test began."""
    began = {tuple(found.labels.values()): found.value for found in samples()}

    def read() -> dict[tuple[str, ...], float]:
        grown = {key: found.value - began.get(key, 0) for found in samples() for key in [tuple(found.labels.values())]}
        return {key: value for key, value in grown.items() if value}

    return read


def samples() -> list:
    (family,) = metrics.TOKEN_REQUESTS.collect()
    return [found for found in family.samples if found.name.endswith("_total")]


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def identify(*_arguments: object) -> None:
        raise error

    monkeypatch.setattr(Callers, "identify", identify)


def test_a_refusal_is_one_line_with_the_facts(client, lines):
    client.get(TOKEN, headers=basic("bob", "wrong") | {"X-Request-Id": "abc", "X-Real-IP": "192.0.2.7"})
    (line,) = lines()
    assert line == (
        'INFO token.refused outcome="refused" kind="password" name="bob" status=401 method="GET" path="/service/token" '
        'address="192.0.2.7" reason="wrong user name or password" request_id="abc"'
    )


def test_a_grant_is_no_line(client, lines):
    client.get(TOKEN, headers=basic("bob"))
    assert lines() == []


def test_no_name_ends_the_line_or_is_longer_than_64_characters(client, lines):
    name = 'x" outcome="granted\n\r\x85\u2028INFO token\x1b[2J' + "y" * 100
    client.post(TOKEN, data={"grant_type": "password", "username": name, "password": "wrong"})
    (line,) = lines()
    assert (line.isprintable(), line.isascii(), "y" * 64 in line, 'outcome=\\"granted' in line) == (
        True,
        True,
        False,
        True,
    )


@pytest.mark.parametrize("method", ["get", "post"])
def test_no_secret_and_no_scope_is_logged(client, lines, method):
    scope = "repository:acme/secret-project:pull " * 100
    form = {"grant_type": "password", "username": "bob", "password": "hunter2hunter2", "scope": scope}
    if method == "get":
        client.get(TOKEN, query_string={"scope": scope}, headers=basic("bob", "hunter2hunter2"))
    else:
        client.post(TOKEN, data=form)
    (line,) = lines()
    assert ("hunter2" in line, "secret-project" in line) == (False, False)


@pytest.mark.parametrize("path", [f"{TOKEN}?service={'a' * 5000}", "/service/" + "a" * 5000])
def test_a_line_is_bounded(client, lines, path):
    client.get(path, headers={"X-Real-IP": "1" * 5000, "X-Request-Id": "1" * 5000})
    (line,) = lines()
    assert len(line) < 700


@pytest.mark.parametrize(
    ("name", "secret", "kind"),
    [("bob", "wrong", "password"), ("robot$ci", "wrong", "robot"), ("bob", ACCESS_TOKEN, "access-token")],
)
def test_a_refused_credential_is_counted_by_its_kind(client, counted, name, secret, kind):
    client.get(TOKEN, headers=basic(name, secret))
    ((labels, number),) = counted().items()
    assert (labels[0], labels[1].replace("_", "-"), labels[2], number) == ("refused", kind, "", 1)


def test_an_unreadable_header_is_a_refused_password(client, counted):
    client.get(TOKEN, headers={"Authorization": "Basic !"})
    assert counted() == {("refused", "password", ""): 1}


def test_a_granted_password_is_counted_with_its_source(client, counted):
    client.get(TOKEN, headers=basic("bob"))
    assert counted() == {("granted", "password", "local"): 1}


def test_an_anonymous_grant_has_no_source(client, counted):
    client.get(TOKEN)
    assert counted() == {("granted", "anonymous", ""): 1}


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (TooMany("slow down", 7), "throttled"),
        (Unavailable("the database does not answer"), "unavailable"),
        (Misconfigured("no key"), "failed"),
        (RuntimeError("a bug"), "failed"),
    ],
)
def test_what_stops_a_request_is_its_outcome(client, counted, monkeypatch, error, outcome):
    failing(monkeypatch, error)
    client.get(TOKEN, headers=basic("bob"))
    assert counted() == {(outcome, "password", ""): 1}


@pytest.mark.parametrize(
    "form", [{}, {"grant_type": "other"}, {"grant_type": "password", "service": "x"}, {"grant_type": "p" * 2_000_000}]
)
def test_a_form_that_is_wrong_is_invalid(client, counted, form):
    client.post(TOKEN, data=form)
    assert [labels[0] for labels in counted()] == ["invalid"]


def test_throttled_attempts_are_counted_at_every_door(client, monkeypatch):
    failing(monkeypatch, TooMany("slow down", 7))
    before = metrics.REGISTRY.get_sample_value("authsvc_throttled_total")
    client.get(TOKEN, headers=basic("bob"))
    assert metrics.REGISTRY.get_sample_value("authsvc_throttled_total") == before + 1


def test_refresh_tokens_are_counted_once_each(client):
    def issued() -> float:
        (family,) = metrics.REFRESH_TOKENS.collect()
        return sum(found.value for found in family.samples if found.name.endswith("_total"))

    before = issued()
    form = {"grant_type": "password", "username": "bob", "password": PASSWORD, "access_type": "offline"}
    made = client.post(TOKEN, data=form).json["refresh_token"]
    client.post(TOKEN, data={"grant_type": "refresh_token", "refresh_token": made})
    assert issued() == before + 1


def test_another_door_has_a_line_without_an_outcome(client, lines):
    client.post("/service/events", json={})
    (line,) = lines()
    assert line.startswith('INFO request.refused status=401 method="POST" path="/service/events"')
