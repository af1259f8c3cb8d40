import pytest

from authsvc import services
from authsvc.core import users
from authsvc.identity import passwords
from tests.corp import Corp
from tests.factories import PASSWORD

NEW = "another-long-password"


def password_is(engine, name: str, password: str) -> bool:
    return passwords.is_correct(password, users.find_hash(engine, name))


def test_a_user_is_added_with_a_password_from_standard_input(run, engine):
    done = run("user add dave --password-stdin", stdin=f"{NEW}\nignored\n")
    assert (done.exit_code, done.output, password_is(engine, "dave", NEW)) == (0, "added dave\n", True)


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_a_line_break_is_no_part_of_a_password(run, engine, ending):
    run("user add dave --password-stdin", stdin=NEW + ending)
    assert password_is(engine, "dave", NEW)


def test_blanks_are_part_of_a_password(run, engine):
    run("user add dave --password-stdin", stdin=f" {NEW} \n")
    assert password_is(engine, "dave", f" {NEW} ")


@pytest.mark.parametrize("line", ["user add dave", "user passwd bob"])
def test_a_password_is_asked_for_at_a_terminal_and_not_shown(run, monkeypatch, line):
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: True, raising=False)
    done = run(line, stdin=f"{NEW}\n{NEW}\n")
    assert (done.exit_code, NEW in done.output, done.output.startswith("Password:")) == (0, False, True)


@pytest.mark.parametrize("line", ["user add dave", "user passwd bob"])
def test_without_a_terminal_one_is_told_the_option(run, line):
    done = run(line, stdin=f"{NEW}\n")
    assert (done.exit_code, "use --password-stdin" in done.output) == (2, True)


@pytest.mark.parametrize("line", ["user add dave --password-stdin", "user passwd bob --password-stdin"])
@pytest.mark.parametrize("password", [NEW, "password1", "short"])
@pytest.mark.parametrize("option", ["", " --json"])
def test_a_password_is_never_shown(run, line, password, option):
    done = run(line + option, stdin=password + "\n")
    assert password not in done.output + done.stderr


def test_an_administrator_is_added_with_an_address(run, read):
    run("user add dave --admin --email dave@example.com --password-stdin", stdin=NEW)
    (dave,) = [user for user in read("user list") if user["name"] == "dave"]
    assert (dave["admin"], dave["email"]) == (True, "dave@example.com")


def test_adding_a_user_prints_json_for_scripts(read):
    assert read("user add dave --password-stdin", stdin=NEW) == {"name": "dave", "admin": False}


def test_users_are_listed_for_scripts(read):
    assert read("user list")[1] == {
        "name": "bob",
        "email": "",
        "admin": False,
        "enabled": True,
        "source": "local",
        "created": "1970-01-01T00:00:00Z",
    }


def test_users_are_listed_for_people(run):
    lines = run("user list").output.splitlines()
    assert [line.split()[:4] for line in lines] == [
        ["NAME", "EMAIL", "ADMIN", "ENABLED"],
        ["alice", "no", "yes", "local"],
        ["bob", "no", "yes", "local"],
        ["charlie", "no", "yes", "local"],
        ["root", "yes", "yes", "local"],
    ]


def test_a_password_is_changed(run, engine):
    done = run("user passwd bob --password-stdin", stdin=NEW)
    assert (done.exit_code, done.output, password_is(engine, "bob", NEW), password_is(engine, "bob", PASSWORD)) == (
        0,
        "bob has a new password\n",
        True,
        False,
    )


@pytest.mark.parametrize(("verb", "word", "enabled"), [("disable", "disabled", False), ("enable", "enabled", True)])
def test_a_user_is_disabled_and_enabled(run, read, verb, word, enabled):
    done = run(f"user {verb} bob")
    assert (done.exit_code, done.output, read("user list")[1]["enabled"]) == (0, f"bob is {word}\n", enabled)


def test_a_user_is_deleted(run, read):
    done = run("user delete bob")
    assert (done.exit_code, done.output, [user["name"] for user in read("user list")]) == (
        0,
        "deleted bob\n",
        ["alice", "charlie", "root"],
    )


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("user add alice --password-stdin", "there is a user alice already"),
        ("user add robot$x --password-stdin", "name: a user name is"),
        ("user add dave --email nobody --password-stdin", "email: 'nobody' is not an address"),
        ("user passwd nobody --password-stdin", "there is no user nobody"),
        ("user disable nobody", "there is no user nobody"),
        ("user disable root", "root is the last administrator"),
        ("user delete root", "root is the last administrator"),
    ],
)
def test_a_refusal_is_one_sentence_on_standard_error(run, line, sentence):
    done = run(line, stdin=NEW)
    assert (done.exit_code, done.stdout, done.stderr.startswith(f"authsvc: {sentence}")) == (1, "", True)


@pytest.mark.parametrize("line", ["user", "user add", "user frobnicate", "user list --frobnicate", "frobnicate"])
def test_a_wrong_command_line_has_its_own_exit_code(run, line):
    assert run(line).exit_code == 2


def test_the_policy_is_that_of_the_settings(run):
    done = run("user add dave --password-stdin", stdin="tr0ub4dor", AUTHSVC_PASSWORD__MIN_LENGTH="20")
    assert (done.exit_code, "at least 20" in done.stderr) == (1, True)


def test_the_command_line_stands_in_the_audit_trail(run, actors):
    run("user disable bob")
    assert actors() == [("console", "user.disable", "bob")]


class TestDirectories:
    """Accounts that come from another source than ours."""

    @pytest.fixture(autouse=True)
    def corp(self, monkeypatch) -> Corp:
        made = Corp({"1": "dave", "2": "eve"})
        monkeypatch.setattr(services, "_sources", lambda *_: {"local": services._local(None), "corp": made})
        return made

    def test_people_are_imported(self, run, read):
        assert run("user import corp dave eve").output == "imported dave, eve\n"
        assert [row["source"] for row in read("user list") if row["name"] in {"dave", "eve"}] == ["corp", "corp"]

    def test_who_is_not_there_is_not_imported(self, run):
        done = run("user import corp nobody")
        assert (done.exit_code, done.stderr) == (1, "authsvc: corp knows nobody of the name nobody\n")

    @pytest.mark.parametrize("line", ["user import nowhere dave", "user sync nowhere"])
    def test_a_directory_that_is_not_there_is_named(self, run, line):
        done = run(line)
        assert (done.exit_code, "nowhere is no directory: corp" in done.stderr) == (2, True)

    @pytest.mark.parametrize("source", ["", " corp"])
    def test_who_vanished_is_disabled_and_named(self, run, read, corp, source):
        run("user import corp dave eve")
        del corp.people["2"]
        row = {"source": "corp", "people": 2, "changed": 0, "vanished": "eve", "refused": ""}
        assert read(f"user sync{source}") == [row]

    def test_a_directory_that_is_away_is_named(self, run, corp):
        run("user import corp dave")
        corp.people = None
        assert run("user sync").stderr == "authsvc: corp does not answer\n"

    def test_a_password_that_is_not_ours_is_not_changed_here(self, run):
        run("user import corp dave")
        done = run("user passwd dave --password-stdin", stdin=NEW)
        assert "dave comes from corp, where the password is changed" in done.stderr


def test_there_may_be_no_directory(run):
    assert run("user sync").output == "there is no directory\n"
