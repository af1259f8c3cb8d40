"""The rights table: who may do what, as data, and the one function that every door asks.

Two tables. `PROJECT` and `SYSTEM` say what a role may do; `CREDENTIALS` says what a kind of proof may be used for.
An action that no row allows is denied. There is no exception to the tables anywhere else.

The project matrix is Harbor's (v2.16, `src/common/rbac/project/rbac_role.go`), so that roles mean what their users
already know. C create, R read, U update, D delete, L list. One row is ours: `permission`, to be told what decides.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum

from authsvc.domain.patterns import matches


class Role(StrEnum):
    """What a person is to a project, or to the system. The first five are given to members."""

    PROJECT_ADMIN = "projectAdmin"
    MAINTAINER = "maintainer"
    DEVELOPER = "developer"
    GUEST = "guest"
    LIMITED_GUEST = "limitedGuest"
    VISITOR = "visitor"
    """Anybody, with or without an account, at a public project."""
    EVERYONE = "everyone"
    """Anybody at all."""
    USER = "user"
    """Anybody with an account."""
    SYSTEM_ADMIN = "systemAdmin"


MEMBER_ROLES = (Role.PROJECT_ADMIN, Role.MAINTAINER, Role.DEVELOPER, Role.GUEST, Role.LIMITED_GUEST)
_COLUMNS = (*MEMBER_ROLES, Role.VISITOR)


class Credential(StrEnum):
    """How somebody showed who they are."""

    ANONYMOUS = "anonymous"
    PASSWORD = "password"
    ACCESS_TOKEN = "access-token"
    """A personal access token, which stands for its owner within its limits."""
    REFRESH_TOKEN = "refresh-token"
    """What docker keeps in place of a password after a login."""
    ROBOT = "robot"
    """A robot account's secret."""
    SESSION = "session"
    """A browser that logged in to the site."""
    CONSOLE = "console"
    """The command line on the machine itself."""
    SYSTEM = "system"
    """authsvc itself: the first start, the worker."""


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """One cell of the table: an action on a resource, as Harbor names them."""

    resource: str
    action: str

    def __str__(self) -> str:
        return f"{self.resource}:{self.action}"


# resource: projectAdmin, maintainer, developer, guest, limitedGuest, visitor of a public project
PROJECT_MATRIX: Mapping[str, tuple[str, str, str, str, str, str]] = {
    "project": ("R U D", "R", "R", "R", "R", "R"),
    "accessory": ("L", "L", "L", "L", "L", "L"),
    "artifact": ("C R D L", "C R D L", "C R L", "R L", "R L", "R L"),
    "artifact-addition": ("R", "R", "R", "R", "R", "R"),
    "artifact-label": ("C D", "C D", "C D", "", "", ""),
    "configuration": ("R U", "R", "R", "R", "R", ""),
    "export-cve": ("C R L", "C R L", "C R L", "", "", ""),
    "immutable-tag": ("C U D L", "C U D L", "", "", "", ""),
    "label": ("C R U D L", "C R U D L", "R L", "R L", "", "R L"),
    "log": ("L", "", "", "", "", ""),
    "member": ("C R U D L", "R L", "R L", "R L", "", ""),
    "metadata": ("C R U D", "R", "", "", "", ""),
    "notification-policy": ("C R U D L", "R L", "", "", "", ""),
    "permission": ("R", "", "", "", "", ""),
    "preheat-policy": ("C R U D L", "", "", "", "", ""),
    "quota": ("R", "R", "R", "R", "R", ""),
    "repository": ("C R U D L pull push", "C R U D L pull push", "C R U L pull push", "R L pull", "R L pull", "L pull"),
    "robot": ("C R U D L", "R L", "R L", "R L", "", ""),
    "sbom": ("C R stop", "C R stop", "R", "R", "R", ""),
    "scan": ("C R stop", "C R stop", "R", "R", "R", "R"),
    "scanner": ("C R", "R", "R", "R", "R", "R"),
    "tag": ("C D L", "C D L", "C L", "L", "L", "L"),
    "tag-retention": ("C R U D L operate", "C R U D L operate", "C R U D L operate", "", "", ""),
}

# resource: everyone, anybody with an account, system administrator
SYSTEM_MATRIX: Mapping[str, tuple[str, str, str]] = {
    "health": ("R", "R", "R"),
    "profile": ("", "R U", "R U"),
    "access-token": ("", "C D L", "C D L"),
    "session": ("", "D L", "D L"),
    "project": ("", "", "C L"),
    "user": ("", "", "C R U D L"),
    "user-group": ("", "", "C R U D L"),
    "role": ("", "", "C R U D L"),
    "robot": ("", "", "C R U D L"),
    "refresh-token": ("", "", "D L"),
    "audit-log": ("", "", "L"),
    "catalog": ("", "", "R"),
    "permission": ("", "", "R"),
    "signing-key": ("", "", "C R L"),
    "configuration": ("", "", "R U"),
}

# What a robot may be given, as Harbor's catalogue of permissions has it (v2.16, `src/common/rbac/const.go`).
ROBOT_PROJECT_MATRIX: Mapping[str, str] = {
    "log": "L",
    "project": "R U D",
    "metadata": "C R U D L",
    "repository": "R U D L pull push",
    "artifact": "C R D L",
    "scan": "C R stop",
    "sbom": "C R stop",
    "tag": "C D L",
    "accessory": "L",
    "artifact-addition": "R",
    "artifact-label": "C D",
    "scanner": "C R",
    "preheat-policy": "C R U D L",
    "immutable-tag": "C U D L",
    "notification-policy": "C R U D L",
    "tag-retention": "C R U D L",
    "label": "C R U D L",
    "quota": "R",
    "robot": "C R D L",
    "export-cve": "C R",
    "member": "C R U D L",
}
ROBOT_SYSTEM_MATRIX: Mapping[str, str] = {
    "audit-log": "L",
    "preheat-instance": "C R U D L",
    "project": "C L",
    "replication-policy": "C R U D L",
    "replication": "C R L",
    "replication-adapter": "L",
    "registry": "C R U D L",
    "scan-all": "C R U stop",
    "system-volumes": "R",
    "garbage-collection": "C R U L stop",
    "purge-audit": "C R U L stop",
    "jobservice-monitor": "L stop",
    "scanner": "C R U D L",
    "label": "C R U D",
    "security-hub": "R L",
    "catalog": "R",
    "quota": "R U L",
    "robot": "C R D L",
    "user": "C R U D L",
    "ldap-user": "C L",
    "user-group": "C R U D L",
}

_LETTERS = {"C": "create", "R": "read", "U": "update", "D": "delete", "L": "list"}


def _rights(resource: str, cell: str) -> frozenset[Right]:
    return frozenset(Right(resource, _LETTERS.get(word, word)) for word in cell.split())


def _cells(matrix: Mapping[str, str]) -> frozenset[Right]:
    return frozenset().union(*(_rights(resource, cell) for resource, cell in matrix.items()))


def _column(matrix: Mapping[str, tuple[str, ...]], index: int) -> frozenset[Right]:
    return _cells({resource: cells[index] for resource, cells in matrix.items()})


_EVERY_PROJECT_RIGHT = frozenset().union(*(_column(PROJECT_MATRIX, index) for index in range(len(_COLUMNS)))) | {
    Right("metadata", "list"),
}

PROJECT: Mapping[Role, frozenset[Right]] = {
    **{role: _column(PROJECT_MATRIX, index) for index, role in enumerate(_COLUMNS)},
    Role.EVERYONE: frozenset(),
    Role.USER: frozenset(),
    Role.SYSTEM_ADMIN: _EVERY_PROJECT_RIGHT,
}
"""What a role may do inside one project."""

SYSTEM: Mapping[Role, frozenset[Right]] = {
    **dict.fromkeys(_COLUMNS, frozenset()),
    Role.EVERYONE: _column(SYSTEM_MATRIX, 0),
    Role.USER: _column(SYSTEM_MATRIX, 1),
    Role.SYSTEM_ADMIN: _column(SYSTEM_MATRIX, 2),
}
"""What a role may do outside any project."""

PULL, PUSH, DELETE = Right("repository", "pull"), Right("repository", "push"), Right("artifact", "delete")
CATALOG, LIST_PROJECTS = Right("catalog", "read"), Right("project", "list")

DOCKER: Mapping[str, Right] = {"pull": PULL, "push": PUSH, "delete": DELETE}
"""Which right each action of a `repository` scope needs (Harbor's token service grants the same)."""

TOKEN_ACTIONS: Mapping[str, Right] = {**DOCKER, "catalog": CATALOG}
"""What a personal access token can be limited to."""


class Audience(StrEnum):
    """The kinds of service that tokens are issued for."""

    REGISTRY = "registry"
    NOTARY = "notary"


AUDIENCES: Mapping[Audience, Mapping[str, Right]] = {
    Audience.REGISTRY: DOCKER,
    # notary-server asks `*` to delete trust data or rotate a key, and takes a granted `*` for every action.
    Audience.NOTARY: {"pull": PULL, "push": PUSH, "*": DELETE},
}
"""Which right each action of a `repository` scope needs at each kind of service."""

ROBOT_PROJECT = _cells(ROBOT_PROJECT_MATRIX)
ROBOT_SYSTEM = _cells(ROBOT_SYSTEM_MATRIX)
"""What a robot may be given, inside projects and outside."""

ROLE_RIGHTS = _EVERY_PROJECT_RIGHT
"""What a custom role may be made of."""

_EVERY_RIGHT = _EVERY_PROJECT_RIGHT | SYSTEM[Role.SYSTEM_ADMIN]

CREDENTIALS: Mapping[Credential, frozenset[Right]] = {
    Credential.ANONYMOUS: PROJECT[Role.VISITOR] | SYSTEM[Role.EVERYONE],
    Credential.PASSWORD: _EVERY_RIGHT,
    Credential.ACCESS_TOKEN: frozenset(TOKEN_ACTIONS.values()),
    Credential.REFRESH_TOKEN: frozenset(TOKEN_ACTIONS.values()),
    Credential.ROBOT: ROBOT_PROJECT | ROBOT_SYSTEM,
    Credential.SESSION: _EVERY_RIGHT,
    Credential.CONSOLE: _EVERY_RIGHT,
    Credential.SYSTEM: _EVERY_RIGHT,
}
"""What each kind of proof may be used for, whatever role its holder has."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Rights that somebody was given in one project, or in all of them.

    Args:
        role: what the rights are called: a built-in or custom role, or `robot`.
        project: its name; None for every project.
        pattern: the repositories it is limited to (domain/patterns.py); "" for all.
        ends_at: UTC seconds from which it counts no longer; None for never.
        group: the group that was given it, where somebody wants to know; "" for the person alone.
    """

    role: str
    rights: frozenset[Right]
    project: str | None
    pattern: str = ""
    ends_at: int | None = None
    group: str = ""

    def is_over(self, now: int) -> bool:
        """Whether its end has come."""
        return self.ends_at is not None and self.ends_at <= now

    def covers(self, project: str, repository: str | None) -> bool:
        """Whether it counts there. One limited to a pattern counts for repositories alone, not for the project."""
        if self.project not in (None, project):
            return False
        return not self.pattern or (repository is not None and matches(self.pattern, repository))


@dataclass(frozen=True, slots=True)
class Limit:
    """What an access token narrows its owner's rights to; no patterns means every repository."""

    rights: frozenset[Right]
    patterns: tuple[str, ...] = ()

    def allows(self, right: Right, repository: str | None) -> bool:
        """Whether the limit lets a right through."""
        if right not in self.rights:
            return False
        return not self.patterns or (repository is not None and any(matches(one, repository) for one in self.patterns))


def pulls_only(limit: Limit | None) -> Limit:
    """What is left of a proof that cannot be checked at the moment."""
    return Limit(limit.rights & {PULL}, limit.patterns) if limit else Limit(frozenset({PULL}))


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks, and what they are: everything a decision needs.

    Args:
        name: the canonical user name or the robot's full name, "" for anonymous.
        via: the kind of proof.
        system: the role outside any project.
        grants: what they were given in projects. Those that have ended are not among them.
        system_rights: what a robot was given outside any project.
        limit: what the proof is limited to, if it is.
        source: the address the request came from.
        request_id: the id that nginx, web and the registry log with it.
    """

    name: str
    via: Credential
    system: Role
    grants: tuple[Grant, ...] = ()
    system_rights: frozenset[Right] = frozenset()
    limit: Limit | None = None
    source: str = ""
    request_id: str = ""


ANONYMOUS = Actor("", Credential.ANONYMOUS, Role.EVERYONE)


@dataclass(frozen=True, slots=True)
class Project:
    """What a decision needs to know of a project."""

    name: str
    public: bool


class Because(Enum):
    """Which row decided."""

    SYSTEM_ROLE = "system role"
    GRANT = "grant"
    PUBLIC_PROJECT = "public project"
    NO_SUCH_PROJECT = "no such project"
    NO_ROW = "no row"
    CREDENTIAL = "kind of credential"
    LIMIT = "limit of the access token"


@dataclass(frozen=True, slots=True)
class Decision:
    """An answer and the row it came from. `grant` is None when no row allowed it."""

    allowed: bool
    because: Because
    right: Right
    grant: Grant | None = None

    def __bool__(self) -> bool:
        return self.allowed


def decide(actor: Actor, right: Right, project: Project | None = None, repository: str | None = None) -> Decision:
    """Whether `actor` may do `right`, and why.

    Args:
        actor: who.
        right: what.
        project: where; None for rights outside any project.
        repository: its full name, where the right is about one.
    """
    for because, grant in _rows(actor, project, repository):
        if right in grant.rights:
            refusal = _refusal(actor, right, repository)
            return Decision(refusal is None, refusal or because, right, grant)
    return Decision(False, Because.NO_ROW, right)


_EVERYWHERE = {role: Grant(role, rights, None) for role, rights in PROJECT.items()}


def _rows(actor: Actor, project: Project | None, repository: str | None) -> Iterator[tuple[Because, Grant]]:
    """What gives this actor rights there, the strongest first."""
    if project is None:
        yield Because.SYSTEM_ROLE, Grant(actor.system, SYSTEM[actor.system] | actor.system_rights, None)
        return
    yield Because.SYSTEM_ROLE, _EVERYWHERE[actor.system]
    for grant in actor.grants:
        if grant.covers(project.name, repository):
            yield Because.GRANT, grant
    if project.public:
        yield Because.PUBLIC_PROJECT, Grant(Role.VISITOR, PROJECT[Role.VISITOR], project.name)


@dataclass(frozen=True, slots=True)
class Sight:
    """The projects that an actor may know of: every one, or those named and perhaps the public ones."""

    every: bool
    names: frozenset[str]
    public: bool

    def includes(self, project: Project) -> bool:
        """Whether the actor may know that this project exists."""
        return self.every or project.name in self.names or (self.public and project.public)


def sight(actor: Actor) -> Sight:
    """Which projects exist for an actor: those where any right is theirs, be it for some of the repositories.

    Whoever may list projects outside of all (`project:list`) sees every one.
    """
    useful = CREDENTIALS[actor.via] & actor.limit.rights if actor.limit else CREDENTIALS[actor.via]
    held = [grant for grant in (_EVERYWHERE[actor.system], *actor.grants) if grant.rights & useful]
    return Sight(
        every=bool(decide(actor, LIST_PROJECTS)) or any(grant.project is None for grant in held),
        names=frozenset(grant.project for grant in held if grant.project is not None),
        public=bool(PROJECT[Role.VISITOR] & useful),
    )


def _refusal(actor: Actor, right: Right, repository: str | None) -> Because | None:
    if right not in CREDENTIALS[actor.via]:
        return Because.CREDENTIAL
    return Because.LIMIT if actor.limit and not actor.limit.allows(right, repository) else None


def repository_actions(
    actor: Actor, audience: Audience, project: Project | None, repository: str, asked: frozenset[str]
) -> list[str]:
    """The part of what a `repository` scope asks that this actor may have, sorted.

    At a registry `*` asks for everything and is never granted as such: it would be taken for any action.
    A project that does not exist gives nothing to anybody, administrators included (a push makes no project).
    """
    if project is None:
        return []
    known = AUDIENCES[audience]
    wanted = known.keys() if "*" in asked and "*" not in known else asked & known.keys()
    return sorted(action for action in wanted if decide(actor, known[action], project, repository))


def catalog_actions(actor: Actor, audience: Audience, name: str, asked: frozenset[str]) -> list[str]:
    """The part of what a `registry` scope asks that this actor may have.

    distribution asks for exactly `registry:catalog:*`, so `*` is granted as such, and nothing else is.
    """
    wants_it = audience is Audience.REGISTRY and name == "catalog" and "*" in asked
    return ["*"] if wants_it and decide(actor, CATALOG) else []
