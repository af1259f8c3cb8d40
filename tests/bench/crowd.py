"""What else a large installation holds beside people, projects and robots: all that the site's pages show."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import Engine, insert, update

from authsvc.db import tables
from authsvc.domain import machine_secrets
from tests.bench.fill import CHUNK, DAY, fill, ids

USERS, PROJECTS, ROBOTS = 100_000, 10_000, 1_000
MEMBERS, GROUPS, IN_GROUP, SYSTEM_ROBOTS_IN_PROJECT = 1_000, 100, 1_000, 100
TOKENS, SESSIONS, EVENTS, FIRST_EVENT = 10_000, 10_000, 500_000, 101
MANY_PROJECTS = 200
PROJECT, GROUP, ROLE, ROBOT = "team0", "developers 0", "releaser0", "ci0"
ALICE, BOB = "alice", "bob"
"""Project administrator of three projects, and member of many, themselves and in groups."""
_ACTIONS = ("login",) * 14 + ("member.set", "robot.secret", "session.begin", "user.add", "project.set", "member.remove")


@dataclass(frozen=True)
class Numbers:
    """Rows by name."""

    users: dict[str, int]
    projects: dict[str, int]
    groups: dict[str, int]


def settle(engine: Engine) -> Numbers:
    """Fill an installation that was just made to the size for which the site's speed is promised."""
    now = int(time.time())
    people = fill(engine, USERS, PROJECTS, ROBOTS).people
    _rows(engine, tables.User, (_user(name, now) for name in (ALICE, BOB)))
    _rows(engine, tables.Group, (_group(number, now) for number in range(GROUPS)))
    _rows(engine, tables.CustomRole, ({"name": f"releaser{n}", "created_at": now} for n in range(20)))
    found = Numbers(*(ids(engine, table) for table in (tables.User, tables.Project, tables.Group)))
    users = [found.users[name] for name in people]
    _rows(engine, tables.RoleRight, _rights(ids(engine, tables.CustomRole)))
    _rows(engine, tables.GroupUser, _belonging(found, users))
    _rows(engine, tables.Member, _members(found, users, now))
    _robots(engine, found, now)
    _rows(engine, tables.AccessToken, (_token(number, users, now) for number in range(TOKENS)))
    _rows(engine, tables.SiteSession, (_session(number, users, now) for number in range(SESSIONS)))
    _events(engine, now)
    return found


def _user(name: str, now: int) -> dict[str, object]:
    return {"name": name, "email": f"{name}@example.org", "source": "local", "created_at": now}


def _group(number: int, now: int) -> dict[str, object]:
    of_directory = {"source": "ldap", "key": f"cn=developers {number},ou=groups"} if number % 2 else {"source": "local"}
    return {"name": f"developers {number}", "key": None, "created_at": now} | of_directory


def _rights(roles: dict[str, int]) -> Iterator[dict[str, object]]:
    for role_id in roles.values():
        for action in ("pull", "push"):
            yield {"role_id": role_id, "resource": "repository", "action": action}


def _belonging(found: Numbers, users: list[int]) -> Iterator[dict[str, object]]:
    for place, group_id in enumerate(found.groups.values()):
        theirs = users[place * IN_GROUP : (place + 1) * IN_GROUP]
        yield from ({"group_id": group_id, "user_id": user_id} for user_id in theirs)
    yield from ({"group_id": group_id, "user_id": found.users[BOB]} for group_id in list(found.groups.values())[:5])


def _members(found: Numbers, users: list[int], now: int) -> Iterator[dict[str, object]]:
    """A project with many members, groups with a role in ten projects each, and the roles of alice and bob."""
    projects = list(found.projects.values())
    crowded, alice, bob = found.projects[PROJECT], found.users[ALICE], found.users[BOB]
    for user_id in users[1 : MEMBERS + 1]:
        yield _member(crowded, now, "guest", user_id=user_id)
    for place, group_id in enumerate(found.groups.values()):
        for project_id in projects[place * 10 : place * 10 + 10]:
            yield _member(project_id, now, "developer", group_id=group_id)
    for number in range(3):
        yield _member(found.projects[f"team{number}"], now, "projectAdmin", user_id=alice)
    for number in range(MANY_PROJECTS):
        yield _member(found.projects[f"team{number}"], now, ("developer", ROLE)[number % 2], user_id=bob)


def _member(project_id: int, now: int, role: str, **holder: int) -> dict[str, object]:
    nobody = {"user_id": None, "group_id": None}
    return {"project_id": project_id, "role": role, "pattern": "", "created_at": now} | nobody | holder


def _robots(engine: Engine, found: Numbers, now: int) -> None:
    """Robots of the crowded project."""
    names = [f"{PROJECT}+ci{number}" for number in range(SYSTEM_ROBOTS_IN_PROJECT)]
    project_id = found.projects[PROJECT]
    _rows(engine, tables.Robot, (_robot(name, project_id, now) for name in names))
    made = ids(engine, tables.Robot)
    right = {"reach": "project", "project_id": project_id, "resource": "repository", "action": "pull"}
    _rows(engine, tables.RobotRight, ({"robot_id": made[name]} | right for name in names))


def _robot(name: str, project_id: int, now: int) -> dict[str, object]:
    return {
        "name": name, "project_id": project_id, "description": "", "secret_hash": machine_secrets.digest(name),
        "enabled": True, "duration_days": 30, "created_by": "bench", "created_at": now, "expires_at": now + 30 * DAY,
    }  # fmt: skip


def _token(number: int, users: list[int], now: int) -> dict[str, object]:
    return {
        "user_id": users[number % (TOKENS // 10)], "name": f"laptop{number}", "actions": "pull push", "patterns": "",
        "secret_hash": machine_secrets.digest(f"token {number}"), "created_at": now, "expires_at": now + 30 * DAY,
    }  # fmt: skip


def _session(number: int, users: list[int], now: int) -> dict[str, object]:
    return {
        "user_id": users[number * (USERS // SESSIONS)], "secret_hash": machine_secrets.digest(f"session {number}"),
        "password_version": 1, "address": f"10.0.{number // 250}.{number % 250}", "created_at": now - number % 3_000,
        "browser": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        "last_seen_at": now - number % 1_000,
    }  # fmt: skip


def _events(engine: Engine, now: int) -> None:
    """Events of a year, whose hashes nobody asks for here: no page goes along the chain unless a button is pressed."""
    last = FIRST_EVENT + EVENTS - 1
    _rows(engine, tables.AuditEvent, (_event(number, last, now) for number in range(FIRST_EVENT, last + 1)))
    with engine.execution_options(write=True).begin() as connection:
        connection.execute(update(tables.AuditHead).values(length=last, hash="0" * 64))


def _event(number: int, last: int, now: int) -> dict[str, object]:
    action, who = _ACTIONS[number % len(_ACTIONS)], f"user{number * 7919 % USERS}"
    return {
        "id": number, "at": now - (last - number) * (365 * DAY // EVENTS), "actor": who, "credential": "password",
        "source": "10.0.0.1", "action": action, "object": _OBJECTS.get(action, _themselves)(number, who),
        "result": "refused" if action == "login" and number % 50 == 0 else "ok", "detail": "local", "request_id": "",
        "hash": "0" * 64,
    }  # fmt: skip


def _themselves(_number: int, who: str) -> str:
    return who


def _place(number: int) -> str:
    """A fifth of all that happens to projects happens to one of them."""
    return PROJECT if number % 100 < 20 else f"team{number % PROJECTS}"


_OBJECTS: dict[str, Callable[[int, str], str]] = {
    "member.set": lambda number, who: f"{_place(number)}/{who}",
    "member.remove": lambda number, who: f"{_place(number)}/{who}",
    "project.set": lambda number, _: _place(number),
    "robot.secret": lambda number, _: f"{_place(number)}+ci{number % 10}",
}


def _rows(engine: Engine, table: type[tables.Base], rows: Iterator[dict[str, object]]) -> None:
    while some := list(islice(rows, CHUNK)):
        with engine.execution_options(write=True).begin() as connection:
            connection.execute(insert(table), some)
