import pytest


def test_a_group_of_our_own_is_made_filled_and_emptied(run, read):
    assert run("group add ops").output == "added group ops\n"
    assert run("group add-user ops bob").output == "bob is in ops\n"
    assert [row["name"] for row in read("group show ops")] == ["bob"]
    assert run("group remove-user ops bob").output == "bob is no longer in ops\n"
    assert run("group show ops").output == "nobody is in ops\n"


def test_groups_are_listed(run, read):
    run("group add ops")
    run("group add-user ops bob")
    run("member set acme ops guest --group")
    assert read("group list") == [{"name": "ops", "source": "local", "key": "", "users": 1, "roles": 1}]


def test_there_may_be_none(run):
    assert run("group list").output == "no groups\n"


def test_a_deleted_group_takes_its_roles_along(run, read):
    run("group add ops")
    run("member set acme ops guest --group")
    assert run("group delete ops").output == "deleted group ops\n"
    assert (read("group list"), len(read("member list acme"))) == ([], 2)


def test_a_group_of_a_source_that_is_not_there_is_refused(run):
    done = run("group add staff --source corp --key cn=staff")
    assert (done.exit_code, "one of local" in done.stderr) == (2, True)


@pytest.mark.parametrize("command", ["show", "delete"])
def test_a_group_that_is_not_there_is_named(run, command):
    done = run(f"group {command} nowhere")
    assert (done.exit_code, done.stderr) == (1, "authsvc: there is no group nowhere\n")
