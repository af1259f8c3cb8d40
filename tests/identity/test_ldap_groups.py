import ldap3
import pytest

from authsvc.identity import Group
from authsvc.identity.ldap_groups import is_admin
from tests.factories import PASSWORD
from tests.identity.seed_slapd import GROUPS, PEOPLE
from tests.identity.servers import BASE


@pytest.fixture
def groups_of(plain, make):
    """The names of somebody's groups under changed settings."""

    def names(name: str, **changes: object) -> set[str] | None:
        settings = {"group_depth": 0, "admin_groups": ()} | changes
        groups = make(plain(**settings)).check(name, PASSWORD).groups
        return groups if groups is None else {group.name for group in groups}

    return names


@pytest.mark.parametrize(
    ("matchers", "groups"),
    [
        (("dn=member",), {"devs", "both"}),
        (("dn=uniqueMember",), {"uniques"}),
        (("uid=memberUid",), {"posix"}),
        (("dn=member", "dn=uniqueMember", "uid=memberUid"), {"devs", "both", "uniques", "posix"}),
        (("dn=member", "dn=member"), {"devs", "both"}),
        (("uid=member",), set()),
        (("telephoneNumber=memberUid",), set()),
    ],
)
def test_groups_are_found_by_matchers_without_duplicates(groups_of, matchers, groups):
    assert groups_of("bob", group_matchers=matchers) == groups


def test_any_pair_of_attributes_is_a_matcher(groups_of):
    assert groups_of("charlie", group_matchers=("departmentNumber=businessCategory",)) == {"seven"}


def test_without_matchers_groups_are_not_known(groups_of):
    assert groups_of("bob", group_matchers=()) is None


def test_a_filter_leaves_groups_out(groups_of):
    assert groups_of("bob", group_filter="(!(cn=both))", group_matchers=("dn=member",)) == {"devs"}


def test_a_base_leaves_groups_out(groups_of):
    assert groups_of("bob", group_base=f"ou=direct,{BASE}") == set()


def test_a_group_may_be_called_by_another_attribute(groups_of):
    found = groups_of(
        "charlie", group_name_attribute="businessCategory", group_matchers=("departmentNumber=businessCategory",)
    )
    assert found == {"7"}


@pytest.mark.parametrize(
    ("depth", "groups"),
    [
        (0, {"devs", "both"}),
        (1, {"devs", "both", "leads"}),
        (2, {"devs", "both", "leads", "board"}),
        (20, {"devs", "both", "leads", "board"}),
    ],
)
def test_groups_in_groups_count_to_a_depth_and_cycles_end(groups_of, depth, groups):
    assert groups_of("bob", group_depth=depth, group_matchers=("dn=member",)) == groups


def test_a_group_is_known_by_its_normalised_dn(plain, make):
    groups = make(plain(group_matchers=("uid=memberUid",), group_depth=0)).check("bob", PASSWORD).groups
    assert groups == {Group(f"cn=posix,{GROUPS}", "posix")}


class TestMemberOf:
    """Groups that slapd's overlay writes into people's entries, for which groups must change while it runs."""

    @pytest.fixture(autouse=True)
    def overlaid(self, directory):
        dn, member = f"cn=over\\, laid,{GROUPS}", f"uid=alice,{PEOPLE}"
        with directory.root() as root:
            root.add(dn, "groupOfNames", {"cn": "over, laid", "member": member})
            root.modify(f"cn=leads,{GROUPS}", {"member": [(ldap3.MODIFY_ADD, [dn])]})
            yield
            root.modify(f"cn=leads,{GROUPS}", {"member": [(ldap3.MODIFY_DELETE, [dn])]})
            root.delete(dn)

    def test_groups_stand_in_the_entry(self, groups_of):
        assert groups_of("alice", group_matchers=("memberOf=dn",)) == {"over, laid"}

    def test_groups_elsewhere_do_not_count(self, groups_of):
        assert groups_of("alice", group_matchers=("memberOf=dn",), group_base=f"ou=direct,{BASE}") == set()

    def test_groups_in_them_are_searched(self, groups_of):
        found = groups_of("alice", group_matchers=("memberOf=dn", "dn=member"), group_depth=1)
        assert found == {"over, laid", "registry-admins", "leads"}

    def test_they_are_the_same_groups_whatever_finds_them(self, plain, make):
        both = make(plain(group_matchers=("memberOf=dn", "dn=member"), group_depth=0)).check("alice", PASSWORD).groups
        assert len(both) == 2


@pytest.mark.parametrize("matchers", [("dn=member",), ("dn=member", "memberOf=dn")])
def test_the_example_makes_administrators_of_a_group(configure, make, matchers):
    backend = make(configure(group_matchers=matchers))
    assert (backend.check("alice", PASSWORD).admin, backend.check("bob", PASSWORD).admin) == (True, False)


@pytest.mark.parametrize(
    ("named", "admin"),
    [
        ("cn=admins,dc=x", True),
        ("CN=Admins, DC=x", True),
        ("admins", True),
        ("ADMINS", True),
        ("cn=admins,dc=y", False),
        ("admin", False),
    ],
)
def test_a_group_of_administrators_is_named_by_dn_or_name(plain, named, admin):
    settings = plain(admin_groups=(named,))
    assert is_admin(frozenset([Group("cn=admins,dc=x", "Admins")]), settings) is admin


def test_without_groups_nobody_is_administrator(plain):
    assert not is_admin(None, plain())
