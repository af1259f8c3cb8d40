"""Rights at work: who an actor is according to the database, `require` for every use case, and `explain`."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from authsvc.db import tables
from authsvc.domain import names
from authsvc.domain.permissions import (
    DOCKER,
    MEMBER_ROLES,
    PROJECT,
    Actor,
    Because,
    Credential,
    Decision,
    Grant,
    Project,
    Right,
    Role,
    decide,
)
from authsvc.errors import Forbidden, Invalid, NotFound

EXPLAIN = Right("permission", "read")


def require(actor: Actor, right: Right, project: Project | None = None) -> None:
    """Let the use case go on, or stop it.

    Raises:
        Forbidden: no row of the rights table allows it.
    """
    if not decide(actor, right, project):
        where = f" in project {project.name}" if project else ""
        raise Forbidden(f"{actor.name or 'anonymous'} may not {right.action} {right.resource}{where}")


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
        raise NotFound(f"there is no user {name}")
    mine = select(tables.GroupUser.group_id).where(tables.GroupUser.user_id == user.id)
    member = tables.Member
    held = (
        select(tables.Project.name, member.role, member.pattern, member.ends_at, tables.Group.name.label("group"))
        .join(member, member.project_id == tables.Project.id)
        .outerjoin(tables.Group, tables.Group.id == member.group_id)
        .where(or_(member.user_id == user.id, member.group_id.in_(mine)))
        .where(or_(member.ends_at.is_(None), member.ends_at > now))
    )
    rows = session.execute(held).all()
    given = {role: rights_of(session, role) for role in {row.role for row in rows}}
    grants = [Grant(row.role, given[row.role], row.name, row.pattern, row.ends_at, row.group or "") for row in rows]
    role = Role.SYSTEM_ADMIN if user.admin or user.admin_by_source else Role.USER
    return Actor(name, via, role, tuple(grants))


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


@dataclass(frozen=True, slots=True)
class Question:
    """May `user` (a name, or `anonymous`) do `action` (`pull`, `push` or `delete`) in `repository`?"""

    user: str
    action: str
    repository: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """An answer, the row it came from, and a sentence that says so."""

    user: str
    action: str
    repository: str
    project: str
    allowed: bool
    row: str
    reason: str


def explain(session: Session, actor: Actor, question: Question, root_project: str, now: int) -> Explanation:
    """Answer a question with the row that decides.

    Raises:
        NotFound: there is no such user.
        Invalid: there is no such action, or no such repository can exist.
    """
    require(actor, EXPLAIN)
    if question.action not in DOCKER:
        raise Invalid({"action": f"one of {', '.join(DOCKER)}"})
    if not names.is_repository(question.repository):
        raise Invalid({"repository": f"{question.repository} is not a repository name"})
    subject = _subject(session, question.user, now)
    project = names.project_of(question.repository, root_project)
    decision = _decide(subject, DOCKER[question.action], find_project(session, project), question.repository)
    reason = _sentence(subject, decision, project)
    enabled = session.scalar(select(tables.User.enabled).where(tables.User.name == subject.name))
    if enabled is False:
        reason = f"{subject.name} is disabled, so every login is refused; without that: {reason}"
    return Explanation(
        user=question.user,
        action=question.action,
        repository=question.repository,
        project=project,
        allowed=decision.allowed and enabled is not False,
        row=f"{decision.grant.role} × {decision.right}" if decision.grant else "none",
        reason=reason,
    )


def _decide(actor: Actor, right: Right, project: Project | None, repository: str) -> Decision:
    if project is None:
        return Decision(False, Because.NO_SUCH_PROJECT, right)
    return decide(actor, right, project, repository)


def _subject(session: Session, user: str, now: int) -> Actor:
    if user == "anonymous":
        return Actor("", Credential.ANONYMOUS, Role.EVERYONE)
    return get_user_actor(session, names.canonical_user(user), Credential.PASSWORD, now)


def _sentence(actor: Actor, decision: Decision, project: str) -> str:
    who = actor.name or "anybody"
    match decision:
        case Decision(because=Because.SYSTEM_ROLE):
            return f"{who} is a system administrator, and that role has {decision.right}"
        case Decision(because=Because.GRANT, grant=Grant() as grant):
            return f"{who} is {_described(grant)} of project {project}, and that role has {decision.right}"
        case Decision(because=Because.PUBLIC_PROJECT):
            return f"project {project} is public, and its visitors have {decision.right}"
        case Decision(because=Because.NO_SUCH_PROJECT):
            return f"there is no project {project}, and a push does not make one"
        case Decision(because=Because.CREDENTIAL):
            return f"{who} has {decision.right}, but not with this kind of credential ({actor.via})"
    held = [_described(grant) for grant in actor.grants if grant.project == project]
    if held:
        return f"{who} is {' and '.join(held)} of project {project}, which does not give {decision.right} there"
    return f"{who} is not a member of project {project}, and no other role gives {decision.right}"


def _described(grant: Grant) -> str:
    """A role with what it is limited to, and the group that has it."""
    until = datetime.fromtimestamp(grant.ends_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if grant.ends_at else ""
    limits = [f"for {grant.pattern}" if grant.pattern else "", f"until {until}" if until else ""]
    limits += [f"through group {grant.group}"] if grant.group else []
    return " ".join(filter(None, [grant.role, *limits]))
