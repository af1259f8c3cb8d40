import pytest

from authsvc.domain import htpasswd

SALT_AND_SUM = "J/OTLLJhNvdBwVOkZKoTg.YRT0AnfVf6m/Gp7Im9uYivIhBF/I2ci"
BCRYPT = f"$2y$05${SALT_AND_SUM}"


def names(text: str) -> list[str]:
    return [line.name for line in htpasswd.parse(text)[0]]


def reason(text: str) -> str:
    (refusal,) = htpasswd.parse(text)[1]
    return refusal.reason


def test_a_line_is_a_name_and_a_hash():
    (line,), refused = htpasswd.parse(f"bob:{BCRYPT}\n")
    assert (line.number, line.name, line.hash, refused) == (1, "bob", BCRYPT, [])


@pytest.mark.parametrize("kind", ["2a", "2b", "2y"])
def test_every_kind_of_bcrypt_is_taken(kind):
    assert names(f"bob:${kind}$10${SALT_AND_SUM}") == ["bob"]


@pytest.mark.parametrize("text", ["", "\n", "# bob:x\n", "  # a comment", "\r\n \t\n"])
def test_blank_lines_and_comments_are_nothing(text):
    assert htpasswd.parse(text) == ([], [])


@pytest.mark.parametrize("line", [f"bob:{BCRYPT}\r\n", f"  bob:{BCRYPT}  \n", f"bob:{BCRYPT}"])
def test_blanks_around_a_line_are_no_part_of_it(line):
    assert names(line) == ["bob"]


def test_lines_are_counted_as_an_editor_does():
    _, refused = htpasswd.parse(f"# people\n\nbob:{BCRYPT}\ncharlie:x\n")
    assert [(one.number, one.name) for one in refused] == [(4, "charlie")]


def test_a_name_is_taken_in_its_one_form():
    assert names(f"Bob:{BCRYPT}") == ["bob"]


@pytest.mark.parametrize("text", [f"bob:{BCRYPT}\nbob:{BCRYPT}", f"bob:{BCRYPT}\nBOB:{BCRYPT}"])
def test_a_name_that_comes_again_is_refused(text):
    assert (names(text), reason(text)) == (["bob"], "bob stands in line 1 already")


def test_a_line_after_a_refused_one_of_its_name_is_the_first():
    assert names(f"bob:x\nbob:{BCRYPT}") == ["bob"]


@pytest.mark.parametrize("name", ["", "bob smith", "bob/x", "robot$x", "-", "b" * 129, "bob\N{REPLACEMENT CHARACTER}"])
def test_a_name_that_nobody_may_have_is_refused(name):
    assert "a user name is 1 to 128" in reason(f"{name}:{BCRYPT}")


@pytest.mark.parametrize(
    ("stored", "kind"),
    [
        ("$apr1$oXLBbYGr$nLJ1gpOWrjdAjqHkGTlrt/", "MD5 (apr1)"),
        ("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "SHA-1"),
        ("$1$abcdefgh$hash", "MD5,"),
        ("$5$salt$hash", "SHA-256"),
        ("$6$salt$hash", "SHA-512"),
        ("rqXexS6ZhobKA", "crypt or plain text"),
        ("plain-text-password", "crypt or plain text"),
    ],
)
def test_another_hash_is_refused_by_its_kind_and_not_shown(stored, kind):
    told = reason(f"bob:{stored}")
    assert (kind in told, stored in told) == (True, False)


@pytest.mark.parametrize(
    ("stored", "told"),
    [
        ("", "there is no hash"),
        ("$2y$05$short", "no whole bcrypt"),
        (f"{BCRYPT}x", "no whole bcrypt"),
        (f"{BCRYPT}:more", "no whole bcrypt"),
        (f"$2x$05${SALT_AND_SUM}", "no whole bcrypt"),
        (f"$2y$05${SALT_AND_SUM[:21]}z{SALT_AND_SUM[22:]}", "no whole bcrypt"),
        (f"$2y$15${SALT_AND_SUM}", "the cost of its bcrypt is 15"),
        (f"$2y$03${SALT_AND_SUM}", "the cost of its bcrypt is 3"),
    ],
)
def test_a_bcrypt_that_cannot_be_checked_is_refused(stored, told):
    assert told in reason(f"bob:{stored}")


def test_a_line_without_a_colon_is_refused():
    assert reason("hunter2-hunter2") == "there is no hash after the name"


def test_a_refused_name_cannot_write_to_the_terminal():
    _, (refusal,) = htpasswd.parse(f"b\x1b[2Job:{BCRYPT}")
    assert refusal.name == "b?[2Job"


def test_a_hash_is_not_shown():
    assert SALT_AND_SUM not in repr(htpasswd.parse(f"bob:{BCRYPT}"))


@pytest.mark.parametrize(("cost", "taken"), [("03", False), ("04", True), ("14", True), ("15", False), ("31", False)])
def test_a_cost_that_takes_seconds_is_not_taken(cost, taken):
    assert htpasswd.is_bcrypt(f"$2b${cost}${SALT_AND_SUM}") is taken
