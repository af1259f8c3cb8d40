import pytest

from authsvc.core.pages import Asked
from authsvc.web import lists


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", Asked(sort="name")),
        ("text=%20acme%20&sort=-created&page=3", Asked("acme", "-created", 3)),
        ("page=0", Asked(sort="name", page=0)),
        ("page=-1", Asked(sort="name")),
        ("page=²", Asked(sort="name")),
        ("page=9999999999", Asked(sort="name")),
    ],
)
def test_a_list_is_asked_for_by_its_address(app, query, expected):
    with app.test_request_context(f"/?{query}"):
        assert lists.asked("name") == expected


def test_a_link_to_the_same_list_keeps_what_it_does_not_change(app):
    with app.test_request_context("/?text=a%26b&page=2"):
        assert lists.address_with(page=3) == "?text=a%26b&page=3"


def test_names_are_choices():
    assert lists.options(["local", "corp"]) == [("local", "local"), ("corp", "corp")]
