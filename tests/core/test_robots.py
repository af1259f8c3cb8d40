from dataclasses import replace

import pytest
from sqlalchemy import event, select

from authsvc.core import projects, robots, standing
from authsvc.core.pages import Asked
from authsvc.core.projects import DeleteProject
from authsvc.core.robots import DAY, FOREVER, MAX_DAYS, AddRobot, ChangeRobot, Listed, Permission, Reach
from authsvc.core.standings import Standings
from authsvc.db.engine import reading, transaction
from authsvc.db.tables import AuditEvent, Base, Robot, RobotRight
from authsvc.domain import machine_secrets
from authsvc.domain.machine_secrets import Kind
from authsvc.domain.permissions import ROBOT_PROJECT, ROBOT_SYSTEM, Actor, Credential, Grant, Right, Role
from authsvc.errors import AlreadyExists, Forbidden, Invalid, NotFound
from tests.core.conftest import statements

PULL, PUSH, CATALOG = Right("repository", "pull"), Right("repository", "push"), Right("catalog", "read")
DELETE = Right("artifact", "delete")


def within(project: str = "acme", *rights: Right) -> Permission:
    return Permission(Reach.PROJECT, frozenset(rights or (PULL,)), project)


def everywhere(*rights: Right) -> Permission:
    return Permission(Reach.ALL, frozenset(rights))


def outside(*rights: Right) -> Permission:
    return Permission(Reach.SYSTEM, frozenset(rights))


def robot(name: str = "ci", *permissions: Permission, project: str = "acme", days: int = 30) -> AddRobot:
    return AddRobot(name=name, permissions=permissions or (within(),), days=days, project=project)


def given(session, name: str) -> set[str]:
    """The rights of a robot as they are stored."""
    rows = session.scalars(select(RobotRight).join(Robot, Robot.id == RobotRight.robot_id).where(Robot.name == name))
    return {f"{row.reach} {row.resource}:{row.action}" for row in rows}


def last_event(session) -> tuple[str, str, str, str, str]:
    event = session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc()).limit(1)).one()
    return event.actor, event.action, event.object, event.result, event.detail


def account(engine, name: str, secret: str, now: int = 0) -> standing.Account | None:
    return Standings(engine, 0).of_robot(name, machine_secrets.digest(secret), [], now).account


@pytest.fixture
def made(engine, cast, alice, now) -> robots.Made:
    """acme+ci, which pulls in acme for thirty days."""
    with transaction(engine) as session:
        return robots.add(session, alice, robot(), now)


# Names and places


@pytest.mark.parametrize(("project", "name"), [("", "ci"), ("acme", "acme+ci")])
def test_a_projects_robot_has_the_project_in_its_name(session, cast, root, now, project, name):
    assert robots.add(session, root, robot(project=project), now).robot.name == name


@pytest.mark.parametrize("name", ["ci", "a", "0", "ci-1.2_3", "a" * 100])
def test_a_robots_name_is_as_harbors(session, cast, alice, now, name):
    assert robots.add(session, alice, robot(name), now).robot.name == f"acme+{name}"


@pytest.mark.parametrize(
    "name", ["", "CI", "-ci", "ci-", "a--b", "a._b", "acme+ci", "robot$ci", "a b", "a/b", "é", "ci\n", "a" * 101]
)
def test_a_name_that_harbor_would_not_take_is_refused(session, cast, alice, now, name):
    with pytest.raises(Invalid, match="name: a robot's name is"):
        robots.add(session, alice, robot(name), now)


@pytest.mark.parametrize("project", ["", "acme"])
def test_a_name_is_given_once_in_a_place(engine, cast, root, now, project):
    with transaction(engine) as session:
        robots.add(session, root, robot(project=project), now)
    with pytest.raises(AlreadyExists, match="there is a robot"), transaction(engine) as session:
        robots.add(session, root, robot(project=project), now)


def test_two_projects_have_a_robot_of_the_same_name_each(session, cast, root, now):
    for place in ("acme", "open"):
        robots.add(session, root, robot("ci", within(place), project=place), now)
    assert [listed.name for listed in robots.list_all(session, root)] == ["acme+ci", "open+ci"]


@pytest.mark.parametrize("permission", [within("open"), everywhere(PULL), outside(CATALOG)])
def test_a_projects_robot_has_rights_in_its_project_alone(session, cast, root, now, permission):
    with pytest.raises(Invalid, match="in that project only"):
        robots.add(session, root, robot("ci", within(), permission), now)


def test_a_projects_robot_cannot_be_changed_into_one_of_another(session, made, root, now):
    with pytest.raises(Invalid, match="in that project only"):
        robots.change(session, root, ChangeRobot(name="acme+ci", permissions=(within("open"),)), now)


def test_a_system_robot_has_rights_wherever_it_is_told(session, cast, root, now):
    robots.add(session, root, robot("ci", within("open"), everywhere(PUSH), outside(CATALOG), project=""), now)
    assert given(session, "ci") == {"project repository:pull", "all repository:push", "system catalog:read"}


@pytest.mark.parametrize("command", [robot(project="nowhere"), robot("ci", within("nowhere"), project="")])
def test_a_project_that_is_not_there_has_no_robots(session, cast, root, now, command):
    with pytest.raises(NotFound, match="there is no project nowhere"):
        robots.add(session, root, command, now)


# Permissions


@pytest.mark.parametrize(("project", "found"), [("acme", {PULL, PUSH}), ("", {PUSH})])
def test_push_brings_pull_in_a_projects_robot(session, cast, root, now, project, found):
    robots.add(session, root, robot("ci", within("acme", PUSH), project=project), now)
    assert given(session, f"{project}+ci".removeprefix("+")) == {f"project {right}" for right in found}


def test_push_and_pull_together_are_two_rights(session, cast, alice, now):
    robots.add(session, alice, robot("ci", within("acme", PUSH, PULL)), now)
    assert len(session.scalars(select(RobotRight)).all()) == 2


@pytest.mark.parametrize(
    ("permission", "known"), [(within(), ROBOT_PROJECT), (everywhere(PULL), ROBOT_PROJECT), (outside(), ROBOT_SYSTEM)]
)
@pytest.mark.parametrize(
    "right",
    [
        Right("robot", "update"),
        Right("signing-key", "create"),
        Right("permission", "read"),
        Right("role", "create"),
        Right("access-token", "create"),
        Right("nonsense", "pull"),
    ],
)
def test_a_right_that_no_robot_may_have_is_refused(session, cast, root, now, permission, known, right):
    wanted = replace(permission, rights=frozenset({right}))
    with pytest.raises(Invalid, match=f"permission: a robot cannot be given {right}"):
        robots.add(session, root, robot("ci", wanted, project=""), now)
    assert right not in known


@pytest.mark.parametrize("permission", [within("acme", CATALOG), outside(PULL)])
def test_a_right_counts_only_where_it_belongs(session, cast, root, now, permission):
    with pytest.raises(Invalid, match="a robot cannot be given"):
        robots.add(session, root, robot("ci", permission, project=""), now)


def test_a_robot_without_a_right_is_refused(session, cast, alice, now):
    with pytest.raises(Invalid, match="good for nothing"):
        robots.add(session, alice, AddRobot(name="ci", permissions=(), days=30, project="acme"), now)


def actor(*rights: Right, via: Credential = Credential.PASSWORD, **more) -> Actor:
    """Somebody who may make and change robots in acme, and has these rights there beside."""
    every = frozenset({robots.CREATE, robots.UPDATE, *rights})
    return Actor("dora", via, Role.USER, (Grant("robots", every, "acme"),), **more)


@pytest.mark.parametrize("wanted", [(PUSH,), (PULL, PUSH), (Right("member", "create"),)])
def test_nobody_gives_a_right_that_they_do_not_have(session, cast, now, wanted):
    with pytest.raises(Forbidden, match=r"dora cannot give .*, not having it"):
        robots.add(session, actor(PULL), robot("ci", within("acme", *wanted)), now)


def test_a_right_that_one_has_can_be_given(session, cast, now):
    robots.add(session, actor(PULL), robot(), now)
    assert given(session, "acme+ci") == {"project repository:pull"}


def test_nobody_adds_a_right_later_that_they_do_not_have(session, made, now):
    with pytest.raises(Forbidden, match="not having it"):
        robots.change(
            session, actor(PULL), ChangeRobot(name="acme+ci", permissions=(within("acme", PULL, DELETE),)), now
        )


def test_a_right_for_some_repositories_cannot_be_given_for_all(session, cast, now):
    grants = (Grant("robots", frozenset({robots.CREATE}), "acme"), Grant("web", frozenset({PULL}), "acme", "acme/web"))
    with pytest.raises(Forbidden, match="cannot give repository:pull"):
        robots.add(session, Actor("dora", Credential.PASSWORD, Role.USER, grants), robot(), now)


MAKER = Actor(
    "robot$maker",
    Credential.ROBOT,
    Role.EVERYONE,
    (Grant("robot", frozenset({robots.CREATE, PULL}), "acme"),),
    frozenset({robots.CREATE, CATALOG}),
)


@pytest.mark.parametrize("project", ["", "acme"])
def test_a_robot_gives_another_one_what_it_has_in_a_project(session, cast, now, project):
    assert robots.add(session, MAKER, robot(project=project), now).robot.created_by == "robot$maker"


@pytest.mark.parametrize("permission", [within("acme", PUSH), everywhere(PULL), outside(CATALOG)])
def test_a_robot_gives_another_one_nothing_else(session, cast, now, permission):
    with pytest.raises(Forbidden, match=r"robot\$maker cannot give"):
        robots.add(session, MAKER, robot("ci", permission, project=""), now)


@pytest.mark.parametrize("who", ["bob", "charlie", "alice"])
@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        (robots.add, [robot("other", project="", days=1), 0]),
        (robots.add, [robot("other", within("open"), project="open"), 0]),
        (robots.list_all, []),
        (robots.list_all, ["open"]),
        (robots.list_expiring, [14, 0]),
        (robots.announce_expiring, [14, 0]),
    ],
)
def test_a_project_admin_has_no_say_outside_their_project(session, cast, request, who, verb, arguments):
    with pytest.raises(Forbidden, match=f"{who} may not"):
        verb(session, request.getfixturevalue(who), *arguments)


VERBS = [
    (robots.add, [robot("other"), 0]),
    (robots.change, [ChangeRobot(name="acme+ci", enabled=False), 0]),
    (robots.refresh, ["acme+ci", 0]),
    (robots.delete, ["acme+ci", 0]),
]


@pytest.mark.parametrize(("verb", "arguments"), VERBS)
def test_who_has_no_right_is_refused(session, made, bob, verb, arguments):
    with pytest.raises(Forbidden, match="bob may not"):
        verb(session, bob, *arguments)


@pytest.mark.parametrize(("verb", "arguments"), [*VERBS, (robots.list_all, ["acme"]), (robots.get_listed, ["acme+ci"])])
def test_for_a_stranger_neither_the_project_nor_its_robots_exist(session, made, charlie, verb, arguments):
    with pytest.raises(NotFound, match=r"there is no (project acme|robot acme\+ci)$"):
        verb(session, charlie, *arguments)


@pytest.mark.parametrize("project", ["library", "nowhere"])
def test_a_robots_rights_do_not_tell_whether_a_project_exists(session, cast, alice, now, project):
    with pytest.raises(NotFound, match=f"there is no project {project}$"):
        robots.add(session, alice, robot("ci", within(project)), now)


@pytest.mark.parametrize("verb", [robots.refresh, robots.delete])
def test_alice_has_no_say_over_the_systems_robots(session, cast, root, alice, now, verb):
    robots.add(session, root, robot(project=""), now)
    with pytest.raises(Forbidden, match="alice may not"):
        verb(session, alice, "ci", now)


def test_who_has_a_right_by_an_access_token_makes_no_robots(session, cast, alice, now):
    with pytest.raises(Forbidden, match="alice may not create robot"):
        robots.add(session, replace(alice, via=Credential.ACCESS_TOKEN), robot(), now)


# Its time


@pytest.mark.parametrize(("days", "seconds"), [(1, DAY), (30, 30 * DAY), (MAX_DAYS, MAX_DAYS * DAY)])
def test_a_robot_is_good_for_its_days(session, cast, alice, now, days, seconds):
    assert robots.add(session, alice, robot(days=days), now).robot.expires_at == now + seconds


def test_a_robot_can_be_good_for_ever(session, cast, alice, now):
    made = robots.add(session, alice, robot(days=FOREVER), now).robot
    assert (made.duration_days, made.expires_at) == (-1, None)


@pytest.mark.parametrize("days", [0, -2, MAX_DAYS + 1])
def test_other_durations_are_refused(session, made, alice, now, days):
    with pytest.raises(Invalid, match="days"):
        robots.add(session, alice, robot("other", days=days), now)
    with pytest.raises(Invalid, match="days"):
        robots.change(session, alice, ChangeRobot(name="acme+ci", days=days), now)


@pytest.mark.parametrize(("days", "left"), [(60, 60 * DAY), (1, DAY), (FOREVER, None)])
def test_a_new_duration_counts_from_the_creation(session, made, alice, now, days, left):
    changed = robots.change(session, alice, ChangeRobot(name="acme+ci", days=days), now + 10 * DAY)
    assert (changed.duration_days, changed.expires_at) == (days, left and now + left)


# Changes


def test_what_is_not_named_stays_as_it_is(session, made, alice, now):
    changed = robots.change(session, alice, ChangeRobot(name="acme+ci"), now)
    assert (changed.enabled, changed.duration_days, given(session, "acme+ci")) == (
        True,
        30,
        {"project repository:pull"},
    )


def test_new_permissions_replace_all_there_were(session, made, alice, now):
    robots.change(session, alice, ChangeRobot(name="acme+ci", permissions=(within("acme", DELETE),)), now)
    assert given(session, "acme+ci") == {"project artifact:delete"}


def test_a_robot_is_disabled_and_enabled(engine, made, alice, now):
    seen = []
    for enabled in (False, True):
        with transaction(engine) as session:
            robots.change(session, alice, ChangeRobot(name="acme+ci", enabled=enabled), now)
        seen.append(account(engine, "acme+ci", made.secret).enabled)
    assert seen == [False, True]


def test_a_new_secret_ends_the_old_one(engine, made, alice, now):
    with transaction(engine) as session:
        fresh = robots.refresh(session, alice, "acme+ci", now).secret
    assert account(engine, "acme+ci", made.secret) is None
    assert account(engine, "acme+ci", fresh).name == "acme+ci"


def test_a_deleted_robot_leaves_no_right_behind(engine, made, alice, now):
    with transaction(engine) as session:
        robots.delete(session, alice, "acme+ci", now)
    with reading(engine) as session:
        assert session.scalars(select(RobotRight)).all() == []
    assert account(engine, "acme+ci", made.secret) is None


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        (robots.change, [ChangeRobot(name="nobody", enabled=True), 0]),
        (robots.refresh, ["nobody", 0]),
        (robots.delete, ["nobody", 0]),
        (robots.delete, ["ACME+CI", 0]),
        (robots.delete, ["acme+ci ", 0]),
        (robots.list_all, ["nowhere"]),
    ],
)
def test_what_is_not_there_is_not_found(session, made, root, verb, arguments):
    with pytest.raises(NotFound):
        verb(session, root, *arguments)


def test_with_a_project_go_its_robots_and_every_right_there(engine, made, root, now):
    gone = DeleteProject(name="acme", root_project="library", token_lifetime=300)
    with transaction(engine) as session:
        robots.add(session, root, robot("ci", within("acme"), within("open"), project=""), now)
        projects.delete(session, root, gone, now)
    with reading(engine) as session:
        left = session.scalars(select(Robot.name)).all()
        assert (left, given(session, "acme+ci"), given(session, "ci")) == (["ci"], set(), {"project repository:pull"})


# Secrets


@pytest.fixture
def everything(engine):
    """Every value of every column there is, as text."""

    def read() -> str:
        with reading(engine) as session:
            tables = Base.metadata.sorted_tables
            return "\n".join(str(tuple(row)) for table in tables for row in session.execute(select(table)))

    return read


def test_a_secret_is_stored_nowhere(engine, made, alice, now, everything, home):
    with transaction(engine) as session:
        fresh = robots.refresh(session, alice, "acme+ci", now).secret
    files = b"".join(path.read_bytes() for path in home.rglob("authsvc.db*"))
    halves = [made.secret, made.secret[4:47], fresh, fresh[4:47]]
    assert [half in everything() or half.encode() in files for half in halves] == [False] * 4


def test_a_secret_is_found_by_its_digest(made, everything):
    assert machine_secrets.digest(made.secret) in everything()


def test_a_secret_is_a_robots_and_well_formed(made):
    assert (machine_secrets.is_kind(made.secret, Kind.ROBOT), machine_secrets.is_well_formed(made.secret)) == (
        True,
        True,
    )


def test_no_two_robots_share_a_secret(session, cast, alice, now):
    assert len({robots.add(session, alice, robot(f"ci{number}"), now).secret for number in range(10)}) == 10


# What is shown


def test_robots_are_listed_by_name_with_their_rights(session, made, root, now):
    made_now = robot("all", everywhere(PULL), outside(CATALOG), project="", days=FOREVER)
    robots.add(session, root, made_now, now)
    rights = ("acme:repository:pull",), ("*:repository:pull", "/:catalog:read")
    assert robots.list_all(session, root) == [
        Listed("acme+ci", "acme", True, now + 30 * DAY, None, rights[0], (), "", 30, "alice", now),
        Listed("all", "", True, None, None, rights[1], (), "", FOREVER, "root", now),
    ]


@pytest.mark.parametrize(("project", "names"), [(None, ["acme+ci", "all"]), ("", ["all"]), ("acme", ["acme+ci"])])
def test_a_page_has_the_robots_of_one_place_or_of_all(session, made, root, now, project, names):
    robots.add(session, root, robot("all", everywhere(PULL), project=""), now)
    page = robots.list_page(session, root, Asked(), project)
    assert ([row.name for row in page.rows], page.total) == (names, len(names))


def test_a_page_of_robots_is_searched_by_name(session, made, alice):
    found = [robots.list_page(session, alice, Asked(text=text), "acme").total for text in ("CI", "c_")]
    assert found == [1, 0]


def test_a_page_of_robots_costs_no_more_for_more_robots(engine, session, made, alice, now):
    for number in range(3):
        robots.add(session, alice, robot(f"ci{number}"), now)
    session.flush()
    with statements(engine) as seen:
        robots.list_page(session, alice, Asked(size=3), "acme")
    assert len(seen) == 6


def test_one_robot_is_listed_as_in_a_list(session, made, bob):
    assert [robots.get_listed(session, bob, "acme+ci")] == robots.list_all(session, bob, "acme")


def test_nobody_but_an_administrator_lists_the_systems_robots(session, made, alice):
    with pytest.raises(Forbidden):
        robots.list_page(session, alice, Asked())
    with pytest.raises(Forbidden):
        robots.list_page(session, alice, Asked(), "")


def test_members_see_the_robots_of_their_project(session, made, root, bob, now):
    robots.add(session, root, robot("ci", within("open"), project="open"), now)
    assert [listed.name for listed in robots.list_all(session, bob, "acme")] == ["acme+ci"]


# What will end


@pytest.mark.parametrize(("days", "soon"), [(13, True), (14, True), (15, False), (FOREVER, False)])
def test_a_robot_that_soon_expires_is_listed(session, cast, root, now, days, soon):
    robots.add(session, root, robot(days=days), now)
    assert bool(robots.list_expiring(session, root, 14, now)) is soon


def test_a_robot_that_has_expired_is_listed_before_one_that_will(session, cast, root, now):
    robots.add(session, root, robot("later", days=9), now)
    robots.add(session, root, robot("over", days=1), now)
    listed = robots.list_expiring(session, root, 14, now + 5 * DAY)
    assert [row.name for row in listed] == ["acme+over", "acme+later"]


def test_a_disabled_robot_may_expire_in_silence(session, made, root, now):
    robots.change(session, root, ChangeRobot(name="acme+ci", enabled=False), now)
    assert robots.list_expiring(session, root, 60, now) == []


def test_an_end_is_announced_once(session, made, root, now):
    announced = [
        [row.name for row in robots.announce_expiring(session, root, 14, now + day * DAY)] for day in (10, 20, 21, 40)
    ]
    assert announced == [[], ["acme+ci"], [], []]


def test_an_announcement_is_an_audit_row(session, made, root, now):
    robots.announce_expiring(session, root, 14, now + 20 * DAY)
    assert last_event(session) == ("root", "robot.expiring", "acme+ci", "ok", "in 10 days")


def test_every_robot_is_locked_before_the_head_of_the_trail(session, cast, root, now):
    for name in ("one", "two"):
        robots.add(session, root, robot(name, days=1), now)
    written = []
    event.listen(session.connection(), "before_cursor_execute", lambda *given: written.append(given[2].split()[1]))
    robots.announce_expiring(session, root, 14, now)
    assert "robots" not in written[written.index("audit_heads") :]


def test_an_end_that_is_past_is_announced_as_now(session, made, root, now):
    robots.announce_expiring(session, root, 14, now + 50 * DAY)
    assert last_event(session)[4] == "in 0 days"


def test_a_prolonged_robot_is_announced_again(session, made, root, now):
    robots.announce_expiring(session, root, 14, now + 20 * DAY)
    robots.change(session, root, ChangeRobot(name="acme+ci", days=60), now + 21 * DAY)
    announced = [len(robots.announce_expiring(session, root, 14, now + day * DAY)) for day in (22, 50)]
    assert announced == [0, 1]


# The audit trail


def test_adding_a_robot_is_audited(session, made):
    assert last_event(session) == ("alice", "robot.add", "acme+ci", "ok", "acme:repository:pull")


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"enabled": False}, "enabled=False"),
        ({"days": -1}, "days=-1"),
        ({"permissions": (within("acme", PULL, PUSH),)}, "acme:repository:pull acme:repository:push"),
        ({"enabled": True, "days": 60, "permissions": (within(),)}, "enabled=True; days=60; acme:repository:pull"),
    ],
)
def test_changing_a_robot_is_audited(session, made, alice, now, change, detail):
    robots.change(session, alice, ChangeRobot(name="acme+ci", **change), now)
    assert last_event(session) == ("alice", "robot.set", "acme+ci", "ok", detail)


@pytest.mark.parametrize(("verb", "action"), [(robots.refresh, "robot.secret"), (robots.delete, "robot.delete")])
def test_what_happens_to_a_robot_is_audited(session, made, alice, now, verb, action):
    verb(session, alice, "acme+ci", now)
    assert last_event(session) == ("alice", action, "acme+ci", "ok", "")


# Permissions as people write them


@pytest.mark.parametrize(
    ("text", "permission"),
    [
        ("acme:repository:pull,push", within("acme", PULL, PUSH)),
        ("acme:repository:pull,", within("acme", PULL)),
        ("*:repository:pull", everywhere(PULL)),
        ("/:catalog:read", outside(CATALOG)),
    ],
)
def test_a_permission_is_read(text, permission):
    assert robots.parse_permission(text) == permission


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is not PLACE:RESOURCE:ACTION"),
        ("acme", "is not PLACE:RESOURCE:ACTION"),
        ("acme:repository", "is not PLACE:RESOURCE:ACTION"),
        ("acme:repository:", "is not PLACE:RESOURCE:ACTION"),
        (":repository:pull", "is not PLACE:RESOURCE:ACTION"),
        ("acme:repository:fly", "a robot cannot be given repository:fly"),
        ("acme:repository:pull,fly", "a robot cannot be given repository:fly"),
        ("/:repository:pull", "a robot cannot be given repository:pull"),
        ("*:catalog:read", "a robot cannot be given catalog:read"),
    ],
)
def test_what_is_no_permission_is_refused(text, sentence):
    with pytest.raises(Invalid, match=f"permission: .*{sentence}"):
        robots.parse_permission(text)


@pytest.mark.parametrize(
    "gain", [lambda *who: robots.refresh(*who[:2], "acme+ci", 2), lambda *who: robots.change(*who, 2)]
)
def test_nobody_gets_a_robot_that_is_stronger_than_they_are(session, cast, root, gain):
    allowed = (robots.parse_permission("acme:artifact:delete"),)
    robots.add(session, root, AddRobot(name="ci", project="acme", days=1, permissions=allowed), 1)
    keeper = Grant("keeper", frozenset({robots.UPDATE}), "acme")
    charlie = Actor("charlie", Credential.PASSWORD, Role.USER, (keeper,))
    with pytest.raises(Forbidden, match="artifact:delete"):
        gain(session, charlie, robots.ChangeRobot(name="acme+ci", enabled=True))
