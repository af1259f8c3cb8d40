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
from authsvc.web import access
from tests.factories import basic, secret_of

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


def test_a_view_that_says_nothing_is_shut(app, client):
    app.add_url_rule("/open", "open", lambda: "in")
    assert client.get("/open").status_code == 403
