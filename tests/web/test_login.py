import re
import time
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from authsvc.core import users
from authsvc.db.tables import User
from authsvc.errors import Unavailable
from tests import provider as provider_module
from tests.factories import PASSWORD, secret_of
from tests.provider import CLIENT, SECRET

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


class TestElsewhere:
    """Logins at another service, to which the browser is sent."""

    @pytest.fixture
    def provider(self):
        with provider_module.running() as started:
            started.claims["preferred_username"] = "dave"
            started.now = int(time.time())
            yield started

    @pytest.fixture
    def environment(self, environment, provider):
        given = {"ISSUER": provider.url, "CLIENT_ID": CLIENT, "CLIENT_SECRET": SECRET, "LABEL": "Company login"}
        more = {f"AUTHSVC_OIDC__KEYCLOAK__{name}": value for name, value in given.items()}
        return environment | more | {"AUTHSVC_PUBLIC_URL": "http://localhost"}

    @pytest.fixture
    def come_back(self, browser, provider):
        """Go to the service and come back with its answer; `changed` is in place of what it says."""

        def go(path: str = "/login/keycloak", **changed: str):
            there = browser.get(path).location
            answer = provider.authorize(there) | changed
            return browser.get(f"/login/keycloak/callback?{urlencode(answer)}"), answer

        return go

    def test_the_login_page_leads_there(self, browser):
        page = browser.get("/login?next=/account%23tokens").text
        assert "Company login" in page
        assert 'href="/login/keycloak?next=/account%23tokens"' in page

    def test_at_another_address_the_login_page_leads_to_the_one_that_the_service_knows(self, browser):
        browser.base = "http://127.0.0.1"
        assert 'href="http://localhost/login/keycloak?next=/account"' in browser.get("/login").text

    def test_whoever_comes_back_is_logged_in(self, browser, come_back):
        answer, _ = come_back()
        assert (answer.status_code, answer.location, browser.name()) == (303, "/account", "dave")

    def test_they_come_back_to_the_address_that_was_set(self, browser):
        there = browser.get("/login/keycloak", Host="evil.example.com").location
        asked = parse_qs(urlsplit(there).query)
        assert asked["redirect_uri"] == ["http://localhost/login/keycloak/callback"]

    def test_they_go_on_to_where_they_wanted(self, come_back):
        assert come_back("/login/keycloak?next=/account%23tokens")[0].location == "/account#tokens"

    def test_they_go_on_to_no_other_site(self, come_back):
        assert come_back("/login/keycloak?next=//evil.example.com")[0].location == "/"

    @pytest.mark.parametrize("changed", [{"state": "x"}, {"code": "x"}, {"iss": "https://evil.example.com"}])
    def test_a_bad_answer_logs_nobody_in(self, browser, come_back, changed):
        answer, _ = come_back(**changed)
        assert (answer.status_code, "was refused there" in answer.text, browser.name()) == (403, True, "")

    def test_an_answer_is_good_once(self, browser, come_back):
        _, answer = come_back()
        browser.get("/")
        browser.post("/logout")
        assert browser.get(f"/login/keycloak/callback?{urlencode(answer)}").status_code == 403
        assert browser.name() == ""

    def test_an_answer_is_good_once_even_for_a_cookie_that_was_kept(self, browser, provider):
        there = browser.get("/login/keycloak").location
        kept, answer = browser.client.get_cookie("authsvc").value, urlencode(provider.authorize(there))
        browser.get(f"/login/keycloak/callback?{answer}")
        browser.client.set_cookie("authsvc", kept)
        assert browser.get(f"/login/keycloak/callback?{answer}").status_code == 403

    def test_an_answer_to_another_browser_logs_nobody_in(self, browser, other_browser, provider):
        there = browser.get("/login/keycloak").location
        other_browser.get("/login/keycloak")
        answer = urlencode(provider.authorize(there))
        assert other_browser.get(f"/login/keycloak/callback?{answer}").status_code == 403
        assert other_browser.name() == ""

    def test_the_cookie_shows_no_secret_of_the_service(self, browser):
        browser.get("/login/keycloak")
        with browser.client.session_transaction() as cookie:
            assert SECRET not in str(dict(cookie))

    def test_a_link_of_another_site_begins_no_login(self, browser):
        answer = browser.get("/login/keycloak", **{"Sec-Fetch-Site": "cross-site"})
        assert answer.location == "/login"

    def test_a_service_that_is_not_there_is_not_found(self, browser):
        assert [browser.get(f"/login/google{rest}").status_code for rest in ("", "/callback")] == [404, 404]

    def test_a_service_that_is_away_leaves_passwords_as_they_are(self, browser, provider):
        provider.stop()
        answer = browser.get("/login/keycloak")
        assert (answer.status_code, "Company login does not answer as it should" in answer.text) == (503, True)
        assert browser.log_in("bob").status_code == 303

    def test_a_login_there_ends_the_session_before_it(self, bobs, come_back, other_browser):
        other_browser.client.set_cookie("authsvc", bobs.client.get_cookie("authsvc").value)
        come_back()
        assert (bobs.name(), other_browser.name()) == ("dave", "")

    def test_they_have_no_password_at_docker_and_use_an_access_token(self, browser, come_back, client):
        come_back()
        browser.get("/account")
        page = browser.post("/account/tokens", name="laptop", days="1", actions=["pull"], patterns="").text
        secret = re.search(r'id="secret">(asp_[\w-]+)<', page)[1]
        asked = "/service/token?scope=repository:open/web:pull"
        assert [client.get(asked, auth=("dave", one)).status_code for one in (secret, PASSWORD)] == [200, 401]

    def test_a_name_that_is_taken_is_refused_with_a_sentence(self, browser, come_back, provider):
        provider.claims["preferred_username"] = "bob"
        answer, _ = come_back()
        assert (answer.status_code, "the name bob is that of another account" in answer.text) == (403, True)
        assert browser.name() == ""
