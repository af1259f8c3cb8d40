import re

import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from authsvc.identity import passwords
from tests.factories import PASSWORD, password_hash


def with_other_parameters(iterations: int = 1, memory: int = 1024) -> str:
    hasher = Argon2id(salt=b"s" * 16, length=32, iterations=iterations, lanes=1, memory_cost=memory)
    return hasher.derive_phc_encoded(PASSWORD.encode())


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
        "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW",
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
    [(password_hash(), False), (with_other_parameters(), True), (with_other_parameters(iterations=3), True)],
    ids=["today's", "less memory", "more iterations"],
)
def test_a_hash_with_other_parameters_is_outdated(stored, outdated):
    assert passwords.is_outdated(stored) is outdated


def test_an_unknown_name_costs_a_whole_hash(monkeypatch):
    checked = []
    monkeypatch.setattr(passwords, "is_correct", lambda _password, stored: checked.append(stored))
    passwords.waste_a_hash("anything")
    assert not passwords.is_outdated(checked[0])
