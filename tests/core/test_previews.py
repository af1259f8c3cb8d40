import pytest
from sqlalchemy import func, select

from authsvc.core import groups, members, previews, users
from authsvc.core.members import RemoveMember, SetMember
from authsvc.core.previews import MOST
from authsvc.db.tables import AuditEvent, GroupUser, User
from authsvc.domain.permissions import PULL, PUSH, Right
from authsvc.errors import Forbidden, Invalid, NotFound
from tests.factories import make_user

NOW = 1_800_000_000


@pytest.fixture
def preview(session, cast, alice):
    """What a change by alice is to the right to pull and to push, by name: what is gained, and what is lost."""

    def see(command, actor=alice):
        found = previews.of_member(session, actor, command, NOW)
        return {changed.name: (shown(changed.effect.gained), shown(changed.effect.lost)) for changed in found.people}

    return see


def shown(held) -> list[str]:
    return [f"{one.right.action} {one.pattern}".strip() for one in held if one.right in {PULL, PUSH}]


def add(name: str, role: str = "developer", pattern: str = "", project: str = "acme", **columns) -> SetMember:
    return SetMember(project=project, user=name, role=role, pattern=pattern, **columns)


@pytest.fixture
def ops(session, cast, root):
    """bob and charlie belong to ops, which holds nothing."""
    group = groups.add(session, root, groups.AddGroup(name="ops"), NOW)
    for name in ("bob", "charlie"):
        groups.add_user(session, root, groups.Belonging(group="ops", user=name), NOW)
    return group


@pytest.mark.parametrize(
    ("command", "effect"),
    [
        (add("charlie"), {"charlie": (["pull", "push"], [])}),
        (add("charlie", pattern="acme/web"), {"charlie": (["pull acme/web", "push acme/web"], [])}),
        (add("bob"), {"bob": ([], [])}),
        (add("bob", "guest"), {"bob": ([], ["push"])}),
        (add("bob", "guest", "acme/web"), {"bob": ([], [])}),
        (RemoveMember(project="acme", user="bob"), {"bob": ([], ["pull", "push"])}),
        (RemoveMember(project="acme", user="bob", pattern=""), {"bob": ([], ["pull", "push"])}),
        (add("root"), {"root": ([], [])}),
    ],
)
def test_a_preview_says_what_somebody_gains_and_loses(preview, command, effect):
    assert preview(command) == effect


def test_a_preview_in_a_public_project_leaves_out_what_everybody_may(preview, root):
    assert preview(add("charlie", project="open"), root) == {"charlie": (["push"], [])}


def test_a_preview_of_a_group_is_about_each_of_its_people(preview, ops):
    command = SetMember(project="acme", group="ops", role="guest")
    assert preview(command) == {"bob": ([], []), "charlie": (["pull"], [])}


def test_what_somebody_holds_through_a_group_is_not_lost(session, preview, ops, alice):
    members.set_role(session, alice, SetMember(project="acme", group="ops", role="guest"), NOW)
    assert preview(RemoveMember(project="acme", user="bob")) == {"bob": ([], ["push"])}


def test_what_somebody_holds_alone_is_not_lost_with_the_group(session, preview, ops, alice):
    members.set_role(session, alice, SetMember(project="acme", group="ops", role="guest"), NOW)
    command = RemoveMember(project="acme", group="ops")
    assert preview(command) == {"bob": ([], []), "charlie": ([], ["pull"])}


def test_a_role_that_has_ended_is_nothing_to_lose(session, preview, alice):
    members.set_role(session, alice, add("charlie", ends_at=NOW), NOW - 1)
    assert preview(RemoveMember(project="acme", user="charlie")) == {"charlie": ([], [])}


def test_a_preview_says_what_it_is_to_the_project_itself(session, cast, alice):
    (charlie,) = previews.of_member(session, alice, add("charlie", "guest"), NOW).people
    assert Right("member", "list") in {held.right for held in charlie.effect.gained}


def test_a_preview_of_many_shows_some_and_counts_all(session, ops, alice):
    session.add_all(User(name=f"eve{number:02}", source="local", created_at=0) for number in range(MOST))
    session.flush()
    eves = session.scalars(select(User.id).where(User.name.startswith("eve")))
    session.add_all(GroupUser(group_id=ops.id, user_id=user_id) for user_id in eves)
    session.flush()
    found = previews.of_member(session, alice, SetMember(project="acme", group="ops", role="guest"), NOW)
    assert (len(found.people), found.total, found.people[2].name) == (MOST, MOST + 2, "eve00")


def test_a_preview_of_an_empty_group_is_about_nobody(session, cast, root):
    groups.add(session, root, groups.AddGroup(name="none"), NOW)
    found = previews.of_member(session, root, SetMember(project="acme", group="none", role="guest"), NOW)
    assert (found.people, found.total) == ([], 0)


def test_a_preview_writes_nothing(session, preview, alice):
    before = session.scalar(select(func.count()).select_from(AuditEvent))
    preview(add("charlie"))
    listed = [row.user for row in members.list_all(session, alice, "acme")]
    assert (session.scalar(select(func.count()).select_from(AuditEvent)), listed) == (before, ["alice", "bob"])


@pytest.mark.parametrize(
    ("who", "command", "error"),
    [
        ("bob", add("charlie"), Forbidden),
        ("bob", RemoveMember(project="acme", user="alice"), Forbidden),
        ("charlie", add("charlie"), NotFound),
        ("alice", add("nobody"), NotFound),
        ("alice", add("charlie", "king"), Invalid),
        ("alice", RemoveMember(project="acme", user="charlie"), NotFound),
    ],
)
def test_a_preview_is_refused_as_the_change_is(session, cast, request, who, command, error):
    with pytest.raises(error):
        previews.of_member(session, request.getfixturevalue(who), command, NOW)


def test_a_person_is_known_however_their_name_is_typed(preview, session, root):
    make_user(session, "eve")
    assert (list(preview(add("EVE"))), users.get(session, "Eve").name) == (["eve"], "eve")
