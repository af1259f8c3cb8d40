"""Roles of the administrators' own making: a name for a set of rights. Built-in ones are in domain/permissions.py."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete as sql_delete
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from authsvc.core import audit
from authsvc.core.rights import require
from authsvc.db.tables import CustomRole, Member, RoleRight
from authsvc.domain.permissions import MEMBER_ROLES, PROJECT, ROLE_RIGHTS, Actor, Right, Role
from authsvc.errors import Conflict, Invalid, NotFound

CREATE, UPDATE = Right("role", "create"), Right("role", "update")
DELETE, LIST = Right("role", "delete"), Right("role", "list")

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


def set_rights(session: Session, actor: Actor, command: SetRole, now: int) -> CustomRole:
    """Make or change a role.

    Raises:
        Invalid: the name is a built-in role's or breaks a rule, or a right is none.
    """
    role = _find(session, command.name)
    require(actor, UPDATE if role else CREATE)
    _check(command)
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


def delete(session: Session, actor: Actor, name: str, now: int) -> None:
    """Delete a role that nobody holds.

    Raises:
        NotFound: there is no such role.
        Conflict: somebody holds it.
    """
    require(actor, DELETE)
    role = _find(session, name)
    if role is None:
        raise NotFound(f"there is no role {name} of your own making")
    held = session.scalar(select(func.count(Member.id)).where(Member.role == name))
    if held:
        raise Conflict(f"{held} members hold the role {name}: give them another one first")
    session.delete(role)
    audit.record(session, actor, "role.delete", name, now)


def list_all(session: Session, actor: Actor) -> Sequence[Listed]:
    """Every custom role, by name."""
    require(actor, LIST)
    members = select(func.count(Member.id)).where(Member.role == CustomRole.name).scalar_subquery()
    rights: dict[int, list[Right]] = {}
    for row in session.scalars(select(RoleRight).order_by(RoleRight.resource, RoleRight.action)):
        rights.setdefault(row.role_id, []).append(Right(row.resource, row.action))
    found = session.execute(select(CustomRole, members.label("members")).order_by(CustomRole.name))
    return [
        Listed(row.CustomRole.name, row.CustomRole.description, tuple(rights.get(row.CustomRole.id, ())), row.members)
        for row in found
    ]


def rights_by_name(session: Session) -> dict[str, frozenset[Right]]:
    """What every role gives to a member: the built-in ones, then the custom ones by name."""
    custom: dict[str, set[Right]] = {}
    rows = select(CustomRole.name, RoleRight).join(RoleRight, RoleRight.role_id == CustomRole.id)
    for name, right in session.execute(rows.order_by(CustomRole.name)):
        custom.setdefault(name, set()).add(Right(right.resource, right.action))
    return {
        **{role: PROJECT[role] for role in MEMBER_ROLES},
        **{name: frozenset(given) for name, given in custom.items()},
    }


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
        raise Invalid({"right": f"there is no right {text[:64]!r}"})
    return right


def _check(command: SetRole) -> None:
    if command.name in {role.value for role in Role} or not _NAME.fullmatch(command.name) or len(command.name) > 64:
        raise Invalid({"name": "a role's name is a-z 0-9 with single . _ - between them, and no built-in role's"})
    unknown = sorted(map(str, command.rights - ROLE_RIGHTS))
    if unknown or not command.rights:
        raise Invalid({"rights": f"there is no right {', '.join(unknown)}" if unknown else "at least one"})


def _find(session: Session, name: str) -> CustomRole | None:
    return session.scalar(select(CustomRole).where(CustomRole.name == name))
