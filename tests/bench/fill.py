"""Many users, projects, robots and tokens, written straight into the database; and the secrets of some."""

import time
from dataclasses import dataclass

from sqlalchemy import Engine, Table, insert, select

from authsvc.db import tables
from authsvc.domain import machine_secrets
from authsvc.domain.machine_secrets import Kind
from authsvc.identity import passwords

PASSWORD = "a-password-of-many-people"
CHUNK = 5_000
DAY = 86_400


@dataclass(frozen=True)
class Filled:
    """Who can be asked for: each with a secret."""

    people: list[str]
    robots: list[tuple[str, str]]
    access_token: tuple[str, str]


def fill(engine: Engine, users: int, projects: int, robots: int = 1_000) -> Filled:
    """Fill an installation that was just made; every user is a member of one project, and has the same password."""
    now = int(time.time())
    # One hash for all: what is measured is what a check costs, which is the same for each.
    phc = passwords.hash_password(PASSWORD)
    people = [f"user{number}" for number in range(users)]
    _insert(
        engine,
        tables.Project,
        [{"name": f"team{number}", "public": number % 2 == 0, "created_at": now} for number in range(projects)],
    )
    _insert(
        engine,
        tables.User,
        [
            {
                "name": name, "email": "", "source": "local", "password_hash": phc, "password_version": 1,
                "enabled": True, "admin": False, "created_at": now,
            }
            for name in people
        ],
    )  # fmt: skip
    users_by_name, projects_by_name = ids(engine, tables.User), ids(engine, tables.Project)
    roles = ("developer", "guest", "maintainer")
    _insert(
        engine,
        tables.Member,
        [
            {
                "project_id": projects_by_name[f"team{number % projects}"], "user_id": users_by_name[name],
                "role": roles[number % 3], "pattern": "", "created_at": now,
            }
            for number, name in enumerate(people)
        ],
    )  # fmt: skip
    return Filled(people, _robots(engine, robots, now), _access_token(engine, people[0], users_by_name[people[0]], now))


def _robots(engine: Engine, count: int, now: int) -> list[tuple[str, str]]:
    made = [(f"ci{number}", _secret(Kind.ROBOT, number)) for number in range(count)]
    _insert(
        engine,
        tables.Robot,
        [
            {
                "name": name, "description": "", "secret_hash": machine_secrets.digest(secret), "enabled": True,
                "duration_days": 30, "created_by": "bench", "created_at": now, "expires_at": now + 30 * DAY,
            }
            for name, secret in made
        ],
    )  # fmt: skip
    made_by_name = ids(engine, tables.Robot)
    rights = [
        {"robot_id": made_by_name[name], "reach": "all", "resource": "repository", "action": action}
        for name, _ in made
        for action in ("pull", "push")
    ]
    _insert(engine, tables.RobotRight, rights)
    return [(f"robot${name}", secret) for name, secret in made]


def _access_token(engine: Engine, owner: str, owner_id: int, now: int) -> tuple[str, str]:
    secret = _secret(Kind.ACCESS_TOKEN, 0)
    row = {
        "user_id": owner_id, "name": "bench", "secret_hash": machine_secrets.digest(secret), "actions": "pull push",
        "patterns": "", "created_at": now, "expires_at": now + 30 * DAY,
    }  # fmt: skip
    _insert(engine, tables.AccessToken, [row])
    return owner, secret


def _secret(kind: Kind, number: int) -> str:
    return machine_secrets.render(kind, number.to_bytes(machine_secrets.RANDOM_BYTES, "big"))


def ids(engine: Engine, table: type[tables.Base]) -> dict[str, int]:
    """The numbers of a table's rows by their names."""
    columns: Table = table.__table__  # type: ignore[assignment]
    with engine.connect() as connection:
        return {row.name: row.id for row in connection.execute(select(columns.c.name, columns.c.id))}


def _insert(engine: Engine, table: type[tables.Base], rows: list[dict[str, object]]) -> None:
    for start in range(0, len(rows), CHUNK):
        with engine.execution_options(write=True).begin() as connection:
            connection.execute(insert(table), rows[start : start + CHUNK])
