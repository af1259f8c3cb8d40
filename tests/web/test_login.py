import time

import pytest

from authsvc.core import users
from authsvc.db.tables import User
from authsvc.errors import Unavailable
from tests.factories import PASSWORD, secret_of

WRONG = "wrong user name or password"


def test_whoever_is_not_logged_in_is_sent_to_the_login_page(browser):
    answer = browser.get("/account")
    assert (answer.status_code, answer.location) == (303, "/login?next=/account")


def test_a_login_leads_to_the_account(browser):
    answer = browser.log_in("bob")
    assert (answer.status_code, answer.location, browser.name()) == (303, "/account", "bob")


def test_a_name_is_taken_in_any_case(browser):
    browser.log_in("BOB")
    assert browser.name() == "bob"


def test_a_login_leads_to_where_somebody_wanted_to_go(browser):
    page = browser.get("/login?next=/account%23tokens").text
    assert 'name="next" value="/account#tokens"' in page
    assert browser.post("/login", name="bob", password=PASSWORD, next="/account#tokens").location == "/account#tokens"


@pytest.mark.parametrize("target", ["https://evil.example.com", "//evil.example.com", "/\\evil.example.com"])
def test_a_login_leads_to_no_other_site(browser, target):
    assert browser.log_in("bob", next=target).location == "/"


def test_a_link_to_the_login_page_leads_to_no_other_site(bobs):
    assert bobs.get("/login?next=//evil.example.com").location == "/"


@pytest.mark.parametrize(
    ("name", "password"),
    [("bob", "wrong"), ("nobody", PASSWORD), ("bob", ""), ("", ""), ("' OR 1=1 --", "x"), ("bob\0", PASSWORD)],
)
def test_an_unknown_name_and_a_wrong_password_are_told_the_same(browser, name, password):
    answer = browser.log_in(name, password)
    assert (answer.status_code, WRONG in answer.text, browser.name()) == (403, True, "")


def test_a_refused_login_keeps_the_name_and_not_the_password(browser):
    page = browser.log_in("<b>", "a-secret").text
    assert ('value="&lt;b&gt;"' in page, "a-secret" in page) == (True, False)


def test_a_refused_login_asks_for_no_password_in_a_window_of_the_browsers(browser):
    assert "WWW-Authenticate" not in browser.log_in("bob", "wrong").headers


def test_a_refused_login_stands_in_the_trail(browser, refusals):
    browser.log_in("bob", "wrong")
    assert refusals() == [("bob", WRONG)]


def test_a_disabled_user_stays_out(built, browser, root, now, refusals):
    with built.transaction() as session:
        users.set_enabled(session, root, users.SetEnabled(name="bob", enabled=False), now)
    answer = browser.log_in("bob")
    assert (answer.status_code, browser.name(), refusals()) == (403, "", [("bob", "this account is disabled")])


@pytest.fixture
def ten_failures(built):
    """bob's password was tried ten times from this address, so that the next attempt waits half a minute."""
    for number in range(10):
        built.callers._throttle.failed("bob", "127.0.0.1", f"wrong-{number}", int(time.time()))


def test_failed_logins_slow_the_next_ones_down(browser, ten_failures):
    answer = browser.log_in("bob")
    assert (answer.status_code, "Retry-After" in answer.headers, "too many failed logins" in answer.text) == (
        429,
        True,
        True,
    )


def test_the_pages_and_docker_count_together(browser, client, monkeypatch, built):
    monkeypatch.setattr(built.callers._throttle, "failed", lambda *given: counted.append(given[:2]))
    counted: list[tuple[str, str]] = []
    browser.log_in("bob", "wrong")
    client.get("/service/token", auth=("bob", "wrong"))
    assert counted == [("bob", "127.0.0.1")] * 2


@pytest.mark.parametrize("secret", ["robot$ci", "bob"])
def test_a_machines_secret_begins_no_session(browser, secret):
    browser.log_in(secret, secret_of("asp_", "laptop"))
    assert browser.name() == ""


def test_a_source_that_does_not_answer_is_said_to_the_person(browser, built, monkeypatch):
    def away(*_):
        raise Unavailable("the directory does not answer")

    browser.get("/login")
    monkeypatch.setattr("authsvc.identity.local.LocalBackend.check", away)
    answer = browser.post("/login", name="bob", password="another")
    assert (answer.status_code, "the directory does not answer" in answer.text) == (503, True)


def test_an_account_that_changes_during_its_login_begins_no_session(browser, built, monkeypatch):
    def changed(callers, shown, origin, now):
        account = person(callers, shown, origin, now)
        with built.transaction() as session:
            session.query(User).filter_by(name="bob").update({"enabled": False})
        return account

    person = type(built.callers).person
    monkeypatch.setattr(type(built.callers), "person", changed)
    assert (browser.log_in("bob").status_code, browser.name()) == (409, "")


def test_logging_out_ends_the_session(bobs, app, other_browser):
    kept = bobs.client.get_cookie("authsvc").value
    bobs.get("/account")
    assert bobs.post("/logout").location == "/"
    other_browser.client.set_cookie("authsvc", kept)
    assert (bobs.name(), other_browser.name(), bobs.client.get_cookie("authsvc")) == ("", "", None)


def test_logging_out_twice_does_no_harm(bobs, other_browser):
    other_browser.get("/login")
    assert other_browser.post("/logout").status_code == 303


def test_a_second_login_ends_the_first(bobs, other_browser):
    other_browser.client.set_cookie("authsvc", bobs.client.get_cookie("authsvc").value)
    bobs.get("/account")
    bobs.post("/login", name="alice", password=PASSWORD)
    assert (bobs.name(), other_browser.name()) == ("alice", "")


@pytest.mark.parametrize(("language", "title"), [("en", "User name"), ("zh", "用户名")])
def test_the_page_speaks_both_languages(browser, language, title):
    assert title in browser.get("/login", **{"Accept-Language": language}).text


def test_a_refusal_speaks_chinese_too(browser):
    browser.get("/login")
    assert "用户名或密码错误" in browser.post("/login", {"Accept-Language": "zh"}, name="bob", password="x").text
