"""What pages call roles, resources and actions, in both languages."""

from collections.abc import Collection, Sequence

from flask import Flask
from flask_babel import gettext, lazy_gettext

from authsvc.domain.effects import Held
from authsvc.domain.permissions import DELETE, PULL, PUSH, Right, Role
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
    "create": lazy_gettext("create"),
    "read": lazy_gettext("read"),
    "update": lazy_gettext("change"),
    "delete": lazy_gettext("delete"),
    "list": lazy_gettext("list"),
    "pull": lazy_gettext("pull"),
    "push": lazy_gettext("push"),
    "stop": lazy_gettext("stop"),
    "operate": lazy_gettext("run"),
}

RESOURCES = {
    "accessory": lazy_gettext("Signatures and attachments"),
    "artifact": lazy_gettext("Images"),
    "artifact-addition": lazy_gettext("Build history of images"),
    "artifact-label": lazy_gettext("Labels on images"),
    "configuration": lazy_gettext("Settings"),
    "export-cve": lazy_gettext("Export of vulnerabilities"),
    "immutable-tag": lazy_gettext("Immutable tags"),
    "label": lazy_gettext("Labels"),
    "log": lazy_gettext("Audit log"),
    "member": lazy_gettext("Members"),
    "metadata": lazy_gettext("Properties of the project"),
    "notification-policy": lazy_gettext("Notifications"),
    "permission": lazy_gettext("Explanations of rights"),
    "preheat-policy": lazy_gettext("Preheating"),
    "project": lazy_gettext("Project"),
    "quota": lazy_gettext("Quota"),
    "repository": lazy_gettext("Repositories"),
    "robot": lazy_gettext("Robots"),
    "sbom": lazy_gettext("Bills of materials"),
    "scan": lazy_gettext("Scans"),
    "scanner": lazy_gettext("Scanners"),
    "tag": lazy_gettext("Tags"),
    "tag-retention": lazy_gettext("Retention of tags"),
}


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
    )


def role_name(role: str) -> str:
    """A built-in role's name in the page's language; a custom role's as it was given."""
    return str(ROLES[Role(role)]) if role in set(Role) else role


def right_name(right: Right) -> str:
    """A right in words, such as `Tags: delete`."""
    resource, action = RESOURCES.get(right.resource, right.resource), ACTIONS.get(right.action, right.action)
    return str(HEADLINES.get(right) or f"{resource}: {action}")


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
