"""The site in a real browser, with `make run`'s stack behind it, and a certified OpenID Connect provider beside it."""

import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests import oidc_provider
from tests.behaviour import PASSWORDS, Site
from tests.e2e import images, native
from tests.e2e.clients import Skopeo
from tests.e2e.servers import free_port, need, until

PEOPLE = {
    "Dave": oidc_provider.person("u-74", "Dave", "builders"),
    "alice": oidc_provider.person("u-75", "alice"),
}
LABEL = "Company login"
NAME = "registry.test"
"""A name like any other: of a form sent to it over plain HTTP browsers say the origin, and no Sec-Fetch-Site."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("site")
    installed = native.Hasty(directory / "data", free_port())
    back = f"http://{installed.host}/login/company/callback"
    folder = tmp_path_factory.mktemp("provider")
    with oidc_provider.running(folder, PEOPLE, [oidc_provider.site_client(back)]) as provider:
        given = {
            "ISSUER": provider.issuer,
            "CLIENT_ID": oidc_provider.CLIENT,
            "CLIENT_SECRET": oidc_provider.SECRET,
            "CA_CERTIFICATE": str(provider.ca),
            "LABEL": LABEL,
        }
        with installed.running(**{f"AUTHSVC_OIDC__COMPANY__{name}": value for name, value in given.items()}):
            for name in ("alice", "bob", "charlie", "stranger"):
                installed.authsvc("user", "add", name, "--password-stdin", stdin=PASSWORDS[name])
            installed.authsvc("project", "add", "acme")
            installed.authsvc("member", "set", "acme", "bob", "developer")
            yield installed


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Without a sandbox, which root cannot have.
        browser = playwright.chromium.launch(
            executable_path=need("chromium"), args=["--no-sandbox", f"--host-resolver-rules=MAP {NAME} 127.0.0.1"]
        )
        yield browser
        browser.close()


@contextmanager
def opened(chromium: Browser, site: Site, **options: object) -> Iterator[Page]:
    """A browser of somebody's own. What its console complains of, such as a broken policy, fails the test."""
    defaults = {"base_url": f"http://{site.host}", "ignore_https_errors": True}
    context = chromium.new_context(**defaults | options)
    context.set_default_timeout(20_000)
    page, complaints = context.new_page(), []

    def listen(message: ConsoleMessage) -> None:
        if message.type == "error" and site.host in message.location["url"]:
            complaints.append(message.text)

    page.on("console", listen)
    yield page
    context.close()
    assert [text for text in complaints if "the server responded with a status of 4" not in text] == []


@pytest.fixture
def page(chromium: Browser, site: Site) -> Iterator[Page]:
    with opened(chromium, site, locale="en-GB") as made:
        yield made


def log_in(page: Page, name: str, password: str = "") -> None:
    page.goto("/login")
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").fill(password or PASSWORDS[name])
    page.get_by_role("main").get_by_role("button", name="Log in").click()


def log_in_elsewhere(page: Page, sub: str) -> None:
    """At the provider: its own page, any password, and that it may tell us."""
    page.goto("/login")
    page.get_by_role("link", name=LABEL).click()
    page.locator("input[name=login]").fill(sub)
    page.locator("input[name=password]").fill("anything")
    page.locator("button[type=submit]").click()
    page.get_by_role("button", name="Continue").click()


def make_token(page: Page, name: str) -> str:
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("button", name="Make a token").click()
    expect(page.get_by_text(f"The token {name} was made.")).to_be_visible()
    return page.locator("#secret").inner_text()


@pytest.fixture
def pushes(site: Site, tmp_path: Path) -> Callable[[Skopeo], bool]:
    """Whether somebody's push to acme is let through."""
    image = images.make(tmp_path / "image")

    def push(who: Skopeo) -> bool:
        target = f"docker://{site.host}/acme/{secrets.token_hex(4)}"
        return who.copy(f"dir:{image}", target, check=False).returncode == 0

    return push


def test_a_token_that_was_made_on_the_page_pushes_until_it_is_revoked_there(page, pushes):
    log_in(page, "bob")
    bob = Skopeo(f"bob:{make_token(page, 'laptop')}")
    assert pushes(bob)
    page.get_by_role("button", name="Revoke laptop").click()
    expect(page.get_by_role("button", name="Revoke laptop")).to_have_count(0)
    until(lambda: not pushes(bob), "the end of the token")


def test_somebody_of_the_provider_comes_in_and_their_token_has_the_roles_of_their_group(page, site, pushes):
    log_in_elsewhere(page, "u-74")
    expect(page.get_by_role("heading", name="My account")).to_be_visible()
    facts = page.locator("dl").inner_text().splitlines()
    assert {"dave", "dave@example.com", "company", "builders"} <= set(facts)
    assert f"docker login -u dave {site.host}" in page.inner_text("main")
    dave = Skopeo(f"dave:{make_token(page, 'laptop')}")
    assert not pushes(dave)
    site.authsvc("member", "set", "acme", "builders", "developer", "--group")
    until(lambda: pushes(dave), "the role of the group")


def test_somebody_of_the_provider_whose_name_is_taken_stays_out(page):
    log_in_elsewhere(page, "u-75")
    expect(page.get_by_role("alert")).to_contain_text("the name alice is that of another account (from local)")


def test_a_login_that_is_called_off_there_ends_at_the_login_page(page):
    page.goto("/login")
    page.get_by_role("link", name=LABEL).click()
    page.get_by_role("link", name="Cancel").click()
    expect(page.get_by_role("alert")).to_contain_text("refused there")


def test_a_wrong_password_is_told_and_the_name_stays(page):
    log_in(page, "bob", "wrong")
    expect(page.get_by_role("alert")).to_have_text("wrong user name or password")
    assert page.get_by_label("User name").input_value() == "bob"


def test_without_scripts_and_in_chinese_somebody_logs_in_and_out(chromium, site):
    with opened(chromium, site, locale="zh-CN", java_script_enabled=False) as page:
        page.goto("/account")
        page.get_by_label("用户名").fill("charlie")
        page.get_by_label("密码").fill(PASSWORDS["charlie"])
        page.get_by_role("main").get_by_role("button", name="登录").click()
        expect(page.get_by_role("heading", name="我的账号")).to_be_visible()
        page.get_by_role("button", name="退出登录").click()
        page.goto("/account")
        expect(page).to_have_url(re.compile("/login"))


def test_a_form_over_plain_http_is_told_from_a_strangers(chromium, site):
    with opened(chromium, site, base_url=f"http://{site.host.replace('127.0.0.1', NAME)}") as page:
        log_in(page, "charlie")
        expect(page.get_by_role("heading", name="My account")).to_be_visible()


def test_a_session_that_is_ended_in_one_browser_is_out_in_the_other(chromium, page, site):
    with opened(chromium, site) as other:
        log_in(other, "charlie")
        expect(other.get_by_role("heading", name="My account")).to_be_visible()
        log_in(page, "charlie")
        page.get_by_role("button", name="End all others").click()
        expect(page.get_by_role("button", name="End all others")).to_have_count(0)
        other.reload()
        expect(other).to_have_url(re.compile("/login"))


def test_a_disabled_user_is_out_at_the_next_click(page, site):
    log_in(page, "stranger")
    expect(page.get_by_role("heading", name="My account")).to_be_visible()
    site.authsvc("user", "disable", "stranger")
    page.reload()
    expect(page).to_have_url(re.compile("/login"))
