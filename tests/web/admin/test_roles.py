import re

import pytest
from sqlalchemy import select

from authsvc.core import roles
from authsvc.core.roles import SetRole
from authsvc.db.tables import CustomRole, Member, Project, RoleRight, User
from authsvc.domain.permissions import PROJECT, PULL, PUSH, Right, Role
from tests.factories import access, basic, make_member

RELEASER = "/admin/roles/releaser"


@pytest.fixture
def releaser(built, root, now) -> None:
    """A role of our own, which may pull; charlie holds it in open and acme."""
    with built.transaction() as unit:
        roles.set_rights(unit, root, SetRole(name="releaser", rights=frozenset({PULL})), now)
        charlie = unit.scalars(select(User).where(User.name == "charlie")).one()
        for project in unit.scalars(select(Project).where(Project.name.in_(("acme", "open")))):
            make_member(unit, project, charlie, "releaser")


@pytest.fixture
def rights(built):
    """What each role of our own is made of."""

    def read() -> dict[str, set[str]]:
        with built.reading() as unit:
            found = {role.name: set() for role in unit.scalars(select(CustomRole))}
            for name, right in unit.execute(select(CustomRole.name, RoleRight).join(RoleRight)):
                found[name].add(f"{right.resource}:{right.action}")
        return found

    return read


@pytest.fixture
def make(roots):
    def post(**fields: object):
        roots.get("/admin/roles/+new")
        return roots.post("/admin/roles/+new", **{"name": "releaser", "right": str(PULL)} | fields)

    return post


@pytest.fixture
def change(roots):
    def post(*rights: Right, **fields: object):
        roots.get(f"{RELEASER}/edit")
        return roots.post(f"{RELEASER}/edit", right=[str(right) for right in rights], **fields)

    return post


def cells(page: str, resource: str) -> list[str]:
    """What a row of the grid says, without its head."""
    row = re.search(rf'<th scope="row">{resource}<br>.*?</tr>', page, re.DOTALL)[0]
    return [re.sub(r"<[^>]+>", "", cell).strip() for cell in re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL)]


def pushes(client, name: str) -> bool:
    query = "/service/token?service=authsvc&scope=repository:acme/web:pull,push"
    granted = access(client.get(query, headers=basic(name)).json["token"])
    return "push" in granted.get("repository:acme/web", [])


def test_the_grid_says_what_the_rights_table_says(roots):
    page = roots.get("/admin/roles").text
    assert cells(page, "Members") == ["all", "read, list", "read, list", "read, list", "–", "–"]
    assert cells(page, "Audit log") == ["all", "–", "–", "–", "–", "–"]
    assert cells(page, "Quota") == ["all"] * 5 + ["–"]


@pytest.mark.usefixtures("releaser")
def test_roles_of_our_own_stand_in_the_grid(roots):
    page = roots.get("/admin/roles").text
    assert cells(page, "Repositories")[-1] == "pull"
    assert cells(page, "Images")[-1] == "–"


def test_a_role_is_made_and_counts(make, built, client):
    assert make(right=[str(PULL), str(PUSH)], description="releases").status_code == 303
    with built.transaction() as unit:
        unit.scalars(select(Member).join(User).where(User.name == "bob")).one().role = "releaser"
    assert pushes(client, "bob")


def test_a_role_begins_as_a_copy(roots):
    form = roots.get("/admin/roles/+new?copy=developer").text
    ticked = set(re.findall(r'name="right" value="([^"]+)" checked', form))
    assert ticked == set(map(str, PROJECT[Role.DEVELOPER]))
    assert roots.get("/admin/roles/+new?copy=none").status_code == 404


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "developer"}, "name"),
        ({"name": "<script>alert(1)</script>"}, "name"),
        ({"name": "a" * 10_000}, "name"),
        ({"name": "re\u202eleaser"}, "name"),
        ({"right": []}, "rights"),
        ({"right": "repository:burn"}, "rights"),
        ({"right": "<script>"}, "rights"),
    ],
)
def test_what_is_wrong_with_a_role_is_said_and_nothing_stored(make, rights, fields, field):
    page = make(description="kept", **fields)
    assert page.status_code in (400, 409)
    assert f'id="{field}-wrong"' in page.text
    assert 'value="kept"' in page.text
    assert "<script>" not in page.text.partition("<main")[2]
    assert rights() == {}


@pytest.mark.usefixtures("releaser")
def test_a_new_role_does_not_replace_one_of_its_name(make, rights):
    page = make(right=str(PUSH))
    assert (page.status_code, 'id="name-wrong"' in page.text) == (409, True)
    assert rights() == {"releaser": {"repository:pull"}}


@pytest.mark.usefixtures("releaser")
def test_a_change_is_shown_before_it_is_made(change, rights):
    page = change(PUSH)
    assert "1 people hold this role, as 2 members of 2 projects" in page.text
    shown = page.text.partition("They get")[2]
    assert ("Repositories: push" in shown, "Repositories: pull" in shown.partition("They lose")[2]) == (True, True)
    assert rights() == {"releaser": {"repository:pull"}}
    assert change(PUSH, seen="repository:push").status_code == 303
    assert rights() == {"releaser": {"repository:push"}}


@pytest.mark.usefixtures("releaser")
def test_what_was_not_shown_is_not_saved(change, rights):
    page = change(PULL, PUSH, seen="repository:push")
    assert "They get" in page.text
    assert rights() == {"releaser": {"repository:pull"}}


@pytest.mark.usefixtures("releaser")
def test_a_description_is_changed_at_once(change, roots):
    assert change(PULL, description="only <b>pulls</b>").status_code == 303
    assert "only &lt;b&gt;pulls&lt;/b&gt;" in roots.get(RELEASER).text


@pytest.mark.usefixtures("releaser")
def test_who_holds_a_role_is_listed(roots):
    page = roots.get(RELEASER).text
    assert re.findall(r'"/projects/(\w+)/members"', page) == ["acme", "open"]
    assert "charlie" in page
    assert "bob" in roots.get("/admin/roles/developer").text
    assert "Nobody holds it." in roots.get("/admin/roles/maintainer").text
    assert "Nobody of that name" in roots.get(f"{RELEASER}?text=bob").text


@pytest.mark.usefixtures("releaser")
def test_a_role_that_is_held_is_not_deleted(roots, rights):
    page = roots.get(RELEASER).text
    assert "2 members hold it" in page
    assert f"{RELEASER}/delete" not in page
    page = roots.post(f"{RELEASER}/delete")
    assert (page.status_code, "hold the role releaser" in page.text) == (409, True)
    assert "releaser" in rights()


def test_a_role_that_nobody_holds_is_deleted(make, roots, rights):
    make()
    roots.get(RELEASER)
    assert roots.post(f"{RELEASER}/delete").headers["Location"] == "/admin/roles"
    assert rights() == {}


def test_a_built_in_role_is_not_changed(roots):
    assert roots.get("/admin/roles/developer/edit").status_code == 404
    roots.get("/admin/roles")
    assert roots.post("/admin/roles/developer/edit", right=str(PULL)).status_code == 404
    assert roots.post("/admin/roles/developer/delete").status_code == 404


@pytest.mark.parametrize("who", ["alice", "bob", "charlie"])
def test_nobody_else_comes_in(browser, who):
    browser.log_in(who)
    paths = ["/admin/roles", "/admin/roles/+new", "/admin/roles/developer"]
    assert {browser.get(path).status_code for path in paths} == {403}
    assert browser.post("/admin/roles/+new", name="mine", right=str(PULL)).status_code == 403
