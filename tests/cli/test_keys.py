import pytest


def test_without_keys_one_is_told_what_to_do(run, read):
    assert (run("key list").output, read("key list")) == ("no keys: run `authsvc migrate`\n", [])


def test_a_rotation_makes_the_key_that_signs(run, read):
    made = [read("key rotate") for _ in range(2)]
    rows = read("key list")
    assert {row["key_id"]: row["signs"] for row in rows} == {made[0]["key_id"]: False, made[1]["key_id"]: True}
    assert {row["key_id"]: row["ends"] for row in rows} == {key["key_id"]: key["ends"] for key in made}


def test_a_rotation_says_which_key_signs(run, read):
    done = run("key rotate")
    (row,) = read("key list")
    assert (done.exit_code, done.output) == (0, f"{row['key_id']} signs from now on\n")


def test_keys_are_listed_for_people(run):
    run("key rotate")
    title, row = run("key list").output.splitlines()
    assert (title.split(), row.split()[1]) == (["KEY", "ID", "SIGNS", "CREATED", "ENDS"], "yes")


def test_no_private_key_is_shown(run):
    shown = [run(line).output for line in ("key rotate --json", "key list", "key list --json")]
    assert not any("PRIVATE" in output for output in shown)


def test_a_rotation_is_audited(run, read, actors):
    made = read("key rotate")
    assert actors() == [("console", "signing-key.add", made["key_id"])]


@pytest.mark.parametrize("name", ["ca.crt", "ca.key"])
def test_without_the_ca_one_is_told_so(run, home, name):
    found = next(iter(home.rglob(name)), None)
    assert found is not None
    found.unlink()
    done = run("key rotate")
    assert (done.exit_code, done.stdout, done.stderr.startswith("authsvc: ")) == (1, "", True)
