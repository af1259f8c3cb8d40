"""Robot accounts, as Harbor's: of one project or of the system, with listed rights and an expiry."""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy import delete as sql_delete
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from authsvc.core import audit, pages, projects
from authsvc.core.pages import Asked, Page
from authsvc.core.rights import facts, require
from authsvc.db.tables import Project, Robot, RobotRight, RobotTrust
from authsvc.domain import machine_secrets, permissions
from authsvc.domain.machine_secrets import Kind
from authsvc.domain.permissions import (
    PULL,
    PUSH,
    ROBOT_PROJECT,
    ROBOT_SYSTEM,
    Actor,
    Credential,
    Right,
    Role,
    decide,
    sight,
)
from authsvc.errors import AlreadyExists, Forbidden, Invalid, NotFound, say

CREATE, LIST = Right("robot", "create"), Right("robot", "list")
UPDATE, DELETE = Right("robot", "update"), Right("robot", "delete")
DAY = 86_400
FOREVER = -1
MAX_DAYS = 2**31 - 1

_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")


class Reach(StrEnum):
    """Where a right of a robot counts."""

    SYSTEM = "system"
    PROJECT = "project"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Permission:
    """Rights at one place: outside projects, in the project named, or in every project, future ones too."""

    reach: Reach
    rights: frozenset[Right]
    project: str = ""


@dataclass(frozen=True, kw_only=True)
class AddRobot:
    """A new robot. `project` makes it that project's; `days` is -1 for one that never expires."""

    name: str
    permissions: tuple[Permission, ...]
    days: int
    project: str = ""
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class ChangeRobot:
    """Change what is given of a robot; None leaves a thing as it is.

    `days` counts from the robot's creation, as in Harbor. `permissions` replaces all of them.
    """

    name: str
    enabled: bool | None = None
    days: int | None = None
    permissions: tuple[Permission, ...] | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """A robot and its secret, which nobody can read again."""

    robot: Robot
    secret: str


@dataclass(frozen=True, slots=True)
class Listed:
    """A robot as people want to see one. `name` is without the prefix; `trusts` are the issuers that it trusts."""

    name: str
    project: str
    enabled: bool
    expires_at: int | None
    last_used_at: int | None
    permissions: tuple[str, ...]
    trusts: tuple[str, ...] = ()
    description: str = ""
    days: int = FOREVER
    created_by: str = ""
    created_at: int = 0


def add(session: Session, actor: Actor, command: AddRobot, now: int) -> Made:
    """Add a robot.

    Raises:
        Invalid: the name, the duration or a permission is not allowed.
        NotFound: a project that it names does not exist.
        AlreadyExists: the name is taken.
        Forbidden: a robot may give another one only what it has itself.
    """
    project = projects.get_visible(session, actor, command.project) if command.project else None
    require(actor, CREATE, facts(project) if project else None)
    secret = machine_secrets.render(Kind.ROBOT, os.urandom(machine_secrets.RANDOM_BYTES))
    robot = Robot(
        name=_full_name(command.name, command.project),
        project_id=project.id if project else None,
        description=command.description[:255],
        secret_hash=machine_secrets.digest(secret),
        duration_days=_days(command.days),
        created_by=actor.name,
        created_at=now,
        expires_at=_expiry(now, command.days),
    )
    session.add(robot)
    try:
        session.flush()
    except IntegrityError as exc:
        raise AlreadyExists(say("there is a robot %(name)s already", name=robot.name)) from exc
    _set_permissions(session, actor, robot, command.permissions)
    audit.record(session, actor, "robot.add", robot.name, now, detail=_summary(command.permissions))
    return Made(robot, secret)


def get(session: Session, name: str) -> Robot:
    """The robot of that name, without the prefix.

    Raises:
        NotFound: there is none.
    """
    robot = session.scalar(select(Robot).where(Robot.name == name))
    if robot is None:
        raise NotFound(say("there is no robot %(name)s", name=name))
    return robot


def get_visible(session: Session, actor: Actor, name: str) -> Robot:
    """The robot of that name, for somebody who may know of its project.

    Raises:
        NotFound: there is none, or none that the actor may know of: nobody can tell the one from the other.
    """
    robot = get(session, name)
    project = project_of(session, robot)
    if project is not None and not sight(actor).includes(project):
        raise NotFound(say("there is no robot %(name)s", name=name))
    return robot


def list_all(session: Session, actor: Actor, project: str = "") -> Sequence[Listed]:
    """Every robot by name, or those of one project.

    Raises:
        NotFound: there is no such project.
    """
    wanted = _of(session, actor, project or None).order_by(Robot.name)
    return _listed(session, session.execute(wanted).all())


def list_page(session: Session, actor: Actor, asked: Asked, project: str | None = None) -> Page[Listed]:
    """Robots by `name`, `expires`, `used` or `created`.

    Args:
        project: those of one project; "" for those of the system; None for all.

    Raises:
        NotFound: there is no such project.
    """
    wanted = _of(session, actor, project)
    if asked.text:
        wanted = wanted.where(pages.contains(Robot.name, asked.text))
    page: Page[Any] = pages.read(session, wanted, Robot.id, asked, _SORTS, lambda row: row)
    return replace(page, rows=_listed(session, page.rows))


def get_listed(session: Session, actor: Actor, name: str) -> Listed:
    """One robot as in a list.

    Raises:
        NotFound: there is no such robot, or none that the actor may know of.
    """
    robot = get_visible(session, actor, name)
    project = project_of(session, robot)
    require(actor, LIST, project)
    wanted = _with_project().where(Robot.id == robot.id)
    return _listed(session, session.execute(wanted).all())[0]


def change(session: Session, actor: Actor, command: ChangeRobot, now: int) -> Robot:
    """Enable, disable, prolong or give other rights.

    Raises:
        NotFound: there is no such robot.
        Invalid: the duration or a permission is not allowed.
        Forbidden: it has or would have rights that the actor has not.
    """
    robot = get_visible(session, actor, command.name)
    require(actor, UPDATE, project_of(session, robot))
    if command.permissions is None:
        require_as_strong(session, actor, robot)
    if command.enabled is not None:
        robot.enabled = command.enabled
    if command.days is not None:
        robot.duration_days = _days(command.days)
        robot.expires_at = _expiry(robot.created_at, command.days)
        robot.announced_at = None
    if command.permissions is not None:
        session.execute(sql_delete(RobotRight).where(RobotRight.robot_id == robot.id))
        _set_permissions(session, actor, robot, command.permissions)
    changes = {"enabled": command.enabled, "days": command.days}
    said = [f"{name}={value}" for name, value in changes.items() if value is not None]
    if command.permissions is not None:
        said.append(_summary(command.permissions))
    audit.record(session, actor, "robot.set", robot.name, now, detail="; ".join(said))
    return robot


def refresh(session: Session, actor: Actor, name: str, now: int) -> Made:
    """Give a robot a new secret; the old one is refused at once.

    Raises:
        NotFound: there is no such robot.
        Forbidden: it has rights that the actor has not.
    """
    robot = get_visible(session, actor, name)
    require(actor, UPDATE, project_of(session, robot))
    require_as_strong(session, actor, robot)
    secret = machine_secrets.render(Kind.ROBOT, os.urandom(machine_secrets.RANDOM_BYTES))
    robot.secret_hash = machine_secrets.digest(secret)
    audit.record(session, actor, "robot.secret", robot.name, now)
    return Made(robot, secret)


def delete(session: Session, actor: Actor, name: str, now: int) -> None:
    """Delete a robot.

    Raises:
        NotFound: there is no such robot.
    """
    robot = get_visible(session, actor, name)
    require(actor, DELETE, project_of(session, robot))
    session.delete(robot)
    audit.record(session, actor, "robot.delete", robot.name, now)


def list_expiring(session: Session, actor: Actor, within_days: int, now: int) -> Sequence[Robot]:
    """Enabled robots that have expired or will within so many days, the next one first."""
    require(actor, LIST)
    soon = select(Robot).where(Robot.enabled, Robot.expires_at <= now + within_days * DAY)
    return session.scalars(soon.order_by(Robot.expires_at)).all()


def announce_expiring(session: Session, actor: Actor, within_days: int, now: int) -> list[Robot]:
    """Write one audit row for each robot that will soon expire and was not announced yet."""
    due = [robot for robot in list_expiring(session, actor, within_days, now) if robot.announced_at is None]
    for robot in due:
        robot.announced_at = now
    # All before the first of the trail: whoever holds its head must not wait for those who wait for that.
    session.flush()
    for robot in due:
        days = max(0, ((robot.expires_at or now) - now) // DAY)
        audit.record(session, actor, "robot.expiring", robot.name, now, detail=f"in {days} days")
    return due


def parse_permission(text: str) -> Permission:
    """`acme:repository:pull,push`, `*:repository:pull` or `/:catalog:read` as a permission.

    Raises:
        Invalid: it cannot be read, or a robot cannot be given it.
    """
    where, _, rest = text.partition(":")
    resource, _, actions = rest.partition(":")
    rights = frozenset(Right(resource, action) for action in actions.split(",") if action)
    if not where or not rights:
        raise Invalid(
            {
                "permission": say(
                    "%(text)s is not PLACE:RESOURCE:ACTION,ACTION with a project, * or / as PLACE", text=repr(text)
                )
            }
        )
    reach = {"/": Reach.SYSTEM, "*": Reach.ALL}.get(where, Reach.PROJECT)
    permission = Permission(reach, rights, where if reach is Reach.PROJECT else "")
    _check(permission)
    return permission


def _check(permission: Permission) -> None:
    known = ROBOT_SYSTEM if permission.reach is Reach.SYSTEM else ROBOT_PROJECT
    unknown = sorted(map(str, permission.rights - known))
    if unknown:
        raise Invalid({"permission": say("a robot cannot be given %(rights)s", rights=", ".join(unknown))})


def _set_permissions(session: Session, actor: Actor, robot: Robot, wanted: Iterable[Permission]) -> None:
    given = list(wanted)
    if not given:
        raise Invalid({"permission": say("a robot without any right is good for nothing")})
    for permission in given:
        _check(permission)
        is_one = permission.reach is Reach.PROJECT
        project = projects.get_visible(session, actor, permission.project) if is_one else None
        if robot.project_id is not None and (project is None or project.id != robot.project_id):
            raise Invalid({"permission": say("a project's robot can have rights in that project only")})
        _keep_to_own_rights(actor, permission, project)
        # A registry asks for pull and push together, so in a project's robot push brings pull, as in Harbor.
        implied = {PULL} if robot.project_id is not None and PUSH in permission.rights else set()
        session.add_all(
            RobotRight(
                robot_id=robot.id,
                reach=permission.reach,
                project_id=project.id if project else None,
                resource=right.resource,
                action=right.action,
            )
            for right in sorted(permission.rights | implied)
        )


def _keep_to_own_rights(actor: Actor, permission: Permission, project: Project | None) -> None:
    """Nobody gives a robot what they do not have themselves; a right in every project is a system administrator's."""
    for right in permission.rights:
        _require_own(actor, right, facts(project) if project else None)


def _require_own(actor: Actor, right: Right, project: permissions.Project | None) -> None:
    if project is not None:
        allowed = bool(decide(actor, right, project))
    else:
        allowed = actor.system is Role.SYSTEM_ADMIN and actor.via is not Credential.ROBOT
    if not allowed:
        raise Forbidden(say("%(name)s cannot give %(right)s, not having it", name=actor.name, right=str(right)))


def require_as_strong(session: Session, actor: Actor, robot: Robot) -> None:
    """Whoever gets a robot's secret, or says how it comes in, has its rights: so they must have them already.

    Raises:
        Forbidden: they do not.
    """
    held = select(RobotRight, Project).outerjoin(Project, Project.id == RobotRight.project_id)
    for right, project in session.execute(held.where(RobotRight.robot_id == robot.id)).all():
        _require_own(actor, Right(right.resource, right.action), facts(project) if project else None)


def project_of(session: Session, robot: Robot) -> permissions.Project | None:
    """The project that the robot is of; None for one of the system."""
    project = session.get(Project, robot.project_id) if robot.project_id is not None else None
    return facts(project) if project else None


_SHOWN: tuple[Any, ...] = (Robot, Project.name.label("project"))
_SORTS: pages.Sorts = {
    "name": (Robot.name,),
    "expires": (Robot.expires_at, Robot.name),
    "used": (Robot.last_used_at, Robot.name),
    "created": (Robot.id,),
}


def _of(session: Session, actor: Actor, project: str | None) -> Select[Any]:
    """The robots of a project, of the system where it is "", or all where it is None."""
    owner = projects.get_visible(session, actor, project) if project else None
    require(actor, LIST, facts(owner) if owner else None)
    wanted = _with_project()
    return wanted if project is None else wanted.where(Robot.project_id == (owner.id if owner else None))


def _with_project() -> Select[Any]:
    return select(*_SHOWN).outerjoin(Project, Project.id == Robot.project_id)


def _listed(session: Session, rows: Sequence[Any]) -> Sequence[Listed]:
    """Robots with their permissions and trusts, two statements for all of them."""
    ids = [row.Robot.id for row in rows]
    given, trusted = _permissions_by_robot(session, ids), _issuers_by_robot(session, ids)
    return [
        Listed(
            name=row.Robot.name,
            project=row.project or "",
            enabled=row.Robot.enabled,
            expires_at=row.Robot.expires_at,
            last_used_at=row.Robot.last_used_at,
            permissions=tuple(given.get(row.Robot.id, ())),
            trusts=tuple(sorted(trusted.get(row.Robot.id, ()))),
            description=row.Robot.description,
            days=row.Robot.duration_days,
            created_by=row.Robot.created_by,
            created_at=row.Robot.created_at,
        )
        for row in rows
    ]


def _permissions_by_robot(session: Session, robots: Sequence[int]) -> dict[int, list[str]]:
    held = select(RobotRight, Project.name.label("project")).outerjoin(Project, Project.id == RobotRight.project_id)
    found: dict[int, list[str]] = {}
    places = {Reach.SYSTEM: "/", Reach.ALL: "*"}
    for row in session.execute(held.where(RobotRight.robot_id.in_(robots)).order_by(RobotRight.id)):
        right = row.RobotRight
        place = row.project or places.get(Reach(right.reach), "")
        found.setdefault(right.robot_id, []).append(f"{place}:{right.resource}:{right.action}")
    return found


def _issuers_by_robot(session: Session, robots: Sequence[int]) -> dict[int, set[str]]:
    found: dict[int, set[str]] = {}
    trusted = select(RobotTrust.robot_id, RobotTrust.issuer).where(RobotTrust.robot_id.in_(robots))
    for robot_id, issuer in session.execute(trusted):
        found.setdefault(robot_id, set()).add(issuer)
    return found


def _full_name(name: str, project: str) -> str:
    if not _NAME.fullmatch(name) or len(name) > 100:
        raise Invalid({"name": say("a robot's name is a-z 0-9 with single . _ - between them")})
    return f"{project}+{name}" if project else name


def _days(days: int) -> int:
    if days != FOREVER and not 0 < days <= MAX_DAYS:
        raise Invalid({"days": say("a number of days, or -1 for ever")})
    return days


def _expiry(start: int, days: int) -> int | None:
    return None if days == FOREVER else start + days * DAY


def _summary(given: Iterable[Permission]) -> str:
    places = {Reach.SYSTEM: "/", Reach.ALL: "*"}
    return " ".join(f"{places.get(one.reach, one.project)}:{right}" for one in given for right in sorted(one.rights))
