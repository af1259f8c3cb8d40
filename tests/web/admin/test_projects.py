import pytest

from authsvc.core import projects

NEW = "/projects/-/new"


@pytest.fixture
def roots(browser):
    """The browser, in which the system administrator is logged in."""
    browser.log_in("root")
    browser.get(NEW)
    return browser


@pytest.fixture
def alices(browser):
    """The browser, in which the administrator of acme is logged in."""
    browser.log_in("alice")
    browser.get("/projects/acme")
    return browser


@pytest.fixture
def there(built):
    """The projects: whether each is public."""

    def read() -> dict[str, bool]:
        with built.reading() as session:
            return {
                name: project.public for name in ("acme", "open", "new") if (project := projects.find(session, name))
            }

    return read


BEFORE = {"acme": False, "open": True}


def test_a_project_is_made(roots, there):
    assert roots.post(NEW, project="new").location == "/projects/new/members"
    assert there() == BEFORE | {"new": False}


def test_a_project_named_new_has_a_page(roots):
    roots.post(NEW, project="new", public="on")
    assert "<h1>new " in roots.get("/projects/new").text


@pytest.mark.parametrize(
    "name", ["", "acme", "-", "ACME", "a/b", "<script>alert(1)</script>", "x" * 10_000, "\u202ewen", "new\x00"]
)
def test_a_wrong_name_is_told_beside_its_field_and_nothing_is_made(roots, there, name):
    answer = roots.post(NEW, project=name)
    assert (answer.status_code in {400, 409}, 'id="project-wrong"' in answer.text, there()) == (True, True, BEFORE)
    assert "<script>alert" not in answer.text


def test_who_may_not_make_projects_is_offered_none(alices):
    assert (NEW in alices.get("/projects").text, alices.get(NEW).status_code) == (False, 403)


@pytest.mark.parametrize(
    ("name", "seen"), [("bob", {"acme", "open"}), ("charlie", {"open"}), ("root", {"acme", "open"})]
)
def test_everybody_sees_the_projects_that_they_may_know_of(browser, name, seen):
    browser.log_in(name)
    page = browser.get("/projects").text
    assert {project for project in ("acme", "open") if f'href="/projects/{project}"' in page} == seen


@pytest.mark.parametrize(
    ("query", "seen"),
    [
        ("kind=public", {"open"}),
        ("kind=private", {"acme"}),
        ("text=ac", {"acme"}),
        ("text=%25", set()),
        ("sort=x", {"acme", "open"}),
    ],
)
def test_the_list_is_filtered(bobs, query, seen):
    page = bobs.get(f"/projects?{query}").text
    assert {project for project in ("acme", "open") if f'href="/projects/{project}"' in page} == seen


def test_a_project_is_opened_to_everybody_and_closed_again(alices, there):
    alices.post("/projects/acme/visibility", public="yes")
    assert there()["acme"]
    alices.post("/projects/acme/visibility", public="no")
    assert there() == BEFORE


def test_a_project_is_deleted_by_whoever_types_its_name(alices, there):
    assert alices.post("/projects/acme/delete", name="acme").location == "/projects"
    assert there() == {"open": True}


@pytest.mark.parametrize("typed", ["", "ac", "open", "<script>"])
def test_another_name_deletes_nothing(alices, there, typed):
    answer = alices.post("/projects/acme/delete", name=typed)
    assert (answer.status_code, 'id="name-wrong"' in answer.text, there()) == (400, True, BEFORE)


def test_a_developer_is_offered_nothing_that_they_may_not(bobs, there):
    page = bobs.get("/projects/acme").text
    assert ("delete" in page.lower().replace("deleted", ""), "visibility" in page) == (False, False)
    assert (bobs.post("/projects/acme/delete", name="acme").status_code, there()) == (403, BEFORE)


def test_nobody_needs_an_account_for_a_public_project(client):
    assert "docker pull localhost/open/IMAGE" in client.get("/projects/open").text


@pytest.mark.parametrize("project", ["acme", "nowhere"])
def test_a_private_project_and_none_are_the_same_to_nobody(client, project):
    assert client.get(f"/projects/{project}").location == f"/login?next=/projects/{project}"
