"""What the database says about whoever asks for a token, in one statement for each kind of credential.

Each returns one row at least: the counter of changes, the newest signing key, the account if there is one, and for
each project that was asked for what the account was given there.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Engine,
    FromClause,
    Select,
    and_,
    bindparam,
    case,
    func,
    literal,
    null,
    or_,
    select,
    true,
)

from authsvc.db.engine import fetch
from authsvc.db.tables import (
    AccessToken,
    AuditHead,
    CustomRole,
    GroupUser,
    Member,
    Project,
    RefreshToken,
    Robot,
    RobotRight,
    RobotTrust,
    RoleRight,
    SigningKey,
    User,
)
from authsvc.domain import permissions, trusts
from authsvc.domain.permissions import MEMBER_ROLES, PROJECT, TOKEN_ACTIONS, Grant, Limit, Right, Role
from authsvc.domain.trusts import Trust

# What stands in place of a role where a robot's right is outside projects; no custom role can have this name.
_OUTSIDE = "/"


class Way(Enum):
    """What a standing is found by."""

    USER = "name"
    ACCESS_TOKEN = "access token"
    REFRESH_TOKEN = "refresh token"
    ROBOT = "robot"
    ROBOT_TRUSTS = "robot with its trusts"


class Key(NamedTuple):
    """A question: who, and in which projects."""

    way: Way
    name: str
    digest: str
    projects: frozenset[str]


@dataclass(frozen=True, slots=True)
class Account:
    """A person or a robot as the database has them.

    Args:
        name: canonical; a robot's without its prefix.
        source: where a person's password is checked; `robot` for robots.
        version: of the password.
    """

    name: str
    source: str
    version: int
    enabled: bool
    admin: bool = False


@dataclass(frozen=True, slots=True)
class Machine:
    """An access token, a refresh token or a robot's secret: which row it is, and until when it is good."""

    id: int
    expires_at: int | None
    revoked: bool = False
    family: str = ""
    service: str = ""
    version: int = 0

    def is_over(self, now: int) -> bool:
        """Whether its time has come."""
        return self.expires_at is not None and self.expires_at <= now


@dataclass(frozen=True, slots=True)
class Standing:
    """Everything that a decision needs. `key` is the id of the signing key, None when there is none.

    `trusts` are a robot's, where they were asked for.
    """

    key: int | None
    account: Account | None
    machine: Machine | None
    projects: Mapping[str, permissions.Project]
    grants: tuple[Grant, ...]
    system_rights: frozenset[Right]
    limit: Limit | None
    trusts: tuple[Trust, ...] = ()

    def at(self, now: int) -> "Standing":
        """Without the grants that have ended."""
        if all(grant.ends_at is None for grant in self.grants):
            return self
        return replace(self, grants=tuple(grant for grant in self.grants if not grant.is_over(now)))


def read(engine: Engine, key: Key) -> tuple[Standing, int]:
    """What the database says, and how many changes there had been by then.

    Raises:
        Unavailable: the database does not answer.
    """
    values = {"name": key.name, "digest": key.digest, "projects": sorted(key.projects)}
    rows = fetch(engine, _STATEMENTS[key.way], values)
    found = _standing(rows)
    return (replace(found, trusts=_trusts(rows)) if key.way is Way.ROBOT_TRUSTS else found), rows[0].changes


def _standing(rows: Sequence[Any]) -> Standing:
    first = rows[0]
    placed = [row for row in rows if row.project is not None]
    return Standing(
        key=first.key,
        account=_account(first) if first.account is not None else None,
        machine=_machine(first) if first.machine is not None else None,
        projects={row.project: permissions.Project(row.project, row.public) for row in placed},
        grants=_grants(placed),
        system_rights=frozenset(Right(row.resource, row.action) for row in rows if row.role == _OUTSIDE),
        limit=limit_of(first.actions, first.patterns) if first.actions is not None else None,
    )


def _account(row: Any) -> Account:  # noqa: ANN401 - a row has no type of its own
    return Account(row.account, row.source, row.version, bool(row.enabled), bool(row.admin))


def _machine(row: Any) -> Machine:  # noqa: ANN401
    revoked = row.revoked_at is not None
    return Machine(row.machine, row.expires_at, revoked, row.family or "", row.service or "", row.proved_version or 0)


def _grants(rows: Collection[Any]) -> tuple[Grant, ...]:
    """One grant for each role, pattern and project: a custom role comes as one row for each of its rights."""
    found: dict[tuple[str, str, str, int | None], set[Right]] = {}
    for row in rows:
        if row.role is not None and row.role != _OUTSIDE:
            rights = found.setdefault((row.project, row.role, row.pattern or "", row.ends_at), set())
            if row.resource is not None:
                rights.add(Right(row.resource, row.action))
    return tuple(
        Grant(role, rights_of(role, rights), project, pattern, ends_at)
        for (project, role, pattern, ends_at), rights in found.items()
    )


def _trusts(rows: Collection[Any]) -> tuple[Trust, ...]:
    """Each once: every one comes with every right."""
    found = {row.trust: row for row in rows if row.trust is not None}
    return tuple(
        Trust(row.trust, row.issuer, row.audience, row.jwks_url, trusts.load(row.rules))
        for _, row in sorted(found.items())
    )


def rights_of(role: str, custom: Collection[Right]) -> frozenset[Right]:
    """What a role gives: a built-in one what the table says, another what its rows say."""
    return PROJECT[Role(role)] if role in MEMBER_ROLES else frozenset(custom)


def limit_of(actions: str, patterns: str) -> Limit:
    """What an access token narrows its owner's rights to, as its row says it."""
    return Limit(frozenset(TOKEN_ACTIONS[action] for action in actions.split()), tuple(patterns.split()))


def _of_people(account: FromClause, **machine: Any) -> Select[Any]:  # noqa: ANN401
    """The statement for whoever `account` (one row, perhaps with a token) finds."""
    return (
        select(
            _changes(),
            _newest_key(),
            User.name.label("account"),
            User.source,
            User.password_version.label("version"),
            User.enabled,
            or_(User.admin, User.admin_by_source).label("admin"),
            *_columns(machine),
            *_PROJECT,
            Member.role,
            Member.pattern,
            Member.ends_at,
            RoleRight.resource,
            RoleRight.action,
        )
        .select_from(account)
        .outerjoin(Project, _asked())
        .outerjoin(Member, and_(Member.project_id == Project.id, or_(Member.user_id == User.id, _of_their_groups())))
        .outerjoin(CustomRole, CustomRole.name == Member.role)
        .outerjoin(RoleRight, RoleRight.role_id == CustomRole.id)
    )


def _of_robots(mine: ColumnElement[bool]) -> Select[Any]:
    here = and_(
        RobotRight.robot_id == Robot.id,
        or_(RobotRight.reach.in_(["system", "all"]), RobotRight.project_id == Project.id),
    )
    return (
        select(
            _changes(),
            _newest_key(),
            Robot.name.label("account"),
            literal("robot").label("source"),
            literal(0).label("version"),
            Robot.enabled,
            literal(False).label("admin"),
            *_columns({"machine": Robot.id, "expires_at": Robot.expires_at}),
            *_PROJECT,
            case((RobotRight.reach == "system", _OUTSIDE), (RobotRight.id.is_not(None), "robot")).label("role"),
            null().label("pattern"),
            null().label("ends_at"),
            RobotRight.resource,
            RobotRight.action,
        )
        .select_from(_one())
        .outerjoin(Robot, mine)
        .outerjoin(Project, _asked())
        .outerjoin(RobotRight, here)
    )


def _of_their_groups() -> Any:  # noqa: ANN401
    return Member.group_id.in_(select(GroupUser.group_id).where(GroupUser.user_id == User.id))


def _with_trusts(robots: Select[Any]) -> Select[Any]:
    columns = (RobotTrust.issuer, RobotTrust.audience, RobotTrust.jwks_url, RobotTrust.rules)
    wanted = robots.add_columns(RobotTrust.id.label("trust"), *columns)
    return wanted.outerjoin(RobotTrust, RobotTrust.robot_id == Robot.id)


_MACHINE = ("machine", "expires_at", "revoked_at", "family", "service", "proved_version", "actions", "patterns")
_ROBOT_NAME = Robot.name == bindparam("name")
_PROJECT = (Project.name.label("project"), Project.public)


def _columns(given: Mapping[str, Any]) -> list[Any]:
    """Every column of a machine credential, empty where this kind has none."""
    return [given[name].label(name) if name in given else null().label(name) for name in _MACHINE]


def _changes() -> Any:  # noqa: ANN401
    return select(AuditHead.changes).scalar_subquery().label("changes")


def _newest_key() -> Any:  # noqa: ANN401
    return select(func.max(SigningKey.id)).scalar_subquery().label("key")


def _one() -> FromClause:
    """One row, so that the outer joins below it return one even when nothing is found."""
    return select(literal(1).label("one")).subquery()


def _asked() -> Any:  # noqa: ANN401
    return and_(true(), Project.name.in_(bindparam("projects", expanding=True)))


def _with_token(token: type[AccessToken | RefreshToken]) -> FromClause:
    by_digest = _one().outerjoin(token, token.secret_hash == bindparam("digest"))
    return by_digest.outerjoin(User, User.id == token.user_id)


_STATEMENTS: Mapping[Way, Select[Any]] = {
    Way.USER: _of_people(_one().outerjoin(User, User.name == bindparam("name"))),
    Way.ACCESS_TOKEN: _of_people(
        _with_token(AccessToken),
        machine=AccessToken.id,
        expires_at=AccessToken.expires_at,
        actions=AccessToken.actions,
        patterns=AccessToken.patterns,
    ),
    Way.REFRESH_TOKEN: _of_people(
        _with_token(RefreshToken),
        machine=RefreshToken.id,
        expires_at=RefreshToken.expires_at,
        revoked_at=RefreshToken.revoked_at,
        family=RefreshToken.family,
        service=RefreshToken.service,
        proved_version=RefreshToken.password_version,
    ),
    Way.ROBOT: _of_robots(and_(_ROBOT_NAME, Robot.secret_hash == bindparam("digest"))),
    Way.ROBOT_TRUSTS: _with_trusts(_of_robots(_ROBOT_NAME)),
}
