import pytest

from authsvc.errors import Unavailable
from authsvc.identity.ldap_answers import Entry, Found, collect, failure, read_bind
from authsvc.identity.ldap_wire import Down

URL = "ldap://ldap.example.com"


def result(code: int, message: str = "", policy: bytes = b"") -> dict[str, object]:
    controls = {"1.3.6.1.4.1.42.2.27.8.5.1": {"value": policy}} if policy else {}
    return {"result": code, "description": "words", "message": message, "controls": controls}


def ad(data: str) -> str:
    return f"80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data {data}, v1db1\0"


def test_success_alone_proves_a_password():
    assert read_bind(URL, result(0)).is_proved


@pytest.mark.parametrize("code", [19, 32, 48, 49])
def test_a_refusal_is_an_answer(code):
    assert not read_bind(URL, result(code)).is_proved


@pytest.mark.parametrize("code", [1, 2, 3, 7, 8, 10, 11, 13, 14, 34, 50, 51, 52, 53, 80, 118, 4096])
def test_all_else_is_no_answer(code):
    with pytest.raises(Unavailable):
        read_bind(URL, result(code))


@pytest.mark.parametrize(
    ("data", "reason", "is_specific"),
    [
        ("525", "no such entry", False),
        ("52e", "wrong name or password", False),
        ("530", "not at this hour", True),
        ("531", "not from this machine", True),
        ("532", "password expired", True),
        ("533", "disabled", True),
        ("701", "account expired", True),
        ("773", "must change the password", True),
        ("775", "locked", True),
        ("999", "wrong name or password", False),
    ],
)
def test_active_directory_says_why(data, reason, is_specific):
    bound = read_bind(URL, result(49, ad(data)))
    assert (bound.is_proved, bound.reason, bound.is_specific) == (False, reason, is_specific)


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        (b"\x30\x03\x81\x01\x00", "password expired"),
        (b"\x30\x03\x81\x01\x01", "locked"),
        (b"\x30\x08\xa0\x03\x81\x01\x05\x81\x01\x01", "locked"),
        (b"\x30\x03\x81\x01\x07", "wrong name or password"),
        (b"\x30\x00", "wrong name or password"),
    ],
)
def test_a_password_policy_says_why(policy, reason):
    assert read_bind(URL, result(49, policy=policy)).reason == reason


def test_who_must_change_the_password_is_refused_though_the_bind_succeeds():
    bound = read_bind(URL, result(0, policy=b"\x30\x03\x81\x01\x02"))
    assert (bound.is_proved, bound.reason) == (False, "must change the password")


@pytest.mark.parametrize(("code", "kind"), [(51, Down), (52, Down), (80, Down), (53, Unavailable), (32, Unavailable)])
def test_another_server_is_asked_only_where_it_may_know_more(code, kind):
    assert type(failure(URL, "it fails", result(code))) is kind


def test_a_failure_is_one_line():
    sentence = str(failure(URL, "it fails", result(53, "no\nway\0")))
    assert sentence == f"{URL}: it fails: words (53), no way"


def test_entries_and_references_are_told_apart():
    found = Found()
    raw = {"uid": [b"bob"], "Mail": None}
    entry = {"type": "searchResEntry", "raw_dn": b"uid=bob", "raw_attributes": raw}
    collect([entry, {"type": "searchResRef", "uri": ["ldap://x"]}, {"type": "intermediateResponse"}], found)
    assert found == Found([Entry("uid=bob", {"uid": [b"bob"], "mail": []})], ["ldap://x"])


def test_a_value_that_is_no_text_is_left_out():
    entry = Entry("uid=bob", {"uid": [b"\xff", b"bob"]})
    assert (entry.texts("UID"), entry.raw("uid"), entry.texts("mail")) == (["bob"], [b"\xff", b"bob"], [])


def test_an_entry_has_its_dn_as_an_attribute():
    assert Entry("uid=bob", {}).texts("dn") == ["uid=bob"]
