import pytest
from sqlalchemy import select

from authsvc.core import pages
from authsvc.core.pages import Asked
from authsvc.db.tables import Group

NAMES = ("Admins", "a%b", "a_b", "ab", "back\\slash", "ops", "Öl")
SORTS = {"name": (Group.name,), "key": (Group.key, Group.name)}


@pytest.fixture(autouse=True)
def _groups(session):
    session.add_all(
        Group(name=name, source="ldap", key=str(9 - number), created_at=0) for number, name in enumerate(NAMES)
    )
    session.flush()


def names(session, asked: Asked, *conditions) -> list[str]:
    return list(
        pages.read(session, select(Group.name).where(*conditions), Group.id, asked, SORTS, lambda row: row.name).rows
    )


def test_a_page_says_where_it_stands(session):
    page = pages.read(session, select(Group.name), Group.id, Asked(page=2, size=3), SORTS, lambda row: row.name)
    assert page == pages.Page(["ab", "back\\slash", "ops"], 7, 2, 3)


@pytest.mark.parametrize(
    ("asked", "place"),
    [
        (Asked(page=0), (1, 7)),
        (Asked(page=-3, size=2), (1, 2)),
        (Asked(page=10**30, size=2), (4, 1)),
        (Asked(size=0), (1, 1)),
        (Asked(size=10**9), (1, 7)),
    ],
)
def test_what_cannot_be_is_brought_to_what_can(session, asked, place):
    page = pages.read(session, select(Group.name), Group.id, asked, SORTS, lambda row: row.name)
    assert (page.page, len(page.rows)) == place


def test_a_page_is_never_longer_than_it_may_be():
    assert len(pages.cut(range(1000), Asked(size=1000)).rows) == pages.MAX_SIZE


def test_a_list_of_nothing_has_one_page(session):
    page = pages.read(session, select(Group.name).where(Group.name == "none"), Group.id, Asked(page=5), SORTS, str)
    assert page == pages.Page([], 0, 1, 1)


@pytest.mark.parametrize(("sort", "first"), [("name", "Admins"), ("-name", "Öl"), ("key", "Öl"), ("-key", "Admins")])
def test_a_list_is_sorted_both_ways(session, sort, first):
    assert names(session, Asked(sort=sort))[0] == first


@pytest.mark.parametrize("sort", ["", "id", "-id", "name desc", "name;--", "--name"])
def test_an_order_that_is_none_is_the_lists_own(session, sort):
    assert names(session, Asked(sort=sort)) == sorted(NAMES)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ADM", ["Admins"]),
        ("%", ["a%b"]),
        ("_", ["a_b"]),
        ("\\", ["back\\slash"]),
        ("Ö", ["Öl"]),
        ("' OR 1=1 --", []),
        ("x" * 10_000, []),
    ],
)
def test_a_text_is_found_as_it_is_whatever_the_case(session, text, found):
    assert names(session, Asked(), pages.contains(Group.name, text, any_case=True)) == found


@pytest.mark.parametrize(("text", "found"), [("A%", ["a%b"]), ("B", ["a%b", "a_b", "ab", "back\\slash"]), ("ad", [])])
def test_a_name_without_capitals_is_found_too(session, text, found):
    assert names(session, Asked(), pages.contains(Group.name, text)) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [("a", ["a%b", "a_b", "ab"]), ("a%", ["a%b"]), ("A", ["Admins"]), ("Ö", ["Öl"]), ("b", ["back\\slash"])],
)
def test_a_name_begins_with_a_text_letter_by_letter(session, text, found):
    assert names(session, Asked(), pages.begins(Group.name, text)) == found


def test_rows_that_are_here_already_are_cut_alike():
    assert pages.cut("abcdefg", Asked(page=2, size=3)) == pages.Page("def", 7, 2, 3)
