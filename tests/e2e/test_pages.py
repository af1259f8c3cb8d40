"""Every page of the site in Chromium: reached by links, accessible, its policy kept, in the language asked for."""

from collections.abc import Iterator

import pytest
from babel.messages.pofile import read_po
from playwright.sync_api import Browser, Page, sync_playwright

from tests.e2e import native, walk
from tests.e2e.native import Native
from tests.e2e.servers import ROOT, free_port

LOOKS = {
    "English, light, wide": {"locale": "en-GB", "color_scheme": "light", "viewport": {"width": 1200, "height": 900}},
    "中文, dark, narrow": {"locale": "zh-CN", "color_scheme": "dark", "viewport": {"width": 380, "height": 800}},
}
# Pages that no link of an administrator's leads to, each with the reason.
NOT_LINKED = {
    "login.form": "whoever is logged in is sent on",
    "login.start": "leads to another service",
    "login.finish": "comes from another service",
    "site.language": "changes the language and goes back",
    "site.trust": "needs a self-signed certificate",
    "site.certificate": "the same",
    "members.suggest": "is part of a page",
    "groups.suggest": "the same",
    "log.export": "is a file",
    "project_log.export": "the same",
    "users.home": "leads on to the users",
}
MACHINES = ("events.", "health.", "metrics.", "token.")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Native]:
    installed = native.Hasty(tmp_path_factory.mktemp("pages") / "data", free_port())
    with installed.running():
        walk.seed(installed)
        yield installed


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright, walk.chromium(playwright) as started:
        yield started


def untranslated() -> set[str]:
    """The English sentences that a Chinese page never says."""
    with (ROOT / "authsvc/web/translations/zh/LC_MESSAGES/messages.po").open("rb") as file:
        return {message.id for message in read_po(file) if message.id and message.id != message.string}


def spoken(page: Page) -> set[str]:
    """The texts of a page, one for each piece, without what is no language."""
    script = """() => {
        const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
        while (walker.nextNode()) {
            const node = walker.currentNode;
            if (!node.parentElement.closest("code, samp")) found.push(node.textContent.trim());
        }
        return found.filter((text) => text);
    }"""
    return set(page.evaluate(script))


@pytest.fixture(params=LOOKS)
def look(request: pytest.FixtureRequest) -> str:
    return request.param


def test_every_page_is_reached_is_accessible_and_speaks_its_language(site, browser, look):
    complaints, wrong, reached, axe = [], [], set(), walk.axe()
    english = untranslated() if "中文" in look else set()
    url_map = walk.routes(site)
    with walk.opened(browser, site, complaints, **LOOKS[look]) as page:
        walk.log_in(page, walk.ADMINISTRATOR, walk.PASSWORD)
        for endpoint, path in walk.pages(page, url_map):
            reached.add(endpoint)
            wrong += [f"{path}: {fault}" for fault in walk.faults(page, axe)]
            wrong += [f"{path}: says {text}" for text in spoken(page) & english]
            wrong += [f"{path}: is wider than the window"] * page.evaluate(
                "document.documentElement.scrollWidth > document.documentElement.clientWidth"
            )
    pages = {rule.endpoint for rule in url_map.iter_rules() if "GET" in rule.methods} - {"site.static", *NOT_LINKED}
    missing = {endpoint for endpoint in pages - reached if not endpoint.startswith(MACHINES)}
    assert not [*wrong, *complaints, *missing], "\n".join([*wrong, *complaints, *missing])
