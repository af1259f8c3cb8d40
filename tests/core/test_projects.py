import pytest
from sqlalchemy import select

from authsvc.core import members, projects, rights
from authsvc.core.pages import Asked
from authsvc.core.projects import AddProject, DeleteProject, SetPublic
from authsvc.db.engine import transaction
from authsvc.db.tables import AuditEvent, Member
from authsvc.domain.permissions import ANONYMOUS, Credential
from authsvc.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound
from tests.factories import make_project

LIFETIME = 300


def deletion(name: str) -> DeleteProject:
    return DeleteProject(name=name, root_project="library", token_lifetime=LIFETIME)


def last_event(session) -> tuple[str, str, str, str]:
    event = session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc()).limit(1)).one()
    return event.actor, event.action, event.object, event.detail


@pytest.mark.parametrize(
    ("command", "public"), [(AddProject(name="new"), False), (AddProject(name="new", public=True), True)]
)
def test_a_new_project_is_private_unless_said_otherwise(session, root, now, command, public):
    assert projects.add(session, root, command, now).public is public


@pytest.mark.parametrize(("public", "detail"), [(False, "private"), (True, "public")])
def test_adding_a_project_is_audited(session, root, now, public, detail):
    projects.add(session, root, AddProject(name="new", public=public), now)
    assert last_event(session) == ("root", "project.add", "new", detail)


@pytest.mark.parametrize("name", ["", "New", "a/b", "a..b", "x" * 129])
def test_a_name_that_no_image_could_have_is_refused(session, root, now, name):
    with pytest.raises(Invalid) as refused:
        projects.add(session, root, AddProject(name=name), now)
    assert list(refused.value.fields) == ["project"]


def test_a_name_is_given_once(engine, cast, root, now):
    with pytest.raises(AlreadyExists, match="a project acme already"), transaction(engine) as session:
        projects.add(session, root, AddProject(name="acme"), now)


def test_a_project_is_found_by_its_exact_name(session, cast):
    assert [projects.find(session, name) is None for name in ("acme", "Acme", "acme ")] == [False, True, True]


def test_no_project_is_not_found(session, cast):
    with pytest.raises(NotFound, match="there is no project nowhere"):
        projects.get(session, "nowhere")


def test_projects_are_listed_with_their_members_counted(session, cast, root):
    listed = [(row.name, row.public, row.members) for row in projects.list_all(session, root)]
    assert listed == [("acme", False, 2), ("library", False, 0), ("open", True, 0)]


def test_alice_makes_her_project_public(session, cast, alice, now):
    projects.set_public(session, alice, SetPublic(name="acme", public=True), now)
    assert (projects.get(session, "acme").public, last_event(session)) == (
        True,
        ("alice", "project.set", "acme", "public"),
    )


def test_a_public_project_is_made_private(session, cast, root, now):
    projects.set_public(session, root, SetPublic(name="open", public=False), now)
    assert (projects.get(session, "open").public, last_event(session)[3]) == (False, "private")


def test_a_deleted_project_is_gone(session, cast, alice, now):
    projects.delete(session, alice, deletion("acme"), now)
    assert (projects.find(session, "acme"), last_event(session)) == (None, ("alice", "project.delete", "acme", ""))


def test_a_deleted_project_takes_its_members_along(session, cast, alice, now):
    projects.delete(session, alice, deletion("acme"), now)
    assert session.scalars(select(Member)).all() == []


def test_the_root_project_stays(session, cast, root, now):
    with pytest.raises(Conflict, match="library is the root project"):
        projects.delete(session, root, deletion("library"), now)


@pytest.mark.parametrize("passed", [0, LIFETIME + 59])
def test_the_name_of_a_deleted_project_stays_taken_while_its_tokens_are_good(session, cast, root, now, passed):
    projects.delete(session, root, deletion("acme"), now)
    with pytest.raises(Conflict, match=f"try again in {LIFETIME + 60 - passed} s"):
        projects.add(session, root, AddProject(name="acme"), now + passed)


def test_the_name_of_a_deleted_project_is_free_when_its_tokens_have_ended(session, cast, root, now):
    projects.delete(session, root, deletion("acme"), now)
    assert projects.add(session, root, AddProject(name="acme"), now + LIFETIME + 60).name == "acme"


def test_a_name_can_be_deleted_twice(session, cast, root, now):
    projects.delete(session, root, deletion("acme"), now)
    projects.add(session, root, AddProject(name="acme"), now + 1000)
    projects.delete(session, root, deletion("acme"), now + 1000)
    with pytest.raises(Conflict):
        projects.add(session, root, AddProject(name="acme"), now + 1001)


@pytest.mark.parametrize(
    ("verb", "command"), [(projects.set_public, SetPublic(name="x", public=True)), (projects.delete, deletion("x"))]
)
def test_no_project_cannot_be_changed(session, root, now, verb, command):
    with pytest.raises(NotFound):
        verb(session, root, command, now)


@pytest.mark.parametrize(
    ("who", "verb", "arguments"),
    [
        ("alice", projects.add, [AddProject(name="new"), 0]),
        ("charlie", projects.add, [AddProject(name="new"), 0]),
        ("alice", projects.list_all, []),
        ("bob", projects.set_public, [SetPublic(name="acme", public=True), 0]),
        ("charlie", projects.set_public, [SetPublic(name="open", public=False), 0]),
        ("bob", projects.delete, [deletion("acme"), 0]),
        ("charlie", projects.delete, [deletion("open"), 0]),
    ],
)
def test_who_has_no_right_is_refused(session, cast, request, who, verb, arguments):
    with pytest.raises(Forbidden, match=f"{who} may not"):
        verb(session, request.getfixturevalue(who), *arguments)


def seen(session, actor, asked: Asked | None = None, **filters) -> list[str]:
    return [row.name for row in projects.list_page(session, actor, asked or Asked(), **filters).rows]


@pytest.mark.parametrize(
    ("who", "names"),
    [("root", ["acme", "library", "open"]), ("alice", ["acme", "open"]), ("charlie", ["open"])],
)
def test_everybody_sees_their_own_projects_and_the_public_ones(session, cast, request, who, names):
    assert seen(session, request.getfixturevalue(who)) == names


def test_whoever_is_not_logged_in_sees_the_public_ones(session, cast):
    assert seen(session, ANONYMOUS) == ["open"]


@pytest.mark.parametrize(("pattern", "at", "names"), [("acme/web", 5, ["acme", "open"]), ("", 10, ["open"])])
def test_a_limited_role_shows_its_project_until_it_ends(session, cast, root, pattern, at, names):
    command = members.SetMember(project="acme", user="charlie", role="guest", pattern=pattern, ends_at=10)
    members.set_role(session, root, command, 0)
    charlie = rights.get_user_actor(session, "charlie", Credential.SESSION, at)
    assert seen(session, charlie) == names


def test_a_listed_project_has_the_roles_of_whoever_asks(session, cast, bob):
    acme, shown = projects.list_page(session, bob, Asked()).rows
    assert (acme.roles, acme.members, shown.roles) == (("developer",), 2, ())


@pytest.mark.parametrize(("public", "names"), [(True, ["open"]), (False, ["acme"])])
def test_public_and_private_projects_are_told_apart(session, cast, bob, public, names):
    assert seen(session, bob, public=public) == names


def test_a_text_that_is_in_no_name_finds_nothing_of_others(session, cast, charlie):
    assert [seen(session, charlie, Asked(text=text)) for text in ("ACM", "PEN", "_", "%")] == [[], ["open"], [], []]


def test_projects_are_listed_by_when_they_were_made(session, cast, root):
    make_project(session, "a-new-one", created_at=7)
    assert seen(session, root, Asked(sort="-created", size=1)) == ["a-new-one"]


@pytest.mark.parametrize("name", ["acme", "nowhere", "library"])
@pytest.mark.parametrize(
    "verb",
    [
        projects.get_visible,
        lambda session, actor, name: projects.set_public(session, actor, SetPublic(name=name, public=True), 0),
        lambda session, actor, name: projects.delete(session, actor, deletion(name), 0),
    ],
)
def test_a_stranger_cannot_tell_whether_a_project_exists(session, cast, charlie, verb, name):
    with pytest.raises(NotFound) as refused:
        verb(session, charlie, name)
    assert str(refused.value) == f"there is no project {name}"


def test_a_member_gets_their_project(session, cast, bob):
    assert projects.get_visible(session, bob, "acme").name == "acme"
