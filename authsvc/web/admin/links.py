"""Where the pages are of those whom other pages name. "" where there is none, or none for this visitor."""

from collections.abc import Callable, Mapping

from flask import Flask, url_for

from authsvc.db.tables import AuditEvent
from authsvc.domain import names
from authsvc.domain.permissions import Credential, Project
from authsvc.web.access import may

_NOBODY = {Credential.ANONYMOUS, Credential.CONSOLE, Credential.SYSTEM}


def register(app: Flask) -> None:
    """Give the templates of `app` these addresses."""
    app.jinja_env.globals.update(
        link_of_user=user, link_of_group=group, link_of_actor=of_actor, link_of_object=of_object
    )


def of_actor(event: AuditEvent) -> str:
    """The page of whoever did it."""
    if event.credential in _NOBODY:
        return ""
    return _robot(event.actor) if event.credential == Credential.ROBOT else user(event.actor)


def of_object(event: AuditEvent) -> str:
    """The page of what it was done to. The action says what kind of thing that is: a name alone says too little."""
    kind = event.action.partition(".")[0]
    return _KINDS[kind](event.object) if kind in _KINDS else ""


def user(name: str) -> str:
    """The page of a user."""
    return url_for("users.show", name=name) if names.is_user(name) and may("users.show") else ""


def group(name: str) -> str:
    """The list of groups with this one in it: a name alone does not say its number."""
    return url_for("groups.index", text=name) if may("groups.index") else ""


def _of_group(target: str) -> str:
    """`builders`, or `builders/alice`; a group's name may have a slash in it, a user's has none."""
    begin, _, name = target.rpartition("/")
    return group(begin if begin and names.is_user(name) else target)


def _project(endpoint: str, name: str) -> str:
    is_there = names.is_component(name) and may(endpoint, Project(name, public=False))
    return url_for(endpoint, project=name) if is_there else ""


def _robot(name: str) -> str:
    project, plus, _ = name.partition("+")
    if plus:
        return _project("project_robots.index", project)
    return _page("robots.index")


def _page(endpoint: str) -> str:
    return url_for(endpoint) if may(endpoint) else ""


_KINDS: Mapping[str, Callable[[str], str]] = {
    "login": user,
    "user": user,
    "session": user,
    "access-token": lambda target: user(target.partition("/")[0]),
    "group": _of_group,
    "project": lambda target: _project("projects.show", target),
    "member": lambda target: _project("members.index", target.partition("/")[0]),
    "robot": _robot,
    "role": lambda _: _page("roles.index"),
    "signing-key": lambda _: _page("keys.index"),
    "setting": lambda _: _page("settings.index"),
}
