from dataclasses import replace

import pytest
from sqlalchemy import select

from authsvc.db.tables import Project, User
from authsvc.web.access import open_to_all
from authsvc.web.forms import local
from authsvc.web.request import MACHINES
from tests.factories import make_everything
from tests.web.conftest import Browser

STALE = "this form is too old or comes from another site"
ROWS = ((Project, "acme"), (User, "alice"))
ANOTHERS = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
    {"Origin": "http://evil.example.com"},
]


@pytest.fixture
def everything(built) -> dict[str, object]:
    """What stands for the arguments of routes: rows that are there, for a form that got through to change."""
    with built.transaction() as unit:
        acme, alice = (unit.scalars(select(table).filter_by(name=name)).one() for table, name in ROWS)
        return make_everything(unit, acme, alice)


@pytest.fixture
def roots(browser) -> Browser:
    """The browser of the administrator, for whom each form would do something."""
    browser.log_in("root")
    browser.get("/account")
    return browser


@pytest.fixture
def forms(app, everything) -> list[str]:
    """The address of each form of the site."""
    rules = [rule for rule in app.url_map.iter_rules() if "POST" in rule.methods and not rule.rule.startswith(MACHINES)]
    adapter = app.url_map.bind("localhost")
    return [adapter.build(rule.endpoint, {name: everything[name] for name in rule.arguments}, "POST") for rule in rules]


@pytest.fixture
def refuses(roots, forms, stored):
    """Send every form in some way; returns those that were not refused for that, having made sure of the rest."""

    def refuses(headers: dict[str, str] | None = None, **token: str) -> list[str]:
        before = stored()
        answers = {path: roots.client.post(path, headers=headers, data=token, base_url=roots.base) for path in forms}
        assert stored() == before
        return [path for path, answer in answers.items() if (answer.status_code, STALE in answer.text) != (403, True)]

    return refuses


@pytest.mark.parametrize("token", [{}, {"csrf_token": ""}, {"csrf_token": "x"}, {"csrf_token": "ImFiYyI.awaADw.x"}])
def test_every_form_of_the_site_is_refused_without_its_token(refuses, token):
    assert refuses(**token) == []


def test_every_form_is_refused_with_another_browsers_token(refuses, other_browser):
    other_browser.get("/login")
    assert refuses(csrf_token=other_browser.seen) == []


@pytest.mark.parametrize("headers", ANOTHERS)
def test_every_form_is_refused_that_another_site_sends(refuses, roots, headers):
    assert refuses(headers, csrf_token=roots.seen) == []


def test_with_its_token_each_is_taken_for_our_own(app, roots, forms):
    # Behind the check there is nothing: what these forms do is not asked here.
    app.view_functions = dict.fromkeys(app.view_functions, open_to_all(lambda **_: "in"))
    answers = {path: roots.client.post(path, data={"csrf_token": roots.seen}).text for path in forms}
    assert set(answers.values()) == {"in"}
    assert {"/login", "/projects/acme/delete", "/admin/users/alice/delete"} <= answers.keys()


def test_an_address_without_a_form_is_refused_too(bobs):
    assert STALE in bobs.post("/nothing", csrf_token="").text


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
        {"Sec-Fetch-Site": "nonsense"},
        {"Origin": "http://evil.example.com"},
        {"Origin": "http://localhost.evil.example.com"},
        {"Origin": "http://localhost:81"},
        {"Origin": "null"},
        {"Origin": ""},
    ],
)
def test_a_form_that_another_site_sends_is_refused(browser, headers):
    browser.get("/login")
    assert browser.post("/login", headers, name="bob", password="x").status_code == 403
    assert browser.name() == ""


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-origin", "Origin": "null"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://localhost"},
    ],
)
def test_a_form_of_our_own_is_taken(bobs, headers):
    bobs.get("/account")
    assert (bobs.post("/logout", headers).status_code, bobs.name()) == (303, "")


def test_behind_a_proxy_that_hides_the_host_the_public_address_counts(browser, built, app):
    found = built.settings.model_copy(update={"public_url": "https://registry.example.com"})
    app.extensions["authsvc"] = replace(built, settings=found)
    browser.get("/login")
    origins = ["https://registry.example.com", "https://other.example.com", "", "null"]
    given = [browser.post("/login", {"Origin": one}, name="bob", password="x").text for one in origins]
    assert [STALE in text for text in given] == [False, True, True, True]


def test_logging_in_changes_the_token_of_the_forms(browser):
    browser.get("/login")
    before = browser.seen
    browser.log_in("bob")
    assert browser.post("/logout", csrf_token=before).status_code == 403


def test_the_token_endpoint_needs_no_form(client):
    answer = client.post("/service/token", data={}, headers={"Origin": "http://evil.example.com"})
    assert (answer.status_code, STALE in answer.text) == (400, False)


@pytest.mark.parametrize("path", ["/", "/account", "/account?x=1#tokens", "/a//b", "/%0a"])
def test_a_path_of_ours_is_gone_on_to(path):
    assert local(path) == path


@pytest.mark.parametrize(
    "target",
    [
        "",
        "account",
        "//evil.example.com",
        "///evil.example.com",
        "/\\evil.example.com",
        "\\\\evil.example.com",
        "https://evil.example.com",
        "https:/evil.example.com",
        "javascript:alert(1)",
        "/\t/evil.example.com",
        "/\n/evil.example.com",
        " //evil.example.com",
        "/" + "x" * 512,
    ],
)
def test_nothing_else_is_gone_on_to(target):
    assert local(target) == "/"
