"""Projects: add, list, change visibility, delete. Deleting one touches no image."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, or_, select
from sqlalchemy import delete as sql_delete
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from authsvc.core import audit, pages
from authsvc.core.pages import Asked, Page
from authsvc.core.rights import facts, require
from authsvc.db.tables import Member, Project, ReservedName
from authsvc.domain import names
from authsvc.domain.permissions import LIST_PROJECTS, Actor, Right, sight
from authsvc.errors import AlreadyExists, Conflict, NotFound, say

CREATE, LIST = Right("project", "create"), LIST_PROJECTS
UPDATE, DELETE = Right("project", "update"), Right("project", "delete")
REGISTRY_LEEWAY = 60
"""Seconds for which distribution honours a token beyond its end."""


@dataclass(frozen=True, kw_only=True)
class AddProject:
    """A new project; private unless said otherwise."""

    name: str
    public: bool = False


@dataclass(frozen=True, kw_only=True)
class SetPublic:
    """Change who may pull without being a member."""

    name: str
    public: bool


@dataclass(frozen=True, kw_only=True)
class DeleteProject:
    """Forget a project and its members.

    Args:
        root_project: the one that may not be deleted.
        token_lifetime: seconds for which tokens that name it may still be in use.
    """

    name: str
    root_project: str
    token_lifetime: int


@dataclass(frozen=True, slots=True)
class Listed:
    """A project, how many members it has, and which roles whoever asked has there, be it for some repositories."""

    name: str
    public: bool
    members: int
    created_at: int
    roles: tuple[str, ...] = ()


def add(session: Session, actor: Actor, command: AddProject, now: int) -> Project:
    """Add a project.

    Raises:
        Invalid: the name breaks a rule.
        AlreadyExists: the name is taken.
        Conflict: a project of that name was deleted moments ago.
    """
    require(actor, CREATE)
    name = names.parse_project(command.name)
    _refuse_reserved(session, name, now)
    project = Project(name=name, public=command.public, created_at=now)
    session.add(project)
    try:
        session.flush()
    except IntegrityError as exc:
        raise AlreadyExists(say("there is a project %(name)s already", name=name)) from exc
    audit.record(session, actor, "project.add", name, now, detail="public" if command.public else "private")
    return project


def get(session: Session, name: str) -> Project:
    """The project of that name.

    Raises:
        NotFound: there is none.
    """
    project = session.scalar(select(Project).where(Project.name == name))
    if project is None:
        raise NotFound(say("there is no project %(name)s", name=name))
    return project


def find(session: Session, name: str) -> Project | None:
    """The project of that name, or None."""
    return session.scalar(select(Project).where(Project.name == name))


def get_visible(session: Session, actor: Actor, name: str) -> Project:
    """The project of that name, for somebody who may know of it.

    Raises:
        NotFound: there is none, or none that the actor may know of: nobody can tell the one from the other.
    """
    project = find(session, name)
    if project is None or not sight(actor).includes(facts(project)):
        raise NotFound(say("there is no project %(name)s", name=name))
    return project


def list_all(session: Session, actor: Actor) -> Sequence[Listed]:
    """Every project, by name."""
    require(actor, LIST)
    return [_listed(actor, *row) for row in session.execute(_with_members().order_by(Project.name))]


def list_page(
    session: Session, actor: Actor, asked: Asked, public: bool | None = None, *, mine: bool = False
) -> Page[Listed]:
    """The projects that the actor may know of, by `name` or `created`.

    Args:
        public: the public ones or the private ones alone; None for both.
        mine: whether to leave out those that are there for everybody.
    """
    seen, wanted = sight(actor), _with_members()
    if not seen.every:
        named = Project.name.in_(seen.names)
        wanted = wanted.where(or_(named, Project.public) if seen.public and not mine else named)
    if public is not None:
        wanted = wanted.where(Project.public.is_(public))
    if asked.text:
        wanted = wanted.where(pages.contains(Project.name, asked.text))
    return pages.read(session, wanted, Project.id, asked, _SORTS, lambda row: _listed(actor, *row))


def set_public(session: Session, actor: Actor, command: SetPublic, now: int) -> Project:
    """Make a project public or private.

    Raises:
        NotFound: there is no such project.
    """
    project = get_visible(session, actor, command.name)
    require(actor, UPDATE, facts(project))
    project.public = command.public
    audit.record(session, actor, "project.set", project.name, now, detail="public" if command.public else "private")
    return project


def delete(session: Session, actor: Actor, command: DeleteProject, now: int) -> None:
    """Delete a project; its name stays taken while a token for it may still be honoured.

    Raises:
        NotFound: there is no such project.
        Conflict: it is the root project.
    """
    project = get_visible(session, actor, command.name)
    require(actor, DELETE, facts(project))
    if project.name == command.root_project:
        raise Conflict(
            say("%(name)s is the root project: repositories without a slash belong to it", name=project.name)
        )
    session.delete(project)
    until = now + command.token_lifetime + REGISTRY_LEEWAY
    session.merge(ReservedName(name=project.name, until=until))
    audit.record(session, actor, "project.delete", project.name, now)


_SORTS: pages.Sorts = {"name": (Project.name,), "created": (Project.id,)}


def _with_members() -> Select[Any]:
    return select(Project, select(func.count(Member.id)).where(Member.project_id == Project.id).scalar_subquery())


def _listed(actor: Actor, project: Project, members: int) -> Listed:
    roles = tuple(sorted({grant.role for grant in actor.grants if grant.project == project.name}))
    return Listed(project.name, project.public, members, project.created_at, roles)


def _refuse_reserved(session: Session, name: str, now: int) -> None:
    session.execute(sql_delete(ReservedName).where(ReservedName.until <= now))
    reserved = session.get(ReservedName, name)
    if reserved is not None:
        raise Conflict(
            say(
                "a project %(name)s was deleted moments ago and its tokens are still good: try again in %(seconds)s s",
                name=name,
                seconds=reserved.until - now,
            )
        )
