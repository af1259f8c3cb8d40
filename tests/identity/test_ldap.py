"""People in OpenLDAP, with README's settings."""

import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import ldap3
import pytest

from authsvc.db.engine import transaction
from authsvc.errors import Conflict, Misconfigured, Unavailable
from authsvc.identity import Identity, Verdict
from authsvc.identity.ldap import LdapBackend
from tests.conftest import free_port
from tests.factories import PASSWORD, basic, claims, make_user
from tests.identity import servers
from tests.identity.conftest import example
from tests.identity.contract import PasswordBackendContract
from tests.identity.seed_slapd import EIGHT_BIT, LONG, PEOPLE
from tests.identity.servers import BASE


class TestOpenLdap(PasswordBackendContract):
    @pytest.fixture
    def backend(self, configure, make) -> LdapBackend:
        return make(configure())

    @pytest.fixture
    def unreachable(self, configure, make) -> LdapBackend:
        return make(configure(urls=(f"ldaps://127.0.0.1:{free_port()}",)))


@pytest.fixture
def backend(configure, make) -> LdapBackend:
    return make(configure())


@pytest.fixture
def root(directory):
    """A connection that may change everything."""
    with directory.root() as connection:
        yield connection


def check(settings, name: str = "bob", password: str = PASSWORD) -> Identity | Verdict:
    with closing(LdapBackend("corp", settings)) as backend:
        return backend.check(name, password)


def test_a_person_is_known_by_name_email_and_id(backend, root):
    root.search(f"uid=bob,{PEOPLE}", "(uid=*)", attributes=["entryUUID"])
    unique = root.response[0]["raw_attributes"]["entryUUID"][0].decode()
    found = backend.check("bob", PASSWORD)
    assert (found.subject, found.name, found.email) == (f"corp:{unique}", "bob", "bob@example.com")


@pytest.mark.parametrize("name", ["alice", "jörg", "a*", "j(x)*", "comma,name", "back\\slash"])
def test_every_letter_may_be_in_a_name(backend, name):
    assert backend.check(name, PASSWORD).name == name


def test_a_person_has_one_name_whatever_they_type(backend):
    assert backend.check("bob@example.com", PASSWORD) == backend.check("bob", PASSWORD)


def test_the_name_is_lower_case_whatever_the_directory_says(plain, root):
    root.add(f"uid=DORA,{PEOPLE}", "inetOrgPerson", {"uid": "DORA", "cn": "x", "sn": "x", "userPassword": PASSWORD})
    found = check(plain(), "dora")
    root.delete(f"uid=DORA,{PEOPLE}")
    assert found.name == "dora"


@pytest.mark.parametrize(("name", "password"), [("eightbit", EIGHT_BIT), ("long", LONG)], ids=["8 bits", "long"])
def test_a_password_may_have_any_letters(backend, name, password):
    assert backend.check(name, password).name == name


def test_a_password_is_sent_as_it_was_typed(backend):
    assert backend.check("eightbit", EIGHT_BIT.replace("ä", "a\N{COMBINING DIAERESIS}")) is Verdict.REFUSED


def test_a_password_that_is_no_text_is_refused(backend):
    assert backend.check("bob", "\udcff") is Verdict.REFUSED


@pytest.mark.parametrize("name", ["bob", "nobody"])
def test_an_empty_password_is_refused_before_anything_is_sent(plain, name):
    with servers.stub(servers.agreeing(b"\x61\x07\x0a\x01\x00\x04\x00\x04\x00")) as server:
        assert check(plain(urls=(server.url,)), name, "") is Verdict.REFUSED
        assert server.opened == 0


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("bob", "wrong name or password"),
        ("locked", "locked"),
        ("expired", "password expired"),
        ("must", "must change the password"),
    ],
)
def test_the_log_says_why_somebody_was_refused(backend, caplog, name, reason):
    caplog.set_level(logging.INFO)
    password = "wrong" if name == "bob" else PASSWORD
    assert backend.check(name, password) is Verdict.REFUSED
    assert caplog.records[-1].facts == {"source": "corp", "dn": f"uid={name},{PEOPLE}", "reason": reason}


def test_an_entry_without_a_password_is_refused(backend):
    assert backend.check("nopassword", PASSWORD) is Verdict.REFUSED


def test_a_name_of_two_entries_logs_nobody_in_and_is_logged(backend, caplog):
    assert backend.check("twin", PASSWORD) is Verdict.REFUSED
    assert caplog.records[-1].facts["dns"] == [f"uid=twin,{PEOPLE}", f"uid=twin,ou=twins,{PEOPLE}"]


def test_a_name_of_two_entries_is_nobody(backend):
    assert backend.find("twin") is None


def test_a_filter_tells_two_entries_apart(plain):
    assert check(plain(user_scope="one"), "twin").name == "twin"


def test_who_does_not_match_the_filter_is_unknown(plain):
    assert check(plain(user_filter="(&(objectClass=person)(!(uid=bob)))")) is Verdict.UNKNOWN


def test_an_entry_without_a_name_logs_nobody_in(plain, caplog):
    assert check(plain(name_attribute="employeeNumber")) is Verdict.REFUSED
    assert caplog.records[-1].message == "ldap.nameless"


def test_without_an_id_a_person_is_their_dn(plain):
    assert check(plain(id_attribute="employeeNumber")).subject == f"corp:uid=bob,{PEOPLE}"


def test_an_anonymous_search_finds_who_may_be_seen(plain):
    nothing = {"group_matchers": (), "group_depth": 0, "admin_groups": ()}
    assert (
        check(plain(bind_dn="", bind_password=None, user_base=f"ou=open,{BASE}", **nothing), "openly").name == "openly"
    )


def test_an_anonymous_search_that_is_refused_is_no_answer(plain):
    with pytest.raises(Unavailable):
        check(plain(bind_dn="", bind_password=None))


def test_a_wrong_service_password_is_no_answer_and_is_not_tried_again_soon(plain, directory, make):
    with servers.stub(servers.relay(directory.url)) as between:
        backend = make(plain(urls=(between.url,), bind_password="wrong-secret"))
        for _ in range(3):
            with pytest.raises(Unavailable, match="the directory corp"):
                backend.check("bob", PASSWORD)
        assert between.sent.count(b"wrong-secret") == 1


def test_a_base_that_is_not_there_is_no_answer(plain, caplog):
    with pytest.raises(Unavailable, match="cannot say"):
        check(plain(user_base=f"ou=nowhere,{BASE}"))
    assert "may not be read" in caplog.records[-1].facts["reason"]


class TestDirectly:
    """Without a service account."""

    TEMPLATE = f"uid={{name}},ou=direct,{BASE}"

    @pytest.fixture
    def backend(self, plain, make) -> LdapBackend:
        base = f"ou=direct,{BASE}"
        changes = {"bind_dn": "", "bind_password": None, "bind_template": self.TEMPLATE}
        return make(plain(user_base=base, group_base=base, **changes))

    def test_the_right_password_proves_the_name(self, backend):
        assert backend.check("direct", PASSWORD).name == "direct"

    def test_the_person_reads_their_groups(self, backend):
        assert {group.name for group in backend.check("direct", PASSWORD).groups} == {"directors"}

    def test_every_letter_may_be_in_a_name(self, backend):
        assert backend.check("di,rect+", PASSWORD).name == "di,rect+"

    @pytest.mark.parametrize("name", ["direct", "nobody", "direct,ou=direct", f"bob,{PEOPLE}", "direct\0"])
    def test_a_refusal_is_left_to_the_next_source(self, backend, name):
        assert backend.check(name, "wrong") is Verdict.UNKNOWN

    @pytest.mark.parametrize("password", ["\0", "\udcff", "x" * 5_000])
    def test_what_is_no_password_is_left_to_the_next_source(self, backend, password):
        assert backend.check("direct", password) is Verdict.UNKNOWN

    def test_a_name_with_blanks_around_it_is_another(self, backend):
        assert backend.check("direct ", PASSWORD) is Verdict.UNKNOWN

    def test_nobody_can_be_looked_up(self, backend):
        with pytest.raises(Unavailable, match="no account for a service"):
            backend.look_up(["corp:x"])

    def test_nobody_can_be_found(self, backend):
        with pytest.raises(Unavailable, match="no account for a service"):
            backend.find("direct")


class TestBetweenTwoLogins:
    """What becomes of somebody whose entry changes."""

    @pytest.fixture
    def person(self, root) -> str:
        dn = f"uid=moving,{PEOPLE}"
        values = {"uid": "moving", "cn": "moving", "sn": "x", "mail": "moving@example.com", "userPassword": PASSWORD}
        root.search(PEOPLE, "(|(uid=moving)(uid=moved))", attributes=["uid"])
        for found in root.response:
            root.delete(found["dn"])
        root.add(dn, "inetOrgPerson", values)
        return dn

    def test_who_moves_stays_the_same(self, backend, root, person):
        before = backend.check("moving", PASSWORD)
        root.modify_dn(person, "uid=moving", new_superior=f"ou=twins,{PEOPLE}")
        assert backend.check("moving", PASSWORD) == before

    def test_who_is_renamed_stays_the_same_with_another_name(self, backend, root, person):
        before = backend.check("moving", PASSWORD)
        root.modify_dn(person, "uid=moved")
        after = backend.check("moved", PASSWORD)
        assert (after.subject, after.name) == (before.subject, "moved")

    def test_the_old_name_is_nobodys(self, backend, root, person):
        backend.check("moving", PASSWORD)
        root.modify_dn(person, "uid=moved")
        assert backend.check("moving", PASSWORD) is Verdict.UNKNOWN

    def test_who_is_locked_is_refused(self, backend, root, person):
        backend.check("moving", PASSWORD)
        root.modify(person, {"pwdAccountLockedTime": [(ldap3.MODIFY_REPLACE, ["000001010000Z"])]})
        assert backend.check("moving", PASSWORD) is Verdict.REFUSED

    def test_who_is_locked_is_not_looked_up(self, backend, root, person):
        subject = backend.check("moving", PASSWORD).subject
        root.modify(person, {"pwdAccountLockedTime": [(ldap3.MODIFY_REPLACE, ["000001010000Z"])]})
        assert (backend.look_up([subject]), backend.find("moving")) == ({}, None)

    def test_who_is_removed_is_unknown(self, backend, root, person):
        subject = backend.check("moving", PASSWORD).subject
        root.delete(person)
        assert (backend.check("moving", PASSWORD), backend.look_up([subject])) == (Verdict.UNKNOWN, {})

    def test_who_gets_the_name_of_somebody_else_is_not_them(self, backend, root, person):
        before = backend.check("moving", PASSWORD)
        root.delete(person)
        root.add(person, "inetOrgPerson", {"uid": "moving", "cn": "x", "sn": "x", "userPassword": PASSWORD})
        assert backend.check("moving", PASSWORD).subject != before.subject

    def test_a_new_password_counts_at_once(self, backend, root, person):
        backend.check("moving", PASSWORD)
        root.modify(person, {"userPassword": [(ldap3.MODIFY_REPLACE, ["another"])]})
        assert backend.check("moving", PASSWORD) is Verdict.REFUSED


def test_who_is_removed_in_mid_login_is_refused(mortal, plain):
    def remove(data: bytes) -> bool:
        if PASSWORD.encode() in data:
            with mortal.root() as root:
                root.delete(f"uid=leaving,{PEOPLE}")
        return False

    with servers.stub(servers.relay(mortal.url, remove)) as between:
        assert check(plain(urls=(between.url,)), "leaving") is Verdict.REFUSED


def test_people_are_found_without_their_passwords(backend):
    assert backend.find("BOB@example.com") == backend.check("bob", PASSWORD)


@pytest.mark.parametrize("name", ["nobody", "", "x" * 300, "locked"])
def test_who_is_not_there_is_not_found(backend, name):
    assert backend.find(name) is None


def test_those_who_are_there_are_looked_up(plain, make):
    backend = make(plain(group_matchers=(), admin_groups=(), group_depth=0))
    subjects = [backend.find(f"person{number}").subject for number in range(250)]
    found = backend.look_up([*subjects, "corp:gone", "corp:*", "local:bob", "corp:uid=bob,ou=nowhere"])
    assert (len(found), found[subjects[249]].name) == (250, "person249")


def test_who_is_known_by_the_dn_is_looked_up_by_it(plain, make):
    backend = make(plain(id_attribute="employeeNumber"))
    bob = backend.find("bob")
    assert backend.look_up([bob.subject, f"corp:uid=gone,{PEOPLE}"]) == {bob.subject: bob}


def test_a_look_up_that_fails_names_nobody(configure, make):
    backend = make(configure(urls=(f"ldaps://127.0.0.1:{free_port()}",)))
    with pytest.raises(Unavailable):
        backend.look_up(["corp:x"])


def test_a_name_is_described_with_the_way_each_group_was_found(backend):
    described = backend.describe("bob")
    ways = {one.group.name: one.how for one in described.memberships}
    assert (ways["devs"], ways["leads"], ways["posix"]) == ("dn=member", "dn=member, 1 deep", "uid=memberUid")


def test_a_name_of_two_entries_is_described_as_such(backend):
    with pytest.raises(Conflict, match="twins"):
        backend.describe("twin")


def test_an_entry_without_a_name_is_described_as_such(plain, make):
    with pytest.raises(Conflict, match="has no employeeNumber"):
        make(plain(name_attribute="employeeNumber")).describe("bob")


def test_nobody_is_described_as_nothing(backend):
    assert backend.describe("nobody") is None


def test_certificates_that_cannot_be_read_need_a_persons_hand(configure, tmp_path, make):
    with pytest.raises(Misconfigured, match="cannot be read"):
        make(configure(ca_certificate=tmp_path / "missing.pem"))


def test_three_hundred_people_at_once_open_no_more_connections_than_the_pool_has(plain, directory, make):
    with servers.stub(servers.relay(directory.url)) as between:
        backend = make(plain(urls=(between.url,), pool_size=4))
        with ThreadPoolExecutor(300) as threads:
            found = list(threads.map(lambda number: backend.check(f"person{number}", PASSWORD), range(300)))
        assert ([type(one) for one in found], between.most_open) == ([Identity] * 300, 4)


def test_two_hundred_groups_take_few_searches(plain, directory):
    with servers.stub(servers.relay(directory.url)) as between:
        groups = check(plain(urls=(between.url,)), "many").groups
        assert (len(groups), between.sent.count(b"ou=groups,dc=example,dc=com\x0a")) == (200, 5)


class TestTokens:
    """The token service, with README's settings in its environment."""

    @pytest.fixture
    def urls(self, directory) -> str:
        return directory.tls_url

    @pytest.fixture
    def environment(self, urls, authority) -> dict[str, str]:
        given = example("corp") | {"ca_certificate": authority.certificate, "bind_password": servers.SERVICE_PASSWORD}
        given |= {"urls": urls, "login_attributes": "uid,mail", "admin_groups": given["admin_groups"][0]}
        return {f"AUTHSVC_LDAP__CORP__{name.upper()}": str(value) for name, value in given.items()}

    @pytest.mark.parametrize("name", ["bob", "BOB", "bob@example.com"])
    def test_a_person_of_a_directory_gets_a_token_under_their_name(self, client, name):
        answer = client.get("/service/token?service=authsvc", headers=basic(name))
        assert claims(answer.json["token"])["sub"] == "bob"

    @pytest.mark.parametrize("name", ["bob", "nobody", "twin", "locked"])
    def test_whoever_is_not_let_in_is_told_the_same(self, client, name):
        answer = client.get("/service/token?service=authsvc", headers=basic(name, "wrong"))
        assert (answer.status_code, answer.json["errors"][0]["code"]) == (401, "UNAUTHORIZED")


class TestAway:
    """The same while the directory is away."""

    environment = TestTokens.environment

    @pytest.fixture
    def urls(self) -> str:
        return f"ldaps://127.0.0.1:{free_port()}"

    def test_its_people_are_told_so(self, client):
        answer = client.get("/service/token?service=authsvc", headers=basic("bob"))
        assert (answer.status_code, "the directory corp does not answer" in answer.text) == (503, True)

    def test_others_are_let_in(self, client, engine):
        with transaction(engine) as session:
            make_user(session, "charlie")
        assert client.get("/service/token?service=authsvc", headers=basic("charlie")).status_code == 200
