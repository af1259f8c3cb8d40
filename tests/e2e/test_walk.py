"""What people come to the site for, in both languages, by the words that they read, to the push at its end."""

import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import jwt
import pytest
from babel.messages.pofile import read_po
from flask import Flask
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from authsvc import services
from authsvc.app import create_app
from authsvc.settings import load
from authsvc.web.visitor import FRESH_SECONDS, NAME
from tests.behaviour import PASSWORDS, person
from tests.e2e import images, native, walk
from tests.e2e.clients import Skopeo
from tests.e2e.native import Native
from tests.e2e.servers import ROOT, free_port, until
from tests.factories import PASSWORD
from tests.identity import seed_slapd, servers
from tests.identity.conftest import example
from tests.identity.servers import Authority, Seeded

LOCALES = {"English": "en-GB", "中文": "zh-CN"}
CHOSEN = "a-word-of-my-own-9"
Pushes = Callable[[Skopeo, str], bool]
Open = Callable[..., "Person"]


@dataclass(frozen=True)
class Person:
    """Somebody at a browser, who knows what a page says in their language."""

    page: Page
    catalogue: Mapping[str, str]

    def words(self, sentence: str, **values: str) -> str:
        """A sentence as this browser's pages have it."""
        found = self.catalogue.get(sentence, sentence)
        return found % values if values else found

    def go(self, path: str) -> int:
        """Go to a page; returns its status."""
        answer = self.page.goto(path)
        assert answer is not None
        return answer.status

    def field(self, label: str) -> Locator:
        """A field of a form that does something, and not of a list's filter."""
        inputs = self.page.locator("main form.card").locator("input, textarea, select")
        return inputs.and_(self.page.get_by_label(self.words(label), exact=True)).first

    def fill(self, **fields: str) -> None:
        """Fill in fields, which stand here by their labels with _ for each space."""
        for label, value in fields.items():
            self.field(label.replace("_", " ")).fill(value)

    def tick(self, label: str) -> None:
        self.page.get_by_label(label, exact=True).first.check()

    def press(self, label: str, **values: str) -> None:
        buttons = self.page.get_by_role("main").get_by_role("button", name=self.words(label, **values), exact=True)
        buttons.first.click()

    def is_told(self, sentence: str, **values: str) -> None:
        told = self.page.locator("main [role=status], main [role=alert]")
        expect(told.filter(has_text=self.words(sentence, **values)).first).to_be_visible()

    def sees(self, text: str) -> None:
        expect(self.page.get_by_role("main")).to_contain_text(text)

    def sees_no(self, text: str) -> None:
        expect(self.page.get_by_role("main")).not_to_contain_text(text)

    def give(self, project: str, name: str, role: str, kind: str = "people") -> None:
        """Give a role in a project by its form."""
        self.go(f"/projects/{project}/members")
        self.field(kind).check()
        self.fill(Names=name)
        self.page.select_option("#role", role)
        self.press("Give the role")
        self.is_told("%(names)s: the role counts within a second.", names=name)

    def offers(self, path: str, selector: str) -> bool:
        """Whether a page has something."""
        self.go(path)
        return self.page.locator(selector).count() > 0

    def is_logged_out(self) -> None:
        self.page.reload()
        expect(self.page).to_have_url(re.compile("/login"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Native]:
    installed = native.Hasty(tmp_path_factory.mktemp("walk") / "data", free_port())
    with installed.running():
        for name, password in PASSWORDS.items():
            installed.authsvc("user", "add", name, "--password-stdin", stdin=password)
        installed.authsvc("user", "add", walk.ADMINISTRATOR, "--admin", "--password-stdin", stdin=walk.PASSWORD)
        yield installed


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright, walk.chromium(playwright) as started:
        yield started


@pytest.fixture(scope="module", params=LOCALES)
def language(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def catalogue(language: str) -> Mapping[str, str]:
    """The English sentences and what stands in their place."""
    with (ROOT / "authsvc/web/translations/zh/LC_MESSAGES/messages.po").open("rb") as file:
        known = {str(one.id): str(one.string) for one in read_po(file) if one.id}
    return {"English": {}, "中文": known}[language]


@pytest.fixture(scope="module")
def opened(browser: Browser, site: Native, language: str, catalogue: Mapping[str, str]) -> Open:
    """Open a browser of somebody's own, in which nobody complains of a page."""

    @contextmanager
    def opened(name: str, password: str = "") -> Iterator[Person]:
        complaints: list[str] = []
        with walk.opened(browser, site, complaints, locale=LOCALES[language]) as page:
            page.on("dialog", lambda dialog: dialog.accept())
            page.goto("/login")
            somebody = Person(page, catalogue)
            somebody.fill(User_name=name, Password=password or PASSWORDS[name])
            somebody.press("Log in")
            page.wait_for_url("**/account**")
            yield somebody
        assert complaints == []

    return opened


@pytest.fixture(scope="module")
def root(opened: Open) -> Iterator[Person]:
    """The administrator."""
    with opened(walk.ADMINISTRATOR, walk.PASSWORD) as somebody:
        yield somebody


@pytest.fixture
def project(site: Native) -> str:
    """A project of this test's own, which alice administers."""
    name = f"web-{secrets.token_hex(4)}"
    site.authsvc("project", "add", name)
    site.authsvc("member", "set", name, "alice", "projectAdmin")
    return name


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return images.make(tmp_path_factory.mktemp("image") / "image")


@pytest.fixture(scope="module")
def pushes(site: Native, image: Path) -> Pushes:
    """Whether somebody's push to a repository is let through."""

    def push(who: Skopeo, repository: str) -> bool:
        return who.copy(f"dir:{image}", f"docker://{site.host}/{repository}", check=False).returncode == 0

    return push


@pytest.fixture(scope="module")
def app(site: Native) -> Flask:
    """The application as it was started, to read its cookies."""
    return create_app(services.build(load(site.environment)))


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What is typed about an OpenLDAP server, with TLS and README's settings."""
    authority = Authority(tmp_path_factory.mktemp("ca"), "example-ca")
    seeded = Seeded(tmp_path_factory.mktemp("slapd"), authority, authority.issue("ldap.example.com"), seed_slapd.ldif())
    with seeded.running() as running:
        place = {"urls": running.tls_url, "ca_certificate": str(authority.certificate)}
        secret = {"bind_password": servers.SERVICE_PASSWORD}
        yield {name: _typed(value) for name, value in (example("corp") | place | secret).items()}


def _typed(value: object) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)


def age(page: Page, app: Flask, seconds: int) -> None:
    """Let the proof in a browser's cookie be older than it is."""
    signer = app.session_interface.get_signing_serializer(app)
    kept = next(cookie for cookie in page.context.cookies() if cookie["name"] == NAME)
    held = signer.loads(kept["value"])
    kept["value"] = signer.dumps(held | {"proved": int(time.time()) - seconds})
    page.context.add_cookies([kept])


def token(site: Native) -> httpx.Response:
    """A token of bob's."""
    return httpx.get(f"http://{site.host}/service/token?service=authsvc", auth=("bob", PASSWORDS["bob"]))


def test_a_role_in_a_new_project_lets_a_push_through_until_it_is_taken_away(root, pushes):
    project = f"new-{secrets.token_hex(4)}"
    root.go("/projects/-/new")
    root.fill(Name=project)
    root.press("Make the project")
    root.is_told("The project %(name)s was made. Its first members can be added here.", name=project)
    assert not pushes(person("bob"), f"{project}/web")
    root.give(project, "bob", "developer")
    until(lambda: pushes(person("bob"), f"{project}/web"), "the new role")
    root.tick(root.words("Tick %(name)s", name="bob"))
    root.press("Remove those ticked")
    root.is_told("Taken away; it counts within a second.")
    until(lambda: not pushes(person("bob"), f"{project}/web"), "the end of the role")


def test_a_colleague_of_a_directory_that_was_entered_here_is_given_a_role_and_pushes(
    root, project, pushes, directory, language
):
    source = f"corp{list(LOCALES).index(language)}"
    root.go("/admin/sources/new?kind=ldap")
    root.page.locator("details", has=root.page.locator("#group_filter, #user_base")).locator("summary").first.click()
    for name, value in {"name": source, **directory}.items():
        control = root.page.locator(f"#{name}")
        tag = control.evaluate("one => one.tagName")
        control.select_option(value.lower()) if tag == "SELECT" else control.fill(value)
    root.press("Make the source")
    root.press("Check each step")
    root.sees(root.words("Everything is well."))
    # Each process looks for new settings once a second.
    until(lambda: all(root.offers("/admin/users/-/import", f"#source option[value={source}]") for _ in range(8)), "it")
    root.page.select_option("#source", source)
    root.fill(Login_name="many")
    root.press("Import")
    root.is_told("%(name)s has an account now.", name="many")
    root.give(project, "many", "developer")
    until(lambda: pushes(Skopeo(f"many:{PASSWORD}"), f"{project}/web"), "the push of somebody of the directory")
    root.go("/admin/users/many")
    root.page.locator("form[action$='/delete'] input[name=name]").fill("many")
    root.press("Delete")
    root.is_told("The user %(name)s was deleted.", name="many")
    root.go(f"/admin/sources/ldap/{source}")
    root.press("Delete")
    root.is_told("The source %(name)s was deleted.", name=source)


def test_a_groups_role_is_that_of_whoever_is_put_into_it(root, project, pushes):
    group = f"builders-{secrets.token_hex(4)}"
    root.go("/admin/groups/new")
    root.fill(Name=group)
    root.page.select_option("#source", "local")
    root.press("Make the group")
    root.is_told("The group %(name)s was made.", name=group)
    root.fill(Add_a_user="charlie")
    root.press("Add")
    root.is_told("%(name)s is in this group now.", name="charlie")
    root.give(project, group, "maintainer", "groups")
    until(lambda: pushes(person("charlie"), f"{project}/web"), "the role of the group")


def test_a_new_user_chooses_a_password_and_pushes_until_they_are_disabled(root, opened, site, project, pushes):
    name = f"dave-{secrets.token_hex(4)}"
    root.go("/admin/users/-/new")
    root.fill(User_name=name)
    root.press("Make the user")
    root.sees(root.words("This is the password of %(name)s. Copy it now: it is shown this once.", name=name))
    given = root.page.locator("#made").inner_text()
    root.give(project, name, "developer")
    with opened(name, given) as dave:
        dave.go("/projects")
        expect(dave.page).to_have_url(re.compile("/account/password$"))
        dave.fill(Password_until_now=given, New_password=CHOSEN, New_password_again=CHOSEN)
        dave.press("Change my password")
        dave.is_told("Your password was changed.")
        until(lambda: pushes(Skopeo(f"{name}:{CHOSEN}"), f"{project}/web"), "a push with the new password")
        root.go(f"/admin/users/{name}")
        root.press("Disable")
        root.is_told("%(name)s is disabled and logged out.", name=name)
        dave.is_logged_out()
    until(lambda: not pushes(Skopeo(f"{name}:{CHOSEN}"), f"{project}/web"), "the refusal of a disabled user")


def test_a_system_robots_secret_is_shown_once_and_pushes(root, project, pushes):
    name = f"ci-{secrets.token_hex(4)}"
    root.go("/admin/robots/+new")
    root.fill(Name=name, Project=project)
    root.tick(root.words("pull"))
    root.tick(root.words("push"))
    root.press("Make the robot")
    secret = root.page.locator("#secret").inner_text()
    until(lambda: pushes(Skopeo(f"robot${name}:{secret}"), f"{project}/web"), "the robot's push")
    root.go(f"/admin/robots/{name}")
    root.sees(f"robot${name}")
    root.sees_no(secret)


def test_a_role_of_ones_own_making_gives_what_was_ticked(root, project, pushes):
    name = f"pusher-{secrets.token_hex(4)}"
    root.go("/admin/roles/+new")
    root.fill(Name=name)
    root.tick(f"{root.words('Repositories')}: {root.words('pull')}")
    root.tick(f"{root.words('Repositories')}: {root.words('push')}")
    root.press("Make the role")
    root.is_told("The role %(name)s was made. Members can be given it now.", name=name)
    root.give(project, "bob", name)
    until(lambda: pushes(person("bob"), f"{project}/web"), "the role of their own making")


def test_the_reason_is_told_why_a_push_was_refused(root, project):
    root.go("/explain")
    root.fill(Who="bob", Repository=f"{project}/web")
    root.press("Ask")
    root.is_told("No.")
    reason = "%(who)s is not a member of project %(project)s, and no other role gives %(right)s"
    root.is_told(reason, who="bob", project=project, right="repository:push")
    root.fill(Who="alice")
    root.press("Ask")
    root.is_told("Yes.")


def test_a_new_key_signs_the_next_tokens_and_the_registry_takes_them(root, site, project, pushes):
    root.go("/admin/keys")
    before = root.page.locator("#keys tbody code").first.inner_text()
    root.press("Make a new key")
    newest = root.page.locator("#keys tbody code").first
    expect(newest).not_to_have_text(before)
    until(lambda: jwt.get_unverified_header(token(site).json()["token"])["kid"] == newest.inner_text(), "the new key")
    assert pushes(person("alice"), f"{project}/web")


def test_a_setting_counts_within_seconds(root, site):
    root.go("/admin/settings/token.lifetime")
    root.fill(Value="nonsense")
    root.press("Save")
    root.is_told("Nothing was changed: see below.")
    assert root.field("Value").input_value() == "nonsense"
    root.fill(Value="240")
    root.press("Save")
    until(lambda: token(site).json()["expires_in"] == 240, "the new lifetime")
    root.go("/admin/settings/token.lifetime")
    root.press("Back to the default")
    until(lambda: token(site).json()["expires_in"] == 300, "the default")


def test_whose_session_is_ended_has_to_log_in_again(root, opened):
    with opened("charlie") as charlie:
        root.go("/admin/sessions?text=charlie")
        root.press("End this session of %(name)s", name="charlie")
        root.is_told("The session was ended.")
        charlie.is_logged_out()


def test_a_project_administrator_gives_a_role_for_some_repositories_until_a_day(opened, project, pushes):
    with opened("alice") as alice:
        alice.go(f"/projects/{project}/members")
        alice.field("Names").press_sequentially("bo")
        expect(alice.page.locator("#suggestions option[value=bob]")).to_have_count(1)
        alice.fill(Names="bob", Repositories=f"{project}/web-*")
        alice.fill(Last_day=(datetime.now(UTC) + timedelta(days=2)).date().isoformat())
        alice.press("Show what would change")
        expect(alice.page.locator("#preview")).to_contain_text("bob")
        assert not pushes(person("bob"), f"{project}/web-1")
        alice.press("Give the role")
        alice.is_told("%(names)s: the role counts within a second.", names="bob")
        until(lambda: pushes(person("bob"), f"{project}/web-1"), "the role")
        assert not pushes(person("bob"), f"{project}/other")


def test_a_project_administrators_robot_pushes_and_the_projects_log_tells_of_it(opened, project, pushes):
    with opened("alice") as alice:
        alice.go(f"/projects/{project}/robots/+new")
        alice.fill(Name="ci")
        alice.tick(alice.words("pull"))
        alice.tick(alice.words("push"))
        alice.press("Make the robot")
        secret = alice.page.locator("#secret").inner_text()
        until(lambda: pushes(Skopeo(f"robot${project}+ci:{secret}"), f"{project}/web"), "the robot's push")
        alice.go(f"/projects/{project}/log")
        alice.sees("robot.add")
        answers = {path: alice.go(path) for path in ("/admin/users", "/admin/keys", "/admin/log", "/explain")}
        assert set(answers.values()) == {403}


def test_a_developer_reads_who_is_a_member_and_changes_nothing(opened, site, project):
    site.authsvc("member", "set", project, "bob", "developer")
    with opened("bob") as bob:
        bob.go("/projects")
        bob.sees(project)
        bob.go(f"/projects/{project}/members")
        bob.sees("alice")
        expect(bob.page.locator("main form[method=post], main input[type=checkbox]")).to_have_count(0)


def test_a_stranger_finds_no_trace_of_a_private_project(opened, project):
    with opened("stranger") as stranger:
        assert stranger.go(f"/projects/{project}") == stranger.go("/projects/nowhere") == 404
        stranger.go(f"/projects?text={project}")
        stranger.sees(stranger.words("No project fits."))
        stranger.go(f"/search?q={project}")
        stranger.sees(stranger.words("Nothing has %(text)s in its name.", text=project))


def test_after_five_minutes_what_is_grave_wants_the_password_and_goes_on_with_what_was_typed(opened, app):
    with opened("charlie") as charlie:
        name, password = f"laptop-{secrets.token_hex(4)}", charlie.words("Password of %(name)s", name="charlie")
        age(charlie.page, app, FRESH_SECONDS)
        charlie.go("/account")
        charlie.fill(Name=name)
        charlie.press("Make a token")
        charlie.page.get_by_label(password).fill("wrong")
        charlie.press("Go on")
        charlie.is_told("wrong user name or password")
        charlie.page.get_by_label(password).fill(PASSWORDS["charlie"])
        charlie.press("Go on")
        charlie.is_told("The token %(name)s was made. Copy it now: it is shown this once.", name=name)
