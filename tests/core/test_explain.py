import pytest
from sqlalchemy import select

from authsvc.core import explain as explanations
from authsvc.core import groups, members, roles, users
from authsvc.core.explain import Explanation, Holder, Kind, Question, Site, explain, who_may
from authsvc.core.pages import Asked
from authsvc.db.tables import Project
from authsvc.domain.permissions import (
    ANONYMOUS,
    DELETE,
    PULL,
    PUSH,
    Actor,
    Because,
    Credential,
    Decision,
    Role,
)
from authsvc.errors import Forbidden, Invalid, NotFound
from tests.factories import give_robot, make_access_token, make_grant, make_robot, make_user

NOW = 1_800_000_000
LATER = NOW + 3_600  # 2027-01-15T09:00:00Z
SITE = Site("library", "robot$")


def ask(session, actor, user: str, action: str, repository: str, at: int = NOW) -> Explanation:
    return explain(session, actor, Question(user, action, repository), SITE, at)


def give(session, root, role: str, pattern: str = "", ends_at: int | None = None) -> None:
    """Give charlie a role in acme."""
    command = members.SetMember(project="acme", user="charlie", role=role, pattern=pattern, ends_at=ends_at)
    members.set_role(session, root, command, NOW)


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
    assert explanations._sentence(ANONYMOUS, decision, "acme") == (
        "anybody has repository:push, but not with this kind of credential (anonymous)"
    )


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
    assert explanations._sentence(who, decision, "acme")


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


@pytest.mark.parametrize(
    ("who", "repository"),
    [
        ("bob", "acme/app"),
        ("charlie", "acme/app"),
        ("charlie", "open/app"),
        ("alice", "open/app"),
        ("alice", "library/app"),
        ("alice", "nowhere/app"),
        ("alice", "app"),
    ],
)
def test_nobody_asks_about_a_project_that_is_not_theirs(session, cast, request, who, repository):
    with pytest.raises(Forbidden, match=f"^{who} may not read permission$"):
        ask(session, request.getfixturevalue(who), "bob", "pull", repository)
    with pytest.raises(Forbidden, match=f"^{who} may not read permission$"):
        who_may(session, request.getfixturevalue(who), "pull", repository, SITE, Asked(), NOW)


def test_a_project_admin_asks_about_their_project(session, cast, alice):
    assert ask(session, alice, "bob", "push", "acme/app").row == "developer × repository:push"


def test_an_explanation_follows_a_change_at_once(session, cast, root, alice, now):
    members.set_role(session, alice, members.SetMember(project="acme", user="charlie", role=Role.GUEST), now)
    assert ask(session, root, "charlie", "pull", "acme/app").allowed


def test_an_explanation_follows_a_deletion_at_once(session, cast, root, now):
    users.delete(session, root, users.DeleteUser(name="bob"), now)
    with pytest.raises(NotFound):
        ask(session, root, "bob", "pull", "acme/app")


@pytest.fixture
def tokens(session, cast):
    """Access tokens of bob's, one of them expired."""
    bob = users.get(session, "bob")
    make_access_token(session, bob, "all")
    make_access_token(session, bob, "old", expires_at=NOW)
    make_access_token(session, bob, "reads", actions="pull")
    make_access_token(session, bob, "web", patterns="acme/web acme/web-*")


@pytest.mark.parametrize(
    ("question", "verdicts"),
    [
        ("push acme/web", [("all", True), ("reads", False), ("web", True)]),
        ("pull acme/app", [("all", True), ("reads", True), ("web", False)]),
        ("delete acme/web", [("all", False), ("reads", False), ("web", False)]),
        ("push nowhere/web", [("all", False), ("reads", False), ("web", False)]),
    ],
)
def test_an_explanation_says_what_it_is_with_each_token(session, tokens, root, question, verdicts):
    answer = ask(session, root, "bob", *question.split())
    assert [(token.name, token.allowed) for token in answer.tokens] == verdicts


def test_a_token_that_does_not_let_its_owner_says_its_limits(session, tokens, root):
    answer = ask(session, root, "bob", "push", "acme/app")
    assert [token.reason for token in answer.tokens] == [
        "bob is developer of project acme, and that role has repository:push",
        "bob has repository:push, but this token is limited to pull",
        "bob has repository:push, but this token is limited to pull, push for acme/web, acme/web-*",
    ]


def test_a_project_admin_is_not_told_of_others_tokens(session, tokens, alice):
    assert ask(session, alice, "bob", "push", "acme/app").tokens == ()


def test_a_project_admin_is_told_of_their_own_tokens(session, cast, alice):
    make_access_token(session, users.get(session, "alice"), "mine")
    assert [token.name for token in ask(session, alice, "alice", "push", "acme/app").tokens] == ["mine"]


@pytest.fixture
def machines(session, cast):
    """Robots that may pull: acme's own, one of every project, and some that are out."""
    acme = session.scalars(select(Project).where(Project.name == "acme")).one()
    for name, columns, reach, project in (
        ("acme+ci", {"project_id": acme.id}, "project", acme),
        ("all", {}, "all", None),
        ("acme+off", {"project_id": acme.id, "enabled": False}, "project", acme),
        ("acme+old", {"project_id": acme.id, "expires_at": NOW}, "project", acme),
    ):
        give_robot(session, make_robot(session, name, **columns), reach, {PULL}, project)


@pytest.mark.parametrize(
    ("question", "allowed", "row", "reason"),
    [
        ("robot$acme+ci pull acme/app", True, "robot × repository:pull", "was given repository:pull in project acme"),
        ("robot$acme+ci push acme/app", False, "none", "was not given repository:push in project acme"),
        ("robot$acme+ci pull library/app", False, "none", "was not given repository:pull in project library"),
        ("robot$acme+ci pull open/app", True, "visitor × repository:pull", "its visitors have repository:pull"),
        ("robot$all pull library/app", True, "robot × repository:pull", "was given repository:pull in project library"),
        ("robot$acme+off pull acme/app", False, "robot × repository:pull", "without that: robot$acme+off was given"),
        ("robot$acme+old pull acme/app", False, "robot × repository:pull", "robot$acme+old has expired, so every"),
    ],
)
def test_an_explanation_of_a_robot_names_the_row_that_decided(session, machines, root, question, allowed, row, reason):
    answer = ask(session, root, *question.split())
    assert (answer.allowed, answer.row, reason in answer.reason) == (allowed, row, True)


@pytest.mark.parametrize(("who", "name"), [("root", "acme+no"), ("alice", "library+ci"), ("alice", "no")])
def test_a_robot_that_somebody_cannot_know_of_is_none(session, machines, request, who, name):
    make_robot(session, "library+ci", project_id=session.scalar(select(Project.id).where(Project.name == "library")))
    with pytest.raises(NotFound, match="there is no robot"):
        ask(session, request.getfixturevalue(who), f"robot${name}", "pull", "acme/app")


@pytest.fixture
def holders(session, machines, root):
    """Of acme: a group, and charlie for some repositories until later."""
    groups.add(session, root, groups.AddGroup(name="ops"), NOW)
    groups.add_user(session, root, groups.Belonging(group="ops", user="charlie"), NOW)
    members.set_role(session, root, members.SetMember(project="acme", group="ops", role="guest"), NOW)
    give(session, root, Role.DEVELOPER, "acme/web-*", LATER)


ROOT, EVERY_ROOT = Holder(Kind.ADMINISTRATOR, "root", "systemAdmin"), Holder(Kind.ADMINISTRATORS, "", "systemAdmin")
OPS = Holder(Kind.GROUP, "ops", "guest", people=1)
ALICE, BOB = Holder(Kind.USER, "alice", "projectAdmin"), Holder(Kind.USER, "bob", "developer")
CHARLIE = Holder(Kind.USER, "charlie", "developer", "acme/web-*", LATER)
CI, ALL = Holder(Kind.ROBOT, "acme+ci", "robot"), Holder(Kind.ROBOT, "all", "robot")


@pytest.mark.parametrize(
    ("who", "question", "found"),
    [
        ("root", "pull acme/app", [ROOT, OPS, ALICE, BOB, CI, ALL]),
        ("alice", "pull acme/web-x", [EVERY_ROOT, OPS, ALICE, BOB, CHARLIE, CI, ALL]),
        ("alice", "push acme/app", [EVERY_ROOT, ALICE, BOB]),
        ("root", "delete acme/app", [ROOT, ALICE]),
        ("root", "pull open/app", [Holder(Kind.PUBLIC, "", "visitor"), ROOT, ALL]),
        ("root", "push open/app", [ROOT]),
        ("root", "pull nowhere/app", []),
    ],
)
def test_who_may_is_everybody_with_a_row_that_says_so(session, holders, request, who, question, found):
    action, repository = question.split()
    page = who_may(session, request.getfixturevalue(who), action, repository, SITE, Asked(), NOW)
    assert list(page.rows) == found


def test_who_may_no_longer_is_not_shown(session, holders, root):
    users.set_enabled(session, root, users.SetEnabled(name="bob", enabled=False), NOW)
    page = who_may(session, root, "push", "acme/web-x", SITE, Asked(), LATER)
    assert list(page.rows) == [ROOT, ALICE]


def test_a_custom_role_gives_what_its_rows_say(session, cast, root):
    roles.set_rights(session, root, roles.SetRole(name="pusher", rights=frozenset({PUSH})), NOW)
    give(session, root, "pusher")
    page = who_may(session, root, "push", "acme/app", SITE, Asked("CHARL"), NOW)
    assert list(page.rows) == [Holder(Kind.USER, "charlie", "pusher")]


def test_who_may_is_had_by_pages(session, holders, root):
    page = who_may(session, root, "pull", "acme/app", SITE, Asked(page=2, size=4), NOW)
    assert (list(page.rows), page.total, page.pages) == ([CI, ALL], 6, 2)


@pytest.mark.parametrize(("action", "repository"), [("frob", "acme/app"), ("pull", "acme//app")])
def test_who_may_do_what_cannot_be_is_refused(session, cast, root, action, repository):
    with pytest.raises(Invalid):
        who_may(session, root, action, repository, SITE, Asked(), NOW)
