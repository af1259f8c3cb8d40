import pytest

from authsvc.core import groups
from authsvc.core.search import MOST, search
from authsvc.domain.permissions import ANONYMOUS
from tests.factories import make_project


@pytest.fixture(autouse=True)
def _somebody(session, cast, root, now):
    groups.add(session, root, groups.AddGroup(name="Opera"), now)


def names(page) -> list[str] | None:
    return page and [row.name for row in page.rows]


def test_an_administrator_finds_everything(session, root):
    found = search(session, root, " O ")
    assert (names(found.projects), names(found.users), names(found.groups)) == (["open"], ["bob", "root"], ["Opera"])


@pytest.mark.parametrize(("text", "projects"), [("a", ["acme"]), ("E", ["acme", "open"]), ("lib", []), ("%", [])])
def test_others_find_the_projects_that_they_may_know_of(session, alice, text, projects):
    found = search(session, alice, text)
    assert (names(found.projects), found.users, found.groups) == (projects, None, None)


def test_whoever_is_not_logged_in_finds_what_is_public(session):
    assert names(search(session, ANONYMOUS, "e").projects) == ["open"]


@pytest.mark.parametrize("text", ["", "  "])
def test_nothing_is_found_for_nothing(session, root, text):
    assert search(session, root, text) is None


def test_the_first_are_shown_and_all_are_counted(session, root):
    made = sorted(make_project(session, f"web{number}").name for number in range(MOST + 2))
    page = search(session, root, "web").projects
    assert (names(page), page.total) == (made[:MOST], MOST + 2)
