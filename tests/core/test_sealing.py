import base64

import pytest

from authsvc.core.sealing import Sealer
from authsvc.errors import Misconfigured


@pytest.fixture
def sealer() -> Sealer:
    return Sealer(b"k" * 32)


def write_key(path, text: str):
    path.write_text(text, encoding="utf-8")
    return path


def test_what_was_sealed_opens(sealer):
    assert sealer.open(sealer.seal(b"secret", "here"), "here") == b"secret"


def test_what_is_sealed_does_not_show(sealer):
    assert b"secret" not in base64.b64decode(sealer.seal(b"secret", "here"))


def test_the_same_secret_is_sealed_differently_each_time(sealer):
    assert sealer.seal(b"secret", "here") != sealer.seal(b"secret", "here")


def test_what_was_sealed_elsewhere_does_not_open(sealer):
    with pytest.raises(Misconfigured, match="there does not open with this master key"):
        sealer.open(sealer.seal(b"secret", "here"), "there")


def test_another_master_key_does_not_open_it(sealer):
    with pytest.raises(Misconfigured, match="put back the one it was sealed with"):
        Sealer(b"x" * 32).open(sealer.seal(b"secret", "here"), "here")


@pytest.mark.parametrize("sealed", ["", "AAAA", "not base64", "é", base64.b64encode(b"x" * 40).decode()])
def test_what_was_damaged_does_not_open(sealer, sealed):
    with pytest.raises(Misconfigured):
        sealer.open(sealed, "here")


def test_a_master_key_is_read_from_its_file(sealer, tmp_path):
    path = write_key(tmp_path / "master.key", base64.b64encode(b"k" * 32).decode() + "\n")
    assert Sealer.from_file(path).open(sealer.seal(b"secret", "here"), "here") == b"secret"


def test_a_missing_master_key_says_what_to_do(tmp_path):
    with pytest.raises(Misconfigured, match="run `authsvc init`, or put the key back from your backup"):
        Sealer.from_file(tmp_path / "master.key")


@pytest.mark.parametrize(
    "text", ["", "k" * 32, "é", base64.b64encode(b"k" * 31).decode(), base64.b64encode(b"k" * 33).decode()]
)
def test_a_damaged_master_key_says_what_to_do(tmp_path, text):
    with pytest.raises(Misconfigured, match="is damaged: put it back from your backup"):
        Sealer.from_file(write_key(tmp_path / "master.key", text))
