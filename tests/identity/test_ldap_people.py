import pytest

from authsvc.identity import ldap_people
from authsvc.identity.ldap_answers import Entry
from authsvc.settings import LdapSettings

NOW = 1_800_000_000
GUID = bytes(range(16))
TEXT_OF_GUID = "03020100-0504-0706-0809-0a0b0c0d0e0f"
NEVER = str(2**63 - 1)


def settings(**changes: object) -> LdapSettings:
    return LdapSettings.model_validate({"urls": ("ldap://x",), "base": "dc=x"} | changes)


def domain(**changes: object) -> LdapSettings:
    return settings(type="active-directory", **changes)


def entry(dn: str = "uid=bob,dc=x", **values: str | bytes) -> Entry:
    raw = {name.lower(): [v if isinstance(v, bytes) else v.encode()] for name, v in values.items()}
    return Entry(dn, raw)


def ticks(seconds: int) -> str:
    return str((seconds + 11_644_473_600) * 10_000_000)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ([b"Bob"], "bob"),
        ([b"zoe", b"bob"], "bob"),
        ([b"robert", b"al"], "al"),
        ([b"\xff"], None),
        ([], None),
    ],
)
def test_a_person_has_one_canonical_name(values, name):
    assert ldap_people.name_of(Entry("uid=bob,dc=x", {"uid": values}), settings()) == name


@pytest.mark.parametrize("name", ["bob ", " bob", "bob\0", "bób", "BOB"])
def test_a_name_is_matched_more_strictly_than_directories_do(name):
    assert not ldap_people.is_called(entry(uid="bob"), name, ["uid"])


def test_each_login_attribute_is_a_name():
    assert ldap_people.is_called(entry(uid="bob", mail="Bob@Example.com"), "bob@example.com", ["uid", "mail"])


def test_a_subject_is_the_unique_id():
    assert ldap_people.subject_of("corp", entry(entryUUID="1-2"), settings()) == "corp:1-2"


def test_a_guid_is_written_as_active_directory_writes_it():
    assert ldap_people.subject_of("ad", entry(objectGUID=GUID), domain()) == f"ad:{TEXT_OF_GUID}"


def test_without_an_id_a_subject_is_the_normalised_dn():
    assert ldap_people.subject_of("corp", entry("UID=Bob, DC=X"), settings()) == "corp:uid=bob,dc=x"


def test_a_guid_is_searched_by_its_bytes():
    expected = "(objectGUID=" + "".join(f"\\{byte:02x}" for byte in GUID) + ")"
    assert ldap_people.id_filter(TEXT_OF_GUID, domain()) == expected


@pytest.mark.parametrize(("key", "part"), [("a-b", "(entryUUID=a-b)"), ("*", "(entryUUID=\\2a)")])
def test_an_id_is_searched_as_it_is(key, part):
    assert ldap_people.id_filter(key, settings()) == part


def test_what_is_no_guid_is_searched_as_text():
    assert ldap_people.id_filter("x", domain()) == "(objectGUID=x)"


@pytest.mark.parametrize(
    ("values", "may"),
    [
        ({}, True),
        ({"userAccountControl": "512", "accountExpires": NEVER}, True),
        ({"userAccountControl": "512", "accountExpires": "0"}, True),
        ({"userAccountControl": "66050"}, False),
        ({"accountExpires": ticks(NOW)}, False),
        ({"accountExpires": ticks(NOW + 1)}, True),
        ({"accountExpires": "junk"}, True),
    ],
)
def test_active_directory_says_in_the_entry_who_may_log_in(values, may):
    assert ldap_people.may_log_in(entry(**values), domain(), NOW) is may


@pytest.mark.parametrize(("locked", "may"), [("000001010000Z", False), ("20270101000000Z", True)])
def test_a_lock_that_ends_does_not_count(locked, may):
    assert ldap_people.may_log_in(entry(pwdAccountLockedTime=locked), settings(), NOW) is may


def test_only_what_is_needed_is_read():
    wanted = ldap_people.attributes(settings(login_attributes=("uid", "mail"), email_attribute=""))
    assert wanted == ["uid", "mail", "entryUUID", "pwdAccountLockedTime"]


def test_the_primary_group_needs_a_persons_sid():
    assert {"primaryGroupID", "objectSid"} <= set(ldap_people.attributes(domain()))
