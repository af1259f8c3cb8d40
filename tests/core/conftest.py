"""What tests of several rooms of the core need: credentials of each kind, and roles given."""

from contextlib import contextmanager

import pytest
from sqlalchemy import event

from authsvc.core import access_tokens, members, refresh_tokens, robots
from authsvc.core.access_tokens import AddToken
from authsvc.core.members import SetMember
from authsvc.core.refresh_tokens import NewToken
from authsvc.core.robots import AddRobot, Permission, Reach
from authsvc.db.engine import transaction
from authsvc.domain.permissions import CATALOG, PULL, PUSH


@contextmanager
def statements(engine):
    seen: list[str] = []

    def note(_connection, _cursor, statement, *_rest) -> None:
        if not statement.startswith("BEGIN"):
            seen.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)


@pytest.fixture
def secrets(engine, cast, root, bob, now) -> dict[str, str]:
    """bob's access token and refresh token, and two robots'."""
    places = (
        Permission(Reach.PROJECT, frozenset({PULL}), "acme"),
        Permission(Reach.ALL, frozenset({PUSH})),
        Permission(Reach.SYSTEM, frozenset({CATALOG})),
    )
    token = AddToken(user="bob", name="laptop", actions=("pull",), patterns=("acme/*",))
    login = NewToken(user="bob", service="authsvc", client="docker", password_version=7, days=30, family="f")
    with transaction(engine) as session:
        return {
            "access": access_tokens.add(session, bob, token, now).secret,
            "refresh": refresh_tokens.add(session, bob, login, now),
            "ci": robots.add(session, root, AddRobot(name="ci", permissions=places, days=30), now).secret,
            "acme+ci": robots.add(
                session, root, AddRobot(name="ci", project="acme", permissions=places[:1], days=-1), now
            ).secret,
        }


@pytest.fixture
def give(engine, root, now):
    """Give a role in a project."""

    def set_role(user: str, role: str, project: str = "acme", **more) -> None:
        with transaction(engine) as session:
            members.set_role(session, root, SetMember(project=project, user=user, role=role, **more), now)

    return set_role
