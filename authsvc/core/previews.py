"""What a change of a project's members would give to whom and take from whom, before it is made. Nothing is written."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from authsvc.core import members
from authsvc.core.members import RemoveMember, SetMember
from authsvc.core.rights import rights_of
from authsvc.db.tables import Group, GroupUser, Member, Project, User
from authsvc.domain import effects
from authsvc.domain.effects import Effect
from authsvc.domain.permissions import PROJECT, Actor, Grant, Role

MOST = 50
"""How many people of a group are looked at, by name."""


@dataclass(frozen=True, slots=True)
class Changed:
    """Somebody, and what the change is to them."""

    name: str
    effect: Effect


@dataclass(frozen=True, slots=True)
class Preview:
    """What a change is to those whom it is about: some of them, by name, and how many there are."""

    people: Sequence[Changed]
    total: int


@dataclass(frozen=True, slots=True)
class _Row:
    """A member, as it is or would be."""

    user_id: int | None
    group_id: int | None
    role: str
    pattern: str
    ends_at: int | None


_ROW: tuple[Any, ...] = (Member.user_id, Member.group_id, Member.role, Member.pattern, Member.ends_at)


def of_member(session: Session, actor: Actor, command: SetMember | RemoveMember, now: int) -> Preview:
    """What giving a role or taking one away is to the person, or to each of the group.

    What they hold otherwise is taken together with it: their own roles, their groups', an administrator's, and what
    everybody may in a public project. Raises what the change itself would.
    """
    if isinstance(command, SetMember):
        project, _ = members.require_set(session, actor, command, now)
    else:
        project, _ = members.require_remove(session, actor, command)
    holder = members.holder_of(session, command)
    people, total = _people(session, holder)
    groups = _groups_of(session, project, people)
    before = _rows(session, project, people, groups, now)
    after = list(_changed(before, holder, command))
    given = {role: rights_of(session, role) for role in {row.role for row in (*before, *after)}}

    def held(user: User, rows: Iterable[_Row]) -> list[Grant]:
        theirs = groups.get(user.id, set()) | ({holder.id} if isinstance(holder, Group) else set())
        mine = (row for row in rows if row.user_id == user.id or row.group_id in theirs)
        grants = [Grant(row.role, given[row.role], project.name, row.pattern, row.ends_at) for row in mine]
        return grants + _anyway(user, project)

    return Preview(
        [Changed(user.name, effects.compare(held(user, before), held(user, after))) for user in people], total
    )


def _people(session: Session, holder: User | Group) -> tuple[Sequence[User], int]:
    if isinstance(holder, User):
        return [holder], 1
    inside = select(User).join(GroupUser, GroupUser.user_id == User.id).where(GroupUser.group_id == holder.id)
    total = session.scalar(select(func.count()).select_from(GroupUser).where(GroupUser.group_id == holder.id))
    return session.scalars(inside.order_by(User.name).limit(MOST)).all(), total or 0


def _groups_of(session: Session, project: Project, people: Sequence[User]) -> dict[int, set[int]]:
    """The groups of each person that are members there."""
    found: dict[int, set[int]] = {}
    belonging = (
        select(GroupUser.user_id, GroupUser.group_id).distinct().join(Member, Member.group_id == GroupUser.group_id)
    )
    mine = belonging.where(Member.project_id == project.id, GroupUser.user_id.in_([user.id for user in people]))
    for user_id, group_id in session.execute(mine):
        found.setdefault(user_id, set()).add(group_id)
    return found


def _rows(
    session: Session, project: Project, people: Sequence[User], groups: dict[int, set[int]], now: int
) -> Sequence[_Row]:
    """The members that any of these people is, or is among."""
    theirs = Member.user_id.in_([user.id for user in people]) | Member.group_id.in_(set().union(*groups.values()))
    wanted = select(*_ROW)
    lasting = or_(Member.ends_at.is_(None), Member.ends_at > now)
    return [_Row(*row) for row in session.execute(wanted.where(Member.project_id == project.id, theirs, lasting))]


def _changed(rows: Iterable[_Row], holder: User | Group, command: SetMember | RemoveMember) -> Iterator[_Row]:
    is_group = isinstance(holder, Group)
    for row in rows:
        is_theirs = (row.group_id if is_group else row.user_id) == holder.id
        if not is_theirs or command.pattern not in (None, row.pattern):
            yield row
    if isinstance(command, SetMember):
        user_id, group_id = (None, holder.id) if is_group else (holder.id, None)
        yield _Row(user_id, group_id, command.role, command.pattern, command.ends_at)


def _anyway(user: User, project: Project) -> list[Grant]:
    """What somebody has there without being a member."""
    is_admin = user.admin or user.admin_by_source
    roles = [Role.SYSTEM_ADMIN] * is_admin + [Role.VISITOR] * project.public
    return [Grant(role, PROJECT[role], project.name) for role in roles]
