import select

import pytest

from authsvc.errors import Unavailable
from authsvc.identity.ldap_answers import Search
from authsvc.identity.ldap_connection import Connection, ServiceRefused, Who
from authsvc.identity.ldap_wire import Deadline, Down, make_context
from tests.factories import PASSWORD
from tests.identity import servers
from tests.identity.seed_slapd import PEOPLE
from tests.identity.servers import BASE

BOB = f"uid=bob,{PEOPLE}"
EVERYBODY = Search(PEOPLE, "subtree", "(objectClass=person)", ["uid"])


@pytest.fixture
def connect(plain, directory):
    """Open connections, which are closed after the test."""
    opened = []

    def connect(**changes: object) -> Connection:
        settings = plain(**changes)
        opened.append(Connection(settings, make_context(settings), settings.urls[0]))
        opened[-1].open(Deadline(5))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()


def test_a_search_is_the_services(connect):
    connection = connect()
    assert (len(connection.search(EVERYBODY, Deadline(5)).entries) > 300, connection.who) == (True, Who.SERVICE)


def test_after_a_password_was_proved_nobody_is_bound(connect):
    connection = connect()
    assert (connection.prove(BOB, PASSWORD.encode(), Deadline(5)).is_proved, connection.who) == (True, Who.NOBODY)


def test_a_search_after_a_password_is_the_services_again(connect):
    connection = connect()
    connection.prove(BOB, PASSWORD.encode(), Deadline(5))
    # The directory shows people nothing, not even their own entry.
    assert len(connection.search(EVERYBODY, Deadline(5)).entries) > 300


def test_the_server_itself_knows_nobody_after_a_password_was_proved(connect):
    connection = connect()
    connection.prove(f"uid=direct,ou=direct,{BASE}", PASSWORD.encode(), Deadline(5))
    with pytest.raises(Unavailable, match="insufficientAccess"):
        connection._search(Search(f"ou=direct,{BASE}", "base", "(objectClass=*)", []), Deadline(5))


def test_a_person_reads_only_where_there_is_no_service(connect):
    connection, dn = connect(), f"uid=direct,ou=direct,{BASE}"
    own = Search(dn, "base", "(objectClass=*)", ["uid"])
    bound, entries = connection.prove_and_read(dn, PASSWORD.encode(), lambda ask: ask(own), Deadline(5))
    assert (bound.is_proved, [entry.dn for entry in entries], connection.who) == (True, [dn], Who.NOBODY)


def test_whoever_is_refused_reads_nothing(connect):
    bound, read = connect().prove_and_read(BOB, b"wrong", pytest.fail, Deadline(5))
    assert (bound.is_proved, read) == (False, None)


def test_a_service_that_is_refused_is_told_as_such(connect):
    with pytest.raises(ServiceRefused, match="invalidCredentials"):
        connect(bind_password="wrong").search(EVERYBODY, Deadline(5))


def test_a_search_has_as_many_pages_as_it_needs(connect):
    dns = [entry.dn for entry in connect(page_size=50).search(EVERYBODY, Deadline(5)).entries]
    assert (len(dns) > 300, len(dns)) == (True, len(set(dns)))


def test_what_a_directory_withholds_is_no_answer(connect):
    with pytest.raises(Unavailable, match="withholds"):
        connect(bind_dn=servers.LIMITED, page_size=50).search(EVERYBODY, Deadline(5))


def test_a_few_of_many_are_an_answer_where_a_few_are_enough(connect):
    few = Search(PEOPLE, "subtree", "(objectClass=person)", ["uid"], at_most=5)
    assert len(connect().search(few, Deadline(5)).entries) == 5


def test_an_entry_that_is_not_there_is_none(connect):
    assert connect().search(Search(f"uid=gone,{PEOPLE}", "base", "(uid=*)", []), Deadline(5)).entries == []


def test_a_filter_that_is_none_is_no_answer(connect):
    with pytest.raises(Unavailable):
        connect().search(Search(PEOPLE, "subtree", "(&(uid=))(=", []), Deadline(5))


def test_an_entry_that_is_asked_for_nothing_has_no_attributes(connect):
    (entry,) = connect().search(Search(BOB, "base", "(uid=*)", []), Deadline(5)).entries
    assert entry.attributes == {}


def test_a_fresh_connection_is_good(connect):
    connection = connect()
    connection.search(EVERYBODY, Deadline(5))
    assert connection.is_good(connection.opened_at)


def test_an_old_connection_is_not(connect):
    connection = connect(pool_age=300)
    assert not connection.is_good(connection.opened_at + 301)


def test_a_connection_that_the_server_has_closed_is_not(connect):
    with servers.stub(servers.cutting) as server:
        connection = connect(urls=(server.url,))
        raw = connection._wire.socket.raw
        raw.sendall(b"x")
        select.select([raw], [], [], 60)
        assert not connection.is_good(connection.opened_at)


def test_a_connection_that_was_closed_is_not(connect):
    connection = connect()
    connection.close()
    assert not connection.is_good(connection.opened_at)


def test_a_connection_that_was_closed_is_down(connect):
    connection = connect()
    connection.close()
    with pytest.raises(Down):
        connection.search(EVERYBODY, Deadline(5))


def test_an_operation_that_is_too_late_is_not_begun(connect):
    with pytest.raises(Down) as late:
        connect().search(EVERYBODY, Deadline(0))
    assert late.value.timed_out


def test_a_password_is_not_kept(connect):
    connection = connect()
    connection.prove(BOB, PASSWORD.encode(), Deadline(5))
    assert PASSWORD not in repr(vars(connection._wire)) + repr(vars(connection._wire.strategy))
