"""Issuers that robots trust: a job logs in with the identity token of such an issuer in place of the robot's secret.

Who may change a robot may enter issuers that everybody knows or that an administrator entered before. Any other is a
system administrator's to enter, because this service asks its server for keys.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from authsvc.core import audit, robots
from authsvc.core.rights import require
from authsvc.db.tables import Robot, RobotTrust
from authsvc.domain import trusts
from authsvc.domain.permissions import Actor, decide
from authsvc.domain.trusts import Rule, Trust
from authsvc.errors import AlreadyExists, Forbidden, Invalid, NotFound, say
from authsvc.settings import Settings

MAX_TRUSTS = 10


@dataclass(frozen=True, kw_only=True)
class AddTrust:
    """A new trust of a robot. `jwks_url` is "" where the issuer's discovery document says where its keys are.

    Args:
        robot: its name without the prefix.
        whole_issuer: whether everybody is meant to whom the issuer gives tokens for this audience.
    """

    robot: str
    issuer: str
    audience: str
    rules: tuple[Rule, ...] = ()
    jwks_url: str = ""
    whole_issuer: bool = False


@dataclass(frozen=True, slots=True)
class Listed:
    """A trust and its robot's name, without the prefix."""

    robot: str
    trust: Trust


def add(session: Session, actor: Actor, command: AddTrust, settings: Settings, now: int) -> Trust:
    """Let a robot take an issuer's identity tokens.

    Raises:
        NotFound: there is no such robot.
        Invalid: the issuer, the audience or a rule is not allowed, or there are too many.
        AlreadyExists: the robot has this trust.
        Forbidden: the robot has rights that the actor has not, or the issuer is one that nobody entered before.
    """
    robot = robots.get_visible(session, actor, command.robot)
    require(actor, robots.UPDATE, robots.project_of(session, robot))
    robots.require_as_strong(session, actor, robot)
    wanted = _parsed(command, settings)
    if not _is_known(session, wanted) and not decide(actor, robots.UPDATE):
        raise Forbidden(say("an issuer that no robot trusts yet is a system administrator's to enter"))
    present = _of_robot(session, robot.id)
    if (wanted.issuer, wanted.audience, wanted.jwks_url, wanted.rules) in present:
        raise AlreadyExists(say("%(name)s has this trust already", name=robot.name))
    if len(present) >= MAX_TRUSTS:
        raise Invalid({"trust": say("a robot has at most %(max_trusts)s", max_trusts=MAX_TRUSTS)})
    row = RobotTrust(
        robot_id=robot.id,
        issuer=wanted.issuer,
        audience=wanted.audience,
        jwks_url=wanted.jwks_url,
        rules=trusts.dump(wanted.rules),
        created_by=actor.name,
        created_at=now,
    )
    session.add(row)
    session.flush()
    audit.record(session, actor, "robot.trust.add", robot.name, now, detail=str(wanted))
    return trust_of(row)


def list_all(session: Session, actor: Actor, robot: str = "") -> Sequence[Listed]:
    """Every trust by the name of its robot, or those of one robot.

    Raises:
        NotFound: there is no such robot.
    """
    found = robots.get_visible(session, actor, robot) if robot else None
    require(actor, robots.LIST, robots.project_of(session, found) if found else None)
    wanted = select(Robot.name, RobotTrust).join(RobotTrust, RobotTrust.robot_id == Robot.id)
    if found is not None:
        wanted = wanted.where(Robot.id == found.id)
    rows = session.execute(wanted.order_by(Robot.name, RobotTrust.id))
    return [Listed(row.name, trust_of(row.RobotTrust)) for row in rows]


def remove(session: Session, actor: Actor, robot: str, trust_id: int, now: int) -> None:
    """Take a trust away; tokens that came in by it are refused at once.

    Raises:
        NotFound: there is no such robot, or it has no such trust.
    """
    found = robots.get_visible(session, actor, robot)
    require(actor, robots.UPDATE, robots.project_of(session, found))
    row = session.scalar(select(RobotTrust).where(RobotTrust.id == trust_id, RobotTrust.robot_id == found.id))
    if row is None:
        raise NotFound(say("%(robot)s has no trust %(trust_id)s", robot=robot, trust_id=trust_id))
    session.delete(row)
    audit.record(session, actor, "robot.trust.remove", robot, now, detail=str(trust_of(row)))


def trust_of(row: RobotTrust) -> Trust:
    """A row as decisions need it."""
    return Trust(row.id, row.issuer, row.audience, row.jwks_url, trusts.load(row.rules))


def _parsed(command: AddTrust, settings: Settings) -> Trust:
    allow_http = settings.federation.allow_http
    issuer = trusts.parse_url(command.issuer, "issuer", allow_http=allow_http)
    keys = trusts.parse_url(command.jwks_url, "jwks_url", allow_http=allow_http) if command.jwks_url else ""
    if issuer == settings.token.issuer:
        raise Invalid({"issuer": say("this service's own tokens prove nothing to it")})
    wanted = Trust(0, issuer, command.audience, keys, command.rules)
    trusts.check(wanted, whole_issuer=command.whole_issuer)
    return wanted


def _is_known(session: Session, wanted: Trust) -> bool:
    """Whether this service asks, or may ask, that server for keys anyway."""
    if wanted.issuer in trusts.SHARED and not wanted.jwks_url:
        return True
    same = (RobotTrust.issuer == wanted.issuer, RobotTrust.jwks_url == wanted.jwks_url)
    return bool(session.scalar(select(func.count()).select_from(RobotTrust).where(*same)))


def _of_robot(session: Session, robot_id: int) -> Sequence[tuple[str, str, str, tuple[Rule, ...]]]:
    rows = session.scalars(select(RobotTrust).where(RobotTrust.robot_id == robot_id))
    return [(row.issuer, row.audience, row.jwks_url, trusts.load(row.rules)) for row in rows]
