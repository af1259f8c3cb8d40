import re

import pytest
from sqlalchemy import update

from authsvc.core import access_tokens
from authsvc.db.tables import User
from tests.factories import access, make_session

NEW = {"name": "laptop", "days": "90", "actions": ["pull", "push"], "pattern": ""}


def made(page) -> str:
    return re.search(r'id="secret">(asp_[\w-]+)<', page.text)[1]


def tokens(built, actor, user="bob"):
    with built.reading() as session:
        return access_tokens.list_all(session, actor, user)


@pytest.fixture
def bobs(bobs):
    bobs.get("/account")
    return bobs


@pytest.mark.parametrize("text", ["<dd>bob</dd>", "<dd>local</dd>", "docker login -u bob localhost"])
def test_the_page_says_who_somebody_is_and_how_to_log_in_with_docker(bobs, text):
    assert text in bobs.get("/account").text


@pytest.mark.parametrize(("name", "is_one"), [("root", True), ("bob", False)])
def test_the_page_says_who_is_an_administrator(browser, name, is_one):
    browser.log_in(name)
    assert ("System administrator" in browser.get("/account").text) == is_one


def test_a_token_is_shown_once_and_is_good_at_docker(bobs, client):
    secret = made(bobs.post("/account/tokens", **NEW))
    answer = client.get("/service/token?scope=repository:acme/web:pull,push", auth=("bob", secret))
    assert access(answer.json["token"]) == {"repository:acme/web": ["pull", "push"]}
    assert secret not in bobs.get("/account").text


def test_a_token_is_no_more_than_was_asked_for(bobs, client):
    given = NEW | {"actions": ["pull"], "pattern": "acme/web-*\r\nacme/tools/**"}
    secret = made(bobs.post("/account/tokens", **given))
    scopes = "scope=repository:acme/web-1:pull,push&scope=repository:acme/lint:pull"
    answer = client.get(f"/service/token?{scopes}", auth=("bob", secret))
    assert access(answer.json["token"]) == {"repository:acme/web-1": ["pull"]}


@pytest.mark.parametrize(("days", "ends"), [("", False), (" ", False), ("7", True)])
def test_a_token_ends_when_it_was_said(bobs, built, root, days, ends):
    bobs.post("/account/tokens", **NEW | {"days": days})
    (token,) = tokens(built, root)
    assert (token.expires_at is not None) == ends
    assert not ends or token.expires_at - token.created_at == 7 * 86_400


@pytest.mark.parametrize(
    ("field", "value", "wrong"),
    [
        ("name", "", "name"),
        ("name", "<script>alert(1)</script>", "name"),
        ("name", "x" * 10_000, "name"),
        ("name", "\u202egnp", "name"),
        ("days", "0", "days"),
        ("days", "soon", "days"),
        ("days", "-1", "days"),
        ("days", "9" * 5_000, "days"),
        ("days", "²", "days"),
        ("actions", [], "actions"),
        ("actions", ["fly"], "actions"),
        ("pattern", "ACME", "pattern"),
        ("pattern", " ".join(["acme/*"] * 51), "pattern"),
    ],
)
def test_a_wrong_value_is_told_beside_its_field_and_nothing_is_made(bobs, built, root, field, value, wrong):
    answer = bobs.post("/account/tokens", **NEW | {field: value})
    assert (answer.status_code, re.findall(r'id="(\w+)-wrong"', answer.text), tokens(built, root)) == (400, [wrong], [])
    assert "<script>" not in answer.text


def test_what_was_typed_stays_in_the_form(bobs):
    page = bobs.post("/account/tokens", name="my laptop", days="0", actions=["delete"], pattern="acme/*").text
    assert 'value="my laptop"' in page
    assert ('value="delete" checked' in page, 'value="pull" checked' in page, ">acme/*</textarea>" in page) == (
        True,
        False,
        True,
    )


def test_a_name_that_is_taken_is_told_beside_its_field(bobs, built, root):
    bobs.post("/account/tokens", **NEW)
    answer = bobs.post("/account/tokens", **NEW)
    assert (answer.status_code, "bob has a token laptop already" in answer.text, len(tokens(built, root))) == (
        409,
        True,
        1,
    )


def test_a_wrong_value_is_told_in_chinese_too(bobs):
    assert (
        "请从 pull, push, delete, catalog 中选择"
        in bobs.post("/account/tokens", {"Accept-Language": "zh"}, name="x", days="1").text
    )


def test_a_revoked_token_is_refused(bobs, client):
    secret = made(bobs.post("/account/tokens", **NEW))
    assert bobs.post("/account/tokens/revoke", name="laptop").location == "/account#tokens"
    assert client.get("/service/token", auth=("bob", secret)).status_code == 401


def test_a_token_that_is_not_there_is_not_found(bobs):
    assert bobs.post("/account/tokens/revoke", name="<none>").status_code == 404


def test_nobody_revokes_anothers_token(bobs, other_browser, built, root):
    bobs.post("/account/tokens", **NEW)
    other_browser.log_in("alice")
    other_browser.get("/account")
    assert other_browser.post("/account/tokens/revoke", name="laptop", user="bob").status_code == 404
    assert len(tokens(built, root)) == 1


def test_nobody_makes_a_token_for_another(bobs, built, root):
    bobs.post("/account/tokens", **NEW, user="alice")
    assert ([token.name for token in tokens(built, root)], tokens(built, root, "alice")) == (["laptop"], [])


def test_somebody_sees_and_ends_their_other_sessions(bobs, other_browser):
    other_browser.log_in("bob")
    (other,) = re.findall(r"/account/sessions/(\d+)/end", bobs.get("/account").text)
    assert bobs.post(f"/account/sessions/{other}/end").location == "/account#sessions"
    assert (bobs.name(), other_browser.name()) == ("bob", "")


def test_all_other_sessions_are_ended_at_once(bobs, other_browser):
    other_browser.log_in("bob")
    bobs.post("/account/sessions/end-others")
    assert (bobs.name(), other_browser.name()) == ("bob", "")


def test_nobody_ends_anothers_session(bobs, other_browser):
    other_browser.log_in("alice")
    answers = [bobs.post(f"/account/sessions/{number}/end").status_code for number in (2, 3)]
    assert (answers, other_browser.name()) == ([404, 404], "alice")


def test_a_browser_that_calls_itself_a_script_is_escaped(bobs, built):
    with built.transaction() as session:
        make_session(session, built_user(session), "x", browser="<script>", created_at=2**31, last_seen_at=2**31)
    assert "&lt;script&gt;" in bobs.get("/account").text


def built_user(session):
    return access_tokens.users.get(session, "bob")


@pytest.mark.parametrize("path", ["/account/tokens", "/account/tokens/revoke", "/account/sessions/end-others"])
def test_whoever_is_not_logged_in_is_sent_to_the_login_page(browser, path):
    browser.get("/login")
    assert browser.post(path).location == "/login"


def test_the_page_leads_to_the_change_of_a_password_that_is_kept_here(bobs, built):
    link = '<a href="/account/password">Change my password</a>'
    assert link in bobs.get("/account").text
    with built.transaction() as session:
        session.execute(update(User).where(User.name == "bob").values(source="ldap", password_hash=None))
    assert link not in bobs.get("/account").text
