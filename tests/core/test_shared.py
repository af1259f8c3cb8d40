import os

import pytest

from authsvc.core.shared import WAYS, Table


@pytest.fixture
def table() -> Table:
    return Table(256)


@pytest.fixture
def digest(table) -> bytes:
    return table.digest("alice", "secret")


def neighbour(digest: bytes) -> bytes:
    """Another digest of the same bucket."""
    return digest[:4] + os.urandom(28)


def test_what_was_kept_is_found(table, digest):
    table.keep(digest, 1_000.0, b"alice")
    assert table.find(digest) == (1_000.0, b"alice")


def test_what_was_not_kept_is_not_found(table, digest):
    table.keep(digest, 1_000.0, b"alice")
    assert table.find(neighbour(digest)) is None


def test_an_entry_takes_the_place_of_the_one_before(table, digest):
    table.keep(digest, 1_000.0, b"alice")
    table.keep(digest, 1_001.0, b"al")
    table.drop(digest)
    assert table.find(digest) is None


def test_the_oldest_makes_room(table, digest):
    table.keep(digest, 1_000.0, b"alice")
    others = [neighbour(digest) for _ in range(WAYS)]
    for number, other in enumerate(others):
        table.keep(other, 1_001.0 + number, b"bob")
    assert [table.find(one) is None for one in [digest, *others]] == [True] + [False] * WAYS


def test_forgetting_one_leaves_the_others(table, digest):
    other = neighbour(digest)
    table.keep(digest, 1_000.0, b"alice")
    table.keep(other, 1_001.0, b"bob")
    table.drop(digest)
    assert (table.find(digest), table.find(other)) == (None, (1_001.0, b"bob"))


@pytest.mark.parametrize("byte", [0, 20, 50, 57, 60])
def test_a_slot_that_was_written_in_part_says_nothing(table, digest, byte):
    table.keep(digest, 1_000.0, b"alice")
    table._memory[table._start(digest, 0) + byte] ^= 1
    assert table.find(digest) is None


@pytest.mark.parametrize(("length", "kept"), [(0, True), (198, True), (199, False), (100_000, False)])
def test_what_has_no_room_is_not_remembered(table, digest, length, kept):
    table.keep(digest, 1_000.0, b"a" * length)
    assert (table.find(digest) is not None) is kept


def test_another_table_knows_the_same_by_another_digest(table):
    assert table.digest("alice", "secret") != Table(256).digest("alice", "secret")


@pytest.mark.parametrize("other", [("alic", "esecret"), ("alice", "Secret"), ("bob", "secret"), ("alice",), ()])
def test_other_texts_have_another_digest(table, digest, other):
    assert table.digest(*other) != digest


def test_no_text_is_in_a_digest(digest):
    assert (len(digest), b"alice" in digest, b"secret" in digest) == (32, False, False)


def test_a_forked_process_shares_the_table(table, digest):
    child = os.fork()
    if child == 0:
        table.keep(digest, 1_000.0, b"alice")
        os._exit(0)
    os.waitpid(child, 0)
    assert table.find(digest) == (1_000.0, b"alice")
