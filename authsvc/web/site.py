"""Pages for people: what this is, how to log in with docker, and how to trust a self-signed certificate."""

from flask import Blueprint, Response, make_response, redirect, render_template, request
from flask.typing import ResponseReturnValue

from authsvc.core import projects
from authsvc.core.pages import Asked, Page
from authsvc.core.projects import Listed
from authsvc.errors import NotFound, say
from authsvc.web import visitor
from authsvc.web.access import open_to_all
from authsvc.web.forms import local
from authsvc.web.language import COOKIE, LANGUAGES
from authsvc.web.request import docker_host, process, services

MOST_PROJECTS = 12
bp = Blueprint("site", __name__, static_folder="static", static_url_path="/static")


@bp.get("/")
@open_to_all
def home() -> str:
    """What this is and how to log in with docker; for whoever is logged in, their projects, too."""
    settings = process().settings
    return render_template(
        "home.html",
        host=docker_host(),
        root_project=settings.root_project,
        ready=process().registry.answers(),
        self_signed=settings.tls.self_signed,
        mine=_mine(),
    )


@bp.get("/ca")
@open_to_all
def trust() -> str:
    """How docker is told to trust the self-signed certificate."""
    _ca_pem()
    return render_template("ca.html", host=docker_host())


@bp.get("/ca.crt")
@open_to_all
def certificate() -> Response:
    """The certificate of the self-signed CA."""
    response = make_response(_ca_pem())
    response.headers["Content-Type"] = "application/x-x509-ca-cert"
    response.headers["Content-Disposition"] = 'attachment; filename="authsvc-ca.crt"'
    return response


@bp.get("/language/<code>")
@open_to_all
def language(code: str) -> ResponseReturnValue:
    """Choose the language, and go back to where it was chosen."""
    if code not in LANGUAGES:
        raise NotFound(say("there is no such language"))
    response = redirect(local(request.args.get("next", "/")), 303)
    response.set_cookie(COOKIE, code, max_age=365 * 86_400, httponly=True, samesite="Lax")
    return response


def _mine() -> Page[Listed] | None:
    """The first projects of whoever is logged in."""
    visit = visitor.current()
    if visit is None:
        return None
    with services().reading() as unit:
        return projects.list_page(unit, visit.actor, Asked(size=MOST_PROJECTS), mine=True)


def _ca_pem() -> bytes:
    settings = process().settings
    if not settings.tls.self_signed:
        raise NotFound(say("this service has no self-signed certificate"))
    return (settings.paths.tls / "ca.crt").read_bytes()
