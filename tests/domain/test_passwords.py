import pytest

from authsvc.domain import passwords
from authsvc.errors import Invalid


def check(password: str, name: str = "alice", min_length: int = 8) -> None:
    passwords.check(password, name=name, min_length=min_length)


@pytest.mark.parametrize(
    "password",
    ["tr0ub4dor", "correct horse", "密码密码密码密码", "x" * 1023 + "y", "alice has a long password"],
)
def test_a_password_needs_length_and_nothing_else(password):
    check(password)


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("", "at least 8"),
        ("7letter", "at least 8"),
        ("密码密码密码密", "at least 8"),
        ("x" * 1025, "at most 1024 bytes"),
        ("密" * 342, "at most 1024 bytes"),
        ("password", "tried first"),
        ("PassWord", "tried first"),
        ("ｐａｓｓｗｏｒｄ", "tried first"),
        ("12345678", "tried first"),
        ("alice-77", "too close"),
        ("xxALICExxx", "too close"),
    ],
)
def test_a_password_that_is_guessed_first_is_refused(password, reason):
    with pytest.raises(Invalid, match=reason):
        check(password)


def test_the_length_is_a_setting():
    with pytest.raises(Invalid, match="at least 12"):
        check("tr0ub4dor", min_length=12)


def test_a_refusal_does_not_repeat_the_password():
    with pytest.raises(Invalid) as refused:
        check("letmein1")
    assert "letmein1" not in str(refused.value)


def test_a_password_is_the_same_from_every_keyboard():
    assert passwords.normalize("ｐａｓｓ é") == passwords.normalize("pass é")
