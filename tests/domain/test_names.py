import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.domain import names
from authsvc.errors import Invalid

WRONG_COMPONENTS = ["", "A", "a..b", "a___b", ".a", "a.", "-a", "a-", "_a", "a b", "a\n", "a/b", "a:1", "é", "*", "a$b"]


@pytest.mark.parametrize("text", ["a", "0", "a.b", "a_b", "a__b", "a-b", "a---b", "a.b_c-d", "a" * 255])
def test_a_component_is_lower_case_words_with_single_separators(text):
    assert names.is_component(text)


@pytest.mark.parametrize("text", [*WRONG_COMPONENTS, "a" * 256])
def test_anything_else_is_no_component(text):
    assert not names.is_component(text)


@pytest.mark.parametrize("text", ["app", "acme/app", "a/b/c/d", "host:5000/app", "Host.example:80/acme/app"])
def test_a_repository_is_components_with_perhaps_a_host(text):
    assert names.is_repository(text)


@pytest.mark.parametrize("text", ["", "/", "a/", "/a", "a//b", "a/B", "HOST", "host:5000", "a/h:1/b", "a" * 256])
def test_anything_else_is_no_repository(text):
    assert not names.is_repository(text)


@pytest.mark.parametrize(
    ("repository", "project"),
    [
        ("app", "library"),
        ("library/app", "library"),
        ("acme/app", "acme"),
        ("acme/team/app", "acme"),
        ("host:5000/app", "host:5000"),
    ],
)
def test_a_repository_belongs_to_its_first_component(repository, project):
    assert names.project_of(repository, "library") == project


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("alice", "alice"),
        ("Alice", "alice"),
        ("ALICE@Example.COM", "alice@example.com"),
        ("a.b_c+d-e@f", "a.b_c+d-e@f"),
        ("ａｌｉｃｅ", "alice"),
        ("Jörg", "jörg"),
        ("jo\N{COMBINING DIAERESIS}rg", "jörg"),
        ("王芳", "王芳"),
        ("a" * 128, "a" * 128),
    ],
)
def test_a_user_name_has_one_form(typed, name):
    assert names.parse_user(typed) == name


@pytest.mark.parametrize(
    "typed",
    [
        *["", " alice", "alice ", "alice\n", "al ice", "robot$ci", "alice/x", "*", "a(b", "al\x00ice", ".a", "a."],
        *["a’b", "a" * 129, "*)(uid=*", "a\\b", "${user}"],
    ],
)
def test_a_user_name_that_could_mean_something_else_is_refused(typed):
    with pytest.raises(Invalid, match="a user name is"):
        names.parse_user(typed)


@given(st.text(max_size=200))
def test_the_canonical_form_of_a_user_name_is_final(typed):
    name = names.canonical_user(typed)
    assert not names.is_user(name) or names.canonical_user(name) == name


@given(st.text(max_size=300))
def test_a_user_name_that_is_accepted_is_safe_everywhere(typed):
    name = names.canonical_user(typed)
    assert not names.is_user(name) or all(char.isalnum() or char in "._@+-" for char in name)


@pytest.mark.parametrize("text", ["acme", "a", "a" * 128])
def test_a_project_name_is_kept_as_it_is(text):
    assert names.parse_project(text) == text


@pytest.mark.parametrize("text", [*WRONG_COMPONENTS, "a" * 129])
def test_a_project_name_that_no_repository_could_begin_with_is_refused(text):
    with pytest.raises(Invalid, match="a project name is"):
        names.parse_project(text)
