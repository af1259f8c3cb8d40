import time

import pytest

from authsvc.core import refresh_tokens, users
from authsvc.core.refresh_tokens import NewToken
from authsvc.db.engine import transaction

DAY = 86_400


@pytest.fixture
def logins(engine, cast, bob, alice) -> None:
    """bob and alice have a refresh token each, made now."""
    with transaction(engine) as session:
        for actor in (bob, alice):
            version = users.get(session, actor.name).password_version
            new = NewToken(user=actor.name, service="authsvc", client="docker", password_version=version, days=30)
            refresh_tokens.add(session, actor, new, int(time.time()))


def test_a_robot_is_added_and_its_secret_shown_once(run, read):
    done = run("robot add ci --project acme --allow acme:repository:pull,push")
    secret, sentence = done.output.splitlines()
    assert (done.exit_code, secret[:4], sentence) == (
        0,
        "asr_",
        "shown this once; docker login -u 'robot$acme+ci' takes it as the password",
    )
    assert secret not in str(read("robot list"))


def test_a_robot_is_added_for_scripts(read):
    made = read("robot add ci --allow *:repository:pull --allow /:catalog:read --days -1")
    assert (made["name"], made["secret"][:4], made["expires"]) == ("robot$ci", "asr_", "never")


def test_robots_are_listed_for_scripts(run, read):
    run("robot add ci --allow *:repository:pull --days -1")
    run("robot add ci --project acme --allow acme:repository:push --days -1")
    first = {"project": "acme", "permissions": "acme:repository:pull acme:repository:push"}
    second = {"project": "", "permissions": "*:repository:pull"}
    rest = {"enabled": True, "expires": "never", "last_used": "", "trusts": ""}
    assert read("robot list") == [{"name": "robot$acme+ci"} | first | rest, {"name": "robot$ci"} | second | rest]


def test_robots_of_a_project_are_listed_for_people(run):
    run("robot add ci --allow *:repository:pull")
    run("robot add ci --project acme --allow acme:repository:pull --days -1")
    assert run("robot list --project acme").output.splitlines() == [
        "NAME           PROJECT  ENABLED  EXPIRES  LAST USED  PERMISSIONS           TRUSTS",
        "robot$acme+ci  acme     yes      never               acme:repository:pull",
    ]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("robot list", "no robots"),
        ("robot expiring", "no robot expires soon"),
        ("access-token list bob", "bob has no tokens"),
        ("refresh-token list", "no refresh tokens"),
    ],
)
def test_nothing_is_said_in_words_and_an_empty_list_for_scripts(run, read, line, sentence):
    assert (run(line).output, read(line)) == (f"{sentence}\n", [])


@pytest.mark.parametrize(("days", "expected"), [("", 1), (" --days 3", 0), (" --days 5", 1), (" --days 60", 2)])
def test_robots_that_soon_expire_are_listed(run, read, days, expected):
    run("robot add soon --allow *:repository:pull --days 5")
    run("robot add later --allow *:repository:pull --days 50")
    assert len(read(f"robot expiring{days}")) == expected


def test_how_soon_is_a_setting(run, read):
    run("robot add later --allow *:repository:pull --days 50")
    assert [row["name"] for row in read("robot expiring", AUTHSVC_ROBOT_WARNING_DAYS="60")] == ["robot$later"]


@pytest.mark.parametrize("name", ["ci", "robot$ci"])
def test_a_robot_is_named_with_or_without_its_prefix(run, read, name):
    run("robot add ci --allow *:repository:pull")
    assert read(f"robot set {name} --disable")["enabled"] is False


def test_a_robot_is_changed(run, read):
    run("robot add ci --allow *:repository:pull")
    done = run("robot set ci --days -1 --allow *:repository:push")
    (row,) = read("robot list")
    assert (done.output, row["expires"], row["permissions"], row["enabled"]) == (
        "changed ci\n",
        "never",
        "*:repository:push",
        True,
    )


def test_a_robot_gets_a_new_secret(read):
    before = read("robot add ci --allow *:repository:pull")["secret"]
    after = read("robot refresh robot$ci")
    assert (after["name"], after["secret"][:4], after["secret"] == before) == ("robot$ci", "asr_", False)


def test_a_robot_is_deleted(run, read):
    run("robot add ci --allow *:repository:pull")
    assert (run("robot delete robot$ci").output, read("robot list")) == ("deleted robot$ci\n", [])


def test_an_access_token_is_added_and_shown_once(run, read):
    done = run("access-token add bob laptop --action pull --repository acme/**")
    secret, sentence = done.output.splitlines()
    assert (done.exit_code, secret[:4], sentence) == (
        0,
        "asp_",
        "shown this once; docker login -u bob takes it as the password",
    )
    assert secret not in str(read("access-token list bob"))


def test_access_tokens_are_listed(run, read):
    run("access-token add bob b --days 0")
    run("access-token add bob a --days 0 --action delete --action pull --repository acme/* --repository open/**")
    rest = {"expires": "never", "last_used": ""}
    assert read("access-token list bob") == [
        {"name": "a", "actions": "delete pull", "repositories": "acme/* open/**"} | rest,
        {"name": "b", "actions": "pull push", "repositories": "**"} | rest,
    ]


def test_an_access_token_is_revoked(run, read):
    run("access-token add bob laptop")
    assert (run("access-token revoke bob laptop").output, read("access-token list bob")) == (
        "revoked laptop of bob\n",
        [],
    )


def test_refresh_tokens_are_listed(read, logins):
    rows = read("refresh-token list")
    assert [(row["user"], row["service"], row["client"], row["last_used"]) for row in rows] == [
        ("alice", "authsvc", "docker", ""),
        ("bob", "authsvc", "docker", ""),
    ]
    assert [row["user"] for row in read("refresh-token list --user bob")] == ["bob"]


@pytest.mark.parametrize(("whose", "left"), [("--user bob", ["alice"]), ("--all", [])])
def test_refresh_tokens_are_revoked_together(run, read, logins, whose, left):
    done = run(f"refresh-token revoke {whose}")
    assert (done.output, [row["user"] for row in read("refresh-token list")]) == ("revoked\n", left)


def test_one_refresh_token_is_revoked(run, read, logins):
    first, second = read("refresh-token list")
    run(f"refresh-token revoke {first['id']}")
    assert read("refresh-token list") == [second]


@pytest.mark.parametrize(
    "line",
    [
        "refresh-token revoke",
        "refresh-token revoke 1 --all",
        "refresh-token revoke --user bob --all",
        "refresh-token revoke one",
        "robot add",
        "robot add ci --days soon",
        "access-token add bob",
        "access-token add bob laptop --action fly",
    ],
)
def test_a_wrong_command_line_has_its_own_exit_code(run, line):
    assert run(line).exit_code == 2


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("robot add ci", "permission: a robot without any right"),
        ("robot add CI --allow *:repository:pull", "name: a robot's name is"),
        ("robot add ci --allow acme", "permission: 'acme' is not PLACE:RESOURCE:ACTION"),
        ("robot add ci --allow *:repository:fly", "permission: a robot cannot be given repository:fly"),
        ("robot add ci --allow *:repository:pull --days 0", "days: a number of days, or -1"),
        ("robot add ci --project nowhere --allow nowhere:repository:pull", "there is no project nowhere"),
        ("robot add ci --project acme --allow open:repository:pull", "permission: a project's robot"),
        ("robot set nobody --disable", "there is no robot nobody"),
        ("robot refresh robot$nobody", "there is no robot nobody"),
        ("robot delete nobody", "there is no robot nobody"),
        ("robot list --project nowhere", "there is no project nowhere"),
        ("access-token add nobody laptop", "there is no user nobody"),
        ("access-token add bob laptop --days -1", "days: 1 to 3650"),
        ("access-token add bob laptop --repository ACME", "pattern: 'ACME' is no pattern"),
        ("access-token list nobody", "there is no user nobody"),
        ("access-token revoke bob laptop", "bob has no token laptop"),
        ("refresh-token list --user nobody", "there is no user nobody"),
        ("refresh-token revoke 999", "there is no refresh token 999"),
        ("refresh-token revoke --user nobody", "there is no user nobody"),
    ],
)
def test_a_refusal_is_one_sentence_on_standard_error(run, line, sentence):
    done = run(line)
    assert (done.exit_code, done.stdout, done.stderr.startswith(f"authsvc: {sentence}")) == (1, "", True)


@pytest.mark.parametrize("line", ["robot add ci --allow *:repository:pull", "access-token add bob ci"])
def test_a_name_that_is_taken_is_a_sentence(run, line):
    run(line)
    done = run(line)
    assert (done.exit_code, done.stderr.strip().endswith("already")) == (1, True)


def test_what_machines_are_given_is_the_consoles_doing(run, actors):
    for line in ("robot add ci --allow *:repository:pull", "access-token add bob laptop", "refresh-token revoke --all"):
        run(line)
    assert actors() == [
        ("console", "robot.add", "ci"),
        ("console", "access-token.add", "bob/laptop"),
        ("console", "refresh-token.revoke", "*"),
    ]
