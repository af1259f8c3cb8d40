import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.domain import machine_secrets
from authsvc.domain.machine_secrets import Kind

ZEROS = bytes(32)
RANDOM = st.binary(min_size=32, max_size=32)
# What a secret scanner is told to look for.
SCANNER = re.compile(r"as[rpf]_[A-Za-z0-9_-]{49}")


@pytest.mark.parametrize(
    ("kind", "prefix"), [(Kind.ROBOT, "asr_"), (Kind.ACCESS_TOKEN, "asp_"), (Kind.REFRESH_TOKEN, "asf_")]
)
def test_a_secret_tells_its_kind_and_no_other(kind, prefix):
    secret = machine_secrets.render(kind, ZEROS)
    kinds = [one for one in Kind if machine_secrets.is_kind(secret, one)]
    assert (secret[:4], kinds) == (prefix, [kind])


@given(st.sampled_from(Kind), RANDOM)
def test_a_scanner_recognises_every_secret(kind, random):
    assert SCANNER.fullmatch(machine_secrets.render(kind, random))


@given(RANDOM)
def test_a_secret_holds_all_its_randomness(random):
    encoded = machine_secrets.render(Kind.ROBOT, random)[4:47]
    assert machine_secrets.base64.urlsafe_b64decode(encoded + "=") == random


@given(st.sampled_from(Kind), RANDOM)
def test_a_secret_as_it_was_made_is_well_formed(kind, random):
    assert machine_secrets.is_well_formed(machine_secrets.render(kind, random))


@given(RANDOM, st.integers(0, 52), st.characters(min_codepoint=33, max_codepoint=126))
def test_one_wrong_character_shows(random, place, character):
    secret = machine_secrets.render(Kind.ROBOT, random)
    typed = secret[:place] + character + secret[place + 1 :]
    assert machine_secrets.is_well_formed(typed) is (typed == secret)


@pytest.mark.parametrize(
    "change",
    [
        lambda secret: secret[:0],
        lambda secret: secret[:-1],
        lambda secret: secret[:-6],
        lambda secret: secret + "A",
        lambda secret: " " + secret,
        lambda secret: secret + "\n",
        lambda secret: secret.swapcase(),
        lambda secret: secret[:-1] + "é",
        lambda secret: "\ud800" + secret[1:],
    ],
)
def test_what_was_copied_badly_shows(change):
    assert not machine_secrets.is_well_formed(change(machine_secrets.render(Kind.ROBOT, ZEROS)))


def test_a_secret_is_the_same_in_every_version():
    assert machine_secrets.render(Kind.ROBOT, ZEROS) == "asr_" + "A" * 43 + "VpWFww"


def test_the_digest_is_sha_256():
    assert machine_secrets.digest("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize("text", ["", "pässwörd", "\ud800"])
def test_whatever_is_shown_has_a_digest(text):
    assert len(machine_secrets.digest(text)) == 64


@pytest.mark.parametrize("text", ["", "asr", "ASR_x", "robot", "xasr_"])
def test_other_texts_are_no_secrets_of_machines(text):
    assert not any(machine_secrets.is_kind(text, kind) for kind in Kind)
