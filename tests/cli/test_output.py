import getpass

import pytest

from authsvc.cli.output import moment, show

ROWS = [{"user_name": "alice", "admin": True, "n": 1}, {"user_name": "爱丽丝", "admin": False, "n": None}]


def test_a_table_lines_up_whatever_the_script(capsys):
    show(ROWS, as_json=False, empty="nothing")
    assert capsys.readouterr().out.splitlines() == [
        "USER NAME  ADMIN  N",
        "alice      yes    1",
        "爱丽丝     no     None",
    ]


def test_no_line_of_a_table_ends_in_blanks(capsys):
    show([{"a": "x", "b": ""}], as_json=False, empty="nothing")
    assert [line for line in capsys.readouterr().out.splitlines() if line.endswith(" ")] == []


def test_no_rows_are_a_sentence(capsys):
    show([], as_json=False, empty="nothing")
    assert capsys.readouterr().out == "nothing\n"


def test_json_keeps_every_letter(capsys):
    show(ROWS, as_json=True, empty="nothing")
    assert "爱丽丝" in capsys.readouterr().out


def test_a_time_is_rfc_3339():
    assert moment(1_800_000_000) == "2027-01-15T08:00:00Z"


def test_bad_settings_are_told_and_end_the_command(run):
    done = run("user list", AUTHSVC_PORT="http")
    assert (done.exit_code, done.stderr.startswith("authsvc: these settings are wrong:\n  port: ")) == (1, True)


def test_a_database_that_is_down_is_told(run, no_database):
    done = run("user list", AUTHSVC_DATABASE__URL=no_database.url.render_as_string(hide_password=False))
    assert (done.exit_code, done.stderr) == (1, "authsvc: the database does not answer; try again in a moment\n")


@pytest.mark.parametrize("error", [OSError, KeyError])
def test_a_machine_without_a_name_for_whoever_runs_it_is_served_too(run, read, monkeypatch, error):
    def fail() -> str:
        raise error

    monkeypatch.setattr(getpass, "getuser", fail)
    run("project add one")
    assert read("audit list")[0]["actor"] == "console"


def test_the_actor_is_whoever_runs_the_command(run, read, monkeypatch):
    monkeypatch.setattr(getpass, "getuser", lambda: "operator")
    run("project add one")
    assert (read("audit list")[0]["actor"], read("audit list")[0]["credential"]) == ("operator", "console")
