import pytest

from authsvc.domain.effects import Held
from authsvc.domain.permissions import PROJECT, PROJECT_MATRIX, PULL, PUSH, Right, Role
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
