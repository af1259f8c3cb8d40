"""Rows and requests with defaults. Passwords are hashed once: a hash costs as much as two hundred tests."""

import base64
import hashlib
from collections.abc import Iterable
from functools import cache
from typing import Any

import jwt
from sqlalchemy.orm import Session

from authsvc.core import audit
from authsvc.core.callers import Origin
from authsvc.core.login import Credentials
from authsvc.core.rights import system
from authsvc.core.tokens import TokenRequest
from authsvc.db.tables import (
    AccessToken,
    CustomRole,
    Group,
    GroupUser,
    Member,
    Project,
    RefreshToken,
    Robot,
    RobotRight,
    RobotTrust,
    SiteSession,
    User,
)
from authsvc.domain import machine_secrets
from authsvc.domain.machine_secrets import Kind
from authsvc.domain.permissions import PROJECT, PULL, PUSH, Grant, Right, Role
from authsvc.identity import passwords

PASSWORD = "correct-horse-battery"
FAR = 2_000_000_000
ORIGIN = Origin("192.0.2.7", "request-1")


@cache
def password_hash(password: str = PASSWORD) -> str:
    """The stored form of a password."""
    return passwords.hash_password(password)


def make_user(session: Session, name: str, **columns: Any) -> User:
    """A local user whose password is `PASSWORD`."""
    defaults = {"source": "local", "email": "", "password_hash": password_hash(), "created_at": 0}
    user = User(name=name, **defaults | columns)
    session.add(user)
    session.flush()
    return user


def make_project(session: Session, name: str, **columns: Any) -> Project:
    """A private project."""
    project = Project(name=name, **{"created_at": 0} | columns)
    session.add(project)
    session.flush()
    return project


def make_member(session: Session, project: Project, user: User, role: str, **columns: Any) -> Member:
    """A user's role in a project."""
    member = Member(project_id=project.id, user_id=user.id, role=role, **{"created_at": 0} | columns)
    session.add(member)
    session.flush()
    return member


def make_grant(project: str | None, role: Role, pattern: str = "", ends_at: int | None = None) -> Grant:
    """What a member of a project has."""
    return Grant(role, PROJECT[role], project, pattern, ends_at)


def secret_of(kind: Kind, name: str) -> str:
    """The secret of the robot or token of that name."""
    return machine_secrets.render(kind, hashlib.sha256(name.encode()).digest())


def make_robot(session: Session, name: str, **columns: Any) -> Robot:
    """A system robot without rights."""
    digest = machine_secrets.digest(secret_of(Kind.ROBOT, name))
    defaults = {"secret_hash": digest, "duration_days": -1, "created_by": "root", "created_at": 0}
    robot = Robot(name=name, **defaults | columns)
    session.add(robot)
    session.flush()
    return robot


def give_robot(
    session: Session, robot: Robot, reach: str, rights: Iterable[Right], project: Project | None = None
) -> None:
    """Rights outside projects (`system`), in one (`project`) or in every one (`all`)."""
    where = {"robot_id": robot.id, "reach": reach, "project_id": project.id if project else None}
    session.add_all(RobotRight(resource=right.resource, action=right.action, **where) for right in rights)
    session.flush()


def make_trust(session: Session, robot: Robot) -> RobotTrust:
    """A robot's trust in whatever GitHub says of anybody."""
    issuer = "https://token.actions.githubusercontent.com"
    trust = RobotTrust(robot_id=robot.id, issuer=issuer, audience="a", rules="[]", created_by="root", created_at=0)
    session.add(trust)
    session.flush()
    return trust


def make_access_token(session: Session, user: User, name: str, **columns: Any) -> AccessToken:
    """A token that may pull and push everywhere where its owner may, for ever."""
    digest = machine_secrets.digest(secret_of(Kind.ACCESS_TOKEN, name))
    defaults = {"secret_hash": digest, "actions": "pull push", "patterns": "", "created_at": 0}
    token = AccessToken(user_id=user.id, name=name, **defaults | columns)
    session.add(token)
    session.flush()
    return token


def make_refresh_token(session: Session, user: User, name: str, **columns: Any) -> RefreshToken:
    """A token of a login at our own service."""
    digest = machine_secrets.digest(secret_of(Kind.REFRESH_TOKEN, name))
    defaults = {"secret_hash": digest, "family": name, "service": "authsvc", "client": "docker"}
    defaults |= {"password_version": user.password_version, "created_at": 0, "expires_at": FAR}
    token = RefreshToken(user_id=user.id, **defaults | columns)
    session.add(token)
    session.flush()
    return token


def make_session(session: Session, user: User, name: str, **columns: Any) -> SiteSession:
    """A browser in which a user is logged in; the secret of its cookie is `name`."""
    defaults = {"secret_hash": machine_secrets.digest(name), "password_version": user.password_version}
    defaults |= {"address": "192.0.2.7", "browser": "Firefox", "created_at": 0, "last_seen_at": 0}
    made = SiteSession(user_id=user.id, **defaults | columns)
    session.add(made)
    session.flush()
    return made


def make_everything(session: Session, project: Project, person: User) -> dict[str, object]:
    """One of everything in a project and of somebody, by the names that the site's routes have for their arguments."""
    robot = make_robot(session, f"{project.name}+ci", project_id=project.id)
    give_robot(session, robot, "project", [PULL, PUSH], project)
    trust = make_trust(session, robot)
    group = Group(name=f"{project.name}-group", source="local", created_at=0)
    role = CustomRole(name=f"role-{project.id}", created_at=0)
    session.add_all([group, role])
    session.flush()
    session.add(GroupUser(group_id=group.id, user_id=person.id))
    make_access_token(session, person, f"{project.name}-token")
    browser = make_session(session, person, f"{project.name}-session", created_at=FAR, last_seen_at=FAR)
    audit.record(session, system("test"), "project.set", project.name, 0)
    return {
        "project": project.name,
        "robot": robot.name,
        "trust": trust.id,
        "group": group.id,
        "role": role.name,
        "name": person.name,
        "session_id": browser.id,
        "kind": "ldap",
    }


def make_cast(session: Session) -> None:
    """Everybody whom the tests tell of, and their projects."""
    acme = make_project(session, "acme")
    make_project(session, "open", public=True)
    make_project(session, "library")
    make_user(session, "root", admin=True)
    make_member(session, acme, make_user(session, "alice"), Role.PROJECT_ADMIN)
    make_member(session, acme, make_user(session, "bob"), Role.DEVELOPER)
    make_user(session, "charlie")


def make_request(
    *scopes: str, user: str = "", password: str = PASSWORD, services: tuple[str, ...] = ()
) -> TokenRequest:
    """What a client asks the token service; anonymous without a user."""
    return TokenRequest(services, scopes, Credentials(user, password) if user else None, ORIGIN)


def basic(name: str, password: str = PASSWORD) -> dict[str, str]:
    """The header that docker sends."""
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def claims(token: str) -> dict[str, Any]:
    """What a token says; its signature and dates are the business of tests/core/test_tokens.py."""
    return jwt.decode(token, options={"verify_signature": False})


def access(token: str) -> dict[str, list[str]]:
    """For each resource that a token names, `type:name`, its actions."""
    return {f"{entry['type']}:{entry['name']}": entry["actions"] for entry in claims(token)["access"]}
