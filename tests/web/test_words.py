import pytest

from authsvc.domain.effects import Held
from authsvc.domain.permissions import (
    PROJECT,
    PROJECT_MATRIX,
    PULL,
    PUSH,
    ROBOT_PROJECT,
    ROBOT_SYSTEM,
    ROLE_RIGHTS,
    Right,
    Role,
)
from authsvc.web import words


@pytest.fixture(autouse=True)
def english(app):
    with app.test_request_context(headers={"Accept-Language": "en"}):
        yield


def test_every_role_has_a_name():
    assert set(words.ROLES) == set(Role)


def test_every_resource_of_a_project_has_a_name():
    assert set(PROJECT_MATRIX) - set(words.RESOURCES) == set()


def test_a_custom_role_is_called_as_it_was_named():
    assert (words.role_name("developer"), words.role_name("puller")) == ("Developer", "puller")


def test_what_a_role_may_is_said_in_the_order_in_which_people_ask():
    assert words.in_words(PROJECT[Role.DEVELOPER]) == "pull, push, see who is a member"


def test_rights_that_nobody_asks_about_are_counted():
    changed = [Held(PUSH, "acme/web", None), Held(Right("label", "list"), "", None), Held(PULL, "", 1_800_000_000)]
    assert words.effects_in_words(changed) == "pull until 2027-01-15 08:00 UTC; push in acme/web; 1 other rights"


@pytest.mark.parametrize(("value", "text"), [(True, "true"), (5, "5"), (["a", "b"], "a, b"), ("x", "x")])
def test_a_setting_is_written_as_it_is_typed(value, text):
    assert words.setting_in_text(value) == text


@pytest.mark.parametrize("given", [ROLE_RIGHTS, ROBOT_PROJECT, ROBOT_SYSTEM], ids=["role", "robot", "system robot"])
def test_what_can_be_given_has_words(given):
    assert {right.resource for right in given} - set(words.RESOURCES) == set()
    assert {right.action for right in given} - set(words.ACTIONS) == set()


def test_what_people_ask_about_comes_first():
    found = words.by_resource(PROJECT[Role.DEVELOPER])
    assert list(found)[:3] == ["repository", "artifact", "tag"]
    assert found["repository"][:2] == [PULL, PUSH]
    assert sum(map(len, found.values())) == len(PROJECT[Role.DEVELOPER])


@pytest.mark.parametrize(
    ("rights", "said"),
    [
        ({PULL, PUSH}, "pull, push"),
        ({PULL, Right("quota", "read")}, "pull, 1 more"),
        ({Right("quota", "read")}, "1 more"),
        (set(), ""),
    ],
)
def test_rights_are_said_and_the_others_counted(rights, said):
    assert words.all_in_words(rights) == said


def test_roles_are_compared_by_all_that_can_be_done_with_what_they_touch():
    compared = words.comparable([{PULL}, [Right("quota", "read")], ()])
    assert compared == {right for right in ROLE_RIGHTS if right.resource in ("repository", "quota")}
