"""`authsvc setting`, and other commands that go by what it sets."""

import pytest

from authsvc.cli.settings import _text
from authsvc.core.sealing import KEY_BYTES
from tests.conftest import free_port

CORP = "set ldap.corp urls=ldaps://ldap.example.com base=dc=example,dc=com bind_dn=cn=authsvc,dc=example,dc=com"
SECRET = "s3cret-of-the-directory"


@pytest.fixture
def setting(run):
    """`authsvc setting …`."""
    return lambda line, **how: run(f"setting {line}", **how)


@pytest.fixture
def corp(setting) -> None:
    """A directory, set."""
    done = setting(f"{CORP} --secret bind_password", stdin=f"{SECRET}\n")
    assert (done.exit_code, done.stdout) == (0, "ldap.corp is set; running processes follow within two seconds\n")


def names(rows: list[dict]) -> list[str]:
    return [row["name"] for row in rows]


def test_a_setting_is_set_listed_and_unset(setting, read):
    assert setting("set token.lifetime 600").exit_code == 0
    (row,) = read("setting list")
    assert [row[fact] for fact in ("name", "value", "from", "default")] == ["token.lifetime", 600, "table", 300]
    assert setting("unset token.lifetime").stdout.startswith("token.lifetime is no longer set")
    assert setting("list").stdout == "every setting has its default\n"


def test_those_with_their_default_are_listed_when_asked_for(read):
    rows = read("setting list --all")
    assert ("onboard" in names(rows), {row["from"] for row in rows}) == (True, {"default"})


def test_what_the_environment_says_is_listed_and_not_changed(setting):
    environment = {"AUTHSVC_TOKEN__LIFETIME": "900"}
    assert setting("list", **environment).stdout.splitlines()[1].split() == ["token.lifetime", "900", "environment"]
    refused = setting("set token.lifetime 600", **environment)
    assert (refused.exit_code, refused.stderr) == (
        1,
        "authsvc: token.lifetime is set in the environment, and can be changed only there\n",
    )


@pytest.mark.usefixtures("corp")
def test_no_secret_is_shown_and_none_is_in_the_trail(setting, run):
    shown = setting("list").stdout + setting("list --json").stdout + run("audit list --json").stdout
    assert ("base=dc=example,dc=com" in shown, "bind_password=********" in shown, SECRET in shown) == (
        True,
        True,
        False,
    )


@pytest.mark.usefixtures("corp")
def test_fields_are_changed_one_by_one_and_go_back_to_their_default(setting, read):
    setting("set ldap.corp page_size=50")
    assert read("setting list")[0]["value"]["page_size"] == 50
    setting("set ldap.corp --default page_size")
    assert "page_size" not in read("setting list")[0]["value"]


@pytest.mark.usefixtures("corp")
def test_a_secret_is_asked_for_again_when_the_address_changes(setting):
    refused = setting("set ldap.corp urls=ldaps://mine.example.net")
    assert (refused.exit_code, refused.stderr) == (
        1,
        "authsvc: bind_password: the address has changed: type it again\n",
    )


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("set token.lifetime", "give one VALUE"),
        ("set token.lifetime 60 90", "give one VALUE"),
        ("set onboard true --secret x", "give one VALUE"),
        ("set ldap.corp urls", "urls is not FIELD=VALUE"),
        ("set ldap.corp bind_password=x", "others could read bind_password here"),
        ("set ldap.corp --secret urls", "bind_password is the field that is secret"),
        ("set ldap.corp --secret bind_password", "bind_password is empty"),
    ],
)
def test_a_command_line_that_is_wrong_says_why(setting, line, sentence):
    done = setting(line, stdin="\n")
    assert (done.exit_code, sentence in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("set token.lifetime 5", "token.lifetime: 60 or more"),
        ("set port 1", "port is no setting that can be changed while the service runs"),
        ("set ldap.corp base=x", "urls: this is needed"),
        ("unset onboard", "onboard is not set in the database"),
    ],
)
def test_what_cannot_be_set_says_why(setting, line, sentence):
    done = setting(line)
    assert (done.exit_code, sentence in done.stderr) == (1, True)


def test_a_secret_is_asked_for_at_a_terminal_and_not_shown(setting, read, monkeypatch):
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: True, raising=False)
    done = setting(f"{CORP} --secret bind_password", stdin=f"{SECRET}\n")
    assert (done.exit_code, SECRET in done.output, done.output.startswith("bind_password:")) == (0, False, True)
    assert read("setting list")[0]["value"]["bind_password"] == "********"


def test_other_commands_go_by_it(setting, run):
    setting("set password.min_length 20")
    refused = run("user add dave --password-stdin", stdin="only-sixteen-666\n")
    assert (refused.exit_code, "20" in refused.stderr) == (1, True)


def test_a_directory_that_was_set_is_tried(setting, read):
    port = free_port()
    setting(f"set ldap.corp urls=ldap://127.0.0.1:{port} base=dc=example,dc=com verify=false")
    assert [step["source"] for step in read("ldap check")][:1] == ["corp"]


class TestBroken:
    """A file that no longer has what a stored setting names."""

    @pytest.fixture
    def _removed(self, home, setting) -> None:
        with (home / "authsvc.toml").open("a") as file:
            file.write("[ldap.gone]\nurls = ['ldaps://ldap.example.com']\nbase = 'dc=x'\n")
        assert setting("set sources local,gone").exit_code == 0
        (home / "authsvc.toml").write_text("")

    @pytest.mark.usefixtures("_removed")
    def test_a_command_that_needs_settings_says_what_helps(self, run, setting):
        refused = run("ldap check")
        assert (refused.exit_code, "`authsvc setting unset sources`" in refused.stderr) == (1, True)
        assert setting("unset sources").exit_code == 0
        assert run("ldap check").exit_code == 0

    @pytest.mark.usefixtures("_removed")
    def test_settings_are_listed_all_the_same(self, setting):
        assert "local,gone" in setting("list").stdout

    def test_a_row_of_another_master_key_is_listed_with_what_helps(self, home, setting):
        setting("set onboard false")
        key = home / "secrets" / "master.key"
        key.chmod(0o600)
        key.write_text("A" * (KEY_BYTES // 3 * 4 + 3) + "=")
        assert "`authsvc setting unset onboard`" in setting("list").stdout
        assert setting("unset onboard").exit_code == 0


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (None, ""),
        (["a", "b"], "a,b"),
        (["cn=a,dc=x", "cn=b"], "cn=a,dc=x;cn=b"),
        ({"urls": ["ldap://x"], "verify": False}, "urls=ldap://x verify=false"),
    ],
)
def test_a_value_is_shown_as_it_is_typed(value, text):
    assert _text(value) == text
