"""Why somebody may do something in a repository or may not, and who may: answers, with the rows that decide.

System administrators may ask about everything, a project's administrators about the repositories in it. Of what they
could not look up otherwise they are told no names: neither other people's access tokens nor who the administrators are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from authsvc.core import pages, robots, standing, users
from authsvc.core.pages import Asked, Page
from authsvc.core.rights import find_project, get_robot_actor, get_user_actor, require
from authsvc.db.tables import AccessToken, CustomRole, Group, GroupUser, Member, Robot, RobotRight, RoleRight, User
from authsvc.db.tables import Project as ProjectRow
from authsvc.domain import names, patterns
from authsvc.domain.permissions import (
    ANONYMOUS,
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
from authsvc.errors import Invalid, say
from authsvc.settings import Settings

ASK = Right("permission", "read")
OF_OTHERS = Right("user", "update")


@dataclass(frozen=True, slots=True)
class Site:
    """What names mean here: to which project those without a slash belong, and how robots' begin."""

    root_project: str
    robot_prefix: str

    @classmethod
    def of(cls, settings: Settings) -> "Site":
        """As the settings have it."""
        return cls(settings.root_project, settings.robot_prefix)


@dataclass(frozen=True, slots=True)
class Question:
    """May `user` (a name, a robot's with its prefix, or `anonymous`) do `action` (`pull`, `push`, `delete`) there?"""

    user: str
    action: str
    repository: str


@dataclass(frozen=True, slots=True)
class OfToken:
    """Whether one access token lets its owner, and a sentence that says why."""

    name: str
    allowed: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """An answer, the row it came from, a sentence that says so, and what it is with each access token."""

    user: str
    action: str
    repository: str
    project: str
    allowed: bool
    row: str
    reason: str
    tokens: tuple[OfToken, ...] = ()


class Kind(StrEnum):
    """Who holds a right."""

    PUBLIC = "public"
    """Anybody, because the project is public."""
    ADMINISTRATORS = "administrators"
    """All system administrators, where they are not named."""
    ADMINISTRATOR = "administrator"
    GROUP = "group"
    USER = "user"
    ROBOT = "robot"


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody who may, and the row that says so.

    Args:
        name: "" for those who are not one; a robot's without its prefix.
        people: how many belong to a group, as last seen.
    """

    kind: Kind
    name: str
    role: str
    pattern: str = ""
    ends_at: int | None = None
    people: int | None = None


@dataclass(frozen=True, slots=True)
class _Subject:
    """Whom a question is about, and why they are not let in at all, if so."""

    actor: Actor
    barred: str = ""
    user_id: int | None = None


def explain(session: Session, actor: Actor, question: Question, site: Site, now: int) -> Explanation:
    """Answer a question with the row that decides.

    Raises:
        Forbidden: the actor may ask about everything as little as about that project.
        NotFound: there is no such user or robot.
        Invalid: there is no such action, or no such repository can exist.
    """
    right, name, project = _asked(session, actor, question.action, question.repository, site)
    subject = _subject(session, actor, question.user, site, now)
    decision = _decide(subject.actor, right, project, question.repository)
    reason = _sentence(subject.actor, decision, name)
    if subject.barred:
        reason = say(
            "%(barred)s, so every login is refused; without that: %(reason)s", barred=subject.barred, reason=reason
        )
    return Explanation(
        user=question.user,
        action=question.action,
        repository=question.repository,
        project=name,
        allowed=decision.allowed and not subject.barred,
        row=f"{decision.grant.role} × {decision.right}" if decision.grant else "none",
        reason=reason,
        tokens=tuple(_of_tokens(session, actor, subject, right, project, question.repository, now)),
    )


def who_may(
    session: Session, actor: Actor, action: str, repository: str, site: Site, asked: Asked, now: int
) -> Page[Holder]:
    """Everybody who may do something in a repository, the many first; groups stand for those who belong to them.

    Raises:
        Forbidden: the actor may ask about everything as little as about that project.
        Invalid: there is no such action, or no such repository can exist.
    """
    right, _, project = _asked(session, actor, action, repository, site)
    if project is None:
        return pages.cut((), asked)
    found = [Holder(Kind.PUBLIC, "", Role.VISITOR)] if project.public and right in PROJECT[Role.VISITOR] else []
    found += [*_administrators(session, actor), *_members(session, right, project, repository, now)]
    found += _robots(session, right, project, now)
    text = asked.text.casefold()
    return pages.cut([holder for holder in found if text in holder.name.casefold()], asked)


def _asked(
    session: Session, actor: Actor, action: str, repository: str, site: Site
) -> tuple[Right, str, Project | None]:
    """What is asked about: a right, the project's name, and the project if there is one."""
    name = names.project_of(repository, site.root_project)
    project = find_project(session, name)
    if project is None or not decide(actor, ASK, project):
        require(actor, ASK)
    if action not in DOCKER:
        raise Invalid({"action": say("one of %(actions)s", actions=", ".join(DOCKER))})
    if not names.is_repository(repository):
        raise Invalid({"repository": say("%(name)s is not a repository name", name=repository[:255])})
    return DOCKER[action], name, project


def _decide(actor: Actor, right: Right, project: Project | None, repository: str) -> Decision:
    if project is None:
        return Decision(False, Because.NO_SUCH_PROJECT, right)
    return decide(actor, right, project, repository)


def _subject(session: Session, actor: Actor, user: str, site: Site, now: int) -> _Subject:
    if user == "anonymous":
        return _Subject(ANONYMOUS)
    if user.startswith(site.robot_prefix):
        robot = robots.get_visible(session, actor, user.removeprefix(site.robot_prefix))
        return _Subject(get_robot_actor(session, robot, user), _barred_robot(robot, user, now))
    found = users.get(session, user)
    barred = "" if found.enabled else say("%(name)s is disabled", name=found.name)
    return _Subject(get_user_actor(session, found.name, Credential.PASSWORD, now), barred, found.id)


def _barred_robot(robot: Robot, name: str, now: int) -> str:
    if not robot.enabled:
        return say("%(name)s is disabled", name=name)
    is_over = robot.expires_at is not None and robot.expires_at <= now
    return say("%(name)s has expired", name=name) if is_over else ""


def _of_tokens(
    session: Session,
    actor: Actor,
    subject: _Subject,
    right: Right,
    project: Project | None,
    repository: str,
    now: int,
) -> Sequence[OfToken]:
    """What it is with each access token that has not expired, for its owner and those who manage people."""
    if subject.user_id is None or not (subject.actor.name == actor.name or decide(actor, OF_OTHERS)):
        return []
    theirs = select(AccessToken).where(AccessToken.user_id == subject.user_id).order_by(AccessToken.name)
    lasting = theirs.where(or_(AccessToken.expires_at.is_(None), AccessToken.expires_at > now))
    found = []
    for token in session.scalars(lasting):
        limit = standing.limit_of(token.actions, token.patterns)
        limited = replace(subject.actor, via=Credential.ACCESS_TOKEN, limit=limit)
        decision = _decide(limited, right, project, repository)
        reason = _sentence(limited, decision, project.name if project else "")
        found.append(OfToken(token.name, decision.allowed and not subject.barred, reason))
    return found


def _administrators(session: Session, actor: Actor) -> list[Holder]:
    if not decide(actor, users.LIST):
        return [Holder(Kind.ADMINISTRATORS, "", Role.SYSTEM_ADMIN)]
    found = select(User.name).where(users.is_admin(), User.enabled).order_by(User.name)
    return [Holder(Kind.ADMINISTRATOR, name, Role.SYSTEM_ADMIN) for name in session.scalars(found)]


def _members(session: Session, right: Right, project: Project, repository: str, now: int) -> list[Holder]:
    belonging = select(func.count()).where(GroupUser.group_id == Member.group_id).correlate(Member).scalar_subquery()
    held = (
        select(
            User.name, Group.name.label("group"), Member.role, Member.pattern, Member.ends_at, belonging.label("people")
        )
        .select_from(Member)
        .join(ProjectRow, ProjectRow.id == Member.project_id)
        .outerjoin(User, User.id == Member.user_id)
        .outerjoin(Group, Group.id == Member.group_id)
        .where(ProjectRow.name == project.name, Member.role.in_(_roles_with(session, right)))
        .where(or_(Member.ends_at.is_(None), Member.ends_at > now), or_(Member.group_id.is_not(None), User.enabled))
        .order_by(Group.name.is_(None), Group.name, User.name, Member.pattern)
    )
    return [
        Holder(Kind.GROUP, row.group, row.role, row.pattern, row.ends_at, row.people)
        if row.group is not None
        else Holder(Kind.USER, row.name, row.role, row.pattern, row.ends_at)
        for row in session.execute(held)
        if patterns.matches(row.pattern, repository)
    ]


def _roles_with(session: Session, right: Right) -> list[str]:
    """The roles of members that give a right."""
    custom = select(CustomRole.name).join(RoleRight, RoleRight.role_id == CustomRole.id)
    fitting = custom.where(RoleRight.resource == right.resource, RoleRight.action == right.action)
    return [*(role.value for role in MEMBER_ROLES if right in PROJECT[role]), *session.scalars(fitting)]


def _robots(session: Session, right: Right, project: Project, now: int) -> list[Holder]:
    held = (
        select(Robot.name, Robot.expires_at)
        .join(RobotRight, RobotRight.robot_id == Robot.id)
        .outerjoin(ProjectRow, ProjectRow.id == RobotRight.project_id)
        .where(RobotRight.resource == right.resource, RobotRight.action == right.action)
        .where(or_(RobotRight.reach == robots.Reach.ALL, ProjectRow.name == project.name))
        .where(Robot.enabled, or_(Robot.expires_at.is_(None), Robot.expires_at > now))
        .distinct()
        .order_by(Robot.name)
    )
    return [Holder(Kind.ROBOT, row.name, "robot", "", row.expires_at) for row in session.execute(held)]


def _sentence(actor: Actor, decision: Decision, project: str) -> str:
    facts = {"who": actor.name or say("anybody"), "right": str(decision.right), "project": project}
    match decision:
        case Decision(because=Because.SYSTEM_ROLE):
            return say("%(who)s is a system administrator, and that role has %(right)s", **facts)
        case Decision(because=Because.GRANT, grant=Grant(role="robot")):
            return say("%(who)s was given %(right)s in project %(project)s", **facts)
        case Decision(because=Because.GRANT, grant=Grant() as grant):
            facts["role"] = _described(grant)
            return say("%(who)s is %(role)s of project %(project)s, and that role has %(right)s", **facts)
        case Decision(because=Because.PUBLIC_PROJECT):
            return say("project %(project)s is public, and its visitors have %(right)s", **facts)
        case Decision(because=Because.NO_SUCH_PROJECT):
            return say("there is no project %(project)s, and a push does not make one", **facts)
    return _refusal(actor, decision, facts)


def _refusal(actor: Actor, decision: Decision, facts: dict[str, str]) -> str:
    if decision.because is Because.CREDENTIAL:
        facts["via"] = actor.via.value
        return say("%(who)s has %(right)s, but not with this kind of credential (%(via)s)", **facts)
    if decision.because is Because.LIMIT:
        facts["limit"] = _limits(actor)
        return say("%(who)s has %(right)s, but this token is limited to %(limit)s", **facts)
    if actor.via is Credential.ROBOT:
        return say("%(who)s was not given %(right)s in project %(project)s", **facts)
    held = [_described(grant) for grant in actor.grants if grant.project == facts["project"]]
    if held:
        facts["roles"] = _all(held)
        return say("%(who)s is %(roles)s of project %(project)s, which does not give %(right)s there", **facts)
    return say("%(who)s is not a member of project %(project)s, and no other role gives %(right)s", **facts)


def _all(words: Sequence[str]) -> str:
    first, *others = words
    return say("%(some)s and %(one)s", some=first, one=_all(others)) if others else first


def _limits(actor: Actor) -> str:
    """What an access token may do, and where."""
    if actor.limit is None:
        return ""
    may = ", ".join(sorted(action for action, right in DOCKER.items() if right in actor.limit.rights))
    where = ", ".join(actor.limit.patterns)
    return say("%(limited)s for %(pattern)s", limited=may, pattern=where) if where else may


def _described(grant: Grant) -> str:
    """A role with what it is limited to, and the group that has it."""
    said: str = grant.role
    if grant.pattern:
        said = say("%(limited)s for %(pattern)s", limited=said, pattern=grant.pattern)
    if grant.ends_at:
        until = datetime.fromtimestamp(grant.ends_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        said = say("%(limited)s until %(time)s", limited=said, time=until)
    return say("%(limited)s through group %(group)s", limited=said, group=grant.group) if grant.group else said
