"""People in Active Directory, which is Samba, with README's settings. Also what `identity/ldap.py` does there alone."""

import logging

import pytest

from authsvc.errors import Unavailable
from authsvc.identity import Verdict
from authsvc.identity.ldap import LdapBackend
from authsvc.settings import IN_CHAIN, PRIMARY_GROUP
from tests.conftest import free_port
from tests.factories import PASSWORD
from tests.identity.contract import PasswordBackendContract
from tests.identity.servers import AD_STAFF


class TestActiveDirectory(PasswordBackendContract):
    @pytest.fixture
    def backend(self, configure_domain, make) -> LdapBackend:
        return make(configure_domain())

    @pytest.fixture
    def unreachable(self, configure_domain, make) -> LdapBackend:
        return make(configure_domain(urls=(f"ldaps://127.0.0.1:{free_port()}",)))


@pytest.fixture
def backend(configure_domain, make) -> LdapBackend:
    return make(configure_domain())


@pytest.mark.parametrize("name", ["bob@example.com", "example\\bob"])
def test_a_person_has_one_name_whatever_they_type(backend, name):
    assert backend.check(name, PASSWORD) == backend.check("bob", PASSWORD)


@pytest.mark.parametrize("name", ["other\\bob", "example\\bob@example.com", "example\\", "jorg"])
def test_what_only_looks_like_a_name_is_unknown(backend, name):
    assert backend.check(name, PASSWORD) is Verdict.UNKNOWN


def test_a_name_may_have_any_letters(backend):
    assert backend.check("jörg", PASSWORD).name == "jörg"


def test_groups_in_groups_and_the_primary_group_count(backend):
    groups = {group.name for group in backend.check("bob", PASSWORD).groups}
    assert groups == {"leaf", "mid", "top", "Domain Users"}


def test_each_group_is_found_by_its_matcher(backend):
    ways = {one.group.name: one.how for one in backend.describe("bob").memberships}
    assert (ways["top"], ways["Domain Users"]) == (IN_CHAIN, PRIMARY_GROUP)


def test_the_direct_groups_alone_stand_in_the_entry(configure_domain, make):
    groups = make(configure_domain(group_matchers=("memberOf=dn",))).check("bob", PASSWORD).groups
    assert {group.name for group in groups} == {"leaf"}


@pytest.mark.parametrize("group", [f"CN=top,{AD_STAFF}", f"cn = TOP,{AD_STAFF.lower()}", "Top"])
def test_administrators_are_those_of_a_group(configure_domain, make, group):
    backend = make(configure_domain(admin_groups=(group,)))
    assert (backend.check("bob", PASSWORD).admin, backend.check("alice", PASSWORD).admin) == (True, False)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("disabled", "disabled"),
        ("expired", "account expired"),
        ("must", "must change the password"),
        ("old", "password expired"),
    ],
)
def test_the_log_says_why_somebody_was_refused(backend, caplog, name, reason):
    caplog.set_level(logging.INFO)
    assert backend.check(name, PASSWORD) is Verdict.REFUSED
    assert caplog.records[-1].facts["reason"] == reason


@pytest.mark.parametrize("name", ["disabled", "expired", "nobody"])
def test_who_may_not_log_in_is_not_found(backend, name):
    assert backend.find(name) is None


def test_who_may_not_log_in_is_not_looked_up(backend):
    subjects = [backend.describe(name).identity.subject for name in ("bob", "alice", "disabled", "expired")]
    assert backend.look_up(subjects).keys() == set(subjects[:2])


def test_a_domain_may_be_asked_by_starttls(configure_domain, domain, make):
    assert make(configure_domain(urls=(domain.plain_url,), starttls=True)).check("bob", PASSWORD).name == "bob"


def test_a_domain_does_not_take_passwords_in_the_clear(configure_domain, domain, make, caplog):
    backend = make(configure_domain(urls=(domain.plain_url,), ca_certificate=None))
    with pytest.raises(Unavailable, match="cannot say"):
        backend.check("bob", PASSWORD)
    assert "strongerAuthRequired" in caplog.records[-1].facts["reason"]
