"""Robots of a project, and of the system: list, make, new secrets, rights, trusts in issuers of identity tokens.

The two have the same pages. A project's stand below it, and no other robot is found there.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext, lazy_gettext

from authsvc.core import robots, trusts
from authsvc.core.robots import DAY, FOREVER, AddRobot, ChangeRobot, Listed, Made, Permission, Reach
from authsvc.core.trusts import AddTrust
from authsvc.domain.permissions import DELETE, PULL, PUSH, ROBOT_PROJECT, ROBOT_SYSTEM, Right
from authsvc.domain.trusts import Rule, parse_rule
from authsvc.errors import AlreadyExists, AppError, Invalid, NotFound, say
from authsvc.web import access, errors, lists, visitor
from authsvc.web.access import needs
from authsvc.web.request import docker_host, services

bp = Blueprint("robots", __name__, url_prefix="/admin/robots")
project_bp = Blueprint("project_robots", __name__, url_prefix="/projects/<project>/robots")
LIST, PAGE, NEW = "robots/list.html", "robots/show.html", "robots/new.html"
PERMISSIONS, SECRET = "robots/permissions.html", "robots/secret.html"
FIRST = (PULL, PUSH, DELETE, Right("tag", "delete"))
"""The rights that most robots are made for. The others are folded away."""
MAX_PLACES = 20

EXAMPLES: Mapping[str, tuple[str, dict[str, str]]] = {
    "github": (
        "GitHub Actions",
        {"issuer": "https://token.actions.githubusercontent.com", "claim": "sub=repo:acme/app:ref:refs/heads/main"},
    ),
    "gitlab": (
        "GitLab CI",
        {
            "issuer": "https://gitlab.com",
            "claim": "project_path=acme/app\nref_path=refs/heads/main\nref_protected=true",
        },
    ),
    "kubernetes": (
        "Kubernetes",
        {
            "issuer": "https://kubernetes.default.svc.cluster.local",
            "claim": "sub=system:serviceaccount:ci:builder",
            "jwks_url": "https://10.0.0.1:6443/openid/v1/jwks",
        },
    ),
}


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the form of a robot's permissions.

    Args:
        key: what its fields are called after.
        label: what the page calls it; "" where a project is to be named.
        rights: what it has, or what was ticked.
    """

    key: str
    reach: Reach
    label: object
    project: str
    rights: frozenset[Right]

    @property
    def offered(self) -> frozenset[Right]:
        """What a robot can be given there."""
        return ROBOT_SYSTEM if self.reach is Reach.SYSTEM else ROBOT_PROJECT


@project_bp.get("")
@bp.get("")
@needs(robots.LIST)
def index(project: str = "") -> str:
    """The robots of this project, or those of the system."""
    me, asked = visitor.required().actor, lists.asked("name")
    with services().reading() as unit:
        found = robots.list_page(unit, me, asked, project)
    return render_template(LIST, asked=asked, found=found, **_facts(project))


@project_bp.get("/+new")
@bp.get("/+new")
@needs(robots.CREATE)
def new(project: str = "") -> str:
    """The form of a new robot."""
    given = {"days": "90"}
    return render_template(NEW, **_facts(project) | {"given": given, "places": _places(project, ())})


@project_bp.post("/+new")
@bp.post("/+new")
@needs(robots.CREATE, fresh=True)
def add(project: str = "") -> ResponseReturnValue:
    """Make a robot, and show its secret this once; or add a place to the form."""
    me, given, places = visitor.required().actor, request.form, _ticked(project)
    facts = _facts(project) | {"given": given, "places": places}
    if "more" in given:
        return render_template(NEW, **facts)
    try:
        command = AddRobot(
            name=given.get("name", "").strip(),
            project=project,
            description=given.get("description", "").strip(),
            days=_days(given.get("days", "")),
            permissions=_permissions(places),
        )
        made = services().retried(lambda unit: robots.add(unit, me, command, int(time.time())))
    except AppError as exc:
        return errors.on_form(exc, NEW, field=_at_fault(exc), **facts)
    return _show_secret(made, project)


@project_bp.get("/<robot>")
@bp.get("/<robot>")
@needs(robots.LIST)
def show(robot: str, project: str = "") -> str:
    """One robot."""
    return render_template(PAGE, **_robot_facts(robot, project))


@project_bp.post("/<robot>/enabled")
@bp.post("/<robot>/enabled")
@needs(robots.UPDATE, fresh=True)
def set_enabled(robot: str, project: str = "") -> ResponseReturnValue:
    """Let it in, or not."""
    enabled = request.form.get("enabled") == "yes"
    _change(ChangeRobot(name=_find(robot, project).name, enabled=enabled))
    flash(gettext("It can log in again.") if enabled else gettext("It is refused from now on."))
    return _back(robot, project)


@project_bp.post("/<robot>/end")
@bp.post("/<robot>/end")
@needs(robots.UPDATE, fresh=True)
def set_end(robot: str, project: str = "") -> ResponseReturnValue:
    """Let it end in so many days from now, or never."""
    found = _find(robot, project)
    try:
        days = _days(request.form.get("days", ""))
        _change(ChangeRobot(name=found.name, days=_since_creation(found, days, int(time.time()))))
    except Invalid as exc:
        facts = _robot_facts(robot, project) | {"given": request.form}
        return errors.on_form(exc, PAGE, field="days", **facts)
    flash(gettext("Its end was changed."))
    return _back(robot, project)


@project_bp.post("/<robot>/secret")
@bp.post("/<robot>/secret")
@needs(robots.UPDATE, fresh=True)
def refresh(robot: str, project: str = "") -> ResponseReturnValue:
    """Give it a new secret, and show it this once."""
    me, name = visitor.required().actor, _find(robot, project).name
    made = services().retried(lambda unit: robots.refresh(unit, me, name, int(time.time())))
    return _show_secret(made, project)


@project_bp.get("/<robot>/permissions")
@bp.get("/<robot>/permissions")
@needs(robots.UPDATE)
def permissions(robot: str, project: str = "") -> str:
    """The form of what it may do."""
    facts = _robot_facts(robot, project)
    return render_template(PERMISSIONS, **facts | {"places": _places(project, facts["robot"].permissions)})


@project_bp.post("/<robot>/permissions")
@bp.post("/<robot>/permissions")
@needs(robots.UPDATE, fresh=True)
def set_permissions(robot: str, project: str = "") -> ResponseReturnValue:
    """Change what it may do, or add a place to the form."""
    facts = _robot_facts(robot, project) | {"given": request.form, "places": _ticked(project)}
    if "more" in request.form:
        return render_template(PERMISSIONS, **facts)
    try:
        _change(ChangeRobot(name=robot, permissions=_permissions(facts["places"])))
    except AppError as exc:
        return errors.on_form(exc, PERMISSIONS, field="permission", **facts)
    flash(gettext("Its rights were changed. They count within a second."))
    return _back(robot, project)


@project_bp.post("/<robot>/delete")
@bp.post("/<robot>/delete")
@needs(robots.DELETE, fresh=True)
def delete(robot: str, project: str = "") -> ResponseReturnValue:
    """Delete it."""
    me, name = visitor.required().actor, _find(robot, project).name
    services().retried(lambda unit: robots.delete(unit, me, name, int(time.time())))
    flash(gettext("The robot %(name)s was deleted.", name=_shown(name)))
    return redirect(_base(project), 303)


@project_bp.post("/<robot>/trusts")
@bp.post("/<robot>/trusts")
@needs(robots.UPDATE, fresh=True)
def add_trust(robot: str, project: str = "") -> ResponseReturnValue:
    """Let it take an issuer's identity tokens in place of its secret."""
    me, given, settings = visitor.required().actor, request.form, services().settings
    name = _find(robot, project).name
    try:
        command = AddTrust(
            robot=name,
            issuer=given.get("issuer", "").strip(),
            audience=given.get("audience", "").strip(),
            rules=_rules(given.get("claim", "")),
            jwks_url=given.get("jwks_url", "").strip(),
            whole_issuer="whole_issuer" in given,
        )
        services().retried(lambda unit: trusts.add(unit, me, command, settings, int(time.time())))
    except AppError as exc:
        return errors.on_form(exc, PAGE, field="issuer", **_robot_facts(robot, project) | {"given": given})
    flash(gettext("The robot trusts %(issuer)s.", issuer=command.issuer))
    return _back(robot, project)


@project_bp.post("/<robot>/trusts/<int:trust>/remove")
@bp.post("/<robot>/trusts/<int:trust>/remove")
@needs(robots.UPDATE, fresh=True)
def remove_trust(robot: str, trust: int, project: str = "") -> ResponseReturnValue:
    """Take a trust away."""
    me, name = visitor.required().actor, _find(robot, project).name
    services().retried(lambda unit: trusts.remove(unit, me, name, trust, int(time.time())))
    flash(gettext("The trust was taken away. Its tokens are refused at once."))
    return _back(robot, project)


def _facts(project: str) -> dict[str, Any]:
    """What all of these pages need: whose robots they are, and where they stand."""
    return {
        "project": access.project() if project else None,
        "room": "project_robots" if project else "robots",
        "base": _base(project),
        "top": 2 if project else 1,
        "prefix": services().settings.robot_prefix,
        "host": docker_host(),
        "now": int(time.time()),
        "first": FIRST,
        "places_of": _by_place,
        "given": {},
    }


def _robot_facts(robot: str, project: str) -> dict[str, Any]:
    """What the page of one robot shows."""
    me, found = visitor.required().actor, _find(robot, project)
    with services().reading() as unit:
        trusted = trusts.list_all(unit, me, found.name)
    _, example = EXAMPLES.get(request.args.get("example", ""), ("", {}))
    given = {"audience": docker_host().partition(":")[0], **example}
    return _facts(project) | {"robot": found, "trusts": trusted, "examples": EXAMPLES, "given": given}


def _find(robot: str, project: str) -> Listed:
    """The robot that a route names.

    Raises:
        NotFound: there is none, or it is not of the project that the route names.
    """
    owner, plus, _ = robot.partition("+")
    if project != (owner if plus else ""):
        raise NotFound(say("there is no robot %(name)s", name=robot[:100]))
    me = visitor.required().actor
    with services().reading() as unit:
        return robots.get_listed(unit, me, robot)


def _change(command: ChangeRobot) -> None:
    me = visitor.required().actor
    services().retried(lambda unit: robots.change(unit, me, command, int(time.time())))


def _show_secret(made: Made, project: str) -> str:
    """The only answer that has it."""
    name = _shown(made.robot.name)
    return render_template(SECRET, name=name, bare=made.robot.name, secret=made.secret, **_facts(project))


def _shown(name: str) -> str:
    return services().settings.robot_prefix + name


def _base(project: str) -> str:
    return f"/projects/{project}/robots" if project else "/admin/robots"


def _back(robot: str, project: str) -> ResponseReturnValue:
    return redirect(f"{_base(project)}/{robot}", 303)


def _at_fault(exc: AppError) -> str:
    return "name" if isinstance(exc, AlreadyExists) else "permission"


def _days(text: str) -> int:
    """A number of days; nothing stands for ever."""
    if not text.strip():
        return FOREVER
    return int(text) if text.strip().isdecimal() and len(text) < 10 else 0


def _since_creation(robot: Listed, days: int, now: int) -> int:
    """Days from now as days from a robot's creation, which its end is counted from."""
    return days if days <= 0 else days + -(-(now - robot.created_at) // DAY)


def _rules(text: str) -> tuple[Rule, ...]:
    return tuple(parse_rule(line.strip()) for line in text.splitlines() if line.strip())


def _by_place(given: Iterable[str]) -> list[Permission]:
    """A robot's permissions, one for each place."""
    found: dict[tuple[Reach, str], frozenset[Right]] = {}
    for one in map(robots.parse_permission, given):
        found[one.reach, one.project] = found.get((one.reach, one.project), frozenset()) | one.rights
    return [Permission(reach, rights, project) for (reach, project), rights in found.items()]


def _places(project: str, given: Iterable[str]) -> list[Place]:
    """The places of a form, with the rights that a robot has; one for a project's robot."""
    held = {(one.reach, one.project): one.rights for one in _by_place(given)}
    if project:
        return [Place("0", Reach.PROJECT, project, project, held.get((Reach.PROJECT, project), frozenset()))]
    named = [one for reach, one in held if reach is Reach.PROJECT] or [""]
    return _system_places(named, lambda _key, reach, name: held.get((reach, name), frozenset()))


def _ticked(project: str) -> list[Place]:
    """The places of a form as it was filled in, with one more where that was asked for."""

    def ticked(key: str, _reach: Reach = Reach.PROJECT, _name: str = "") -> frozenset[Right]:
        return frozenset(map(_right, request.form.getlist(f"right-{key}")))

    if project:
        return [Place("0", Reach.PROJECT, project, project, ticked("0"))]
    named = [name.strip() for name in request.form.getlist("project")][:MAX_PLACES]
    return _system_places([*named, ""] if "more" in request.form else named, ticked)


def _system_places(named: list[str], rights: Any) -> list[Place]:  # noqa: ANN401
    everywhere = [
        Place(reach.value, reach, label, "", rights(reach.value, reach, ""))
        for reach, label in (
            (Reach.ALL, lazy_gettext("In every project, future ones too")),
            (Reach.SYSTEM, lazy_gettext("Outside projects")),
        )
    ]
    return [
        *(
            Place(str(at), Reach.PROJECT, "", name, rights(str(at), Reach.PROJECT, name))
            for at, name in enumerate(named)
        ),
        *everywhere,
    ]


def _permissions(places: Iterable[Place]) -> tuple[Permission, ...]:
    """What was ticked, without places that were left empty.

    Raises:
        Invalid: rights are ticked for a project that is not named, or a project is named without rights.
    """
    filled = [place for place in places if place.rights or (place.project and not place.label)]
    if any(place.reach is Reach.PROJECT and not (place.project and place.rights) for place in filled):
        raise Invalid({"permission": say("name a project and tick what the robot may do there")})
    return tuple(Permission(place.reach, place.rights, place.project) for place in filled)


def _right(text: str) -> Right:
    resource, _, action = text.partition(":")
    return Right(resource, action)
