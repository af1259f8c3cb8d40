import pytest
from sqlalchemy import text


def test_what_was_done_is_listed_newest_first(run, read):
    run("project add one")
    run("user disable bob")
    assert [(row["id"], row["action"], row["object"], row["result"]) for row in read("audit list")] == [
        (2, "user.disable", "bob", "ok"),
        (1, "project.add", "one", "ok"),
    ]


def test_a_row_has_everything_for_scripts(run, read):
    run("project add one")
    assert set(read("audit list")[0]) == {
        "id", "time", "actor", "credential", "source", "action", "object", "result", "detail", "request_id",
    }  # fmt: skip


def test_the_list_is_a_table_for_people(run):
    run("project add one")
    head, row = run("audit list").output.splitlines()
    assert (head.split()[:3], head.split()[-2:], row.split()[0]) == (["ID", "TIME", "ACTOR"], ["REQUEST", "ID"], "1")


def test_an_empty_trail_says_so(run):
    assert run("audit list").output == "nothing happened yet\n"


def test_the_list_is_as_long_as_asked(run, read):
    for name in ("one", "two", "three"):
        run(f"project add {name}")
    assert [row["object"] for row in read("audit list --limit 2")] == ["three", "two"]


@pytest.mark.parametrize("limit", ["0", "-1", "many"])
def test_a_limit_that_is_none_is_a_wrong_command_line(run, limit):
    assert run(f"audit list --limit {limit}").exit_code == 2


def test_a_whole_trail_is_told_so(run):
    run("project add one")
    done = run("audit verify")
    assert (done.exit_code, done.output) == (0, "all 1 rows are as they were written\n")


def test_a_changed_trail_is_told_where(run, engine):
    run("project add one")
    run("project add two")
    with engine.execution_options(write=True).begin() as connection:
        connection.execute(text("DROP TRIGGER audit_events_refuse_UPDATE"))
        connection.execute(text("UPDATE audit_events SET actor = 'charlie' WHERE id = 2"))
    done = run("audit verify")
    assert (done.exit_code, done.stderr) == (3, "row 2 is not what was written; the 1 rows before it are\n")
