import re

import bcrypt
import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from authsvc.identity import passwords
from tests.factories import PASSWORD, password_hash


def with_other_parameters(iterations: int = 1, memory: int = 1024) -> str:
    hasher = Argon2id(salt=b"s" * 16, length=32, iterations=iterations, lanes=1, memory_cost=memory)
    return hasher.derive_phc_encoded(PASSWORD.encode())


def with_bcrypt(password: str, kind: str = "2b") -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode().replace("$2b$", f"${kind}$")


def test_a_hash_is_a_phc_string_with_owasps_parameters():
    assert re.fullmatch(r"\$argon2id\$v=19\$m=19456,t=2,p=1\$[\w+/]{22}\$[\w+/]{43}", password_hash())


def test_the_same_password_has_another_hash_each_time():
    assert passwords.hash_password(PASSWORD) != password_hash()


def test_the_right_password_is_correct():
    assert passwords.is_correct(PASSWORD, password_hash())


@pytest.mark.parametrize("password", ["", "wrong", PASSWORD + "x", PASSWORD[:-1], PASSWORD.upper()])
def test_another_password_is_not(password):
    assert not passwords.is_correct(password, password_hash())


def test_a_password_is_the_same_in_each_unicode_form():
    assert passwords.is_correct("mot de passé", password_hash("mot de passe\N{COMBINING ACUTE ACCENT}"))


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "*",
        "!",
        "x",
        "None",
        PASSWORD,
        pytest.param(with_bcrypt(PASSWORD)[:-1], id="bcrypt cut short"),
        pytest.param(with_bcrypt(PASSWORD).replace("$04$", "$15$"), id="bcrypt for seconds"),
        "$argon2i$v=19$m=1024,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo",
        "$argon2id$v=19$m=1024,t=1,p=1$$",
        "$argon2id$v=19$m=0,t=0,p=0$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo",
        "$argon2id$v=19$m=1024,t=1,p=1$a$a",
        pytest.param(password_hash()[:-1], id="cut short"),
        pytest.param(password_hash() + "\n", id="with a line end"),
        pytest.param(" " + password_hash(), id="with a blank"),
    ],
)
def test_what_is_no_hash_of_ours_never_is_correct(stored):
    assert not passwords.is_correct(PASSWORD, stored)


def test_a_hash_with_other_parameters_is_still_correct():
    assert passwords.is_correct(PASSWORD, with_other_parameters())


@pytest.mark.parametrize(
    ("stored", "outdated"),
    [
        (password_hash(), False),
        (with_other_parameters(), True),
        (with_other_parameters(iterations=3), True),
        (with_bcrypt(PASSWORD), True),
    ],
    ids=["today's", "less memory", "more iterations", "bcrypt"],
)
def test_a_hash_with_other_parameters_is_outdated(stored, outdated):
    assert passwords.is_outdated(stored) is outdated


def test_an_unknown_name_costs_a_whole_hash(monkeypatch):
    checked = []
    monkeypatch.setattr(passwords, "is_correct", lambda _password, stored: checked.append(stored))
    passwords.waste_a_hash("anything")
    assert not passwords.is_outdated(checked[0])


@pytest.mark.parametrize("kind", ["2a", "2b", "2y"])
def test_a_password_is_checked_against_bcrypt(kind):
    assert passwords.is_correct(PASSWORD, with_bcrypt(PASSWORD, kind))


@pytest.mark.parametrize("password", ["", "wrong", PASSWORD + "x", PASSWORD[:-1], f"{PASSWORD}\0{PASSWORD}", "\0"])
def test_another_password_is_refused_by_bcrypt(password):
    assert not passwords.is_correct(password, with_bcrypt(PASSWORD))


@pytest.mark.parametrize(("password", "correct"), [("x" * 72, True), ("x" * 200, True), ("x" * 71, False)])
def test_bcrypt_reads_72_bytes_as_the_registry_did(password, correct):
    assert passwords.is_correct(password, with_bcrypt("x" * 72)) is correct


def test_bcrypt_reads_72_bytes_and_not_characters():
    assert passwords.is_correct("\N{SNOWMAN}" * 30, with_bcrypt("\N{SNOWMAN}" * 24))


def test_bcrypt_is_asked_for_what_was_typed():
    assert passwords.is_correct("e\N{COMBINING ACUTE ACCENT}", with_bcrypt("e\N{COMBINING ACUTE ACCENT}"))


def test_a_wrong_password_for_bcrypt_costs_what_an_unknown_name_does(monkeypatch):
    wasted = []
    monkeypatch.setattr(passwords, "waste_a_hash", wasted.append)
    passwords.is_correct("wrong", with_bcrypt(PASSWORD))
    assert wasted == ["wrong"]


def test_bcrypt_waits_for_its_turn(monkeypatch):
    turns = []

    class Slots:
        def __enter__(self) -> None:
            turns.append("in")

        def __exit__(self, *_: object) -> None:
            turns.append("out")

    monkeypatch.setattr(passwords, "_slots", Slots())
    passwords.is_correct(PASSWORD, with_bcrypt(PASSWORD))
    assert turns == ["in", "out"]
