"""A walk over every page of the site, as a browser finds them: from link to link."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright
from werkzeug.routing import Map

from authsvc import services
from authsvc.app import create_app
from authsvc.settings import load
from tests.behaviour import PASSWORDS
from tests.e2e.native import Native
from tests.e2e.servers import need, npm_package

GRAVE = ("serious", "critical")
PEOPLE = ("alice", "bob", "charlie", "stranger")
ADMINISTRATOR, PASSWORD = "root", "correct-horse-battery"


def seed(site: Native) -> None:
    """Somebody and something for each page to show."""
    for name in PEOPLE:
        site.authsvc("user", "add", name, "--password-stdin", stdin=PASSWORDS[name])
    site.authsvc("user", "add", ADMINISTRATOR, "--admin", "--password-stdin", stdin=PASSWORD)
    site.authsvc("project", "add", "acme")
    site.authsvc("project", "add", "open", "--public")
    site.authsvc("group", "add", "builders")
    site.authsvc("group", "add-user", "builders", "charlie")
    site.authsvc("member", "set", "acme", "alice", "projectAdmin")
    site.authsvc("member", "set", "acme", "bob", "developer")
    site.authsvc("member", "set", "acme", "builders", "guest", "--group")
    site.authsvc("role", "set", "puller", "repository:pull")
    site.authsvc("setting", "set", "ldap.corp", "urls=ldaps://ldap.example.com", "base=dc=example,dc=com")
    site.authsvc("robot", "add", "ci", "--project", "acme", "--days", "30", "--allow", "acme:repository:pull,push")
    site.authsvc("robot", "add", "backup", "--days", "-1", "--allow", "*:repository:pull")


def log_in(page: Page, name: str, password: str) -> None:
    """Through the form."""
    page.goto("/login")
    page.locator("input[name=name]").fill(name)
    page.locator("input[name=password]").fill(password)
    page.locator("main form button").click()
    page.wait_for_url("**/account")


@contextmanager
def chromium(playwright: Playwright) -> Iterator[Browser]:
    """Debian's, without a sandbox, which root cannot have."""
    browser = playwright.chromium.launch(executable_path=need("chromium"), args=["--no-sandbox"])
    yield browser
    browser.close()


@contextmanager
def opened(browser: Browser, site: Native, complaints: list[str], **options: object) -> Iterator[Page]:
    """A browser of somebody's own. What its console says is wrong, such as a broken policy, comes into `complaints`."""
    context = browser.new_context(base_url=f"http://{site.host}", **options)
    context.set_default_timeout(20_000)
    page = context.new_page()

    def listen(message: ConsoleMessage) -> None:
        if message.type == "error" and "the server responded with a status of 4" not in message.text:
            complaints.append(f"{page.url}: {message.text}")

    page.on("console", listen)
    yield page
    context.close()


def routes(site: Native) -> Map:
    """The addresses that there are."""
    return create_app(services.build(load(site.environment))).url_map


def pages(page: Page, url_map: Map, *, starts: Sequence[str] = ("/", "/search?q=a")) -> Iterator[tuple[str, str]]:
    """Go from page to page; yields the endpoint and the path of each kind of page, while it is shown.

    Of pages that differ in a name alone the first one found is shown.
    """
    adapter = url_map.bind("")
    waiting, seen = list(starts), set()
    while waiting:
        path = waiting.pop(0)
        endpoint, _ = adapter.match(urlsplit(path).path, method="GET")
        if endpoint in seen:
            continue
        seen.add(endpoint)
        answer = page.goto(path)
        if answer is None or "text/html" not in answer.headers.get("content-type", ""):
            continue
        yield endpoint, path
        found = page.eval_on_selector_all("a[href]:not([download])", "all => all.map(one => one.getAttribute('href'))")
        waiting += [link for link in found if re.match(r"/(?!/|language/|login|static/|api/)", link)]


def faults(page: Page, axe: str) -> list[str]:
    """What axe-core finds on a page that somebody could not get over."""
    page.evaluate(axe)
    found = page.evaluate("async () => (await axe.run()).violations")
    return [
        f"{one['id']}: {node['target']} {node['html'][:160]}"
        for one in found
        if one["impact"] in GRAVE
        for node in one["nodes"]
    ]


def axe() -> str:
    """axe-core's script."""
    return (npm_package("axe-core", "4.14.1") / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
