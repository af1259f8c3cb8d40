"""Roles of the administrators' own making: a name for a set of rights. Built-in ones are in domain/permissions.py."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete as sql_delete
from sqlalchemy import func, or_, select, union
from sqlalchemy.orm import Session

from authsvc.core import audit, pages
from authsvc.core.pages import Asked, Page
from authsvc.core.rights import require, rights_of
from authsvc.db.tables import CustomRole, Group, GroupUser, Member, Project, RoleRight, User
from authsvc.domain import permissions
from authsvc.domain.permissions import MEMBER_ROLES, PROJECT, ROLE_RIGHTS, Actor, Right, Role
from authsvc.errors import Conflict, Invalid, NotFound, say

CREATE, UPDATE = Right("role", "create"), Right("role", "update")
DELETE, LIST = Right("role", "delete"), Right("role", "list")
MEMBERS = Right("member", "list")

_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")


@dataclass(frozen=True, kw_only=True)
class SetRole:
    """Make a role, or give one other rights; whoever holds it has them at once."""

    name: str
    rights: frozenset[Right]
    description: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """A role, what it gives, and how often it is held."""

    name: str
    description: str
    rights: tuple[Right, ...]
    members: int


@dataclass(frozen=True, slots=True)
class Held:
    """A member that has a role, and where. Either `user` or `group` is ""."""

    project: str
    user: str
    group: str
    pattern: str
    ends_at: int | None


@dataclass(frozen=True, slots=True)
class Preview:
    """What a change of a role would be.

    Args:
        added: rights that its holders would have by it, and have not now.
        removed: rights that they have by it now, and would not have.
        members: how often it is held.
        people: how many hold it, themselves or in a group.
        projects: in how many projects.
    """

    added: tuple[Right, ...]
    removed: tuple[Right, ...]
    members: int
    people: int
    projects: int


def set_rights(session: Session, actor: Actor, command: SetRole, now: int) -> CustomRole:
    """Make or change a role.

    Raises:
        Invalid: the name is a built-in role's or breaks a rule, or a right is none.
    """
    role = require_set(session, actor, command)
    if role is None:
        role = CustomRole(name=command.name, created_at=now)
        session.add(role)
    role.description = command.description[:255]
    session.flush()
    session.execute(sql_delete(RoleRight).where(RoleRight.role_id == role.id))
    rights = sorted(command.rights)
    session.add_all(RoleRight(role_id=role.id, resource=right.resource, action=right.action) for right in rights)
    audit.record(session, actor, "role.set", role.name, now, detail=" ".join(map(str, rights)))
    return role


def require_set(session: Session, actor: Actor, command: SetRole) -> CustomRole | None:
    """Let somebody make or change a role, or stop them as `set_rights` does; returns the role if there is one."""
    role = _find(session, command.name)
    require(actor, UPDATE if role else CREATE)
    _check(command)
    return role


def preview(session: Session, actor: Actor, command: SetRole) -> Preview:
    """What making or changing a role would be, and to how many. Raises what `set_rights` does, and writes nothing."""
    require_set(session, actor, command)
    before = rights_of(session, command.name)
    held = Member.role == command.name
    themselves = select(Member.user_id).where(held, Member.user_id.is_not(None))
    in_groups = select(GroupUser.user_id).join(Member, Member.group_id == GroupUser.group_id).where(held)
    people = union(themselves, in_groups).subquery()
    members, projects = session.execute(
        select(func.count(Member.id), func.count(func.distinct(Member.project_id))).where(held)
    ).one()
    return Preview(
        added=tuple(sorted(command.rights - before)),
        removed=tuple(sorted(before - command.rights)),
        members=members,
        people=session.scalar(select(func.count()).select_from(people)) or 0,
        projects=projects,
    )


def who_holds(session: Session, actor: Actor, role: str, asked: Asked) -> Page[Held]:
    """The members that have a role, built-in or custom, over all projects: by `project`, or in no order to speak of.

    A text is looked for in the names of people and groups. Of a role that is not there, nobody is one.
    """
    require(actor, LIST)
    wanted = (
        select(*_HELD)
        .select_from(Member)
        .outerjoin(Project, Project.id == Member.project_id)
        .outerjoin(User, User.id == Member.user_id)
        .outerjoin(Group, Group.id == Member.group_id)
        .where(Member.role == role)
    )
    named = None
    if asked.text:
        # Found by themselves: going through all names once is faster than looking up each holder's.
        people = select(User.id).where(pages.contains(User.name, asked.text))
        groups = select(Group.id).where(pages.contains(Group.name, asked.text, any_case=True))
        named = or_(Member.user_id.in_(people), Member.group_id.in_(groups))
    return pages.read(session, wanted, Member.id, asked, _SORTS, _held, own="made", search=named)


def list_given(session: Session, actor: Actor, project: permissions.Project) -> Sequence[Listed]:
    """The roles that a member of a project can be given, built-in ones first, for those who may see its members.

    How often they are held over all projects is not said: `members` is 0.
    """
    require(actor, MEMBERS, project)
    built_in = [Listed(role.value, "", tuple(sorted(PROJECT[role])), 0) for role in MEMBER_ROLES]
    rights = _rights_by_role(session)
    custom = session.scalars(select(CustomRole).order_by(CustomRole.name))
    return built_in + [Listed(row.name, row.description, tuple(rights.get(row.id, ())), 0) for row in custom]


def delete(session: Session, actor: Actor, name: str, now: int) -> None:
    """Delete a role that nobody holds.

    Raises:
        NotFound: there is no such role.
        Conflict: somebody holds it.
    """
    require(actor, DELETE)
    role = _find(session, name)
    if role is None:
        raise NotFound(say("there is no role %(name)s of your own making", name=name))
    held = session.scalar(select(func.count(Member.id)).where(Member.role == name))
    if held:
        raise Conflict(
            say("%(count)s members hold the role %(name)s: give them another one first", count=held, name=name)
        )
    session.delete(role)
    audit.record(session, actor, "role.delete", name, now)


def list_all(session: Session, actor: Actor) -> Sequence[Listed]:
    """Every custom role, by name."""
    require(actor, LIST)
    members = select(func.count(Member.id)).where(Member.role == CustomRole.name).scalar_subquery()
    rights = _rights_by_role(session)
    found = session.execute(select(CustomRole, members.label("members")).order_by(CustomRole.name))
    return [
        Listed(row.CustomRole.name, row.CustomRole.description, tuple(rights.get(row.CustomRole.id, ())), row.members)
        for row in found
    ]


def exists(session: Session, name: str) -> bool:
    """Whether a member can be given this role."""
    return name in MEMBER_ROLES or _find(session, name) is not None


def parse_right(text: str) -> Right:
    """`repository:pull` as a right.

    Raises:
        Invalid: there is no such right in a project.
    """
    resource, _, action = text.partition(":")
    right = Right(resource, action)
    if right not in ROLE_RIGHTS:
        raise Invalid({"right": say("there is no right %(text)s", text=repr(text[:64]))})
    return right


_HELD: tuple[Any, ...] = (
    Project.name.label("project"),
    User.name.label("user"),
    Group.name.label("group"),
    Member.pattern,
    Member.ends_at,
)
_SORTS: pages.Sorts = {"made": (Member.id,), "project": (Project.name, Member.id)}


def _held(row: Any) -> Held:  # noqa: ANN401 - a row has no type of its own
    return Held(row.project, row.user or "", row.group or "", row.pattern, row.ends_at)


def _rights_by_role(session: Session) -> dict[int, list[Right]]:
    rights: dict[int, list[Right]] = {}
    for row in session.scalars(select(RoleRight).order_by(RoleRight.resource, RoleRight.action)):
        rights.setdefault(row.role_id, []).append(Right(row.resource, row.action))
    return rights


def _check(command: SetRole) -> None:
    if command.name in {role.value for role in Role} or not _NAME.fullmatch(command.name) or len(command.name) > 64:
        raise Invalid({"name": say("a role's name is a-z 0-9 with single . _ - between them, and no built-in role's")})
    unknown = sorted(map(str, command.rights - ROLE_RIGHTS))
    if unknown or not command.rights:
        raise Invalid(
            {"rights": say("there is no right %(text)s", text=", ".join(unknown)) if unknown else say("at least one")}
        )


def _find(session: Session, name: str) -> CustomRole | None:
    return session.scalar(select(CustomRole).where(CustomRole.name == name))
