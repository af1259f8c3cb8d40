"""What pages call roles, resources and actions, in both languages."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from flask import Flask
from flask_babel import gettext, lazy_gettext

from authsvc.domain.effects import Held
from authsvc.domain.permissions import DELETE, PULL, PUSH, ROLE_RIGHTS, Right, Role
from authsvc.web.language import moment

ROLES = {
    Role.PROJECT_ADMIN: lazy_gettext("Project administrator"),
    Role.MAINTAINER: lazy_gettext("Maintainer"),
    Role.DEVELOPER: lazy_gettext("Developer"),
    Role.GUEST: lazy_gettext("Guest"),
    Role.LIMITED_GUEST: lazy_gettext("Limited guest"),
    Role.VISITOR: lazy_gettext("Visitor of a public project"),
    Role.USER: lazy_gettext("Anybody with an account"),
    Role.EVERYONE: lazy_gettext("Anybody"),
    Role.SYSTEM_ADMIN: lazy_gettext("System administrator"),
}

ORIGINS = {
    "default": lazy_gettext("default"),
    "table": lazy_gettext("this site"),
    "file": lazy_gettext("the file authsvc.toml"),
    "environment": lazy_gettext("the environment"),
}
"""Where a setting's value comes from (settings/given.py)."""

HOLDERS = {
    "public": lazy_gettext("everybody"),
    "administrators": lazy_gettext("administrators"),
    "administrator": lazy_gettext("administrator"),
    "group": lazy_gettext("group"),
    "user": lazy_gettext("person"),
    "robot": lazy_gettext("robot"),
}

HEADLINES = {
    PULL: lazy_gettext("pull"),
    PUSH: lazy_gettext("push"),
    DELETE: lazy_gettext("delete images"),
    Right("tag", "delete"): lazy_gettext("delete tags"),
    Right("member", "list"): lazy_gettext("see who is a member"),
    Right("member", "create"): lazy_gettext("give roles"),
    Right("robot", "create"): lazy_gettext("make robots"),
    Right("log", "list"): lazy_gettext("read the audit log"),
    Right("project", "update"): lazy_gettext("change the project"),
}
"""The rights that people ask about, the first one first."""

ACTIONS = {
    "pull": lazy_gettext("pull"),
    "push": lazy_gettext("push"),
    "create": lazy_gettext("create"),
    "read": lazy_gettext("read"),
    "update": lazy_gettext("change"),
    "delete": lazy_gettext("delete"),
    "list": lazy_gettext("list"),
    "stop": lazy_gettext("stop"),
    "operate": lazy_gettext("run"),
    "catalog": lazy_gettext("list all repositories"),
}

RESOURCES = {
    "repository": lazy_gettext("Repositories"),
    "artifact": lazy_gettext("Images"),
    "tag": lazy_gettext("Tags"),
    "member": lazy_gettext("Members"),
    "robot": lazy_gettext("Robots"),
    "project": lazy_gettext("Project"),
    "log": lazy_gettext("Audit log"),
    "accessory": lazy_gettext("Signatures and attachments"),
    "artifact-addition": lazy_gettext("Build history of images"),
    "artifact-label": lazy_gettext("Labels on images"),
    "audit-log": lazy_gettext("Audit log of the system"),
    "catalog": lazy_gettext("List of all repositories"),
    "configuration": lazy_gettext("Settings"),
    "export-cve": lazy_gettext("Export of vulnerabilities"),
    "garbage-collection": lazy_gettext("Garbage collection"),
    "immutable-tag": lazy_gettext("Immutable tags"),
    "jobservice-monitor": lazy_gettext("Jobs of the worker"),
    "label": lazy_gettext("Labels"),
    "ldap-user": lazy_gettext("People of a directory"),
    "metadata": lazy_gettext("Properties of the project"),
    "notification-policy": lazy_gettext("Notifications"),
    "permission": lazy_gettext("Explanations of rights"),
    "preheat-instance": lazy_gettext("Preheating services"),
    "preheat-policy": lazy_gettext("Preheating"),
    "purge-audit": lazy_gettext("Clearing of the audit log"),
    "quota": lazy_gettext("Quota"),
    "registry": lazy_gettext("Other registries"),
    "replication": lazy_gettext("Replications"),
    "replication-adapter": lazy_gettext("Kinds of registries"),
    "replication-policy": lazy_gettext("Rules of replication"),
    "sbom": lazy_gettext("Bills of materials"),
    "scan": lazy_gettext("Scans"),
    "scan-all": lazy_gettext("Scans of everything"),
    "scanner": lazy_gettext("Scanners"),
    "security-hub": lazy_gettext("Overview of vulnerabilities"),
    "system-volumes": lazy_gettext("Disk space"),
    "tag-retention": lazy_gettext("Retention of tags"),
    "user": lazy_gettext("Users"),
    "user-group": lazy_gettext("Groups"),
}
"""Those that people ask about first, then the others."""


def register(app: Flask) -> None:
    """Give the templates of `app` the words."""
    app.jinja_env.filters.update(
        role_name=role_name,
        in_words=in_words,
        right_name=right_name,
        effects_in_words=effects_in_words,
        holder_name=HOLDERS.get,
        origin_name=ORIGINS.get,
        setting_in_text=setting_in_text,
        all_in_words=all_in_words,
        resource_name=resource_name,
        action_name=action_name,
        by_resource=by_resource,
        comparable=comparable,
    )


def role_name(role: str) -> str:
    """A built-in role's name in the page's language; a custom role's as it was given."""
    return str(ROLES[Role(role)]) if role in set(Role) else role


def right_name(right: Right) -> str:
    """A right in words, such as `Tags: delete`."""
    return str(HEADLINES.get(right) or f"{resource_name(right.resource)}: {action_name(right.action)}")


def resource_name(resource: str) -> str:
    """A resource in the page's language."""
    return str(RESOURCES.get(resource, resource))


def action_name(action: str) -> str:
    """An action in the page's language."""
    return str(ACTIONS.get(action, action))


def by_resource(rights: Collection[Right]) -> Mapping[str, Sequence[Right]]:
    """Rights by what they are about: resources and actions in the order in which people ask about them."""
    found: dict[str, list[Right]] = {}
    for right in sorted(rights, key=_place):
        found.setdefault(right.resource, []).append(right)
    return found


def comparable(given: Iterable[Collection[Right]]) -> frozenset[Right]:
    """What there is to be had of the things that any of several roles has a right to."""
    resources = {right.resource for rights in given for right in rights}
    return frozenset(right for right in ROLE_RIGHTS if right.resource in resources)


def _place(right: Right) -> tuple[int, int]:
    return list(RESOURCES).index(right.resource), list(ACTIONS).index(right.action)


def setting_in_text(value: object) -> str:
    """A setting's value as it is typed."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def effects_in_words(changed: Sequence[Held]) -> str:
    """What somebody gains or loses: the rights that people ask about in words, of the others how many."""
    known = [one for one in changed if one.right in HEADLINES]
    words = [_held_in_words(one) for right in HEADLINES for one in known if one.right == right]
    others = len(changed) - len(known)
    if others:
        words.append(gettext("%(count)s other rights", count=others))
    return str(gettext("; ")).join(words)


def _held_in_words(held: Held) -> str:
    words = [str(HEADLINES[held.right])]
    words += [gettext("in %(pattern)s", pattern=held.pattern)] if held.pattern else []
    words += [gettext("until %(time)s", time=moment(held.ends_at))] if held.ends_at else []
    return " ".join(words)


def in_words(rights: Collection[Right]) -> str:
    """What rights come to, as far as people ask about it."""
    return str(gettext(", ")).join(str(words) for right, words in HEADLINES.items() if right in rights)


def all_in_words(rights: Collection[Right]) -> str:
    """What rights come to, and how many there are besides."""
    others = len(set(rights) - HEADLINES.keys())
    more = [gettext("%(count)s more", count=others)] if others else []
    return str(gettext(", ")).join([words for words in [in_words(rights)] if words] + more)
