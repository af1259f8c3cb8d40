"""Who may come in at which route. Every view says so with `needs` or `open_to_all`; one that says nothing is shut.

The rights table is asked here before a view, by its use case again, and by the pages about what they offer (`may`).
What is grave also needs that the visitor was proved a moment ago (OWASP ASVS 5.0, 7.5.1; `fresh`).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from flask import Flask, current_app, g, redirect, render_template, request
from flask.typing import ResponseReturnValue

from authsvc.core import rights
from authsvc.core.login import Credentials
from authsvc.domain.permissions import ANONYMOUS, PROJECT, Actor, Project, Right, Role, decide, sight
from authsvc.errors import AppError, Forbidden, NotFound, Unauthenticated, say
from authsvc.web import errors, visitor
from authsvc.web.forms import FIELD, local
from authsvc.web.request import origin, services

V = TypeVar("V", bound=Callable[..., object])
PAGE, PASSWORD, BACK = "confirm.html", "confirm_password", "confirm_back"
_ACCESS = "authsvc_access"


@dataclass(frozen=True, slots=True)
class Access:
    """What a route asks of a visitor.

    Args:
        right: which right; None where everybody may come in. Where the route names a project, there, else outside any.
        fresh: whether the visitor must have been proved a moment ago.
    """

    right: Right | None
    fresh: bool = False


def needs(right: Right, *, fresh: bool = False) -> Callable[[V], V]:
    """Let in who has this right: in the project that the route names, or outside any."""
    return _marked(Access(right, fresh))


def open_to_all(view: V) -> V:
    """Let everybody in, but to a project only those who may know of it.

    What is behind such a view asks for credentials of its own, or shows what is there for whoever came.
    """
    return _marked(Access(None))(view)


def _marked(access: Access) -> Callable[[V], V]:
    def mark(view: V) -> V:
        setattr(view, _ACCESS, access)
        return view

    return mark


def of(app: Flask, endpoint: str) -> Access | None:
    """What a route asks; None where it does not say."""
    found: Access | None = getattr(app.view_functions.get(endpoint), _ACCESS, None)
    return found


def register(app: Flask) -> None:
    """Ask at every route of `app`, and give its templates `may`."""
    app.jinja_env.globals.update(may=may, rights_in=rights_in)
    app.before_request(_check)


def may(endpoint: str, project: Project | None = None) -> bool:
    """Whether the visitor would be let in at a route, so that pages offer nothing else."""
    access = of(current_app, endpoint)
    return access is not None and (access.right is None or bool(decide(_actor(), access.right, project)))


def rights_in(project: Project) -> frozenset[Right]:
    """What the visitor's roles give them in a project, be it for some of its repositories."""
    actor = _actor()
    held = [grant.rights for grant in actor.grants if grant.project in (None, project.name)]
    return frozenset().union(PROJECT[actor.system], *held, PROJECT[Role.VISITOR] if project.public else ())


def project() -> Project:
    """The project that the route names, which the visitor may see."""
    found: Project = g.project
    return found


def _actor() -> Actor:
    visit = visitor.current()
    return visit.actor if visit else ANONYMOUS


def _check() -> ResponseReturnValue | None:
    """Let the request go on to its view, or stop it.

    Raises:
        Unauthenticated: nobody is logged in.
        Forbidden: the right is missing.
        NotFound: there is no such project, or none that the visitor may know of (no enumeration).
    """
    if request.endpoint is None or request.endpoint.endswith("static"):
        return None
    access = of(current_app, request.endpoint)
    if access is None:
        raise Forbidden(say("nobody may use this"))
    if visitor.must_change_password() and not _leads_out():
        return redirect("/account/password", 303)
    where = _project(_actor())
    if access.right is None:
        return None
    if not decide(_actor(), access.right, where):
        if visitor.current() is None:
            raise Unauthenticated(say("log in first"))
        raise Forbidden(say("your roles do not allow this"))
    return _prove() if access.fresh and not visitor.is_fresh() else None


def _leads_out() -> bool:
    """Whether this is where somebody goes who must change their password first, or does not want to."""
    return request.blueprint == "password" or request.endpoint in {"login.logout", "site.language"}


def _project(actor: Actor) -> Project | None:
    name = (request.view_args or {}).get("project")
    if name is None:
        return None
    with services().reading() as unit:
        found = rights.find_project(unit, name)
    if found is None or not sight(actor).includes(found):
        if visitor.current() is None:
            raise Unauthenticated(say("log in first"))
        raise NotFound(say("there is no project %(name)s", name=name[:100]))
    g.project = found
    return found


def _prove() -> ResponseReturnValue | None:
    """Ask for the password again. What a form brought goes on with it, but for what is secret.

    Whoever has no password here logs in at the provider again, and comes back to the page that they were at.
    """
    if request.method != "POST" or PASSWORD not in request.form:
        return render_template(PAGE, **_question())
    name = visitor.required().actor.name
    try:
        account = services().callers.person(Credentials(name, request.form[PASSWORD]), origin(), int(time.time()))
        if account.name != name:
            raise Unauthenticated(say("this is the password of another account"))
    except AppError as exc:
        return errors.on_form(exc, PAGE, field="", **_question())
    visitor.prove()
    return None


def _question() -> dict[str, Any]:
    """What the page shows. Where somebody came from goes with it: after a wrong password that is the page itself."""
    is_form = request.method == "POST"
    back = local(request.form.get(BACK) or urlsplit(request.referrer or "").path)
    return {
        "action": request.path if is_form else "/confirm",
        "kept": [*(_kept() if is_form else [("next", request.full_path.rstrip("?"))]), (BACK, back)],
        "back": back,
        "target": back if is_form else request.path,
        "providers": services().redirects.labels(),
        "password": PASSWORD,
    }


def _kept() -> list[tuple[str, str]]:
    """The form's fields without what is secret, which no answer repeats."""
    return [
        (name, value)
        for name, value in request.form.items(multi=True)
        if name not in {FIELD, PASSWORD, BACK} and "password" not in name and "secret" not in name
    ]
