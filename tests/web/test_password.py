import pytest

from authsvc.core import users
from authsvc.core.users import SetPassword
from tests.factories import PASSWORD

PAGE, NEW = "/account/password", "purple-monkey-dishwasher"
GIVEN = {"current": PASSWORD, "password": NEW, "again": NEW}


def test_a_password_is_changed_and_the_session_goes_on(bobs, other_browser):
    bobs.get(PAGE)
    assert bobs.post(PAGE, **GIVEN).location == "/account"
    assert (bobs.name(), other_browser.log_in("bob", NEW).status_code) == ("bob", 303)


def test_the_old_password_is_refused_and_other_sessions_end(bobs, other_browser):
    other_browser.log_in("bob")
    bobs.get(PAGE)
    bobs.post(PAGE, **GIVEN)
    assert (other_browser.name(), other_browser.log_in("bob").status_code) == ("", 403)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"current": "another"}, "current"),
        ({"current": ""}, "current"),
        ({"again": "another"}, "again"),
        ({"password": "short", "again": "short"}, "password"),
        ({"password": "password1", "again": "password1"}, "password"),
        ({"password": PASSWORD, "again": PASSWORD}, "password"),
        ({"password": "x" * 10_000, "again": "x" * 10_000}, "password"),
    ],
)
def test_what_is_wrong_is_said_beside_its_field_and_nothing_changes(bobs, other_browser, given, field):
    bobs.get(PAGE)
    answer = bobs.post(PAGE, **GIVEN | given)
    assert (answer.status_code >= 400, f'id="{field}-wrong"' in answer.text) == (True, True)
    assert other_browser.log_in("bob").status_code == 303


def test_no_answer_repeats_a_password(bobs):
    bobs.get(PAGE)
    page = bobs.post(PAGE, **GIVEN | {"again": "another"}).text
    assert (NEW in page, PASSWORD in page) == (False, False)


@pytest.mark.parametrize(("typed", "words"), [("", "guessed at once"), ("abc", "guessed at once"), (NEW, "strong")])
def test_how_strong_a_password_is_is_said_while_it_is_typed(bobs, typed, words):
    bobs.get(PAGE)
    assert words in bobs.post(f"{PAGE}/strength", password=typed).text


class TestChosenBySomebodyElse:
    @pytest.fixture
    def bobs(self, built, root, now, browser):
        """The browser of bob, whose password somebody else has chosen."""
        command = SetPassword(name="bob", password=NEW, must_change=True)
        built.retried(lambda session: users.set_password(session, root, command, now))
        browser.log_in("bob", NEW)
        return browser

    @pytest.mark.parametrize("path", ["/", "/account", "/projects", "/projects/acme", "/search?q=a", "/projects/open"])
    def test_every_page_leads_to_the_form(self, bobs, path):
        assert bobs.get(path).location == PAGE

    def test_no_form_is_taken_but_that(self, bobs):
        bobs.get(PAGE)
        assert bobs.post("/account/tokens", name="x", days="1", actions=["pull"]).location == PAGE

    def test_whoever_does_not_want_to_gets_out(self, bobs):
        bobs.get(PAGE)
        assert bobs.post("/logout").location == "/"

    def test_after_the_change_the_site_is_open(self, bobs):
        bobs.get(PAGE)
        bobs.post(PAGE, current=NEW, password=PASSWORD, again=PASSWORD)
        assert bobs.get("/account").status_code == 200
