import time
from dataclasses import replace

import pytest
from sqlalchemy import select

from authsvc.core import users
from authsvc.db.tables import SiteSession
from authsvc.web.visitor import NAME, SECURE_NAME


@pytest.fixture
def row(built):
    """The one session in the database."""

    def read() -> SiteSession:
        with built.reading() as session:
            return session.scalars(select(SiteSession)).one()

    return read


def age(built, seconds: int) -> None:
    with built.transaction() as session:
        session.query(SiteSession).update({"last_seen_at": int(time.time()) - seconds})


def test_over_https_the_cookie_belongs_to_this_host_alone(browser):
    browser.base = "https://localhost"
    browser.log_in("bob")
    cookie = browser.client.get_cookie(SECURE_NAME)
    assert (cookie.secure, cookie.http_only, cookie.same_site, cookie.path, cookie.origin_only) == (
        True,
        True,
        "Lax",
        "/",
        True,
    )
    assert browser.name() == "bob"


def test_over_http_the_cookie_has_a_plain_name(bobs):
    cookie = bobs.client.get_cookie(NAME)
    assert (cookie.secure, cookie.http_only, cookie.same_site, cookie.path) == (False, True, "Lax", "/")


def test_a_cookie_of_a_plain_page_is_not_taken_over_https(bobs):
    bobs.base = "https://localhost"
    assert bobs.name() == ""


def test_behind_a_proxy_that_hides_the_scheme_the_public_address_counts(browser, built, app):
    found = built.settings.model_copy(update={"public_url": "https://registry.example.com"})
    app.extensions["authsvc"] = replace(built, settings=found)
    set_cookies = [browser.get("/login", Host=host).headers["Set-Cookie"] for host in ("registry.example.com", "other")]
    assert [text.startswith(SECURE_NAME) and "Secure" in text for text in set_cookies] == [True, False]


def test_the_first_page_sets_no_cookie(client):
    assert "Set-Cookie" not in client.get("/").headers


def test_a_login_makes_a_new_session(browser):
    browser.get("/login")
    before = browser.client.get_cookie(NAME).value
    browser.log_in("bob")
    assert browser.client.get_cookie(NAME).value != before


@pytest.mark.parametrize("spoil", [lambda text: text[:-9] + "x" * 9, lambda text: "x" + text, lambda _: "x.y.z"])
def test_a_cookie_that_we_did_not_sign_is_nobodys(bobs, spoil):
    bobs.client.set_cookie(NAME, spoil(bobs.client.get_cookie(NAME).value))
    assert bobs.name() == ""


def test_the_secret_of_the_session_stands_in_no_page(bobs):
    with bobs.client.session_transaction() as cookie:
        secret = cookie["session"]
    assert secret not in bobs.get("/account").text


def test_the_database_says_from_where_somebody_came(browser, row):
    browser.get("/login")
    browser.post(
        "/login", {"X-Real-IP": "192.0.2.7", "User-Agent": "Firefox"}, name="bob", password="correct-horse-battery"
    )
    assert (row().address, row().browser) == ("192.0.2.7", "Firefox")


@pytest.mark.parametrize(("seconds", "name"), [(1_700, "bob"), (1_800, "")])
def test_an_idle_session_ends(built, bobs, seconds, name):
    age(built, seconds)
    assert bobs.name() == name


def test_a_request_keeps_the_session_alive(built, bobs, row):
    age(built, 1_700)
    bobs.get("/")
    assert time.time() - row().last_seen_at < 60


def test_a_disabled_user_is_out_at_the_next_request(built, bobs, root, now):
    with built.transaction() as session:
        users.set_enabled(session, root, users.SetEnabled(name="bob", enabled=False), now)
    assert bobs.get("/account").location == "/login?next=/account"


def test_a_file_asks_for_no_session(bobs, monkeypatch):
    monkeypatch.setattr("authsvc.core.sessions.find", None)
    with bobs.client.get("/static/site.css") as answer:
        assert answer.status_code == 200


def test_a_program_is_never_known_by_a_cookie(bobs):
    assert bobs.get("/service/token?scope=repository:acme/web:pull&service=authsvc").json["token"]
    assert bobs.client.get("/service/token?scope=repository:acme/web:pull").status_code == 200
