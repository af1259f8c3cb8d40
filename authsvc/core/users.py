"""People: add, list, change, delete. Not here: how a login is proved (core/login.py)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, not_, or_, select, true, update
from sqlalchemy import delete as sql_delete
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from authsvc.core import audit, pages, projects
from authsvc.core.pages import Asked, Page
from authsvc.core.rights import facts, require
from authsvc.db.engine import Engine, fetch
from authsvc.db.tables import SiteSession, User
from authsvc.domain import names
from authsvc.domain import passwords as policy
from authsvc.domain.permissions import Actor, Right, decide
from authsvc.errors import AlreadyExists, Conflict, Invalid, NotFound, Unauthenticated, say
from authsvc.identity import passwords
from authsvc.identity.local import LocalBackend

CREATE, LIST = Right("user", "create"), Right("user", "list")
READ, UPDATE, DELETE = Right("user", "read"), Right("user", "update"), Right("user", "delete")
OWN, MEMBERS = Right("profile", "update"), Right("member", "create")
SUGGESTIONS = 10
RESERVED = frozenset({"anonymous"})


@dataclass(frozen=True, kw_only=True)
class AddUser:
    """A new local user. `min_length` is the policy's; `must_change` asks for another password at the site."""

    name: str
    password: str
    email: str = ""
    admin: bool = False
    min_length: int = 8
    must_change: bool = False


@dataclass(frozen=True, kw_only=True)
class SetPassword:
    """A new password for a local user. `must_change` asks for another one at the site."""

    name: str
    password: str
    min_length: int = 8
    must_change: bool = False


@dataclass(frozen=True, kw_only=True)
class ChangeOwnPassword:
    """A new password of one's own.

    Args:
        current: the one that it takes the place of.
        session_id: the session that goes on; every other one ends.
    """

    current: str
    password: str
    min_length: int = 8
    session_id: int | None = None


@dataclass(frozen=True, kw_only=True)
class SetEnabled:
    """Let a user in, or keep them out without forgetting their roles."""

    name: str
    enabled: bool


@dataclass(frozen=True, kw_only=True)
class SetAdmin:
    """Make a user a system administrator, or no longer one."""

    name: str
    admin: bool


@dataclass(frozen=True, kw_only=True)
class DeleteUser:
    """Forget a user and their memberships."""

    name: str


@dataclass(frozen=True, slots=True)
class Listed:
    """A user as people want to see one."""

    id: int
    name: str
    source: str
    email: str
    enabled: bool
    admin: bool
    admin_by_source: bool
    must_change: bool
    created_at: int
    vanished_at: int | None


@dataclass(frozen=True, slots=True)
class Suggested:
    """Somebody whose name begins with what was typed."""

    name: str
    source: str


def add(session: Session, actor: Actor, command: AddUser, now: int) -> User:
    """Add a local user.

    Raises:
        Invalid: the name, the password or the address breaks a rule.
        AlreadyExists: the name is taken.
    """
    require(actor, CREATE)
    name = names.parse_user(command.name)
    if name in RESERVED:
        raise Invalid({"name": say("%(name)s has a meaning of its own", name=name)})
    policy.check(command.password, name=name, min_length=command.min_length)
    user = User(
        name=name,
        source=LocalBackend.name,
        email=_email(command.email),
        password_hash=passwords.hash_password(command.password),
        admin=command.admin,
        must_change=command.must_change,
        created_at=now,
    )
    session.add(user)
    try:
        session.flush()
    except IntegrityError as exc:
        raise AlreadyExists(say("there is a user %(name)s already", name=name)) from exc
    audit.record(session, actor, "user.add", name, now, detail="administrator" if command.admin else "")
    return user


def get(session: Session, name: str) -> User:
    """The user of that name, in whatever case it was typed.

    Raises:
        NotFound: there is none.
    """
    canonical = names.canonical_user(name)
    user = session.scalar(select(User).where(User.name == canonical))
    if user is None:
        raise NotFound(say("there is no user %(name)s", name=canonical))
    return user


def list_all(session: Session, actor: Actor) -> Sequence[Listed]:
    """Every user, by name."""
    require(actor, LIST)
    return [Listed(*row) for row in session.execute(select(*_LISTED).order_by(User.name))]


def list_page(
    session: Session,
    actor: Actor,
    asked: Asked,
    *,
    source: str = "",
    enabled: bool | None = None,
    admin: bool | None = None,
) -> Page[Listed]:
    """The users, by `name` or `created`.

    Args:
        source: those of one source alone; "" for all.
        enabled: those who may log in, or those who may not; None for both.
        admin: system administrators alone, or everybody else; None for both.
    """
    require(actor, LIST)
    wanted = select(*_LISTED)
    if asked.text:
        wanted = wanted.where(pages.contains(User.name, names.canonical_user(asked.text)))
    if source:
        wanted = wanted.where(User.source == source)
    if enabled is not None:
        wanted = wanted.where(User.enabled == enabled)
    if admin is not None:
        wanted = wanted.where(is_admin() if admin else not_(is_admin()))
    return pages.read(session, wanted, User.id, asked, _SORTS, lambda row: Listed(*row))


def get_listed(session: Session, actor: Actor, name: str) -> Listed:
    """One user as in a list.

    Raises:
        NotFound: there is none of that name.
    """
    require(actor, READ)
    return Listed(*session.execute(select(*_LISTED).where(User.id == get(session, name).id)).one())


def suggest(session: Session, actor: Actor, text: str, project: str) -> Sequence[Suggested]:
    """Up to ten people who can be made members of a project, by the beginning of their names.

    Whoever may not list users has to know two characters, so that nobody reads the whole list.

    Raises:
        NotFound: there is no such project.
        Forbidden: the actor may not add members to it.
    """
    require(actor, MEMBERS, facts(projects.get_visible(session, actor, project)))
    begin = names.canonical_user(text)
    if len(begin) < fewest_characters(actor):
        return []
    found = select(User.name, User.source).where(pages.begins(User.name, begin), User.enabled).order_by(User.name)
    return [Suggested(*row) for row in session.execute(found.limit(SUGGESTIONS))]


def fewest_characters(actor: Actor) -> int:
    """How much of a name somebody has to type before names are suggested to them."""
    return 1 if decide(actor, LIST) else 2


def set_password(session: Session, actor: Actor, command: SetPassword, now: int) -> User:
    """Give a local user a new password; whoever knows the old one is out at once.

    Raises:
        NotFound: there is no such user.
        Invalid: the password breaks a rule.
        Conflict: the user's password is not ours to change.
    """
    require(actor, UPDATE)
    user = _local(session, command.name)
    _give_password(user, command.password, command.min_length, must_change=command.must_change)
    end_sessions(session, user)
    audit.record(session, actor, "user.password", user.name, now)
    return user


def change_own_password(session: Session, actor: Actor, command: ChangeOwnPassword, now: int) -> User:
    """Change one's own password; whoever knows the old one is out at once, other browsers too.

    Raises:
        Unauthenticated: the current password is another one.
        Invalid: the new one breaks a rule, or is the current one.
        Conflict: the password is not ours to change.
    """
    require(actor, OWN)
    user = _local(session, actor.name)
    if not passwords.is_correct(command.current, user.password_hash or ""):
        raise Unauthenticated(say("the current password is not this one"))
    if policy.normalize(command.password) == policy.normalize(command.current):
        raise Invalid({"password": say("this is the password that you have; choose another")})
    _give_password(user, command.password, command.min_length, must_change=False)
    others = SiteSession.user_id == user.id
    session.execute(sql_delete(SiteSession).where(others, SiteSession.id != (command.session_id or 0)))
    session.execute(update(SiteSession).where(others).values(password_version=user.password_version))
    audit.record(session, actor, "user.password", user.name, now, detail="own")
    return user


def set_enabled(session: Session, actor: Actor, command: SetEnabled, now: int) -> User:
    """Enable or disable a user.

    Raises:
        NotFound: there is no such user.
        Conflict: it would leave no administrator.
    """
    require(actor, UPDATE)
    user = get(session, command.name)
    if not command.enabled:
        _keep_an_administrator(session, user)
        end_sessions(session, user)
    user.enabled, user.vanished_at = command.enabled, None
    audit.record(session, actor, "user.enable" if command.enabled else "user.disable", user.name, now)
    return user


def set_admin(session: Session, actor: Actor, command: SetAdmin, now: int) -> User:
    """Make a user a system administrator, or no longer one.

    Raises:
        NotFound: there is no such user.
        Conflict: it would leave no administrator, or the user's source says that they are one.
    """
    require(actor, UPDATE)
    user = get(session, command.name)
    if not command.admin:
        if user.admin_by_source:
            raise Conflict(
                say("%(name)s is an administrator because %(source)s says so", name=user.name, source=user.source)
            )
        _keep_an_administrator(session, user)
    user.admin = command.admin
    audit.record(session, actor, "user.admin", user.name, now, detail="given" if command.admin else "taken")
    return user


def delete(session: Session, actor: Actor, command: DeleteUser, now: int) -> None:
    """Delete a user and their memberships.

    Raises:
        NotFound: there is no such user.
        Conflict: it would leave no administrator.
    """
    require(actor, DELETE)
    user = get(session, command.name)
    _keep_an_administrator(session, user)
    session.delete(user)
    audit.record(session, actor, "user.delete", user.name, now)


def _local(session: Session, name: str) -> User:
    user = get(session, name)
    if user.source != LocalBackend.name:
        raise Conflict(
            say("%(name)s comes from %(source)s, where the password is changed", name=user.name, source=user.source)
        )
    return user


def _give_password(user: User, password: str, min_length: int, *, must_change: bool) -> None:
    policy.check(password, name=user.name, min_length=min_length)
    user.password_hash = passwords.hash_password(password)
    user.password_version += 1
    user.must_change = must_change


def find_hash(engine: Engine, name: str) -> str | None:
    """The stored password hash of a local user, for the identity source."""
    mine = select(User.password_hash).where(User.name == name, User.source == LocalBackend.name)
    return next((row.password_hash for row in fetch(engine, mine)), None)


def renew_hash(session: Session, name: str, outdated: str, phc: str) -> None:
    """Keep another hash of the same password, so `password_version` stays; not if it was changed meanwhile."""
    mine = update(User).where(User.name == name, User.source == LocalBackend.name)
    session.execute(mine.where(User.password_hash == outdated).values(password_hash=phc))


def end_sessions(session: Session, user: User) -> None:
    """Log a user out of the site, in every browser."""
    session.execute(sql_delete(SiteSession).where(SiteSession.user_id == user.id))


_LISTED: tuple[Any, ...] = (
    User.id,
    User.name,
    User.source,
    User.email,
    User.enabled,
    User.admin,
    User.admin_by_source,
    User.must_change,
    User.created_at,
    User.vanished_at,
)
_SORTS: pages.Sorts = {
    "name": (User.name,),
    "created": (User.id,),
}


def is_admin() -> ColumnElement[bool]:
    """Whether a user is a system administrator, here or by what their source says."""
    # Compared, since MariaDB looks into no index for a bare column.
    return or_(User.admin == true(), User.admin_by_source == true())


def _keep_an_administrator(session: Session, user: User) -> None:
    # Locked, so that two administrators cannot shut each other out at once; SQLite locks the whole database anyway.
    left = session.scalars(select(User.id).where(is_admin(), User.enabled).with_for_update()).all()
    if (user.admin or user.admin_by_source) and not set(left) - {user.id}:
        raise Conflict(say("%(name)s is the last administrator: make another one first", name=user.name))


def email_or_nothing(text: str) -> str:
    """An address as a directory has it, or "" if it is none."""
    try:
        return _email(text)
    except Invalid:
        return ""


def _email(text: str) -> str:
    name, at, host = text.partition("@")
    if text and (not name or not at or not host or len(text) > 255 or any(c.isspace() for c in text)):
        raise Invalid({"email": say("%(text)s is not an address", text=repr(text))})
    return text
