import pytest

from authsvc.core import members, rights, roles, users
from authsvc.core.rights import Question, explain, require
from authsvc.domain.permissions import (
    ANONYMOUS,
    DELETE,
    PULL,
    PUSH,
    Actor,
    Because,
    Credential,
    Decision,
    Project,
    Right,
    Role,
)
from authsvc.errors import Forbidden, Invalid, NotFound
from tests.factories import make_grant, make_user

NOW = 1_800_000_000
LATER = NOW + 3_600  # 2027-01-15T09:00:00Z
ACME, OPEN = Project("acme", public=False), Project("open", public=True)


def ask(session, root, user: str, action: str, repository: str, at: int = NOW) -> rights.Explanation:
    return explain(session, root, Question(user, action, repository), "library", at)


def give(session, root, role: str, pattern: str = "", ends_at: int | None = None) -> None:
    """Give charlie a role in acme."""
    command = members.SetMember(project="acme", user="charlie", role=role, pattern=pattern, ends_at=ends_at)
    members.set_role(session, root, command, NOW)


@pytest.mark.parametrize(
    ("who", "right", "project"),
    [("root", PUSH, ACME), ("alice", PUSH, ACME), ("bob", PUSH, ACME), ("charlie", PULL, OPEN)],
)
def test_who_has_the_right_may_go_on(request, who, right, project):
    require(request.getfixturevalue(who), right, project)


@pytest.mark.parametrize(
    ("who", "right", "project", "sentence"),
    [
        ("charlie", PULL, ACME, "charlie may not pull repository in project acme"),
        ("charlie", PUSH, OPEN, "charlie may not push repository in project open"),
        ("bob", Right("member", "create"), ACME, "bob may not create member in project acme"),
        ("alice", Right("user", "create"), None, "alice may not create user"),
    ],
)
def test_who_has_no_right_is_told_which(request, who, right, project, sentence):
    with pytest.raises(Forbidden) as refused:
        require(request.getfixturevalue(who), right, project)
    assert str(refused.value) == sentence


def test_who_has_no_name_is_called_anonymous():
    with pytest.raises(Forbidden, match="anonymous may not pull"):
        require(ANONYMOUS, PULL, ACME)


@pytest.mark.parametrize(
    ("actor", "via"), [(rights.console("me"), Credential.CONSOLE), (rights.system("me"), Credential.SYSTEM)]
)
def test_the_machine_itself_is_an_administrator(actor, via):
    assert (actor.name, actor.via, actor.system) == ("me", via, Role.SYSTEM_ADMIN)


@pytest.mark.parametrize("who", ["root", "alice", "bob", "charlie"])
def test_an_actor_is_read_from_the_database(session, cast, request, who):
    assert rights.get_user_actor(session, who, Credential.PASSWORD, NOW) == request.getfixturevalue(who)


def test_nobody_is_no_actor(session, cast):
    with pytest.raises(NotFound):
        rights.get_user_actor(session, "nobody", Credential.PASSWORD, NOW)


@pytest.mark.parametrize(("name", "found"), [("acme", ACME), ("open", OPEN), ("Acme", None), ("nowhere", None)])
def test_a_project_is_read_from_the_database(session, cast, name, found):
    assert rights.find_project(session, name) == found


@pytest.mark.parametrize(
    ("question", "allowed", "row", "reason"),
    [
        ("root push acme/app", True, "systemAdmin × repository:push", "root is a system administrator, and"),
        ("bob push acme/app", True, "developer × repository:push", "bob is developer of project acme, and that"),
        ("Bob pull acme/x/y", True, "developer × repository:pull", "bob is developer of project acme, and that"),
        (
            "bob delete acme/app",
            False,
            "none",
            "bob is developer of project acme, which does not give artifact:delete there",
        ),
        ("alice delete acme/app", True, "projectAdmin × artifact:delete", "alice is projectAdmin of project"),
        ("charlie pull open/app", True, "visitor × repository:pull", "project open is public, and its visitors"),
        ("anonymous pull open/app", True, "visitor × repository:pull", "project open is public, and its"),
        ("anonymous pull acme/app", False, "none", "anybody is not a member of project acme, and no other"),
        ("charlie pull acme/app", False, "none", "charlie is not a member of project acme, and no other role"),
        ("root push nowhere/app", False, "none", "there is no project nowhere, and a push does not make one"),
        ("bob pull app", False, "none", "bob is not a member of project library"),
    ],
)
def test_an_explanation_names_the_row_that_decided(session, cast, root, question, allowed, row, reason):
    answer = ask(session, root, *question.split())
    assert (answer.allowed, answer.row, answer.reason[: len(reason)]) == (allowed, row, reason)


def test_a_disabled_user_may_nothing_whatever_the_row_says(session, cast, root):
    make_user(session, "dave", enabled=False)
    answer = ask(session, root, "dave", "pull", "open/app")
    assert (answer.allowed, answer.reason.split(";")[0]) == (False, "dave is disabled, so every login is refused")


def test_an_explanation_of_a_credential_names_it():
    decision = Decision(False, Because.CREDENTIAL, PUSH, make_grant("acme", Role.DEVELOPER))
    assert rights._sentence(ANONYMOUS, decision, "acme") == (
        "anybody has repository:push, but not with this kind of credential (anonymous)"
    )


def test_an_actor_has_a_role_that_has_not_ended(session, cast, root):
    give(session, root, Role.MAINTAINER, "acme/web-*", LATER)
    found = rights.get_user_actor(session, "charlie", Credential.PASSWORD, LATER - 1)
    assert found.grants == (make_grant("acme", Role.MAINTAINER, "acme/web-*", LATER),)


def test_an_actor_has_no_role_that_has_ended(session, cast, root):
    give(session, root, Role.MAINTAINER, ends_at=LATER)
    assert rights.get_user_actor(session, "charlie", Credential.PASSWORD, LATER).grants == ()


def test_an_actor_has_the_rights_of_a_custom_role(session, cast, root):
    roles.set_rights(session, root, roles.SetRole(name="deleter", rights=frozenset({DELETE, PULL})), NOW)
    give(session, root, "deleter")
    (grant,) = rights.get_user_actor(session, "charlie", Credential.PASSWORD, NOW).grants
    assert (grant.role, grant.rights) == ("deleter", {DELETE, PULL})


@pytest.mark.parametrize(
    ("question", "at", "allowed", "row", "reason"),
    [
        (
            "pull acme/web-api",
            NOW,
            True,
            "deleter × repository:pull",
            (
                "charlie is deleter for acme/web-* until 2027-01-15T09:00:00Z of project acme, "
                "and that role has repository:pull"
            ),
        ),
        (
            "push acme/web-api",
            NOW,
            False,
            "none",
            (
                "charlie is deleter for acme/web-* until 2027-01-15T09:00:00Z of project acme, "
                "which does not give repository:push there"
            ),
        ),
        (
            "pull acme/app",
            NOW,
            False,
            "none",
            (
                "charlie is deleter for acme/web-* until 2027-01-15T09:00:00Z of project acme, "
                "which does not give repository:pull there"
            ),
        ),
        (
            "pull acme/web-api",
            LATER,
            False,
            "none",
            "charlie is not a member of project acme, and no other role gives repository:pull",
        ),
    ],
    ids=["allowed", "right", "pattern", "ended"],
)
def test_an_explanation_of_a_limited_role_says_the_limits(session, cast, root, question, at, allowed, row, reason):
    roles.set_rights(session, root, roles.SetRole(name="deleter", rights=frozenset({DELETE, PULL})), NOW)
    give(session, root, "deleter", "acme/web-*", LATER)
    answer = ask(session, root, "charlie", *question.split(), at=at)
    assert (answer.allowed, answer.row, answer.reason) == (allowed, row, reason)


def test_an_explanation_names_every_role_that_does_not_help(session, cast, root):
    give(session, root, Role.GUEST)
    give(session, root, Role.DEVELOPER, "acme/web-*")
    answer = ask(session, root, "charlie", "push", "acme/app")
    assert answer.reason == (
        "charlie is guest and developer for acme/web-* of project acme, which does not give repository:push there"
    )


@pytest.mark.parametrize("who", [ANONYMOUS, Actor("bob", Credential.PASSWORD, Role.USER)])
@pytest.mark.parametrize("because", Because)
def test_every_reason_has_a_sentence(who, because):
    decision = Decision(False, because, PUSH, make_grant("acme", Role.DEVELOPER))
    assert rights._sentence(who, decision, "acme")


@pytest.mark.parametrize(
    ("user", "action", "repository", "error"),
    [
        ("nobody", "pull", "acme/app", NotFound),
        ("bob", "frobnicate", "acme/app", Invalid),
        ("bob", "pull", "ACME//app", Invalid),
        ("bob", "pull", "", Invalid),
    ],
)
def test_a_question_about_what_cannot_be_is_refused(session, cast, root, user, action, repository, error):
    with pytest.raises(error):
        ask(session, root, user, action, repository)


@pytest.mark.parametrize("who", ["alice", "bob", "charlie"])
def test_only_administrators_may_ask(session, cast, request, who):
    with pytest.raises(Forbidden):
        ask(session, request.getfixturevalue(who), "bob", "pull", "acme/app")


def test_an_explanation_follows_a_change_at_once(session, cast, root, alice, now):
    members.set_role(session, alice, members.SetMember(project="acme", user="charlie", role=Role.GUEST), now)
    assert ask(session, root, "charlie", "pull", "acme/app").allowed


def test_an_explanation_follows_a_deletion_at_once(session, cast, root, now):
    users.delete(session, root, users.DeleteUser(name="bob"), now)
    with pytest.raises(NotFound):
        ask(session, root, "bob", "pull", "acme/app")
