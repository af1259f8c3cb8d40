import bcrypt
import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from sqlalchemy import update

from authsvc import services
from authsvc.core import users
from authsvc.db.engine import transaction
from authsvc.db.tables import User
from authsvc.identity import Identity, Verdict, passwords
from authsvc.identity.local import LocalBackend
from tests.factories import PASSWORD, make_user, password_hash
from tests.identity.contract import PasswordBackendContract

OUTDATED = Argon2id(salt=b"s" * 16, length=32, iterations=1, lanes=1, memory_cost=1024).derive_phc_encoded(
    PASSWORD.encode()
)
IMPORTED = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()


def stored_hash(engine, name: str) -> str | None:
    return users.find_hash(engine, name)


@pytest.fixture
def backend(engine) -> LocalBackend:
    with transaction(engine) as session:
        make_user(session, "bob")
    return services._local(engine)


class TestLocal(PasswordBackendContract):
    @pytest.fixture
    def backend(self, backend) -> LocalBackend:
        return backend

    @pytest.fixture
    def unreachable(self, no_database) -> LocalBackend:
        return services._local(no_database)


class TestImported(PasswordBackendContract):
    @pytest.fixture
    def backend(self, engine) -> LocalBackend:
        with transaction(engine) as session:
            make_user(session, "bob", password_hash=IMPORTED)
        return services._local(engine)

    @pytest.fixture
    def unreachable(self, no_database) -> LocalBackend:
        return services._local(no_database)


@pytest.mark.parametrize("columns", [{"source": "ldap"}, {"password_hash": None}], ids=["from ldap", "no password"])
def test_a_user_without_a_password_of_ours_is_not_ours(engine, backend, columns):
    with transaction(engine) as session:
        make_user(session, "charlie", **columns)
    assert backend.check("charlie", PASSWORD) is Verdict.UNKNOWN


@pytest.mark.parametrize("outdated", [OUTDATED, IMPORTED], ids=["less memory", "bcrypt"])
def test_a_login_renews_an_outdated_hash(engine, backend, outdated):
    with transaction(engine) as session:
        make_user(session, "charlie", password_hash=outdated)
    backend.check("charlie", PASSWORD)
    renewed = stored_hash(engine, "charlie")
    assert (passwords.is_outdated(renewed), passwords.is_correct(PASSWORD, renewed)) == (False, True)


def test_after_72_bytes_a_renewed_password_counts_as_a_whole(engine):
    typed = "x" * 80
    with transaction(engine) as session:
        make_user(session, "charlie", password_hash=bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode())
    local = services._local(engine)
    local.check("charlie", typed)
    assert (local.check("charlie", "x" * 72), type(local.check("charlie", typed))) == (Verdict.REFUSED, Identity)


def test_a_refused_login_leaves_an_outdated_hash(engine, backend):
    with transaction(engine) as session:
        make_user(session, "charlie", password_hash=OUTDATED)
    backend.check("charlie", "wrong")
    assert stored_hash(engine, "charlie") == OUTDATED


def test_a_login_leaves_a_hash_of_today(engine, backend):
    backend.check("bob", PASSWORD)
    assert stored_hash(engine, "bob") == password_hash()


def test_a_renewal_does_not_undo_a_password_that_was_changed_meanwhile(engine, monkeypatch):
    with transaction(engine) as session:
        make_user(session, "charlie", password_hash=OUTDATED)

    def change_meanwhile(password: str) -> str:
        with transaction(engine) as session:
            session.execute(update(User).values(password_hash="changed"))
        return password_hash()

    monkeypatch.setattr(passwords, "hash_password", change_meanwhile)
    services._local(engine).check("charlie", PASSWORD)
    assert stored_hash(engine, "charlie") == "changed"
