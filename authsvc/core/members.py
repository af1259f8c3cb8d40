"""Members of a project: give a role, remove, list. Not here: what a role may do (domain/permissions.py).

A person may hold several roles in a project, one for all of it and others for repositories that match a pattern.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete as sql_delete
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from authsvc.core import audit, projects, roles, users
from authsvc.core.rights import facts, require, rights_of
from authsvc.db.tables import Member, Project, User
from authsvc.domain import patterns
from authsvc.domain.names import canonical_user
from authsvc.domain.permissions import Actor, Right, decide
from authsvc.errors import Conflict, Forbidden, Invalid, NotFound

CREATE, UPDATE = Right("member", "create"), Right("member", "update")
DELETE, LIST = Right("member", "delete"), Right("member", "list")


@dataclass(frozen=True, kw_only=True)
class SetMember:
    """Give a person a role in a project, in place of the one they had there (for the same pattern).

    Args:
        role: a built-in role's name, or a custom one's.
        pattern: the repositories it counts for; "" for all.
        ends_at: UTC seconds from which it counts no longer; None for never.
    """

    project: str
    user: str
    role: str
    pattern: str = ""
    ends_at: int | None = None


@dataclass(frozen=True, kw_only=True)
class RemoveMember:
    """Take a person's role in a project away: the one for a pattern, or all of them when it is None."""

    project: str
    user: str
    pattern: str | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """A member as people want to see one."""

    user: str
    role: str
    pattern: str
    ends_at: int | None
    enabled: bool


def set_role(session: Session, actor: Actor, command: SetMember, now: int) -> Member:
    """Add a member, or change the role of one.

    Raises:
        Invalid: there is no such role, the pattern is none, or the end has passed.
        NotFound: there is no such project or user.
        Conflict: somebody else did the same at the same time.
        Forbidden: the role has rights that the actor has not.
    """
    project = projects.get(session, command.project)
    member = _find(session, project, command.user, command.pattern)
    require(actor, UPDATE if member else CREATE, facts(project))
    _check(session, command, now)
    _keep_to_own_rights(session, actor, command, project)
    user = users.get(session, command.user)
    before = f"was {member.role}" if member else ""
    if member is None:
        member = Member(project_id=project.id, user_id=user.id, pattern=command.pattern, created_at=now)
        session.add(member)
    member.role, member.ends_at = command.role, command.ends_at
    until = f"until {command.ends_at}" if command.ends_at else ""
    detail = "; ".join(filter(None, [command.role, command.pattern, until, before]))
    try:
        session.flush()
    except IntegrityError as exc:
        raise Conflict(f"somebody else is making {user.name} a member of {project.name}: try again") from exc
    audit.record(session, actor, "member.set", f"{project.name}/{user.name}", now, detail=detail)
    return member


def remove(session: Session, actor: Actor, command: RemoveMember, now: int) -> None:
    """Remove a member.

    Raises:
        NotFound: there is no such project, or the person is no member of it.
    """
    project = projects.get(session, command.project)
    require(actor, DELETE, facts(project))
    held = _held(session, project, command.user)
    gone = [member for member in held if command.pattern in (None, member.pattern)]
    if not gone:
        raise NotFound(f"{command.user} is not a member of {project.name}")
    session.execute(sql_delete(Member).where(Member.id.in_([member.id for member in gone])))
    was = ", ".join(f"{member.role} {member.pattern}".strip() for member in gone)
    target = f"{project.name}/{canonical_user(command.user)}"
    audit.record(session, actor, "member.remove", target, now, detail=f"was {was}")


def list_all(session: Session, actor: Actor, project: str) -> Sequence[Listed]:
    """The members of a project, by name.

    Raises:
        NotFound: there is no such project.
    """
    row = projects.get(session, project)
    require(actor, LIST, facts(row))
    members = (
        select(User.name, User.enabled, Member.role, Member.pattern, Member.ends_at)
        .join(Member, Member.user_id == User.id)
        .where(Member.project_id == row.id)
        .order_by(User.name, Member.pattern)
    )
    return [Listed(one.name, one.role, one.pattern, one.ends_at, one.enabled) for one in session.execute(members)]


def _check(session: Session, command: SetMember, now: int) -> None:
    if not roles.exists(session, command.role):
        raise Invalid({"role": f"there is no role {command.role[:64]!r}"})
    patterns.parse(command.pattern)
    if command.ends_at is not None and command.ends_at <= now:
        raise Invalid({"ends_at": "this has passed already"})


def _keep_to_own_rights(session: Session, actor: Actor, command: SetMember, project: Project) -> None:
    """Nobody gives a role that can do what they cannot: else the right to add members would be every right."""
    missing = [right for right in rights_of(session, command.role) if not decide(actor, right, facts(project))]
    if missing:
        raise Forbidden(f"{actor.name} cannot give {command.role}, not having {min(missing)}")


def _find(session: Session, project: Project, user: str, pattern: str) -> Member | None:
    return next((member for member in _held(session, project, user) if member.pattern == pattern), None)


def _held(session: Session, project: Project, user: str) -> Sequence[Member]:
    mine = select(Member).join(User, User.id == Member.user_id)
    return session.scalars(mine.where(Member.project_id == project.id, User.name == canonical_user(user))).all()
