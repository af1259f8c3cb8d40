"""Groups: people who are given roles together. Not here: roles of groups in projects (core/members.py).

Our own groups' users are set here. A directory's or a provider's group is made when it is first seen at a login
(core/onboarding.py), or ahead of that here; who belongs to it only its source says.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, or_, select
from sqlalchemy import delete as sql_delete
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from authsvc.core import audit, pages, projects, users
from authsvc.core.pages import Asked, Page
from authsvc.core.rights import facts, require
from authsvc.db.tables import Group, GroupUser, Member, Project, User
from authsvc.domain.permissions import Actor, Right
from authsvc.errors import AlreadyExists, Conflict, Invalid, NotFound, say
from authsvc.identity.local import LocalBackend

CREATE, LIST = Right("user-group", "create"), Right("user-group", "list")
READ, UPDATE, DELETE = (Right("user-group", action) for action in ("read", "update", "delete"))
OWN = Right("profile", "read")
LOCAL = LocalBackend.name
MAX_NAME, MAX_KEY = 255, 512


@dataclass(frozen=True, kw_only=True)
class AddGroup:
    """A new group. `key` is what its source tells it by, such as a DN; "" for a group of our own."""

    name: str
    source: str = LOCAL
    key: str = ""


@dataclass(frozen=True, kw_only=True)
class Belonging:
    """A user in a group."""

    group: str
    user: str


@dataclass(frozen=True, slots=True)
class Listed:
    """A group as people want to see one."""

    id: int
    name: str
    source: str
    key: str
    users: int
    roles: int


@dataclass(frozen=True, slots=True)
class Held:
    """A role that a group has in a project. `ends_at` is None where it has no end."""

    project: str
    role: str
    pattern: str
    ends_at: int | None


def add(session: Session, actor: Actor, command: AddGroup, now: int) -> Group:
    """Add a group.

    Raises:
        Invalid: the name or the key breaks a rule.
        AlreadyExists: the name is taken, or there is a group with this key.
    """
    require(actor, CREATE)
    mistakes = {}
    if not is_name(command.name):
        mistakes["name"] = f"a group's name is 1 to {MAX_NAME} characters, none of them invisible at either end"
    if (command.source == LOCAL) == bool(command.key) or len(command.key) > MAX_KEY:
        mistakes["key"] = f"a directory's group has one, of at most {MAX_KEY} characters, and our own has none"
    if mistakes:
        raise Invalid(mistakes)
    group = Group(name=command.name, source=command.source, key=command.key or None, created_at=now)
    session.add(group)
    try:
        session.flush()
    except IntegrityError as exc:
        raise AlreadyExists(say("there is a group %(name)s already, or one with this key", name=command.name)) from exc
    detail = "" if command.source == LOCAL else f"{command.source} {command.key}"
    audit.record(session, actor, "group.add", group.name, now, detail=detail)
    return group


def is_name(text: str) -> bool:
    """Whether a group can be called so: directories use every script, and blanks."""
    return 0 < len(text) <= MAX_NAME and text == text.strip() and text.isprintable()


def get(session: Session, name: str) -> Group:
    """The group of that name, letter by letter.

    Raises:
        NotFound: there is none.
    """
    group = session.scalar(select(Group).where(Group.name == name))
    if group is None:
        raise NotFound(say("there is no group %(name)s", name=name))
    return group


def list_all(session: Session, actor: Actor) -> Sequence[Listed]:
    """Every group, by name."""
    require(actor, LIST)
    return [_listed(row) for row in session.execute(_counted().order_by(Group.name))]


def list_page(session: Session, actor: Actor, asked: Asked, source: str = "") -> Page[Listed]:
    """The groups, by `name` or `source`; those of one source alone, if it is named."""
    require(actor, LIST)
    wanted = _counted()
    if asked.text:
        wanted = wanted.where(pages.contains(Group.name, asked.text, any_case=True))
    if source:
        wanted = wanted.where(Group.source == source)
    return pages.read(session, wanted, Group.id, asked, _SORTS, _listed)


def get_by_id(session: Session, actor: Actor, group_id: int) -> Listed:
    """A group by the number of its row, since its name may have anything in it.

    Raises:
        NotFound: there is none.
    """
    require(actor, READ)
    row = session.execute(_counted().where(Group.id == group_id)).first()
    if row is None:
        raise NotFound(say("there is no group %(name)s", name=group_id))
    return _listed(row)


def list_users_page(session: Session, actor: Actor, group_id: int, asked: Asked) -> Page[str]:
    """The names of those who belong to a group, as last seen. Of a group that is not there, nobody does."""
    require(actor, READ)
    wanted = select(User.name).join(GroupUser, GroupUser.user_id == User.id).where(GroupUser.group_id == group_id)
    if asked.text:
        wanted = wanted.where(pages.contains(User.name, asked.text))
    return pages.read(session, wanted, User.id, asked, {"name": (User.name,)}, lambda row: row.name)


def suggest(session: Session, actor: Actor, text: str, project: str) -> Sequence[users.Suggested]:
    """Up to ten groups that can be made members of a project, by the beginning of their names in any case.

    Raises:
        NotFound: there is no such project.
        Forbidden: the actor may not add members to it.
    """
    require(actor, users.MEMBERS, facts(projects.get_visible(session, actor, project)))
    if len(text) < users.fewest_characters(actor):
        return []
    # Without an index: of groups there are few, and whoever looks for one seldom knows its capitals.
    found = select(Group.name, Group.source).where(Group.name.istartswith(text, autoescape=True)).order_by(Group.name)
    return [users.Suggested(*row) for row in session.execute(found.limit(users.SUGGESTIONS))]


def list_roles(session: Session, actor: Actor, source: str, keys: Collection[str], now: int) -> dict[str, list[str]]:
    """The roles of a source's groups in projects, in words, by the group's key."""
    require(actor, LIST)
    held = select(Group.key, Project.name, Member.role, Member.pattern).join(Member, Member.group_id == Group.id)
    held = held.join(Project, Project.id == Member.project_id).where(Group.source == source, Group.key.in_(keys))
    lasting = held.where((Member.ends_at.is_(None)) | (Member.ends_at > now)).order_by(Project.name, Member.pattern)
    found: dict[str, list[str]] = {}
    for row in session.execute(lasting):
        where = f"{row.name}/{row.pattern}" if row.pattern else row.name
        found.setdefault(row.key, []).append(say("%(role)s in %(where)s", role=row.role, where=where))
    return found


def roles_of(session: Session, actor: Actor, group_id: int, now: int) -> Sequence[Held]:
    """The roles that a group has in projects, without those that have ended. A group that is not there has none."""
    require(actor, READ)
    held = select(Project.name, Member.role, Member.pattern, Member.ends_at).join(Member)
    lasting = held.where(Member.group_id == group_id, or_(Member.ends_at.is_(None), Member.ends_at > now))
    return [Held(*row) for row in session.execute(lasting.order_by(Project.name, Member.pattern))]


def list_users(session: Session, actor: Actor, name: str) -> Sequence[User]:
    """Who belongs to a group, as last seen, by name.

    Raises:
        NotFound: there is no such group.
    """
    require(actor, READ)
    group = get(session, name)
    inside = select(User).join(GroupUser, GroupUser.user_id == User.id)
    return session.scalars(inside.where(GroupUser.group_id == group.id).order_by(User.name)).all()


def of_user(session: Session, actor: Actor, user: str) -> Sequence[Group]:
    """The groups that a user belongs to, as last seen, by name.

    Raises:
        NotFound: there is no such user.
        Forbidden: it is somebody else.
    """
    require(actor, OWN)
    if user != actor.name:
        require(actor, READ)
    held = select(Group).join(GroupUser, GroupUser.group_id == Group.id)
    return session.scalars(held.where(GroupUser.user_id == users.get(session, user).id).order_by(Group.name)).all()


def add_user(session: Session, actor: Actor, command: Belonging, now: int) -> None:
    """Put a user into a group of our own.

    Raises:
        NotFound: there is no such group or user.
        Conflict: another source says who belongs to it.
        AlreadyExists: the user does.
    """
    require(actor, UPDATE)
    group, user = _own(session, command.group), users.get(session, command.user)
    if session.get(GroupUser, (group.id, user.id)) is not None:
        raise AlreadyExists(say("%(name)s is in %(group)s already", name=user.name, group=group.name))
    session.add(GroupUser(group_id=group.id, user_id=user.id))
    audit.record(session, actor, "group.user.add", f"{group.name}/{user.name}", now)


def remove_user(session: Session, actor: Actor, command: Belonging, now: int) -> None:
    """Take a user out of a group of our own.

    Raises:
        NotFound: there is no such group or user, or the user is not in it.
        Conflict: another source says who belongs to it.
    """
    require(actor, UPDATE)
    group, user = _own(session, command.group), users.get(session, command.user)
    belonging = session.get(GroupUser, (group.id, user.id))
    if belonging is None:
        raise NotFound(say("%(name)s is not in %(group)s", name=user.name, group=group.name))
    session.delete(belonging)
    audit.record(session, actor, "group.user.remove", f"{group.name}/{user.name}", now)


def delete(session: Session, actor: Actor, name: str, now: int) -> None:
    """Delete a group and the roles that it was given. A directory's comes back, without them, when it is seen again.

    Raises:
        NotFound: there is no such group.
    """
    require(actor, DELETE)
    group = get(session, name)
    session.execute(sql_delete(Group).where(Group.id == group.id))
    audit.record(session, actor, "group.delete", name, now)


_SORTS: pages.Sorts = {"name": (Group.name,), "source": (Group.source, Group.name)}


def _counted() -> Select[Any]:
    belonging = select(func.count()).where(GroupUser.group_id == Group.id).correlate(Group).scalar_subquery()
    roles = select(func.count()).where(Member.group_id == Group.id).correlate(Group).scalar_subquery()
    return select(Group.id, Group.name, Group.source, Group.key, belonging.label("users"), roles.label("roles"))


def _listed(row: Any) -> Listed:  # noqa: ANN401 - a row has no type of its own
    return Listed(row.id, row.name, row.source, row.key or "", row.users, row.roles)


def _own(session: Session, name: str) -> Group:
    group = get(session, name)
    if group.source != LOCAL:
        raise Conflict(
            say("%(name)s comes from %(source)s, which says who belongs to it", name=group.name, source=group.source)
        )
    return group
