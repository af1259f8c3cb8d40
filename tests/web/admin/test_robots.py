import re
import time

import pytest
from sqlalchemy import select

from authsvc.db.tables import Project, Robot, RobotRight, RobotTrust
from authsvc.domain.permissions import PULL, PUSH
from tests.factories import access, basic, give_robot, make_robot
from tests.web.conftest import Browser

CI = "/projects/acme/robots/acme+ci"
GITHUB = "https://token.actions.githubusercontent.com"
DAY = 86_400


@pytest.fixture
def robot(built) -> None:
    """acme+ci, which may pull and push in acme; open+ci, which may do so in open; backup, which may pull everywhere."""
    with built.transaction() as unit:
        for name in ("acme", "open"):
            project = unit.scalars(select(Project).where(Project.name == name)).one()
            made = make_robot(unit, f"{name}+ci", project_id=project.id, created_at=int(time.time()))
            give_robot(unit, made, "project", [PULL, PUSH], project)
        give_robot(unit, make_robot(unit, "backup"), "all", [PULL])


@pytest.fixture
def rows(built):
    """Rows of a table."""

    def read(table) -> list:
        with built.reading() as unit:
            return list(unit.scalars(select(table).order_by(table.id)))

    return read


@pytest.fixture
def make(alices):
    """Fill in the form of a new robot of acme."""

    def post(**fields: object):
        alices.get("/projects/acme/robots/+new")
        return alices.post("/projects/acme/robots/+new", **{"name": "ci", "days": "30", "right-0": str(PULL)} | fields)

    return post


def secret_in(page: str) -> str:
    found = re.search(r'id="secret">([^<]+)<', page)
    assert found, page
    return found[1]


def may(client, name: str, secret: str, scope: str) -> list[str]:
    answer = client.get(f"/service/token?service=authsvc&scope={scope}", headers=basic(name, secret))
    assert answer.status_code == 200, answer.text
    return access(answer.json["token"]).get(scope.rpartition(":")[0], [])


def test_a_robot_is_made_and_its_secret_shown_once(make, alices, client):
    page = make(**{"right-0": [str(PULL), str(PUSH)], "description": "builds"})
    secret = secret_in(page.text)
    assert page.status_code == 200
    assert "docker login localhost -u 'robot$acme+ci'" in page.text
    assert may(client, "robot$acme+ci", secret, "repository:acme/web:pull,push") == ["pull", "push"]
    again = alices.get(CI)
    assert (again.status_code, secret in again.text, "builds" in again.text) == (200, False, True)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"name": ""}, "a robot&#39;s name is"),
        ({"name": "<script>alert(1)</script>"}, "a robot&#39;s name is"),
        ({"name": "a" * 10_000}, "a robot&#39;s name is"),
        ({"name": "ci\u202egpj"}, "a robot&#39;s name is"),
        ({"days": "soon"}, "a number of days"),
        ({"days": "0"}, "a number of days"),
        ({"right-0": []}, "good for nothing"),
        ({"right-0": "repository:burn"}, "cannot be given repository:burn"),
        ({"right-0": "catalog:read"}, "cannot be given catalog:read"),
    ],
)
def test_what_is_wrong_with_a_new_robot_is_said_and_nothing_stored(make, rows, fields, says):
    page = make(description="kept", **fields)
    assert page.status_code == 400
    assert says in page.text
    assert 'value="kept"' in page.text
    assert "<script>alert" not in page.text
    assert rows(Robot) == []


def test_a_name_that_is_taken_is_said_beside_the_name(make, robot):
    page = make()
    assert page.status_code == 409
    assert 'id="name-wrong"' in page.text


def test_the_list_shows_what_each_may_and_when_it_ends(alices, robot):
    page = alices.get("/projects/acme/robots").text
    assert "acme+ci" in page
    assert "open+ci" not in page
    assert re.search(r"pull, push\s*</td>", page)


def test_another_projects_robot_is_found_neither_there_nor_among_those_of_the_system(browser, robot):
    browser.log_in("root")
    pages = ["/projects/acme/robots/open+ci", "/projects/acme/robots/backup", "/admin/robots/acme+ci"]
    assert {path: browser.get(path).status_code for path in pages} == dict.fromkeys(pages, 404)


@pytest.mark.parametrize("act", ["enabled", "end", "secret", "permissions", "delete", "trusts", "trusts/1/remove"])
def test_another_projects_robot_cannot_be_changed(alices, robot, rows, act):
    alices.get(CI)
    before = [(one.enabled, one.secret_hash, one.expires_at) for one in rows(Robot)]
    assert alices.post(f"/projects/acme/robots/open+ci/{act}", days="3", enabled="no").status_code == 404
    assert [(one.enabled, one.secret_hash, one.expires_at) for one in rows(Robot)] == before


@pytest.mark.parametrize("act", ["enabled", "end", "secret", "permissions", "delete", "trusts", "trusts/1/remove"])
def test_a_developer_sees_robots_and_changes_none(bobs, robot, act):
    page = bobs.get(CI)
    assert page.status_code == 200
    assert "<form" not in page.text.partition("<main")[2]
    assert bobs.post(f"{CI}/{act}", enabled="no").status_code == 403


def test_a_stranger_learns_nothing(browser, robot):
    browser.log_in("charlie")
    paths = ["/projects/acme/robots", "/projects/acme/robots/+new", CI, "/projects/none/robots"]
    assert [browser.get(path).status_code for path in paths] == [404] * 4
    assert browser.get("/admin/robots").status_code == 403


def test_a_robot_is_disabled_and_enabled(alices, robot, rows):
    alices.get(CI)
    assert alices.post(f"{CI}/enabled", enabled="no").status_code == 303
    assert not rows(Robot)[0].enabled
    assert "disabled" in alices.get(CI).text
    alices.post(f"{CI}/enabled", enabled="yes")
    assert rows(Robot)[0].enabled


def test_a_new_secret_takes_the_place_of_the_old_one(alices, robot, client):
    alices.get(CI)
    first, second = (secret_in(alices.post(f"{CI}/secret").text) for _ in range(2))
    scope = "/service/token?service=authsvc"
    assert client.get(scope, headers=basic("robot$acme+ci", first)).status_code == 401
    assert client.get(scope, headers=basic("robot$acme+ci", second)).status_code == 200


def test_an_end_counts_from_now(alices, robot, rows, built):
    with built.transaction() as unit:
        unit.scalars(select(Robot).where(Robot.name == "acme+ci")).one().created_at -= 100 * DAY
    alices.get(CI)
    alices.post(f"{CI}/end", days="10")
    left = rows(Robot)[0].expires_at - time.time()
    assert 10 * DAY - 60 < left < 11 * DAY
    alices.post(f"{CI}/end", days="")
    assert rows(Robot)[0].expires_at is None


def test_an_end_that_is_no_number_is_said_beside_it(alices, robot, rows):
    alices.get(CI)
    page = alices.post(f"{CI}/end", days="soon")
    assert (page.status_code, 'id="days-wrong"' in page.text, 'value="soon"' in page.text) == (400, True, True)
    assert rows(Robot)[0].expires_at is None


def test_rights_are_changed(alices, robot, client):
    secret = secret_in((alices.get(CI), alices.post(f"{CI}/secret"))[1].text)
    form = alices.get(f"{CI}/permissions").text
    assert re.search(r'value="repository:push" checked', form)
    alices.post(f"{CI}/permissions", **{"right-0": str(PULL)})
    assert may(client, "robot$acme+ci", secret, "repository:acme/web:pull,push") == ["pull"]


def test_a_right_that_there_is_not_is_refused(alices, rows, robot):
    alices.get(f"{CI}/permissions")
    page = alices.post(f"{CI}/permissions", **{"right-0": "quota:burn"})
    assert (page.status_code, 'id="permission-wrong"' in page.text) == (400, True)
    assert len(rows(RobotRight)) == 5


def test_a_robot_is_deleted(alices, robot, rows):
    alices.get(CI)
    assert alices.post(f"{CI}/delete").headers["Location"] == "/projects/acme/robots"
    assert [one.name for one in rows(Robot)] == ["open+ci", "backup"]


@pytest.mark.usefixtures("robot")
class TestTrusts:
    def add(self, browser: Browser, **fields: str):
        browser.get(CI)
        given = {"issuer": GITHUB, "audience": "localhost", "claim": "sub=repo:acme/app:ref:refs/heads/main"}
        return browser.post(f"{CI}/trusts", **given | fields)

    def test_one_is_added_and_taken_away(self, alices, rows):
        assert self.add(alices).status_code == 303
        page = alices.get(CI).text
        assert "<code>sub=repo:acme/app:ref:refs/heads/main</code>" in page
        alices.post(f"{CI}/trusts/{rows(RobotTrust)[0].id}/remove")
        assert rows(RobotTrust) == []

    def test_rules_stand_one_a_line(self, alices, rows):
        self.add(alices, issuer="https://gitlab.com", claim="project_path=acme/app\n\n ref_path=refs/heads/main \n")
        assert rows(RobotTrust)[0].rules == '[["project_path", "acme/app"], ["ref_path", "refs/heads/main"]]'

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("claim", ""),
            ("claim", "ref=refs/heads/main"),
            ("claim", "<script>"),
            ("issuer", "http://x"),
            ("issuer", "https://elsewhere.example"),
            ("audience", ""),
        ],
    )
    def test_what_is_wrong_is_said_beside_the_field(self, alices, rows, field, value):
        page = self.add(alices, **{field: value})
        assert page.status_code in (400, 403)
        assert f'id="{field}-wrong"' in page.text
        assert "<script>" not in page.text.partition("<main")[2]
        assert rows(RobotTrust) == []

    @pytest.mark.parametrize(
        ("example", "issuer"), [("github", GITHUB), ("gitlab", "https://gitlab.com"), ("kubernetes", "svc.cluster")]
    )
    def test_the_form_is_filled_in_for_known_issuers(self, alices, example, issuer):
        assert issuer in alices.get(f"{CI}?example={example}").text.partition("new-trust")[2]

    def test_an_example_can_be_sent_as_it_is(self, alices):
        page = alices.get(f"{CI}?example=github").text
        rule = re.search(r'name="claim"[^>]*>([^<]+)<', page)
        assert self.add(alices, claim=rule[1]).status_code == 303


class TestSystem:
    def make(self, browser: Browser, **fields: object):
        browser.get("/admin/robots/+new")
        return browser.post("/admin/robots/+new", **{"name": "backup", "days": ""} | fields)

    def test_rights_are_given_place_by_place(self, roots, client):
        page = self.make(
            roots,
            project=["acme", "", "open"],
            **{"right-0": str(PULL), "right-2": [str(PULL), str(PUSH)], "right-system": "catalog:read"},
        )
        secret = secret_in(page.text)
        asked = ["acme/web:pull,push", "open/web:pull,push", "library/web:pull"]
        found = [may(client, "robot$backup", secret, f"repository:{one}") for one in asked]
        assert found == [["pull"], ["pull", "push"], []]
        assert may(client, "robot$backup", secret, "registry:catalog:*") == ["*"]
        form = roots.get("/admin/robots/backup/permissions").text
        assert re.findall(r'name="project" value="([^"]*)"', form) == ["acme", "open"]
        assert 'name="right-system" value="catalog:read" checked' in form

    def test_every_project_is_a_place(self, roots, client):
        secret = secret_in(self.make(roots, **{"right-all": str(PULL)}).text)
        assert may(client, "robot$backup", secret, "repository:library/web:pull") == ["pull"]

    def test_one_more_project_is_a_button(self, roots, rows):
        page = self.make(roots, project=["acme"], more="yes", **{"right-0": str(PULL)})
        assert re.findall(r'name="project" value="([^"]*)"', page.text) == ["acme", ""]
        assert 'name="right-0" value="repository:pull" checked' in page.text
        assert rows(Robot) == []

    @pytest.mark.parametrize(
        ("fields", "status"),
        [
            ({"project": ["acme"]}, 400),
            ({"project": [""], "right-0": str(PULL)}, 400),
            ({"project": ["none"], "right-0": str(PULL)}, 404),
            ({"project": ["<script>"], "right-0": str(PULL)}, 404),
            ({}, 400),
        ],
    )
    def test_a_place_that_is_not_whole_is_said(self, roots, rows, fields, status):
        page = self.make(roots, **fields)
        assert page.status_code == status
        assert 'id="permission-wrong"' in page.text
        assert "<script>" not in page.text.partition("<main")[2]
        assert rows(Robot) == []

    @pytest.mark.usefixtures("robot")
    def test_the_list_has_those_of_the_system(self, roots):
        page = roots.get("/admin/robots").text
        assert "/admin/robots/backup" in page
        assert "acme+ci" not in page
