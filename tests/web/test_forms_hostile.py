"""Every form that the site's pages show, filled in by somebody hostile; and every page, none of which changes anything.

The forms are found as a browser finds them: from link to link, by a system administrator, for whom all are there.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest
from flask import Flask
from sqlalchemy import select
from werkzeug.test import TestResponse

from authsvc.db.tables import Project, User
from authsvc.domain.permissions import PULL
from authsvc.web.forms import FIELD, STALE
from authsvc.web.request import MACHINES
from tests.factories import FAR, give_robot, make_access_token, make_everything, make_robot, make_session, make_trust
from tests.web.conftest import Browser

SCRIPT = "<script>alert(1)</script>"
HOSTILE: Mapping[str, list[str]] = {
    "a script": [f"'\">{SCRIPT}"],
    "10,000 characters": ["x" * 10_000],
    "text from right to left": ["acme\u202egpj.exe"],
    "two values": [SCRIPT, "plain"],
    "nothing at all": [],
}
# What stands in fields that are empty, so that a form is not refused for these.
PLAIN = {
    "days": "7",
    "ends_at": "2099-12-31",
    "pattern": "acme/**",
    "names": "charlie",
    "user": "charlie",
    "issuer": "https://gitlab.com",
    "claim": "project_path=acme/app",
    "jwks_url": "",
    "key": "",
    "email": "plain@example.com",
    "since": "2026-01-31",
    "until": "2026-01-31",
}
SAID = re.compile(r'role="alert"|class="wrong"')
NOT_STORED = ("audit_events", "audit_heads", "failure_counts", "failed_secrets")
"""What a refused form may leave behind: that it was."""
# Pages and forms that no link of an administrator's leads to, each with the reason.
NO_LINK = {
    "health.": "is for programs",
    "metrics.": "is for programs",
    "login.": "whoever is logged in is sent on, or to another service, or asked for the password again",
    "site.": "changes the language, or is a file",
    "members.suggest": "is part of a page",
    "groups.suggest": "is part of a page",
    "password.strength": "is part of a page",
    "users.home": "leads on to the list",
    "users.import": "needs a directory",
    **dict.fromkeys([f"sources.{what}" for what in ("show", "change", "delete", "check", "person")], "needs a source"),
}
ADDRESSES = 4
"""As many pages of a kind are read: somebody's own page has other forms than somebody else's."""


@dataclass
class Form:
    """A form: where it is sent, how, and what is sent by whoever changes nothing."""

    action: str
    method: str
    values: dict[str, list[str]] = field(default_factory=dict)


class Page(HTMLParser):
    """The forms and the links of a page."""

    def __init__(self, path: str, text: str) -> None:
        super().__init__()
        self.path, self.text = path, text
        self.links: list[str] = []
        self.forms: list[Form] = []
        self._select = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        match tag:
            case "a":
                self.links.append(given.get("href", ""))
            case "form":
                self.forms.append(Form(given.get("action") or self.path, given.get("method", "get")))
            case "button" if "formaction" in given:
                self.forms.append(Form(given["formaction"], self.forms[-1].method, self.forms[-1].values))
            case "select":
                self.forms[-1].values[given["name"]] = []
            case "input" | "textarea" if "name" in given:
                self._field(given)
            case "option" if self._select and ("selected" in given or not self.forms[-1].values[self._select]):
                self.forms[-1].values[self._select] = [given["value"]]
        self._select = given.get("name", "") if tag == "select" else self._select

    def handle_endtag(self, tag: str) -> None:
        self._select = "" if tag == "select" else self._select

    def _field(self, given: Mapping[str, str]) -> None:
        values = self.forms[-1].values.setdefault(given["name"], [])
        if given.get("type") not in {"checkbox", "radio"} or "checked" in given or _is_first_right(given, values):
            values.append(given.get("value") or PLAIN.get(given["name"], "plain"))


def _is_first_right(given: Mapping[str, str], values: list[str]) -> bool:
    """Roles and robots have at least one right."""
    return given["name"].startswith("right") and not values


@pytest.fixture
def roots(built, browser) -> Browser:
    """The browser of the administrator, where there is one of everything."""
    with built.transaction() as unit:
        acme = unit.scalars(select(Project).where(Project.name == "acme")).one()
        bob, root = (unit.scalars(select(User).where(User.name == name)).one() for name in ("bob", "root"))
        make_everything(unit, acme, bob)
        make_access_token(unit, root, "laptop")
        make_session(unit, root, "elsewhere", created_at=FAR, last_seen_at=FAR)
        backup = make_robot(unit, "backup")
        give_robot(unit, backup, "all", [PULL])
        make_trust(unit, backup)
    browser.log_in("root")
    return browser


def crawl(app: Flask, browser: Browser) -> Iterator[tuple[str, Page]]:
    """Some pages of each kind that links lead to, and their endpoint."""
    waiting, seen = ["/"], defaultdict(set)
    while waiting:
        path = waiting.pop(0).partition("#")[0]
        endpoint = endpoint_of(app, path, "GET")
        if path in seen[endpoint] or len(seen[endpoint]) == ADDRESSES:
            continue
        seen[endpoint].add(path)
        answer = browser.get(path)
        page = Page(path, answer.text if answer.mimetype == "text/html" else "")
        yield endpoint, page
        found = [*page.links, *(form.action for form in page.forms if form.method == "get")]
        waiting += [link for link in found if re.match(r"/(?!/|language/|login|static/|api/)", link)]


def endpoint_of(app: Flask, path: str, method: str) -> str:
    return app.url_map.bind("localhost").match(urlsplit(path).path, method=method.upper())[0]


def every_form(app: Flask, browser: Browser) -> list[Form]:
    """The forms of all these pages, one of each kind."""
    found = {}
    for _, page in crawl(app, browser):
        for form in page.forms:
            found.setdefault((endpoint_of(app, form.action, form.method), *sorted(form.values)), form)
    return list(found.values())


def send(browser: Browser, form: Form, changed: Mapping[str, list[str]]) -> TestResponse:
    """Send a form in which one field is another."""
    values = form.values | changed
    if form.method == "post":
        data = values | {FIELD: browser.seen}
        return browser.client.post(form.action, data=data, base_url=browser.base, follow_redirects=True)
    return browser.client.get(urlsplit(form.action).path, query_string=values, base_url=browser.base)


class Sender:
    """Sends forms one after the other, and looks at the answer and at what is stored."""

    def __init__(self, browser: Browser, stored: Callable[..., object]) -> None:
        self.browser = browser
        self.stored = stored
        self.before = stored(*NOT_STORED)

    def faults(self, form: Form, name: str, value: list[str]) -> list[str]:
        """What is wrong with the answer to a form with that in one field."""
        answer = send(self.browser, form, {name: value})
        before, self.before = self.before, self.stored(*NOT_STORED)
        wrong = {
            "says it as it is": SCRIPT in answer.text,
            f"answers {answer.status_code}": answer.status_code >= 500,
            "is taken for another site's": STALE in answer.text,
            "is logged out": ">root</a>" not in answer.text,
            "does not say what is wrong": answer.status_code == 400 and not SAID.search(answer.text),
            "was refused and stored": answer.status_code >= 400 and before != self.before,
        }
        return [f"{form.method} {form.action} {name}: {fault}" for fault, is_there in wrong.items() if is_there]


@pytest.mark.parametrize("what", HOSTILE)
def test_no_form_takes_harm_or_does_any(app, roots, stored, what):
    forms, sender = every_form(app, roots), Sender(roots, stored)
    sent = [(form, name) for form in forms for name in form.values if name != FIELD]
    assert [fault for form, name in sent for fault in sender.faults(form, name, HOSTILE[what])] == []
    assert [page.path for _, page in crawl(app, roots) if SCRIPT in page.text] == []


def endpoints(app: Flask, method: str) -> set[str]:
    """What people ask for by a method and come to by links."""
    rules = [rule for rule in app.url_map.iter_rules() if method in rule.methods and not rule.rule.startswith(MACHINES)]
    return {rule.endpoint for rule in rules if not rule.endpoint.startswith(tuple(NO_LINK))}


def test_the_forms_that_are_sent_are_all_there_are(app, roots):
    sent = {endpoint_of(app, form.action, form.method) for form in every_form(app, roots)}
    assert endpoints(app, "POST") - sent == set()


def test_no_page_changes_anything_by_being_read(app, roots, stored):
    before = stored()
    read = {endpoint for endpoint, _ in crawl(app, roots)}
    assert endpoints(app, "GET") - read == set()
    assert stored() == before
