from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.domain import permissions
from authsvc.domain.permissions import (
    AUDIENCES,
    CREDENTIALS,
    DELETE,
    DOCKER,
    MEMBER_ROLES,
    PROJECT,
    PULL,
    PUSH,
    ROBOT_PROJECT,
    ROBOT_SYSTEM,
    SYSTEM,
    TOKEN_ACTIONS,
    Actor,
    Audience,
    Because,
    Credential,
    Grant,
    Limit,
    Project,
    Right,
    Role,
    decide,
    sight,
)
from tests.factories import make_grant

# Harbor's table, from its documentation of `src/common/rbac/project/rbac_role.go`, in its own notation.
HARBOR = """
| (project itself) | R U D | R | R | R | R | R |
| accessory | L | L | L | L | L | L |
| artifact | C R D L | C R D L | C R L | R L | R L | R L |
| artifact-addition | R | R | R | R | R | R |
| artifact-label | C D | C D | C D | - | - | - |
| configuration | R U | R | R | R | R | - |
| export-cve | C R L | C R L | C R L | - | - | - |
| immutable-tag | C U D L | C U D L | - | - | - | - |
| label | C R U D L | C R U D L | R L | R L | - | R L |
| log | L | - | - | - | - | - |
| member | C R U D L | R L | R L | R L | - | - |
| metadata | C R U D | R | - | - | - | - |
| notification-policy | C U D L R | R L | - | - | - | - |
| preheat-policy | C R U D L | - | - | - | - | - |
| quota | R | R | R | R | R | - |
| repository | C R U D L pull push | C R U D L push pull | C R U L push pull | R L pull | L R pull | L pull |
| robot | C R U D L | R L | R L | R L | - | - |
| sbom | C stop R | C stop R | R | R | R | - |
| scan | C R stop | C R stop | R | R | R | R |
| scanner | R C | R | R | R | R | R |
| tag | L C D | L C D | L C | L | L | L |
| tag-retention | C R U D L op | C R U D L op | C R U D L op | - | - | - |
"""
# Harbor's catalogue of what a robot can be given, from the same source: in a project, then outside.
HARBORS_ROBOTS = """
| log | L |
| project | R D U |
| metadata | C R U D L |
| repository | R U D L pull push |
| artifact | R C L D |
| scan | C R stop |
| sbom | C stop R |
| tag | C L D |
| accessory | L |
| artifact-addition | R |
| artifact-label | C D |
| scanner | C R |
| preheat-policy | C R U D L |
| immutable-tag | C U D L |
| notification-policy | C R U D L |
| tag-retention | C R U D L |
| label | C R U D L |
| quota | R |
| robot | C R L D |
| export-cve | C R |
| member | C R U D L |
"""
HARBORS_SYSTEM_ROBOTS = """
| audit-log | L |
| preheat-instance | C R U D L |
| project | L C |
| replication-policy | C R U D L |
| replication | R C L |
| replication-adapter | L |
| registry | C R U D L |
| scan-all | R U C stop |
| system-volumes | R |
| garbage-collection | R C L U stop |
| purge-audit | R C L U stop |
| jobservice-monitor | L stop |
| scanner | C R U D L |
| label | R C D U |
| security-hub | R L |
| catalog | R |
| quota | R L U |
| robot | C R L D |
| user | C R U D L |
| ldap-user | C L |
| user-group | C R U D L |
"""
WORDS = {"C": "create", "R": "read", "U": "update", "D": "delete", "L": "list", "op": "operate"}
COLUMNS = ("projectAdmin", "maintainer", "developer", "guest", "limitedGuest", "visitor")


def catalogue(table: str) -> dict[str, set[str]]:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()]
    return {resource: {WORDS.get(word, word) for word in cell.split()} for resource, cell in rows}


def actions_of(rights: frozenset[Right], resource: str) -> set[str]:
    return {right.action for right in rights if right.resource == resource}


IN_PROJECTS, OUTSIDE = catalogue(HARBORS_ROBOTS), catalogue(HARBORS_SYSTEM_ROBOTS)
ROWS = {
    "project" if row[0] == "(project itself)" else row[0]: dict(zip(COLUMNS, row[1:], strict=True))
    for row in ([cell.strip() for cell in line.strip("|").split("|")] for line in HARBOR.strip().splitlines())
}

OURS = {"permission"}
"""Rows that Harbor's table does not have."""

REGISTRY, NOTARY = Audience.REGISTRY, Audience.NOTARY
NAMES = ("acme/app", "acme/web-api")
ACME, OPEN = Project("acme", public=False), Project("open", public=True)
EVERY_RIGHT = frozenset().union(*PROJECT.values(), *SYSTEM.values(), ROBOT_PROJECT, ROBOT_SYSTEM)
ANONYMOUS = Actor("", Credential.ANONYMOUS, Role.EVERYONE)


def someone(role: Role | None = None, *, admin: bool = False, via: Credential = Credential.PASSWORD) -> Actor:
    grants = (make_grant("acme", role), make_grant("open", role)) if role else ()
    return Actor("bob", via, Role.SYSTEM_ADMIN if admin else Role.USER, grants)


def robot(*grants: Grant, system_rights: frozenset[Right] = frozenset()) -> Actor:
    return Actor("robot$ci", Credential.ROBOT, Role.EVERYONE, grants, system_rights)


def limited(limit: Limit, *, admin: bool = False) -> Actor:
    """A maintainer of acme, or an administrator, with an access token."""
    role = Role.SYSTEM_ADMIN if admin else Role.USER
    return Actor("bob", Credential.ACCESS_TOKEN, role, (make_grant("acme", Role.MAINTAINER),), limit=limit)


@pytest.mark.parametrize("role", COLUMNS)
@pytest.mark.parametrize("resource", ROWS)
def test_a_cell_of_the_table_is_harbors(resource, role):
    cell = {WORDS.get(word, word) for word in ROWS[resource][role].split() if word != "-"}
    assert {right.action for right in PROJECT[Role(role)] if right.resource == resource} == cell


@pytest.mark.parametrize("role", COLUMNS)
def test_a_role_has_no_resource_that_harbor_does_not_know(role):
    assert {right.resource for right in PROJECT[Role(role)]} - OURS <= ROWS.keys()


def test_a_project_admin_may_be_told_what_decides_in_their_project():
    having = [role for role in Role if Right("permission", "read") in PROJECT[role]]
    assert having == [Role.PROJECT_ADMIN, Role.SYSTEM_ADMIN]


def test_harbors_counts_of_the_member_roles_hold():
    harbors = [[right for right in PROJECT[role] if right.resource not in OURS] for role in MEMBER_ROLES]
    assert [len(rights) for rights in harbors] == [75, 53, 36, 20, 14]


@pytest.mark.parametrize("table", [PROJECT, SYSTEM])
def test_every_role_has_a_row(table):
    assert set(table) == set(Role)


def test_every_credential_has_a_row():
    assert set(CREDENTIALS) == set(Credential)


@pytest.mark.parametrize("role", [*COLUMNS, "everyone", "user"])
def test_no_project_role_reaches_what_only_administrators_have(role):
    assert not decide(someone(Role(role)), Right("metadata", "list"), ACME)


@pytest.mark.parametrize("project", [None, ACME, OPEN])
@pytest.mark.parametrize("via", Credential)
@pytest.mark.parametrize("right", [Right("repository", "frobnicate"), Right("unknown", "read"), Right("", "")])
def test_an_unknown_right_is_denied_to_everybody(right, via, project):
    assert not decide(someone(Role.PROJECT_ADMIN, admin=True, via=via), right, project)


def test_an_administrator_has_every_right_of_every_project():
    rights = frozenset().union(*(PROJECT[role] for role in Role))
    assert all(decide(someone(admin=True), right, ACME) for right in rights)


def test_a_project_role_gives_nothing_outside_any_project():
    outside = [right for right in SYSTEM[Role.SYSTEM_ADMIN] if decide(someone(Role.PROJECT_ADMIN), right, None)]
    assert set(outside) == SYSTEM[Role.USER]


def test_a_role_in_one_project_gives_nothing_in_another():
    bob = Actor("bob", Credential.PASSWORD, Role.USER, (make_grant("acme", Role.PROJECT_ADMIN),))
    assert not any(decide(bob, right, Project("other", public=False)) for right in EVERY_RIGHT)


def test_anonymous_has_nothing_in_a_private_project():
    assert not any(decide(ANONYMOUS, right, ACME) for right in EVERY_RIGHT)


def test_anonymous_has_what_visitors_have_in_a_public_project():
    assert {right for right in EVERY_RIGHT if decide(ANONYMOUS, right, OPEN)} == PROJECT[Role.VISITOR]


def test_the_constant_for_anonymous_is_nobody():
    assert permissions.ANONYMOUS == ANONYMOUS


def test_no_role_helps_a_credential_that_may_not_be_used_for_it():
    decision = decide(someone(Role.PROJECT_ADMIN, via=Credential.ANONYMOUS), permissions.PUSH, ACME)
    assert (decision.allowed, decision.because) == (False, Because.CREDENTIAL)


@pytest.mark.parametrize(
    ("actor", "right", "project", "because", "role"),
    [
        (someone(admin=True), permissions.PUSH, ACME, Because.SYSTEM_ROLE, Role.SYSTEM_ADMIN),
        (someone(Role.DEVELOPER), permissions.PUSH, ACME, Because.GRANT, Role.DEVELOPER),
        (someone(Role.DEVELOPER), permissions.PULL, OPEN, Because.GRANT, Role.DEVELOPER),
        (someone(), permissions.PULL, OPEN, Because.PUBLIC_PROJECT, Role.VISITOR),
        (someone(), permissions.PULL, ACME, Because.NO_ROW, None),
        (someone(Role.GUEST), permissions.PUSH, ACME, Because.NO_ROW, None),
        (someone(), permissions.CATALOG, None, Because.NO_ROW, None),
        (someone(admin=True), permissions.CATALOG, None, Because.SYSTEM_ROLE, Role.SYSTEM_ADMIN),
    ],
)
def test_a_decision_names_its_row(actor, right, project, because, role):
    decision = decide(actor, right, project)
    assert (decision.because, decision.grant.role if decision.grant else None) == (because, role)


# Robots and access tokens


@pytest.mark.parametrize("resource", IN_PROJECTS)
def test_a_cell_of_the_robots_catalogue_in_projects_is_harbors(resource):
    assert actions_of(ROBOT_PROJECT, resource) == IN_PROJECTS[resource]


@pytest.mark.parametrize("resource", OUTSIDE)
def test_a_cell_of_the_robots_catalogue_outside_projects_is_harbors(resource):
    assert actions_of(ROBOT_SYSTEM, resource) == OUTSIDE[resource]


@pytest.mark.parametrize(("rights", "rows"), [(ROBOT_PROJECT, IN_PROJECTS), (ROBOT_SYSTEM, OUTSIDE)])
def test_a_robot_has_no_resource_that_harbor_does_not_know(rights, rows):
    assert {right.resource for right in rights} == rows.keys()


def test_a_robot_may_use_its_catalogue_and_nothing_else():
    assert CREDENTIALS[Credential.ROBOT] == ROBOT_PROJECT | ROBOT_SYSTEM


@pytest.mark.parametrize("project", [None, ACME, OPEN])
def test_a_robot_never_has_what_is_not_in_its_catalogue(project):
    actor = robot(Grant("robot", EVERY_RIGHT, None), system_rights=EVERY_RIGHT)
    assert {right for right in EVERY_RIGHT if decide(actor, right, project)} == ROBOT_PROJECT | ROBOT_SYSTEM


@pytest.mark.parametrize("via", [Credential.ACCESS_TOKEN, Credential.REFRESH_TOKEN])
@pytest.mark.parametrize(("project", "found"), [(None, {permissions.CATALOG}), (ACME, {PULL, PUSH, DELETE})])
def test_a_token_in_place_of_a_password_is_good_for_docker_only(via, project, found):
    actor = someone(Role.PROJECT_ADMIN, admin=True, via=via)
    assert {right for right in EVERY_RIGHT if decide(actor, right, project)} == found


@pytest.mark.parametrize(
    ("project", "name", "allowed"), [("acme", "acme/app", True), (None, "acme/app", True), ("open", "acme/app", False)]
)
def test_a_robot_has_its_rights_where_it_was_given_them(project, name, allowed):
    assert decide(robot(Grant("robot", frozenset({PUSH}), project)), PUSH, ACME, name).allowed is allowed


def test_a_robots_rights_outside_projects_give_nothing_inside():
    actor = robot(system_rights=ROBOT_SYSTEM)
    assert not any(decide(actor, right, ACME) for right in EVERY_RIGHT)


def test_a_robots_rights_in_every_project_give_nothing_outside():
    actor = robot(Grant("robot", ROBOT_PROJECT, None))
    assert {right for right in EVERY_RIGHT if decide(actor, right)} == SYSTEM[Role.EVERYONE] & CREDENTIALS[
        Credential.ROBOT
    ]


@pytest.mark.parametrize(
    ("actions", "patterns", "repository", "found"),
    [
        (("pull", "push", "delete"), (), "acme/app", ["delete", "pull", "push"]),
        (("pull",), (), "acme/app", ["pull"]),
        (("catalog",), (), "acme/app", []),
        (("pull", "push"), ("acme/a*",), "acme/app", ["pull", "push"]),
        (("pull", "push"), ("acme/a*",), "acme/app/dev", []),
        (("pull",), ("open/**", "acme/app"), "acme/app", ["pull"]),
        (("pull",), ("open/**",), "acme/app", []),
    ],
)
def test_an_access_token_allows_its_actions_in_its_patterns(actions, patterns, repository, found):
    limit = Limit(frozenset(TOKEN_ACTIONS[action] for action in actions), patterns)
    assert permissions.repository_actions(limited(limit), REGISTRY, ACME, repository, frozenset({"*"})) == found


def test_an_access_token_gives_nothing_that_its_owner_has_not():
    limit = Limit(frozenset(TOKEN_ACTIONS.values()))
    assert not any(decide(limited(limit), right, Project("other", public=False)) for right in EVERY_RIGHT)


def test_what_an_access_token_is_limited_to_is_named_as_the_reason():
    decision = decide(limited(Limit(frozenset({PULL}))), PUSH, ACME, "acme/app")
    assert (decision.allowed, decision.because) == (False, Because.LIMIT)


@pytest.mark.parametrize(
    ("actions", "patterns", "granted"),
    [({"catalog"}, (), ["*"]), ({"catalog"}, ("**",), []), ({"pull", "push", "delete"}, (), [])],
)
def test_an_access_token_reads_the_catalog_when_it_says_so_and_knows_no_pattern(actions, patterns, granted):
    limit = Limit(frozenset(TOKEN_ACTIONS[action] for action in actions), patterns)
    assert permissions.catalog_actions(limited(limit, admin=True), REGISTRY, "catalog", frozenset({"*"})) == granted


@pytest.mark.parametrize(
    ("project", "pattern", "repository", "covered"),
    [
        ("acme", "", "acme/app", True),
        ("acme", "", None, True),
        ("acme", "acme/web-*", "acme/web-api", True),
        ("acme", "acme/web-*", "acme/app", False),
        ("acme", "acme/web-*", None, False),
        ("other", "", "acme/app", False),
        ("other", "acme/**", "acme/app", False),
        (None, "", "acme/app", True),
    ],
)
def test_a_grant_counts_for_its_project_and_its_pattern(project, pattern, repository, covered):
    assert make_grant(project, Role.DEVELOPER, pattern).covers("acme", repository) is covered


def test_of_two_grants_each_gives_what_it_has():
    grants = (make_grant("acme", Role.GUEST), make_grant("acme", Role.MAINTAINER, "acme/web-*"))
    bob = Actor("bob", Credential.PASSWORD, Role.USER, grants)
    found = {name: permissions.repository_actions(bob, REGISTRY, ACME, name, frozenset({"*"})) for name in NAMES}
    assert found == {"acme/app": ["pull"], "acme/web-api": ["delete", "pull", "push"]}


ALL = ["delete", "pull", "push"]
# Harbor's table of what the token service grants: the caller, a private project, a public one.
CALLERS = [
    (someone(admin=True), ALL, ALL),
    (someone(Role.PROJECT_ADMIN), ALL, ALL),
    (someone(Role.MAINTAINER), ALL, ALL),
    (someone(Role.DEVELOPER), ["pull", "push"], ["pull", "push"]),
    (someone(Role.GUEST), ["pull"], ["pull"]),
    (someone(Role.LIMITED_GUEST), ["pull"], ["pull"]),
    (someone(), [], ["pull"]),
    (ANONYMOUS, [], ["pull"]),
]
CALLER_NAMES = ["systemAdmin", *MEMBER_ROLES, "non-member", "anonymous"]


@pytest.mark.parametrize("asked", [frozenset(DOCKER), frozenset({"*"}), frozenset({"*", "pull", "frobnicate"})])
@pytest.mark.parametrize(("actor", "private", "public"), CALLERS, ids=CALLER_NAMES)
def test_docker_may_do_what_harbor_grants(actor, private, public, asked):
    granted = [permissions.repository_actions(actor, REGISTRY, place, "x/y", asked) for place in (ACME, OPEN, None)]
    assert granted == [private, public, []]


@pytest.mark.parametrize("audience", Audience)
def test_every_audience_knows_its_actions(audience):
    assert AUDIENCES[audience] == {
        REGISTRY: {"pull": PULL, "push": PUSH, "delete": DELETE},
        NOTARY: {"pull": PULL, "push": PUSH, "*": DELETE},
    }.get(audience)


@pytest.mark.parametrize(
    ("role", "asked", "granted"),
    [
        (Role.MAINTAINER, {"*"}, ["*"]),
        (Role.MAINTAINER, {"pull", "push", "*"}, ["*", "pull", "push"]),
        (Role.MAINTAINER, {"delete"}, []),
        (Role.DEVELOPER, {"*"}, []),
        (Role.DEVELOPER, {"pull", "push", "*"}, ["pull", "push"]),
        (Role.GUEST, {"pull", "push", "*"}, ["pull"]),
    ],
)
def test_notary_gets_a_literal_wildcard_for_who_may_delete_artifacts(role, asked, granted):
    assert permissions.repository_actions(someone(role), NOTARY, ACME, "acme/app", frozenset(asked)) == granted


requests = st.frozensets(st.sampled_from(["pull", "push", "delete", "*", "scanner-pull", "frobnicate", ""]))
repositories = st.sampled_from(NAMES)
patterns = st.sampled_from(["", "acme/*", "acme/web-*", "**", "acme/app"])
some_rights = st.frozensets(st.sampled_from([PULL, PUSH, DELETE, permissions.CATALOG]))
grants = st.builds(
    Grant, st.just("role"), some_rights, st.sampled_from(["acme", "open", "other", None]), patterns, st.none()
)
actors = st.builds(
    Actor,
    st.just("bob"),
    st.sampled_from(Credential),
    st.sampled_from([Role.EVERYONE, Role.USER, Role.SYSTEM_ADMIN]),
    st.lists(grants, max_size=3).map(tuple),
    some_rights,
    st.none() | st.builds(Limit, some_rights, st.lists(patterns.filter(bool), max_size=2).map(tuple)),
)
projects = st.sampled_from([ACME, OPEN, None])
audiences = st.sampled_from(Audience)


@given(actors, audiences, projects, repositories, requests)
def test_docker_never_gets_more_than_it_asked(actor, audience, project, repository, asked):
    expanded = asked | (set(DOCKER) if "*" in asked else set())
    assert set(permissions.repository_actions(actor, audience, project, repository, asked)) <= expanded


@given(actors, audiences, projects, repositories, requests)
def test_docker_never_gets_what_the_table_denies(actor, audience, project, repository, asked):
    granted = permissions.repository_actions(actor, audience, project, repository, asked)
    assert all(decide(actor, AUDIENCES[audience][action], project, repository) for action in granted)


@given(actors, projects, repositories, requests)
def test_a_wildcard_is_never_granted_on_a_repository_of_a_registry(actor, project, repository, asked):
    assert "*" not in permissions.repository_actions(actor, REGISTRY, project, repository, asked)


@given(actors, projects, repositories, some_rights)
def test_no_limit_ever_widens(actor, project, repository, rights):
    free = replace(actor, limit=None)
    narrow = replace(actor, limit=Limit(rights))
    assert all(
        decide(free, right, project, repository) for right in EVERY_RIGHT if decide(narrow, right, project, repository)
    )


@pytest.mark.parametrize(
    ("actor", "granted"), [*((caller[0], []) for caller in CALLERS[1:]), (someone(admin=True), ["*"])]
)
def test_only_administrators_get_the_catalog(actor, granted):
    assert permissions.catalog_actions(actor, REGISTRY, "catalog", frozenset({"*"})) == granted


@pytest.mark.parametrize(("rights", "granted"), [({permissions.CATALOG}, ["*"]), (ROBOT_PROJECT, [])])
def test_a_robot_gets_the_catalog_when_it_was_given_it(rights, granted):
    actor = robot(system_rights=frozenset(rights))
    assert permissions.catalog_actions(actor, REGISTRY, "catalog", frozenset({"*"})) == granted


def test_notary_has_no_catalog():
    assert permissions.catalog_actions(someone(admin=True), NOTARY, "catalog", frozenset({"*"})) == []


@pytest.mark.parametrize(("name", "asked"), [("catalog", "pull"), ("other", "*"), ("", "*")])
def test_a_catalog_scope_is_never_upgraded(name, asked):
    assert permissions.catalog_actions(someone(admin=True), REGISTRY, name, frozenset({asked})) == []


SECRET, SHOWN = Project("acme", public=False), Project("open", public=True)


@pytest.mark.parametrize(
    ("actor", "seen"),
    [
        (Actor("root", Credential.SESSION, Role.SYSTEM_ADMIN), (True, True)),
        (Actor("charlie", Credential.SESSION, Role.USER), (False, True)),
        (permissions.ANONYMOUS, (False, True)),
        (Actor("bob", Credential.SESSION, Role.USER, (make_grant("acme", Role.LIMITED_GUEST),)), (True, True)),
        (Actor("bob", Credential.SESSION, Role.USER, (make_grant("acme", Role.GUEST, "acme/web"),)), (True, True)),
        (Actor("bob", Credential.SESSION, Role.USER, (make_grant("open", Role.GUEST),)), (False, True)),
        (Actor("ci", Credential.ROBOT, Role.EVERYONE, (Grant("robot", frozenset({PULL}), None),)), (True, True)),
        (Actor("ci", Credential.ROBOT, Role.EVERYONE), (False, True)),
        (
            Actor("ci", Credential.ROBOT, Role.EVERYONE, system_rights=frozenset({Right("project", "list")})),
            (True, True),
        ),
        (
            Actor(
                "ci", Credential.ACCESS_TOKEN, Role.USER, (make_grant("acme", Role.GUEST),), limit=Limit(frozenset())
            ),
            (False, False),
        ),
    ],
)
def test_a_project_exists_for_whoever_has_a_right_there(actor, seen):
    assert tuple(map(sight(actor).includes, (SECRET, SHOWN))) == seen


@pytest.mark.parametrize("role", [*MEMBER_ROLES, Role.VISITOR, Role.USER, Role.EVERYONE, Role.SYSTEM_ADMIN])
@pytest.mark.parametrize("via", Credential)
@pytest.mark.parametrize("project", [SECRET, SHOWN])
def test_what_exists_for_somebody_is_where_the_table_gives_them_a_right(role, via, project):
    actor = Actor("bob", via, Role.USER, (Grant(role, PROJECT[role], "acme", "acme/web"),))
    may = [decide(actor, right, project, "acme/web") for right in permissions.ROLE_RIGHTS]
    assert sight(actor).includes(project) is any(may)
