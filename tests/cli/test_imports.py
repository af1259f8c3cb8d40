import subprocess
from pathlib import Path

import pytest

from authsvc import services
from authsvc.core import users
from authsvc.identity import Identity, Verdict, passwords
from tests.conftest import program

NEW = "another-long-password"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that Apache's htpasswd made: two users with bcrypt."""
    path = tmp_path / "htpasswd"
    subprocess.run([program("htpasswd"), "-cbB", str(path), "dave", NEW], check=True, capture_output=True)
    subprocess.run([program("htpasswd"), "-bBC", "6", str(path), "Erin", NEW], check=True, capture_output=True)
    return path


@pytest.fixture
def mixed(file: Path) -> Path:
    """With a further line that no registry took."""
    subprocess.run([program("htpasswd"), "-bm", str(file), "frank", NEW], check=True, capture_output=True)
    return file


def test_users_of_a_htpasswd_file_are_imported(run, file, read):
    done = run(f"import htpasswd {file}")
    assert (done.exit_code, done.output, [one["name"] for one in read("user list")][3:5]) == (
        0,
        "imported 2 users\n",
        ["dave", "erin"],
    )


@pytest.mark.parametrize("name", ["dave", "erin"])
def test_an_imported_password_works_and_its_hash_is_renewed_at_the_first_login(run, file, engine, name):
    run(f"import htpasswd {file}")
    imported = users.find_hash(engine, name)
    answer = services._local(engine).check(name, NEW)
    renewed = users.find_hash(engine, name)
    assert (passwords.is_outdated(imported), answer, passwords.is_outdated(renewed)) == (
        True,
        Identity(subject=f"local:{name}", name=name),
        False,
    )


def test_a_renewed_password_works_again(run, file, engine):
    run(f"import htpasswd {file}")
    local = services._local(engine)
    assert [type(local.check("dave", NEW)), type(local.check("dave", NEW)), local.check("dave", "wrong")] == [
        Identity,
        Identity,
        Verdict.REFUSED,
    ]


def test_a_wrong_password_leaves_the_imported_hash(run, file, engine):
    run(f"import htpasswd {file}")
    before = users.find_hash(engine, "dave")
    assert (services._local(engine).check("dave", "wrong"), users.find_hash(engine, "dave")) == (
        Verdict.REFUSED,
        before,
    )


def test_a_line_that_cannot_be_imported_is_named_and_none_is(run, mixed, read):
    done = run(f"import htpasswd {mixed}")
    assert (done.exit_code, done.stderr.splitlines(), len(read("user list"))) == (
        1,
        [
            "line 3 (frank): the hash is MD5 (apr1), not bcrypt; the registry did not take it either",
            "authsvc: nothing was imported; --skip-invalid imports the other lines",
        ],
        4,
    )


def test_the_other_lines_are_imported_on_demand(run, mixed, read):
    done = run(f"import htpasswd {mixed} --skip-invalid")
    assert (done.exit_code, done.stdout, len(read("user list"))) == (0, "imported 2 users\n", 6)


def test_a_second_import_leaves_those_who_are_there(run, file):
    run(f"import htpasswd {file}")
    done = run(f"import htpasswd {file} --skip-existing")
    assert (done.exit_code, done.output) == (0, "left dave as it was\nleft erin as it was\nimported 0 users\n")


def test_a_rehearsal_says_what_would_be(run, file, read):
    done = run(f"import htpasswd {file} --dry-run")
    assert (done.exit_code, done.output, len(read("user list"))) == (0, "would import 2 users\n", 4)


def test_an_import_prints_json_for_scripts(read, mixed):
    assert read(f"import htpasswd {mixed} --skip-invalid") == {
        "imported": ["dave", "erin"],
        "existing": [],
        "refused": [
            {
                "number": 3,
                "name": "frank",
                "reason": "the hash is MD5 (apr1), not bcrypt; the registry did not take it either",
            }
        ],
        "dry_run": False,
    }


def test_a_refused_import_prints_json_too(run, mixed):
    done = run(f"import htpasswd {mixed} --json")
    assert (done.exit_code, '"number": 3' in done.stdout) == (1, True)


def test_a_file_may_come_from_standard_input(run, file):
    assert run("import htpasswd -", stdin=file.read_text()).output == "imported 2 users\n"


def test_what_is_no_utf_8_is_named(run, tmp_path):
    (tmp_path / "latin").write_bytes(b"j\xf6rg:x\n")
    done = run(f"import htpasswd {tmp_path / 'latin'}")
    assert (done.exit_code, "line 1" in done.stderr) == (1, True)


def test_a_file_that_is_missing_is_a_wrong_command_line(run):
    assert run("import htpasswd /missing").exit_code == 2


def test_the_import_stands_in_the_audit_trail(run, file, actors):
    run(f"import htpasswd {file}")
    assert actors() == [("console", "user.add", "dave"), ("console", "user.add", "erin")]
