import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from authsvc.domain import patterns
from authsvc.errors import Invalid

PIECES = st.lists(st.sampled_from(["a", "b", "/", "*", "**"]), max_size=8).map("".join)
NAMES = st.text("ab/", max_size=8)


def oracle(pattern: str) -> re.Pattern[str]:
    """The same pattern as a regular expression, which may take its time on small inputs."""
    words = {"**": ".*", "*": "[^/]*"}
    return re.compile("".join(words.get(piece, re.escape(piece)) for piece in re.findall(r"\*\*|.", pattern)))


@pytest.mark.parametrize(
    ("pattern", "name", "found"),
    [
        ("", "acme/app", True),
        ("", "", True),
        ("acme/app", "acme/app", True),
        ("acme/app", "acme/apps", False),
        ("acme/app", "acme/ap", False),
        ("acme/app", "ACME/app", False),
        ("acme/*", "acme/app", True),
        ("acme/*", "acme/", True),
        ("acme/*", "acme", False),
        ("acme/*", "acme/app/dev", False),
        ("acme/*", "acmes/app", False),
        ("acme/web-*", "acme/web-api", True),
        ("acme/web-*", "acme/web-", True),
        ("acme/web-*", "acme/web-api/dev", False),
        ("acme/web-*", "acme/webapi", False),
        ("acme/*/dev", "acme/app/dev", True),
        ("acme/*/dev", "acme/dev", False),
        ("acme/*/dev", "acme/a/b/dev", False),
        ("acme/**", "acme/app", True),
        ("acme/**", "acme/app/dev", True),
        ("acme/**", "acme", False),
        ("acme/**", "other/acme/app", False),
        ("acme/**/dev", "acme/a/b/dev", True),
        ("acme/**/dev", "acme/dev", False),
        ("**", "acme/app/dev", True),
        ("**/dev", "acme/app/dev", True),
        ("**/dev", "dev", False),
        ("*", "app", True),
        ("*", "acme/app", False),
        ("*a*b*", "xxaxxbxx", True),
        ("*a*b*", "xxbxxaxx", False),
        ("acme/a.p", "acme/axp", False),
    ],
)
def test_a_pattern_stands_for_names(pattern, name, found):
    assert patterns.matches(pattern, name) is found


@given(PIECES.filter(bool), NAMES)
@example("*/**", "a/")
@example("**a*", "aa/a")
def test_matching_is_what_a_regular_expression_says(pattern, name):
    assert patterns.matches(pattern, name) is (oracle(pattern).fullmatch(name) is not None)


@given(NAMES.filter(bool))
def test_a_name_stands_for_itself_alone(name):
    assert (patterns.matches(name, name), patterns.matches(name, name + "a")) == (True, False)


@pytest.mark.parametrize(("last", "found"), [("a", True), ("b", False)])
@pytest.mark.parametrize("wildcard", ["*", "**"])
def test_a_pattern_made_to_hang_the_service_just_ends(wildcard, last, found):
    length = patterns.MAX_LENGTH // (len(wildcard) + 1)
    assert patterns.matches(patterns.parse((wildcard + "a") * (length - 1) + wildcard + last), "a" * 255) is found


@pytest.mark.parametrize("text", ["", "acme/app", "acme/web-*", "acme/**", "**", "a_b/c.d-e", "a" * 255, "*/**/*"])
def test_a_pattern_is_kept_as_it_is(text):
    assert patterns.parse(text) == text


@pytest.mark.parametrize(
    "text",
    ["acme/***", "ACME/app", "acme/ app", " ", "acme/app\n", "acme/é", "acme/?", "acme/[ab]", "acme:latest", "a" * 256],
)
def test_what_stands_for_no_repository_is_no_pattern(text):
    with pytest.raises(Invalid, match="is no pattern"):
        patterns.parse(text)


def test_a_refusal_shows_the_beginning_of_a_long_pattern_alone():
    with pytest.raises(Invalid) as refused:
        patterns.parse("A" * 10_000)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    ("wide", "narrow", "covered"),
    [
        ("", "acme/*", True),
        ("acme/*", "", False),
        ("acme/**", "acme/web-*", True),
        ("acme/**", "acme/**", True),
        ("acme/*", "acme/web-*", True),
        ("acme/*", "acme/**", False),
        ("acme/web-*", "acme/*", False),
        ("acme/*", "acme/web/x", False),
        ("**", "acme/a**", True),
        ("acme/a*", "acme/a**", False),
    ],
)
def test_a_pattern_covers_a_narrower_one(wide, narrow, covered):
    assert patterns.covers(wide, narrow) is covered


@given(PIECES.filter(bool), PIECES.filter(bool), NAMES)
def test_what_is_covered_is_matched_by_both(wide, narrow, name):
    is_wrong = patterns.covers(wide, narrow) and patterns.matches(narrow, name) and not patterns.matches(wide, name)
    assert not is_wrong
