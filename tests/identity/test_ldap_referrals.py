import ldap3
import pytest

from authsvc.errors import Unavailable
from authsvc.identity import Verdict
from authsvc.identity.ldap_answers import Search
from authsvc.identity.ldap_referrals import Referral, readable
from authsvc.settings import LdapSettings
from tests.conftest import free_port
from tests.factories import PASSWORD
from tests.identity.seed_slapd import PEOPLE
from tests.identity.servers import BASE

REFERRED = f"ou=referred,{BASE}"


@pytest.fixture
def refer(directory):
    """Put a reference to a URL into the tree."""
    made = []
    with directory.root() as root:
        manage = [("2.16.840.1.113730.3.4.2", True, None)]

        def refer(url: str) -> None:
            name = f"ou=away{len(made)}"
            made.append(f"{name},{REFERRED}")
            root.add(made[-1], ["referral", "extensibleObject"], {"ou": name[3:], "ref": url}, controls=manage)

        yield refer
        for dn in made:
            root.delete(dn, controls=manage)


@pytest.fixture
def away(mortal) -> str:
    """The URL of people on another server."""
    return f"{mortal.url}/{PEOPLE}??sub"


def settings(**changes: object) -> LdapSettings:
    given = {"urls": ("ldap://ldap1.example.com",), "base": "dc=x", "referral_hosts": ("ldap2.example.com", "::1")}
    return LdapSettings.model_validate(given | changes)


def test_a_referral_is_passed_over_unless_it_is_allowed(plain, make, refer, away):
    refer(away)
    assert make(plain(user_base=REFERRED)).check("bob", PASSWORD) is Verdict.UNKNOWN


def test_an_allowed_referral_is_followed_and_the_password_is_checked_there(plain, make, refer, away):
    refer(away)
    backend = make(plain(user_base=REFERRED, referral_hosts=("127.0.0.1",)))
    assert backend.check("bob", PASSWORD).name == "bob"


def test_a_wrong_password_is_refused_there(plain, make, refer, away):
    refer(away)
    backend = make(plain(user_base=REFERRED, referral_hosts=("127.0.0.1",)))
    assert backend.check("bob", "wrong") is Verdict.REFUSED


def test_a_referral_to_a_server_that_is_down_is_no_answer(plain, make, refer):
    refer(f"ldap://127.0.0.1:{free_port()}/{PEOPLE}??sub")
    with pytest.raises(Unavailable):
        make(plain(user_base=REFERRED, referral_hosts=("127.0.0.1",))).check("bob", PASSWORD)


def test_a_referral_that_is_down_leaves_the_other_people_alone(plain, make, refer):
    refer(f"ldap://127.0.0.1:{free_port()}/{PEOPLE}??sub")
    backend = make(plain(user_base=BASE, referral_hosts=("localhost",)))
    assert [backend.check("bob", PASSWORD).name for _ in range(5)] == ["bob"] * 5


def test_referrals_in_a_circle_end(plain, make, refer, directory):
    refer(f"{directory.url}/{REFERRED}??sub")
    backend = make(plain(user_base=REFERRED, referral_hosts=("127.0.0.1",)))
    assert backend.check("bob", PASSWORD) is Verdict.UNKNOWN


def test_a_base_that_lies_elsewhere_is_followed(plain, make, refer, away):
    refer(away)
    backend = make(plain(user_base=f"ou=away0,{REFERRED}", referral_hosts=("127.0.0.1",)))
    assert backend.check("bob", PASSWORD).name == "bob"


@pytest.mark.parametrize(
    ("url", "referral"),
    [
        ("ldap://ldap2.example.com", Referral("ldap://ldap2.example.com", "", "")),
        ("ldap://LDAP2.example.com:3890/dc=y", Referral("ldap://ldap2.example.com:3890", "dc=y", "")),
        ("ldaps://ldap2.example.com/o=a%20b??sub", Referral("ldaps://ldap2.example.com", "o=a b", "subtree")),
        ("ldap://[::1]/??base", Referral("ldap://[::1]", "", "base")),
        ("ldap://ldap2.example.com/dc=y?cn?one?(x=y)", Referral("ldap://ldap2.example.com", "dc=y", "one")),
        ("ldap://ldap2.example.com.evil.org", None),
        ("ldap://evil.org/ldap2.example.com", None),
        ("ldap://ldap2.example.com@evil.org", None),
        ("http://ldap2.example.com", None),
        ("ldap://ldap2.example.com:port", None),
        ("ldap://[", None),
        ("", None),
    ],
)
def test_a_referral_is_read_and_its_host_must_be_allowed(url, referral):
    assert readable(url, settings()) == referral


@pytest.mark.parametrize(
    ("changes", "url", "is_followed"),
    [
        ({"urls": ("ldaps://x",)}, "ldap://ldap2.example.com", False),
        ({"urls": ("ldaps://x",)}, "ldaps://ldap2.example.com", True),
        ({"starttls": True}, "ldap://ldap2.example.com", True),
        ({}, "ldap://ldap2.example.com", True),
    ],
)
def test_a_referral_is_followed_only_with_the_protection_of_our_own_server(changes, url, is_followed):
    assert (readable(url, settings(**changes)) is not None) is is_followed


def test_a_referral_changes_only_what_it_says():
    search = Search("dc=x", "subtree", "(uid=a)", ["uid"])
    assert Referral("ldap://y", "", "").narrowed(search) == search
    assert Referral("ldap://y", "dc=y", "one").narrowed(search) == Search("dc=y", "one", "(uid=a)", ["uid"])


def test_ldap3_follows_no_referral_by_itself(plain, make, refer, away, monkeypatch):
    refer(away)
    monkeypatch.setattr(ldap3.strategy.base.BaseStrategy, "do_operation_on_referral", pytest.fail)
    with pytest.raises(Unavailable, match="cannot say"):
        make(plain(user_base=f"ou=away0,{REFERRED}")).find("bob")
