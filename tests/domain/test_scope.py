import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.domain.scope import MAX_RESOURCES, MAX_TEXT, Scope, parse, parse_one
from authsvc.errors import Invalid

component = st.from_regex(r"[a-z0-9]{1,5}(?:(?:\.|_|__|-|---)[a-z0-9]{1,5}){0,2}", fullmatch=True)
host = st.from_regex(r"[A-Za-z0-9]{1,5}(?:\.[a-z0-9]{1,4}){0,2}(?::[0-9]{1,5})?", fullmatch=True)
paths = st.lists(component, min_size=1, max_size=3).map("/".join)
names = paths | st.builds("{}/{}".format, host, paths)
actions = st.frozensets(st.sampled_from(["pull", "push", "delete", "*", "frobnicate"]), min_size=1)
scopes = st.builds(Scope, st.sampled_from(["repository", "registry", "other1"]), names, actions)
lists_of_scopes = st.lists(scopes, max_size=8)
# Few letters, so that what is generated is often nearly a scope.
scope_like = st.text(alphabet=":,/*()abpul.-_ 09A\t\né%", max_size=60)
anything = st.lists(st.text(max_size=200) | scope_like, max_size=6)


def text(wanted: Scope) -> str:
    return f"{wanted.kind}:{wanted.name}:{','.join(sorted(wanted.actions))}"


@given(anything)
def test_no_text_within_the_limits_is_an_error(texts):
    assert isinstance(parse(texts), tuple)


@given(st.lists(scope_like, max_size=6))
def test_every_action_stands_literally_in_a_scope_of_that_resource(texts):
    words = [word.partition(":") for word in " ".join(texts).split()]
    asked = {
        (kind.partition("(")[0], name, action)
        for kind, _, rest in words
        for name, _, listed in [rest.rpartition(":")]
        for action in listed.split(",")
    }
    assert {(found.kind, found.name, action) for found in parse(texts) for action in found.actions} <= asked


@given(anything)
def test_a_resource_appears_once(texts):
    resources = [(found.kind, found.name) for found in parse(texts)]
    assert len(resources) == len(set(resources))


@given(lists_of_scopes.flatmap(lambda wanted: st.tuples(st.just(wanted), st.permutations(wanted))))
def test_order_does_not_matter(two):
    in_order, shuffled = two
    assert parse(map(text, in_order)) == parse(map(text, shuffled))


@given(lists_of_scopes)
def test_repetition_does_not_matter(wanted):
    assert parse(map(text, wanted)) == parse(map(text, wanted * 3))


@given(lists_of_scopes, st.text(alphabet=" \t\n\r\f\v", min_size=1, max_size=4))
def test_white_space_separates_as_well_as_parameters_do(wanted, gap):
    assert parse(map(text, wanted)) == parse([gap + gap.join(map(text, wanted)) + gap])


@given(scopes)
def test_splitting_actions_over_scopes_does_not_matter(wanted):
    assert parse(text(Scope(wanted.kind, wanted.name, frozenset({one}))) for one in wanted.actions) == (wanted,)


@given(scopes)
def test_what_was_written_is_what_is_read(wanted):
    assert parse_one(text(wanted)) == wanted


@given(scopes)
def test_a_class_does_not_change_a_scope(wanted):
    assert parse_one(text(wanted).replace(":", "(plugin):", 1)) == wanted


@pytest.mark.parametrize(
    ("word", "kind", "name", "actions"),
    [
        ("repository:acme/app:pull,push", "repository", "acme/app", {"pull", "push"}),
        ("repository:app:pull", "repository", "app", {"pull"}),
        ("repository:host:5000/acme/app:pull", "repository", "host:5000/acme/app", {"pull"}),
        ("repository:Reg.Example.com/acme/app:pull", "repository", "Reg.Example.com/acme/app", {"pull"}),
        ("repository(plugin):x:pull", "repository", "x", {"pull"}),
        ("repository:acme/app:*", "repository", "acme/app", {"*"}),
        ("registry:catalog:*", "registry", "catalog", {"*"}),
        ("repository:acme/app:pull,frobnicate", "repository", "acme/app", {"pull", "frobnicate"}),
        ("repository:acme/app:pull,PUSH", "repository", "acme/app", {"pull"}),
        ("repository:acme/app:pull,,", "repository", "acme/app", {"pull"}),
        ("repository:a.b_c__d-e---f/x:pull", "repository", "a.b_c__d-e---f/x", {"pull"}),
        (f"repository:acme/{'a' * 250}:pull", "repository", f"acme/{'a' * 250}", {"pull"}),
    ],
)
def test_a_scope_is_read(word, kind, name, actions):
    assert parse_one(word) == Scope(kind, name, frozenset(actions))


@pytest.mark.parametrize(
    "word",
    [
        "",
        ":",
        "::",
        "repository",
        "repository:",
        "repository:acme/app",
        "repository:acme/app:pull:push",
        "repository:acme/app:",
        "repository:acme/app:,",
        "repository::pull",
        ":acme/app:pull",
        "repository:acme/app:PULL",
        "Repository:acme/app:pull",
        "repository(plugin:x:pull",
        "repository():x:pull",
        "repository(plugin)x:x:pull",
        "repository:*:pull",
        "repository:acme/*:pull",
        "repository:acme/App:pull",
        "repository:acmé/app:pull",
        "repository:acme/%61pp:pull",
        "repository:acme/../app:pull",
        "repository:..:pull",
        "repository:acme//app:pull",
        "repository:/acme/app:pull",
        "repository:acme/app/:pull",
        "repository:a..b/app:pull",
        "repository:a___b/app:pull",
        "repository:-a/app:pull",
        "repository:a-/app:pull",
        "repository:host:5000:pull",
        "repository:host:123456/app:pull",
        "repository:host:/app:pull",
        "repository:-host:5000/app:pull",
        "repository:acme/host:5000/app:pull",
        f"repository:{'a' * 256}:pull",
        f"repository:{'a' * 10_000}:pull",
    ],
)
def test_a_malformed_scope_is_dropped(word):
    assert parse([word]) == ()


def test_a_malformed_scope_does_not_take_others_with_it():
    assert parse(["repository::pull repository:acme/app:pull ::"]) == (
        Scope("repository", "acme/app", frozenset({"pull"})),
    )


def test_as_many_resources_as_the_limit_are_read():
    assert len(parse([f"repository:acme/{number}:pull" for number in range(MAX_RESOURCES)])) == MAX_RESOURCES


def test_one_resource_more_than_the_limit_is_refused():
    with pytest.raises(Invalid, match="at most 64 repositories"):
        parse([f"repository:acme/{number}:pull" for number in range(MAX_RESOURCES + 1)])


def test_as_much_text_as_the_limit_is_read():
    assert parse(["repository:acme/app:pull ".ljust(MAX_TEXT)])


def test_more_text_than_the_limit_is_refused_however_it_is_split():
    with pytest.raises(Invalid, match="characters of scopes"):
        parse(["x" * (MAX_TEXT // 2)] * 2 + ["x"])


def test_a_full_token_fits_one_header_line_of_a_stock_nginx():
    assert MAX_RESOURCES * len('{"type":"repository","name":"acme/app","actions":["pull","push"]},') * 4 / 3 < 8192


def test_types_and_classes_are_lower_case_letters_and_digits():
    assert {letter for letter in map(chr, range(256)) if parse_one(f"{letter}:x:pull")} == set(
        string.ascii_lowercase + string.digits
    )
