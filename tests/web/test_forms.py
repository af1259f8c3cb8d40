from dataclasses import replace

import pytest

from authsvc.web.forms import local
from authsvc.web.request import MACHINES

STALE = "this form is too old or comes from another site"
FORMS = ["/login", "/logout", "/account/tokens", "/nothing"]


def every_form(app) -> list[str]:
    """The address of each form of the site."""
    rules = [rule for rule in app.url_map.iter_rules() if "POST" in rule.methods and not rule.rule.startswith(MACHINES)]
    adapter = app.url_map.bind("localhost")
    return [adapter.build(rule.endpoint, dict.fromkeys(rule.arguments, 1), "POST") for rule in rules]


def test_every_form_of_the_site_is_refused_without_its_token(bobs, app):
    answers = {path: bobs.post(path, csrf_token="") for path in every_form(app)}
    assert [path for path, answer in answers.items() if (answer.status_code, STALE in answer.text) != (403, True)] == []
    assert {"/login", "/projects/1/delete"} <= answers.keys()


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize("token", ["", "x", "ImFiYyI.awaADw.x"])
def test_a_form_without_its_token_is_refused(bobs, path, token):
    answer = bobs.post(path, csrf_token=token)
    assert (answer.status_code, STALE in answer.text) == (403, True)


@pytest.mark.parametrize("path", FORMS)
def test_a_form_with_another_browsers_token_is_refused(bobs, other_browser, path):
    other_browser.get("/login")
    assert bobs.post(path, csrf_token=other_browser.seen).status_code == 403


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
