"""Pictures of the site: of every page in both languages, wide and narrow, light and dark; and those of README.

`python -m tests.e2e.screenshots` (`make screenshots`) writes the former to build/screenshots, the latter to
tests/e2e/pictures.
"""

import itertools
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tests.behaviour import PASSWORDS
from tests.e2e import images, native, walk
from tests.e2e.clients import Skopeo
from tests.e2e.native import Native
from tests.e2e.servers import ROOT, free_port

OUT, PICTURES = ROOT / "build" / "screenshots", ROOT / "tests" / "e2e" / "pictures"
LANGUAGES, WIDTHS, SCHEMES = ("en-GB", "zh-CN"), (1200, 380), ("light", "dark")
HIGH = 800


def give_a_role(page: Page) -> None:
    """The form, filled in, with what would change."""
    page.goto("/projects/acme/members")
    page.fill("#names", "charlie")
    page.select_option("#role", "developer")
    page.fill("#pattern", "acme/web-*")
    page.get_by_role("button", name="Show what would change").click()
    page.wait_for_selector("#preview p")
    page.locator("#preview").scroll_into_view_if_needed()


def make_a_robot(page: Page) -> None:
    """Its form."""
    page.goto("/projects/acme/robots")
    page.locator("a.button").first.click()
    page.wait_for_load_state()


README: Mapping[str, Callable[[Page], object]] = {
    "new-project": lambda page: (page.goto("/projects/-/new"), page.fill("#project", "acme")),
    "give-a-role": give_a_role,
    "make-a-robot": make_a_robot,
    "why-refused": lambda page: page.goto("/explain?user=charlie&action=push&repository=acme/web"),
    "rotate-the-key": lambda page: page.goto("/admin/keys"),
    "roles": lambda page: page.goto("/admin/roles"),
    "health": lambda page: (
        page.goto("/admin/health"),
        page.locator("h2").first.evaluate("one => one.scrollIntoView()"),
    ),
}
"""What README shows, each with how a browser gets there."""


def main() -> None:
    """Make them all, and say where they are."""
    OUT.mkdir(parents=True, exist_ok=True)
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="screenshots") as directory:
        site = native.Hasty(Path(directory) / "data", free_port())
        with site.running(), sync_playwright() as playwright, walk.chromium(playwright) as browser:
            walk.seed(site)
            _use(site, Path(directory))
            for look in itertools.product(LANGUAGES, WIDTHS, SCHEMES):
                print(*look, _every_page(browser, site, *look), "pages", flush=True)
            _readme(browser, site)
    print(f"{OUT}\n{PICTURES}")


def _use(site: Native, directory: Path) -> None:
    """Some pushes, pulls and refusals, so that there is something to see."""
    image = images.make(directory / "image")
    for name, _ in itertools.product(("bob", "charlie", "stranger"), range(3)):
        target = f"docker://{site.host}/acme/web"
        Skopeo(f"{name}:{PASSWORDS[name]}").copy(f"dir:{image}", target, check=False)
    begin = int(time.time()) // 60 * 60
    for ago, (outcome, bucket) in itertools.product(range(1, 60), (("granted", 1), ("granted", 3), ("refused", 2))):
        requests = (40 if outcome == "granted" else 3) + ago * 37 % 23
        row = (begin - ago * 60, outcome, bucket, requests)
        site.sql("INSERT INTO token_minutes (minute, outcome, bucket, requests) VALUES (?, ?, ?, ?)", *row)


def _every_page(browser: Browser, site: Native, locale: str, width: int, scheme: str) -> int:
    options = {"locale": locale, "color_scheme": scheme, "viewport": {"width": width, "height": HIGH}}
    count = 0
    with walk.opened(browser, site, [], **options) as page:
        walk.log_in(page, walk.ADMINISTRATOR, walk.PASSWORD)
        for endpoint, _ in walk.pages(page, walk.routes(site)):
            page.screenshot(path=OUT / f"{endpoint}-{locale[:2]}-{width}-{scheme}.png", full_page=True)
            count += 1
    return count


def _readme(browser: Browser, site: Native) -> None:
    options = {"locale": "en-GB", "color_scheme": "light", "viewport": {"width": 1000, "height": HIGH + 100}}
    with walk.opened(browser, site, [], **options) as page:
        walk.log_in(page, walk.ADMINISTRATOR, walk.PASSWORD)
        for name, go in README.items():
            go(page)
            page.screenshot(path=PICTURES / f"{name}.png")


if __name__ == "__main__":
    main()
