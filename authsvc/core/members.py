"""Members of a project: give a role, remove, list. Not here: what a role may do (domain/permissions.py).

A member is a person or a group. Each may hold several roles in a project, one for all of it and others for repositories
that match a pattern; what a person may do is the union of their own roles and their groups'.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, or_, select
from sqlalchemy import delete as sql_delete
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from authsvc.core import audit, groups, pages, projects, roles, users
from authsvc.core.pages import Asked, Page
from authsvc.core.rights import facts, require, rights_of
from authsvc.db.tables import Group, Member, Project, User
from authsvc.domain import patterns
from authsvc.domain.names import canonical_user
from authsvc.domain.permissions import Actor, Right, decide
from authsvc.errors import Conflict, Forbidden, Invalid, NotFound, say

CREATE, UPDATE = Right("member", "create"), Right("member", "update")
DELETE, LIST = Right("member", "delete"), Right("member", "list")


@dataclass(frozen=True, kw_only=True)
class SetMember:
    """Give a person or a group a role in a project, in place of the one they had there (for the same pattern).

    Args:
        user: the person's name; "" for a group.
        group: the group's name; "" for a person.
        role: a built-in role's name, or a custom one's.
        pattern: the repositories it counts for; "" for all.
        ends_at: UTC seconds from which it counts no longer; None for never.
    """

    project: str
    user: str = ""
    group: str = ""
    role: str
    pattern: str = ""
    ends_at: int | None = None


@dataclass(frozen=True, kw_only=True)
class RemoveMember:
    """Take a person's or a group's role in a project away: the one for a pattern, or all when it is None."""

    project: str
    user: str = ""
    group: str = ""
    pattern: str | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """A member as people want to see one."""

    user: str
    group: str
    role: str
    pattern: str
    ends_at: int | None
    enabled: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """A role that a member can have, and whether whoever asked may give it, having all of it themselves."""

    role: str
    rights: frozenset[Right]
    may_give: bool


def set_role(session: Session, actor: Actor, command: SetMember, now: int) -> Member:
    """Add a member, or change the role of one.

    Raises:
        Invalid: there is no such role, the pattern is none, or the end has passed.
        NotFound: there is no such project, user or group.
        Conflict: somebody else did the same at the same time.
        Forbidden: the role has rights that the actor has not.
    """
    project, member = require_set(session, actor, command, now)
    holder = holder_of(session, command)
    before = f"was {member.role}" if member else ""
    if member is None:
        mine = {"group_id": holder.id} if isinstance(holder, Group) else {"user_id": holder.id}
        member = Member(project_id=project.id, pattern=command.pattern, created_at=now, **mine)
        session.add(member)
    member.role, member.ends_at = command.role, command.ends_at
    until = f"until {command.ends_at}" if command.ends_at else ""
    detail = "; ".join(filter(None, [command.role, command.pattern, until, before]))
    name = holder.name
    try:
        session.flush()
    except IntegrityError as exc:
        raise Conflict(
            say("somebody else is making %(name)s a member of %(project)s: try again", name=name, project=project.name)
        ) from exc
    audit.record(session, actor, "member.set", _target(project, command), now, detail=detail)
    return member


def require_set(session: Session, actor: Actor, command: SetMember, now: int) -> tuple[Project, Member | None]:
    """Let somebody give a role, or stop them as `set_role` does; returns where, and what it takes the place of."""
    project = projects.get_visible(session, actor, command.project)
    member = next((one for one in _held(session, project, command) if one.pattern == command.pattern), None)
    require(actor, UPDATE if member else CREATE, facts(project))
    _check(session, command, now)
    _keep_to_own_rights(session, actor, command, project)
    return project, member


def remove(session: Session, actor: Actor, command: RemoveMember, now: int) -> None:
    """Remove a member.

    Raises:
        NotFound: there is no such project, or the person or group is no member of it.
    """
    project, gone = require_remove(session, actor, command)
    session.execute(sql_delete(Member).where(Member.id.in_([member.id for member in gone])))
    was = ", ".join(f"{member.role} {member.pattern}".strip() for member in gone)
    audit.record(session, actor, "member.remove", _target(project, command), now, detail=f"was {was}")


def require_remove(session: Session, actor: Actor, command: RemoveMember) -> tuple[Project, Sequence[Member]]:
    """Let somebody take roles away, or stop them as `remove` does; returns where, and which."""
    project = projects.get_visible(session, actor, command.project)
    require(actor, DELETE, facts(project))
    gone = [member for member in _held(session, project, command) if command.pattern in (None, member.pattern)]
    if not gone:
        who = command.group or command.user
        raise NotFound(say("%(name)s is not a member of %(project)s", name=who, project=project.name))
    return project, gone


def list_all(session: Session, actor: Actor, project: str) -> Sequence[Listed]:
    """The members of a project, people before groups, each by name.

    Raises:
        NotFound: there is no such project.
    """
    return [_listed(*found) for found in session.execute(_of(session, actor, project).order_by(*_SORTS["name"]))]


def list_page(session: Session, actor: Actor, project: str, asked: Asked) -> Page[Listed]:
    """The members of a project by `name`, people before groups, or by `role`.

    Raises:
        NotFound: there is no such project.
    """
    wanted = _of(session, actor, project)
    if asked.text:
        wanted = wanted.where(
            or_(pages.contains(User.name, asked.text), pages.contains(Group.name, asked.text, any_case=True))
        )
    return pages.read(session, wanted, Member.id, asked, _SORTS, lambda row: _listed(*row))


def get_listed(session: Session, actor: Actor, command: SetMember | RemoveMember) -> Listed:
    """The role that a person or a group has there, for one pattern.

    Raises:
        NotFound: there is no such project, or the person or group has no such role in it.
    """
    held = _of(session, actor, command.project).where(Member.pattern == (command.pattern or ""))
    theirs = Group.name == command.group if command.group else User.name == canonical_user(command.user)
    row = session.execute(held.where(theirs)).first()
    if row is None:
        raise NotFound(
            say("%(name)s is not a member of %(project)s", name=command.group or command.user, project=command.project)
        )
    return _listed(*row)


def choices(session: Session, actor: Actor, project: str) -> Sequence[Choice]:
    """The roles that members can have, the built-in ones first.

    Raises:
        NotFound: there is no such project.
    """
    row = projects.get_visible(session, actor, project)
    require(actor, LIST, facts(row))
    return [
        Choice(role.name, frozenset(role.rights), all(decide(actor, right, facts(row)) for right in role.rights))
        for role in roles.list_given(session, actor, facts(row))
    ]


_SHOWN: tuple[Any, ...] = (User.name.label("user"), User.enabled, Group.name.label("group"), Member)
_NAMES = (Group.name.is_not(None), User.name, Group.name, Member.pattern)
_SORTS: pages.Sorts = {"name": _NAMES, "role": (Member.role, *_NAMES)}


def _of(session: Session, actor: Actor, project: str) -> Select[Any]:
    row = projects.get_visible(session, actor, project)
    require(actor, LIST, facts(row))
    return (
        select(*_SHOWN)
        .select_from(Member)
        .outerjoin(User, User.id == Member.user_id)
        .outerjoin(Group, Group.id == Member.group_id)
        .where(Member.project_id == row.id)
    )


def _listed(user: str | None, enabled: bool | None, group: str | None, member: Member) -> Listed:
    return Listed(user or "", group or "", member.role, member.pattern, member.ends_at, enabled is not False)


def _check(session: Session, command: SetMember, now: int) -> None:
    if not roles.exists(session, command.role):
        raise Invalid({"role": say("there is no role %(name)s", name=repr(command.role[:64]))})
    patterns.parse(command.pattern)
    if command.ends_at is not None and command.ends_at <= now:
        raise Invalid({"ends_at": say("this has passed already")})


def _keep_to_own_rights(session: Session, actor: Actor, command: SetMember, project: Project) -> None:
    """Nobody gives a role that can do what they cannot: else the right to add members would be every right."""
    missing = [right for right in rights_of(session, command.role) if not decide(actor, right, facts(project))]
    if missing:
        lacking = {"role": command.role, "right": str(min(missing))}
        raise Forbidden(say("%(name)s cannot give %(role)s, not having %(right)s", name=actor.name, **lacking))


def holder_of(session: Session, command: SetMember | RemoveMember) -> User | Group:
    """The person or the group that a command is about.

    Raises:
        NotFound: there is none.
    """
    return groups.get(session, command.group) if command.group else users.get(session, command.user)


def _held(session: Session, project: Project, command: SetMember | RemoveMember) -> Sequence[Member]:
    """The roles that a person or a group has there."""
    if bool(command.user) == bool(command.group):
        raise Invalid({"user": say("name a person or a group")})
    mine = select(Member).outerjoin(User, User.id == Member.user_id).outerjoin(Group, Group.id == Member.group_id)
    is_theirs = Group.name == command.group if command.group else User.name == canonical_user(command.user)
    return session.scalars(mine.where(Member.project_id == project.id, is_theirs)).all()


def _target(project: Project, command: SetMember | RemoveMember) -> str:
    """What the audit trail calls it."""
    who = f"group {command.group}" if command.group else canonical_user(command.user)
    return f"{project.name}/{who}"
