import time

import pytest

from authsvc.core import users
from authsvc.db.engine import transaction
from tests.factories import make_session


@pytest.fixture
def sessions(engine, cast):
    """bob is logged in twice, charlie once."""
    now = int(time.time())
    with transaction(engine) as session:
        for number, name in enumerate(("bob", "bob", "charlie")):
            make_session(session, users.get(session, name), f"s{number}", created_at=now, last_seen_at=now - number)


def test_sessions_are_listed(read, sessions):
    rows = read("session list")
    assert ([row["user"] for row in rows], rows[0]["browser"], rows[0]["address"]) == (
        ["bob", "bob", "charlie"],
        "Firefox",
        "192.0.2.7",
    )


def test_a_users_sessions_are_listed(read, sessions):
    assert [row["user"] for row in read("session list --user charlie")] == ["charlie"]


def test_no_sessions_is_a_sentence(run):
    assert run("session list").output == "no sessions\n"


@pytest.mark.parametrize(("which", "left"), [("--user bob", ["charlie"]), ("--all", [])])
def test_sessions_are_ended(run, read, sessions, which, left):
    done = run(f"session end {which}")
    assert (done.output, [row["user"] for row in read("session list")]) == ("ended\n", left)


def test_one_session_is_ended(run, read, sessions):
    first, *others = read("session list")
    run(f"session end {first['id']}")
    assert read("session list") == others


@pytest.mark.parametrize("which", ["", "1 --all", "--user bob --all", "one"])
def test_a_wrong_command_line_has_its_own_exit_code(run, which):
    assert run(f"session end {which}").exit_code == 2


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("session end 999", "there is no session 999"),
        ("session end --user nobody", "there is no user nobody"),
        ("session list --user nobody", "there is no user nobody"),
    ],
)
def test_a_refusal_is_one_sentence(run, line, sentence):
    done = run(line)
    assert (done.exit_code, done.stderr) == (1, f"authsvc: {sentence}\n")
