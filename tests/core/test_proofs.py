import os

import pytest

from authsvc.core.proofs import WAYS, Proof, Proofs

ALICE = Proof("alice", 7, 1_000.0)


@pytest.fixture
def proofs() -> Proofs:
    return Proofs()


@pytest.fixture
def digest(proofs) -> bytes:
    return proofs.digest("alice", "secret")


def neighbour(digest: bytes) -> bytes:
    """Another digest of the same bucket."""
    return digest[:4] + os.urandom(28)


def test_what_was_kept_is_found(proofs, digest):
    proofs.keep(digest, ALICE)
    assert proofs.find(digest) == ALICE


def test_what_was_not_kept_is_not_found(proofs, digest):
    proofs.keep(digest, ALICE)
    assert proofs.find(neighbour(digest)) is None


def test_a_proof_takes_the_place_of_the_one_before(proofs, digest):
    proofs.keep(digest, ALICE)
    proofs.keep(digest, Proof("alice", 8, 1_001.0))
    proofs.drop(digest)
    assert proofs.find(digest) is None


def test_the_oldest_makes_room(proofs, digest):
    proofs.keep(digest, ALICE)
    others = [neighbour(digest) for _ in range(WAYS)]
    for number, other in enumerate(others):
        proofs.keep(other, Proof("bob", 1, 1_001.0 + number))
    assert [proofs.find(one) is None for one in [digest, *others]] == [True] + [False] * WAYS


def test_forgetting_one_leaves_the_others(proofs, digest):
    other = neighbour(digest)
    proofs.keep(digest, ALICE)
    proofs.keep(other, Proof("bob", 1, 1_001.0))
    proofs.drop(digest)
    assert (proofs.find(digest), proofs.find(other).name) == (None, "bob")


@pytest.mark.parametrize("byte", [0, 20, 60, 100])
def test_a_slot_that_was_written_in_part_is_no_proof(proofs, digest, byte):
    proofs.keep(digest, ALICE)
    at = proofs._start(digest, 0) + byte
    proofs._memory[at] ^= 1
    assert proofs.find(digest) is None


def test_another_table_knows_the_same_by_another_digest(proofs):
    assert proofs.digest("alice", "secret") != Proofs().digest("alice", "secret")


@pytest.mark.parametrize("other", [("alic", "esecret"), ("alice", "Secret"), ("bob", "secret")])
def test_another_name_or_password_has_another_digest(proofs, digest, other):
    assert proofs.digest(*other) != digest


def test_neither_name_nor_password_is_in_a_digest(digest):
    assert (len(digest), b"alice" in digest, b"secret" in digest) == (32, False, False)


@pytest.mark.parametrize(("length", "kept"), [(128, True), (129, False)])
def test_a_name_that_has_no_room_is_not_remembered(proofs, digest, length, kept):
    proofs.keep(digest, Proof("a" * length, 1, 1.0))
    assert (proofs.find(digest) is not None) is kept


def test_a_forked_process_shares_the_table(proofs, digest):
    child = os.fork()
    if child == 0:
        proofs.keep(digest, ALICE)
        os._exit(0)
    os.waitpid(child, 0)
    assert proofs.find(digest) == ALICE
