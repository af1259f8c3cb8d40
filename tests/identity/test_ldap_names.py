import pytest
from hypothesis import given
from hypothesis import strategies as st
from ldap3.operation.search import compile_filter, parse_filter

from authsvc.identity.ldap_names import escape_dn, escape_value, first_values, is_under, normalize_dn


def sent(value: str | bytes) -> bytes:
    """The value that ldap3 sends for a filter."""
    parsed = parse_filter(f"(uid={escape_value(value)})", None, False, True, None, False)
    return bytes(compile_filter(parsed.elements[0])["equalityMatch"]["assertionValue"])


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_text_matches_itself_and_nothing_else(text):
    assert sent(text) == text.encode()


@given(st.binary(min_size=1))
def test_any_bytes_match_themselves_and_nothing_else(raw):
    assert sent(raw) == raw


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("alice", "alice"),
        ("a.b-c_d@e", "a.b-c_d@e"),
        ("*", "\\2a"),
        ("j(x)", "j\\28x\\29"),
        ("a\\b", "a\\5cb"),
        ("\0", "\\00"),
        ("ö", "\\c3\\b6"),
        (" ", "\\20"),
    ],
)
def test_a_value_is_escaped_once(text, escaped):
    assert escape_value(text) == escaped


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("alice", "alice"),
        ("a,b", "a\\2cb"),
        ("a+b=c", "a\\2bb\\3dc"),
        ('"<>;\\', "\\22\\3c\\3e\\3b\\5c"),
        (" a ", "\\20a\\20"),
        ("#a#", "\\23a#"),
        ("\0", "\\00"),
        ("jörg", "jörg"),
    ],
)
def test_a_value_is_escaped_for_a_dn(text, escaped):
    assert escape_dn(text) == escaped


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_what_is_escaped_for_a_dn_stays_one_value(text):
    assert first_values(f"uid={escape_dn(text)},ou=x") == [("uid", text)]


@pytest.mark.parametrize(
    "spelling",
    [
        "cn=j. doe\\2c x,ou=people,dc=example",
        "CN=J. Doe\\, X,OU=People,DC=Example",
        "cn = J. Doe\\2C X , ou = People , dc = example",
        "cn=J.  Doe\\,  X;ou=people;dc=example",
    ],
)
def test_all_spellings_of_a_dn_are_one(spelling):
    assert normalize_dn(spelling) == "cn=j. doe\\2c x,ou=people,dc=example"


def test_the_parts_of_a_name_have_no_order():
    assert normalize_dn("uid=a+cn=b,dc=x") == normalize_dn("CN=B+UID=A,DC=X")


def test_different_names_stay_different():
    assert (
        len({normalize_dn(dn) for dn in ("cn=a\\,b,dc=x", "cn=a,b=,dc=x", "cn=a,dc=x", "cn=a\\+b,dc=x", "cn=a")}) == 5
    )


@given(st.text())
def test_any_text_has_one_form_and_keeps_it(text):
    once = normalize_dn(text)
    assert normalize_dn(once) == once


@pytest.mark.parametrize(
    ("dn", "is_there"),
    [
        ("cn=a,ou=groups,dc=x", True),
        ("CN=A, OU=Groups, DC=X", True),
        ("ou=groups,dc=x", True),
        ("cn=a,ou=other,dc=x", False),
        ("cn=a,ou=xgroups,dc=x", False),
        ("cn=a\\,ou=groups,dc=x", False),
    ],
)
def test_an_entry_lies_in_a_tree_or_not(dn, is_there):
    assert is_under(dn, "ou=groups,dc=x") is is_there


def test_the_first_values_name_the_entry():
    assert first_values("CN=J\\C3\\B6rg \\+ X+uid=j,dc=x") == [("cn", "Jörg + X"), ("uid", "j")]
