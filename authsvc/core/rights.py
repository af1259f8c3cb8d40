"""Rights at work: who an actor is according to the database, and `require` for every use case."""

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from authsvc.db import tables
from authsvc.domain.permissions import (
    MEMBER_ROLES,
    PROJECT,
    Actor,
    Credential,
    Grant,
    Project,
    Right,
    Role,
    decide,
)
from authsvc.errors import Forbidden, NotFound, say


def require(actor: Actor, right: Right, project: Project | None = None) -> None:
    """Let the use case go on, or stop it.

    Raises:
        Forbidden: no row of the rights table allows it.
    """
    if not decide(actor, right, project):
        who, what = actor.name or "anonymous", {"action": right.action, "resource": right.resource}
        if project is None:
            raise Forbidden(say("%(name)s may not %(action)s %(resource)s", name=who, **what))
        raise Forbidden(
            say(
                "%(name)s may not %(action)s %(resource)s in project %(project)s",
                name=who,
                project=project.name,
                **what,
            )
        )


def console(name: str) -> Actor:
    """Whoever runs the command line on this machine: a system administrator."""
    return Actor(name=name, via=Credential.CONSOLE, system=Role.SYSTEM_ADMIN, source="console")


def system(part: str) -> Actor:
    """authsvc itself, acting on its own."""
    return Actor(name=part, via=Credential.SYSTEM, system=Role.SYSTEM_ADMIN, source="system")


def facts(project: tables.Project) -> Project:
    """What the rights table needs to know of a project."""
    return Project(project.name, project.public)


def find_project(session: Session, name: str) -> Project | None:
    """What the rights table needs to know of a project, by its name."""
    found = session.scalar(select(tables.Project).where(tables.Project.name == name))
    return facts(found) if found else None


def get_user_actor(session: Session, name: str, via: Credential, now: int) -> Actor:
    """A person with everything they were given in projects.

    Raises:
        NotFound: there is no such user.
    """
    user = session.scalar(select(tables.User).where(tables.User.name == name))
    if user is None:
        raise NotFound(say("there is no user %(name)s", name=name))
    member = tables.Member
    held = (
        select(tables.Project.name, member.role, member.pattern, member.ends_at, tables.Group.name.label("group"))
        .join(member, member.project_id == tables.Project.id)
        .outerjoin(tables.Group, tables.Group.id == member.group_id)
        .where(or_(member.ends_at.is_(None), member.ends_at > now))
    )
    mine = held.where(member.user_id == user.id)
    belongs = tables.GroupUser.group_id == member.group_id
    of_groups = held.join(tables.GroupUser, belongs).where(tables.GroupUser.user_id == user.id)
    # Two statements: in place of one with OR, MariaDB goes through the members of every project.
    rows = [*session.execute(mine), *session.execute(of_groups)]
    given = {role: rights_of(session, role) for role in {row.role for row in rows}}
    grants = [Grant(row.role, given[row.role], row.name, row.pattern, row.ends_at, row.group or "") for row in rows]
    role = Role.SYSTEM_ADMIN if user.admin or user.admin_by_source else Role.USER
    return Actor(name, via, role, tuple(grants))


def get_robot_actor(session: Session, robot: tables.Robot, name: str) -> Actor:
    """A robot with everything it was given.

    Args:
        name: with the prefix.
    """
    given: dict[str | None, set[Right]] = {}
    outside: set[Right] = set()
    held = select(tables.RobotRight, tables.Project.name.label("project"))
    held = held.outerjoin(tables.Project, tables.Project.id == tables.RobotRight.project_id)
    for row, project in session.execute(held.where(tables.RobotRight.robot_id == robot.id)):
        rights = outside if row.reach == "system" else given.setdefault(project, set())
        rights.add(Right(row.resource, row.action))
    grants = [Grant("robot", frozenset(rights), project) for project, rights in given.items()]
    return Actor(name, Credential.ROBOT, Role.EVERYONE, tuple(grants), frozenset(outside))


def rights_of(session: Session, role: str) -> frozenset[Right]:
    """What a role gives to a member: a built-in one, or a custom one's rows."""
    if role in MEMBER_ROLES:
        return PROJECT[Role(role)]
    rows = (
        select(tables.RoleRight.resource, tables.RoleRight.action)
        .join(tables.CustomRole, tables.CustomRole.id == tables.RoleRight.role_id)
        .where(tables.CustomRole.name == role)
    )
    return frozenset(Right(row.resource, row.action) for row in session.execute(rows))
