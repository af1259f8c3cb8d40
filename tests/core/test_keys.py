from pathlib import Path

import pytest
from sqlalchemy import select

from authsvc.core import keys
from authsvc.core.keys import RENEW_SECONDS, KeyRing
from authsvc.core.sealing import Sealer
from authsvc.db.tables import AuditEvent, SigningKey
from authsvc.domain import certificates
from authsvc.domain.certificates import DAY, LEAF_LIFETIME, Pair
from authsvc.errors import Forbidden, Misconfigured

NOW = 1_800_000_000


@pytest.fixture(scope="module")
def ca() -> Pair:
    return certificates.make_ca("authsvc", NOW)


@pytest.fixture
def sealer() -> Sealer:
    return Sealer(b"k" * 32)


@pytest.fixture
def key(session, root, ca, sealer, now) -> SigningKey:
    return keys.add(session, root, ca, sealer, now)


def ring(session, sealer: Sealer) -> KeyRing:
    return KeyRing(sealer, lambda row_id: keys.find(session, row_id))


def test_a_new_key_has_a_certificate_that_the_ca_signed(key, ca):
    certificate = certificates.x509.load_pem_x509_certificate(key.certificate.encode())
    assert certificates.is_signed_by(certificate, ca.certificate)


def test_a_new_key_ends_with_its_certificate(key, now):
    assert (key.created_at, key.ends_at) == (now, now + LEAF_LIFETIME)


def test_a_private_key_is_not_stored_in_the_open(key):
    assert "PRIVATE" not in key.sealed_key


def test_a_new_key_is_audited(session, key):
    event = session.scalars(select(AuditEvent)).one()
    assert (event.actor, event.action, event.object) == ("root", "signing-key.add", key.key_id)


def test_the_newest_key_signs(session, root, ca, sealer, key, now):
    newer = keys.add(session, root, ca, sealer, now)
    assert (keys.find_newest(session), keys.get_newest(session)) == (newer, newer)


def test_without_a_key_one_is_told_what_to_do(session):
    with pytest.raises(Misconfigured, match="run `authsvc migrate`"):
        keys.get_newest(session)


@pytest.mark.parametrize("left", [RENEW_SECONDS - 1, 0, -DAY])
def test_a_key_that_ends_soon_is_due(key, left):
    assert keys.is_due(key, key.ends_at - left)


@pytest.mark.parametrize("left", [RENEW_SECONDS, LEAF_LIFETIME])
def test_a_key_that_has_long_to_live_is_not_due(key, left):
    assert not keys.is_due(key, key.ends_at - left)


def test_a_missing_key_is_due(now):
    assert keys.is_due(None, now)


def test_a_ring_opens_a_key(session, sealer, key):
    signer = ring(session, sealer).signer(key.id)
    assert (certificates.key_id(signer.key.public_key()), signer.key_id, signer.ends_at) == (
        key.key_id,
        key.key_id,
        key.ends_at,
    )


def test_a_ring_opens_a_key_once(key, sealer):
    asked = []
    kept = KeyRing(sealer, lambda row_id: asked.append(row_id) or key)
    assert (kept.signer(key.id) is kept.signer(key.id), asked) == (True, [key.id])


def test_a_ring_follows_a_rotation(session, root, ca, sealer, key, now):
    kept = ring(session, sealer)
    before = kept.signer(key.id)
    newer = keys.add(session, root, ca, sealer, now)
    assert (before.key_id, kept.signer(newer.id).key_id) == (key.key_id, newer.key_id)


def test_another_master_key_says_what_to_do(session, key):
    with pytest.raises(Misconfigured, match="does not open with this master key: put back the one it was sealed with"):
        ring(session, Sealer(b"x" * 32)).signer(key.id)


@pytest.mark.parametrize(("row_id", "sentence"), [(None, "there is no signing key"), (99, "the signing key is gone")])
def test_a_ring_without_the_key_says_what_to_do(session, sealer, row_id, sentence):
    with pytest.raises(Misconfigured, match=f"{sentence}: run `authsvc migrate`"):
        ring(session, sealer).signer(row_id)


def test_a_key_row_that_was_copied_over_another_does_not_open(session, root, ca, sealer, key, now):
    newer = keys.add(session, root, ca, sealer, now)
    newer.sealed_key = key.sealed_key
    session.flush()
    with pytest.raises(Misconfigured, match="does not open"):
        ring(session, sealer).signer(newer.id)


def test_the_ca_is_read_from_its_files(ca, tmp_path):
    (tmp_path / "ca.crt").write_bytes(ca.certificate_pem())
    (tmp_path / "ca.key").write_bytes(ca.key_pem())
    assert keys.load_ca(tmp_path / "ca.crt", tmp_path / "ca.key").certificate == ca.certificate


def test_a_missing_ca_says_what_to_do():
    with pytest.raises(Misconfigured, match=r"/missing/ca.crt cannot be read .*: run `authsvc init`, or put it back"):
        keys.load_ca(Path("/missing/ca.crt"), Path("/missing/ca.key"))


@pytest.mark.parametrize("who", ["alice", "bob", "charlie"])
def test_only_administrators_make_keys(session, request, ca, sealer, now, who):
    with pytest.raises(Forbidden):
        keys.add(session, request.getfixturevalue(who), ca, sealer, now)
