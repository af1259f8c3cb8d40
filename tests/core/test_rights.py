import pytest

from authsvc.core import members, rights, roles
from authsvc.core.rights import require
from authsvc.domain.permissions import (
    ANONYMOUS,
    DELETE,
    PULL,
    PUSH,
    Credential,
    Project,
    Right,
    Role,
)
from authsvc.errors import Forbidden, NotFound
from tests.factories import make_grant

NOW = 1_800_000_000
LATER = NOW + 3_600  # 2027-01-15T09:00:00Z
ACME, OPEN = Project("acme", public=False), Project("open", public=True)


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
