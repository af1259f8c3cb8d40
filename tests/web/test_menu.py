import pytest

from authsvc.web import access
from authsvc.web.menu import ADMIN, MAIN, PROJECT


@pytest.mark.parametrize("endpoint", [endpoint for _, _, endpoint in (*MAIN, *PROJECT, *ADMIN)])
def test_every_entry_leads_to_a_route(app, endpoint):
    assert access.of(app, endpoint) is not None


@pytest.mark.parametrize(("name", "entries"), [("root", 3), ("alice", 1), ("bob", 1)])
def test_an_entry_is_offered_to_whoever_is_let_in_there(browser, name, entries):
    browser.log_in(name)
    page = browser.get("/projects").text
    assert sum(f'<a href="{address}" ' in page for _, address, _ in MAIN) == entries


@pytest.mark.parametrize(("name", "offered"), [("alice", True), ("bob", False)])
def test_a_project_offers_its_log_to_those_who_may_read_it(browser, name, offered):
    browser.log_in(name)
    assert ("/projects/acme/log" in browser.get("/projects/acme").text) == offered
