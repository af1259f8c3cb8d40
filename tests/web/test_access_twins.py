"""Two projects alike, with people alike: whoever is at home in one finds nothing of the other, by any id or name."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

import pytest
from flask import Flask
from sqlalchemy import select
from werkzeug.routing import Rule

from authsvc.core import rights
from authsvc.db.tables import Project, User
from authsvc.domain.permissions import Actor, Credential, Role, decide
from authsvc.domain.permissions import Project as Facts
from authsvc.web import access
from tests import factories
from tests.conftest import NOW
from tests.web.conftest import Browser

Ids = Mapping[str, object]
TRAIL = ("audit_events", "audit_heads")
NO_IDS = {
    "source": "names a service at which everybody may log in",
    "code": "names a language",
    "filename": "names a file for everybody",
}
# What each form takes, so that nothing but the id can be what it is refused for.
FILLED = {
    "name": "twin",
    "names": "dave",
    "kind": "person",
    "member": "person::dave",
    "role": "guest",
    "user": "dave",
    "token": "twin-token",
    "public": "yes",
    "enabled": "no",
    "admin": "yes",
    "days": "7",
    "right": "repository:pull",
    "right-0": "repository:pull",
    "issuer": "https://token.actions.githubusercontent.com",
    "audience": "registry.example.com",
    "claim": "sub=repo:acme/app:ref:refs/heads/main",
}
# Rows that a field names and not the address.
NAMED = [
    ("POST", "/account/tokens/revoke", {"name": "twin-token"}),
    ("POST", "/projects/acme/members/remove", {"member": "person::dave"}),
    ("POST", "/projects/acme/members/remove", {"member": ["person::bob", "person::dave"]}),
    ("GET", "/projects/acme/members/edit?kind=person&name=dave", {}),
]


@dataclass(frozen=True)
class Twins:
    """What the routes' arguments are on either side."""

    own: Ids
    foreign: Ids


@pytest.fixture
def twins(built) -> Twins:
    """acme with alice and bob; twin with charlie and dave."""
    with built.transaction() as unit:
        people = {user.name: user for user in unit.scalars(select(User))}
        acme = unit.scalars(select(Project).where(Project.name == "acme")).one()
        twin = factories.make_project(unit, "twin")
        dave = factories.make_user(unit, "dave")
        factories.make_member(unit, twin, people["charlie"], Role.PROJECT_ADMIN)
        factories.make_member(unit, twin, dave, Role.DEVELOPER)
        own = factories.make_everything(unit, acme, people["alice"])
        return Twins(own, factories.make_everything(unit, twin, people["charlie"]))


def addresses(app: Flask, twins: Twins) -> Iterator[tuple[Rule, Ids, str]]:
    """Each route that takes an id, with every mixture of its arguments that is not wholly one's own."""
    adapter = app.url_map.bind("localhost")
    for rule in app.url_map.iter_rules():
        wanted = sorted(rule.arguments - NO_IDS.keys())
        for chosen in product((twins.own, twins.foreign), repeat=len(wanted)):
            values = {name: ids[name] for name, ids in zip(wanted, chosen, strict=True)}
            if values.items() - twins.own.items():
                yield rule, values, adapter.build(rule.endpoint, values, methods(rule)[0])


def methods(rule: Rule) -> list[str]:
    return sorted(set(rule.methods or ()) & {"GET", "POST"})


def due(app: Flask, actor: Actor, rule: Rule, values: Ids) -> int:
    """A project that somebody has no part in is not there for them; else the rights table's answer goes first."""
    right = access.of(app, rule.endpoint).right
    if values.get("project", "acme") != "acme":
        return 404
    where = Facts("acme", public=False) if "project" in values else None
    return 404 if decide(actor, right, where) else 403


def send(browser: Browser, method: str, path: str, form: Mapping[str, object]) -> int:
    if method == "POST":
        return browser.post(path, **form).status_code
    return browser.get(path).status_code


def reach(browser: Browser, app: Flask, twins: Twins) -> dict[str, int]:
    """How each of these addresses answers."""
    return {
        f"{method} {path}": send(browser, method, path, FILLED)
        for rule, _, path in addresses(app, twins)
        for method in methods(rule)
    }


def test_every_argument_of_a_route_has_a_twin(app, twins):
    asked = {name for rule in app.url_map.iter_rules() for name in rule.arguments}
    assert asked - NO_IDS.keys() == twins.own.keys() == twins.foreign.keys()


@pytest.mark.parametrize("name", ["alice", "bob"])
def test_no_id_of_the_twins_is_any_good(browser, app, built, twins, stored, name):
    browser.log_in(name)
    browser.get("/account")
    with built.reading() as unit:
        actor = rights.get_user_actor(unit, name, Credential.SESSION, NOW)
    expected = {
        f"{method} {path}": due(app, actor, rule, values)
        for rule, values, path in addresses(app, twins)
        for method in methods(rule)
    }
    before = stored(*TRAIL)
    assert reach(browser, app, twins) == expected
    assert stored(*TRAIL) == before


@pytest.mark.parametrize(("method", "path", "form"), NAMED)
def test_no_field_of_a_form_reaches_the_twins(browser, twins, stored, method, path, form):
    browser.log_in("alice")
    browser.get("/account")
    before = stored(*TRAIL)
    assert send(browser, method, path, form) == 404
    assert stored(*TRAIL) == before


def test_why_is_told_of_the_twins_as_little_as_of_nobody(browser, twins):
    browser.log_in("alice")
    asked = "/projects/acme/explain?action=pull&user=dave&repository="
    answers = [browser.get(f"{asked}{project}/web") for project in ("twin", "nowhere")]
    texts = [answer.text.replace("twin", "nowhere") for answer in answers]
    assert ([answer.status_code for answer in answers], texts[0]) == ([403, 403], texts[1])


def test_no_page_of_her_own_names_the_twins(browser, app, twins):
    browser.log_in("alice")
    rules = [rule for rule in app.url_map.iter_rules() if "GET" in rule.methods and not rule.arguments & NO_IDS.keys()]
    adapter = app.url_map.bind("localhost")
    own = [adapter.build(rule.endpoint, {name: twins.own[name] for name in rule.arguments}) for rule in rules]
    more = [
        "/search?q=twi",
        "/projects?text=twi",
        "/projects/acme/log/export?format=csv",
        "/projects/acme/log?before=99",
    ]
    pages = {path: browser.get(path) for path in [*own, *more]}
    assert {path for path, answer in pages.items() if "twin" in answer.text} == set()
    assert {path for path, answer in pages.items() if "acme" in answer.text and answer.status_code == 200} >= {
        "/projects/acme/robots/acme+ci",
        "/projects/acme/robots/acme+ci/permissions",
        "/projects/acme/log",
        "/projects/acme/log/export?format=csv",
        "/account",
    }


def test_her_own_ids_are_good(browser, twins):
    browser.log_in("alice")
    browser.get("/account")
    paths = [
        f"/account/sessions/{twins.own['session_id']}/end",
        f"/projects/acme/robots/acme+ci/trusts/{twins.own['trust']}/remove",
        "/projects/acme/robots/acme+ci/delete",
    ]
    assert [browser.post(path).status_code for path in paths] == [303, 303, 303]
