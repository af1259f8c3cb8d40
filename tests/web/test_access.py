"""Every route × every kind of visitor, against the rights table; and the proof anew before what is grave."""

import re
import time
from collections.abc import Callable

import pytest
from flask import Flask, url_for
from flask_wtf.csrf import generate_csrf

from authsvc.core import rights, sessions, users
from authsvc.core.sessions import Begin
from authsvc.domain.machine_secrets import Kind
from authsvc.domain.permissions import ANONYMOUS, Actor, Credential, decide, sight
from authsvc.web import access, visitor
from tests.factories import PASSWORD, basic, make_user, password_hash, secret_of

# What each route asks for: `everybody`, or a right, `!` where the visitor must have been proved a moment ago.
# A route that is missing here, or asks for something else, fails.
ROUTES = {
    "account.add_token": "access-token:create!",
    "account.end_other_sessions": "session:delete",
    "account.end_session": "session:delete",
    "account.revoke_token": "access-token:delete",
    "account.show": "profile:read",
    "admin_health.show": "configuration:read",
    "admin_sessions.end": "user:update",
    "admin_sessions.end_all": "user:update!",
    "admin_sessions.end_user": "user:update",
    "admin_sessions.index": "user:update",
    "events.receive": "everybody",
    "explain.show": "permission:read",
    "groups.add": "user-group:create",
    "groups.add_user": "user-group:update",
    "groups.delete": "user-group:delete",
    "groups.index": "user-group:list",
    "groups.new": "user-group:create",
    "groups.remove_user": "user-group:update",
    "groups.show": "user-group:read",
    "groups.suggest": "user-group:update",
    "health.components": "everybody",
    "health.live": "everybody",
    "health.ping": "everybody",
    "health.ready": "everybody",
    "keys.index": "signing-key:list",
    "keys.rotate": "signing-key:create!",
    "log.export": "audit-log:list",
    "log.index": "audit-log:list",
    "log.verify": "audit-log:list",
    "login.confirm": "profile:read!",
    "login.finish": "everybody",
    "login.form": "everybody",
    "login.logout": "everybody",
    "login.start": "everybody",
    "login.with_password": "everybody",
    "members.add": "member:create",
    "members.change": "member:update",
    "members.edit": "member:update",
    "members.index": "member:list",
    "members.preview": "member:create",
    "members.remove": "member:delete",
    "members.suggest": "member:create",
    "metrics.show": "everybody",
    "password.change": "profile:update",
    "password.form": "profile:update",
    "password.strength": "profile:update",
    "project_explain.show_project": "permission:read",
    "project_log.export": "log:list",
    "project_log.index": "log:list",
    "project_robots.add": "robot:create!",
    "project_robots.add_trust": "robot:update!",
    "project_robots.delete": "robot:delete!",
    "project_robots.index": "robot:list",
    "project_robots.new": "robot:create",
    "project_robots.permissions": "robot:update",
    "project_robots.refresh": "robot:update!",
    "project_robots.remove_trust": "robot:update!",
    "project_robots.set_enabled": "robot:update!",
    "project_robots.set_end": "robot:update!",
    "project_robots.set_permissions": "robot:update!",
    "project_robots.show": "robot:list",
    "projects.add": "project:create",
    "projects.delete": "project:delete!",
    "projects.index": "profile:read",
    "projects.new": "project:create",
    "projects.set_public": "project:update",
    "projects.show": "everybody",
    "robots.add": "robot:create!",
    "robots.add_trust": "robot:update!",
    "robots.delete": "robot:delete!",
    "robots.index": "robot:list",
    "robots.new": "robot:create",
    "robots.permissions": "robot:update",
    "robots.refresh": "robot:update!",
    "robots.remove_trust": "robot:update!",
    "robots.set_enabled": "robot:update!",
    "robots.set_end": "robot:update!",
    "robots.set_permissions": "robot:update!",
    "robots.show": "robot:list",
    "roles.add": "role:create!",
    "roles.change": "role:update!",
    "roles.delete": "role:delete!",
    "roles.edit": "role:update",
    "roles.index": "role:list",
    "roles.new": "role:create",
    "roles.show": "role:list",
    "search.show": "profile:read",
    "settings.change": "configuration:update!",
    "settings.edit": "configuration:update!",
    "settings.index": "configuration:read",
    "site.certificate": "everybody",
    "site.home": "everybody",
    "site.language": "everybody",
    "site.trust": "everybody",
    "sources.add": "configuration:update!",
    "sources.change": "configuration:update!",
    "sources.check": "configuration:update",
    "sources.delete": "configuration:update!",
    "sources.index": "configuration:read",
    "sources.new": "configuration:update!",
    "sources.person": "configuration:update",
    "sources.show": "configuration:update!",
    "token.get": "everybody",
    "token.post": "everybody",
    "users.add": "user:create!",
    "users.delete": "user:delete!",
    "users.end_session": "user:update",
    "users.end_sessions": "user:update",
    "users.home": "user:list",
    "users.import_form": "user:create",
    "users.import_user": "user:create",
    "users.index": "user:list",
    "users.new": "user:create!",
    "users.revoke_token": "user:update",
    "users.set_admin": "user:update!",
    "users.set_enabled": "user:update",
    "users.set_password": "user:update!",
    "users.show": "user:read",
    "users.unlock": "user:update",
}
NO_ROUTES = {"site.static", "form"}
PEOPLE = ("alice", "bob", "charlie", "root")
PROJECTS = ("acme", "open", "nowhere")


@pytest.fixture
def app(own_app):
    """One that these tests give further routes."""
    return own_app


def spelt(found: access.Access | None) -> str:
    """What a route asks for, as the table above has it."""
    if found is None:
        return "nobody"
    return f"{found.right or 'everybody'}{'!' if found.fresh else ''}"


def _now() -> int:
    return int(time.time())


def endpoints(app: Flask) -> list[str]:
    return sorted({rule.endpoint for rule in app.url_map.iter_rules()} - NO_ROUTES)


def test_every_route_asks_for_what_the_table_says(app):
    assert {endpoint: spelt(access.of(app, endpoint)) for endpoint in endpoints(app)} == ROUTES


@pytest.fixture
def doors(app) -> Flask:
    """The application with nothing behind its doors: each view only says that somebody came in."""
    for endpoint in endpoints(app):
        app.view_functions[endpoint] = access._marked(access.of(app, endpoint))(lambda **_: ("in", 200))
    app.add_url_rule("/form", "form", access.open_to_all(lambda: f'name="csrf_token" value="{generate_csrf()}"'))
    return app


@pytest.fixture
def enter(built, browser, doors) -> Callable[[str], Actor]:
    """Log somebody in behind the doors' back, and tell who they are."""

    def enter(name: str) -> Actor:
        with built.transaction() as session:
            actor = rights.get_user_actor(session, name, Credential.SESSION, int(time.time()))
            version = users.get(session, name).password_version
            secret = sessions.begin(session, actor, Begin(user=name, password_version=version, how="test"), _now())
        with browser.client.session_transaction() as cookie:
            cookie.update(session=secret, proved=_now())
        browser.get("/form")
        return actor

    return enter


def ask(doors: Flask, endpoint: str, project: str, browser) -> str:
    """How a door answers: in, login, forbidden, missing."""
    rule = next(rule for rule in doors.url_map.iter_rules() if rule.endpoint == endpoint)
    values = {name: project if name == "project" else 1 for name in rule.arguments}
    with doors.test_request_context():
        path = url_for(endpoint, **values)
    answer = browser.get(path) if "GET" in rule.methods else browser.post(path)
    location = answer.headers.get("Location", "")
    return {200: "in", 403: "forbidden", 404: "missing"}.get(answer.status_code) or re.sub(r"\?.*", "", location)


def ask_again(doors: Flask, endpoint: str, browser) -> bool:
    """Whether a door asks for the password again."""
    rule = next(rule for rule in doors.url_map.iter_rules() if rule.endpoint == endpoint)
    with doors.test_request_context():
        path = url_for(endpoint, **{name: "acme" if name == "project" else 1 for name in rule.arguments})
    return asks(browser.get(path) if "GET" in rule.methods else browser.post(path))


def expected(actor: Actor, endpoint: str, found: access.Access, where: object, *, in_project: bool) -> str:
    """What the rights table says of a route."""
    if in_project and (where is None or not sight(actor).includes(where)):
        return "/login" if actor is ANONYMOUS else "missing"
    if found.right is None or decide(actor, found.right, where):
        return "in"
    return "/login" if actor is ANONYMOUS else "forbidden"


def walk(doors: Flask, browser, actor: Actor, session) -> tuple[dict[str, str], dict[str, str]]:
    """How every door answers a visitor, and how it should."""
    said, due = {}, {}
    for endpoint in endpoints(doors):
        rule = next(rule for rule in doors.url_map.iter_rules() if rule.endpoint == endpoint)
        in_project = "project" in rule.arguments
        for project in PROJECTS if in_project else ("",):
            where = rights.find_project(session, project) if in_project else None
            key = f"{endpoint} {project}".strip()
            said[key] = ask(doors, endpoint, project, browser)
            due[key] = expected(actor, endpoint, access.of(doors, endpoint), where, in_project=in_project)
    return said, due


@pytest.mark.parametrize("name", PEOPLE)
def test_a_person_comes_in_where_the_rights_table_says(doors, built, browser, enter, name):
    actor = enter(name)
    with built.reading() as session:
        said, due = walk(doors, browser, actor, session)
    assert said == due


def test_nobody_in_particular_comes_in_where_the_rights_table_says(doors, built, browser):
    browser.get("/form")
    with built.reading() as session:
        said, due = walk(doors, browser, ANONYMOUS, session)
    assert said == due


def test_a_machines_secret_opens_no_page(doors, browser):
    secret = basic("robot$acme+ci", secret_of(Kind.ROBOT, "acme+ci"))
    assert doors.test_client().get("/account", headers=secret).location.startswith("/login")


def age(browser) -> None:
    """Let the last proof be as old as it can be, and no longer good."""
    with browser.client.session_transaction() as cookie:
        cookie["proved"] = _now() - visitor.FRESH_SECONDS


def asks(answer) -> bool:
    """Whether the password is asked for again."""
    return f'name="{access.PASSWORD}"' in answer.text


def test_what_is_grave_asks_for_the_password_when_the_last_proof_is_old(doors, browser, enter):
    enter("root")
    age(browser)
    grave = {name for name in endpoints(doors) if access.of(doors, name).fresh}
    found = {endpoint: ask_again(doors, endpoint, browser) for endpoint in endpoints(doors)}
    assert {endpoint for endpoint, is_asked in found.items() if is_asked} == grave


@pytest.fixture
def stale(browser, request):
    """The browser of the administrator, who was proved five minutes ago."""
    browser.log_in("root")
    browser.get("/account")
    age(browser)
    return browser


NEW_USER = {"name": "dave", "email": "dave@example.com", "made": "on", "password": "a-secret-of-daves-9"}


def test_what_was_typed_goes_on_with_the_password_but_for_secrets(stale):
    asked = stale.post("/admin/users/-/new", **NEW_USER, right=["tag:list", "tag:create"])
    kept = re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', asked.text.partition("<main")[2])
    assert [field for field in kept if field[0] != "csrf_token"] == [
        ("name", "dave"),
        ("email", "dave@example.com"),
        ("made", "on"),
        ("right", "tag:list"),
        ("right", "tag:create"),
        ("confirm_back", "/"),
    ]
    assert "a-secret-of-daves-9" not in asked.text
    made = stale.post("/admin/users/-/new", confirm_password=PASSWORD, **dict(kept))
    assert 'id="made"' in made.text
    assert not asks(stale.get("/admin/users/-/new"))


def test_without_the_password_nothing_is_stored(stale, stored):
    before = stored()
    assert asks(stale.post("/admin/users/-/new", **NEW_USER))
    assert stored() == before


def test_a_wrong_password_is_refused_and_leaves_everything_as_it_is(stale, stored, refusals):
    before = stored("audit_events", "audit_heads", "failure_counts", "failed_secrets")
    refused = stale.post("/admin/users/-/new", **NEW_USER, confirm_password="wrong")
    assert (refused.status_code, asks(refused)) == (403, True)
    assert "wrong user name or password" in refused.text
    assert stored("audit_events", "audit_heads", "failure_counts", "failed_secrets") == before
    assert [name for name, _ in refusals()] == ["root"]
    assert asks(stale.get("/admin/users/-/new"))


def test_another_users_password_is_no_proof(stale, built):
    with built.transaction() as unit:
        make_user(unit, "dave", password_hash=password_hash("the-password-of-dave"))
    fields = NEW_USER | {"name": "dave", "user": "dave", "username": "dave"}
    assert asks(stale.post("/admin/users/-/new", **fields, confirm_password="the-password-of-dave"))


def test_guesses_are_slowed_down_like_logins(stale, built):
    guesses = [f"wrong-{number}" for number in range(built.settings.throttle.account_failures + 1)]
    answers = [stale.post("/confirm", confirm_password=guess) for guess in guesses]
    assert [answer.status_code for answer in answers] == [403] * (len(guesses) - 1) + [429]
    assert (asks(answers[-1]), "Retry-After" in answers[-1].headers) == (True, True)


def test_a_page_that_asks_is_shown_after_the_password(stale):
    page = "/admin/users/-/new?x=1"
    asked = stale.get(page, Referer="http://localhost/admin/users")
    assert f'name="next" value="{page}"' in asked.text
    assert '<a href="/admin/users">Cancel</a>' in asked.text
    assert stale.post("/confirm", next=page, confirm_password=PASSWORD).location == page
    assert not asks(stale.get(page))


def test_after_a_wrong_password_one_can_still_go_back_to_where_one_came_from(stale):
    form = {"name": "laptop", "confirm_password": "wrong", "confirm_back": "/account"}
    answer = stale.post("/account/tokens", {"Referer": "http://localhost/account/tokens"}, **form)
    assert '<a href="/account">Cancel</a>' in answer.text


@pytest.mark.parametrize("target", ["https://evil.example.com/", "//evil.example.com", "javascript:alert(1)"])
def test_no_other_site_is_gone_on_or_back_to(stale, target):
    assert 'href="/">Cancel' in stale.post("/confirm", next=target, confirm_back=target).text
    assert stale.post("/confirm", next=target, confirm_password=PASSWORD).location == "/"


class TestElsewhere:
    """Who has no password here."""

    @pytest.fixture
    def environment(self, environment):
        given = {"ISSUER": "https://idp.example.com", "CLIENT_ID": "a", "CLIENT_SECRET": "b", "LABEL": "Company login"}
        return environment | {f"AUTHSVC_OIDC__COMPANY__{name}": value for name, value in given.items()}

    def test_is_offered_the_login_there_and_comes_back_to_the_page(self, stale):
        page = stale.get("/admin/users/-/new", Referer="http://localhost/admin/users").text
        assert re.search(r'href="/login/company\?next=/admin/users/-/new">Company login<', page)


def test_a_view_that_says_nothing_is_shut(app, client):
    app.add_url_rule("/open", "open", lambda: "in")
    assert client.get("/open").status_code == 403
