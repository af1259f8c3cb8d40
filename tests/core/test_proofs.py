import pytest

from authsvc.core.proofs import Proof, Proofs

ALICE = Proof("alice", 7, 1_000.0)


@pytest.fixture
def proofs() -> Proofs:
    return Proofs()


@pytest.fixture
def digest(proofs) -> bytes:
    return proofs.digest("alice", "secret")


@pytest.mark.parametrize("proof", [ALICE, Proof("jörg", 2**31, 0.5)])
def test_what_was_kept_is_found(proofs, digest, proof):
    proofs.keep(digest, proof)
    assert proofs.find(digest) == proof


def test_what_was_not_kept_is_not_found(proofs, digest):
    proofs.keep(digest, ALICE)
    assert proofs.find(proofs.digest("alice", "another secret")) is None


def test_what_was_dropped_is_not_found(proofs, digest):
    proofs.keep(digest, ALICE)
    proofs.drop(digest)
    assert proofs.find(digest) is None


@pytest.mark.parametrize("name", ["a" * 128, "王" * 60])
def test_a_name_of_full_length_has_room(proofs, digest, name):
    proofs.keep(digest, Proof(name, 1, 1.0))
    assert proofs.find(digest).name == name


def test_a_proof_is_found_under_the_sources_it_was_made_with_alone(proofs):
    one, other = proofs.under("local"), proofs.under("local, corp")
    one.keep(one.digest("alice", "secret"), ALICE)
    assert proofs.under("local").find(one.digest("alice", "secret")) == ALICE
    assert other.find(other.digest("alice", "secret")) is None
