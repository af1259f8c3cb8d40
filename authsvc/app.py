"""The Flask application.

This module is also gunicorn's configuration (`cli/run.py`), so its main process imports it: the processes that it
forks share the memory of all that is imported here, and what they tell each other.
"""

from contextlib import suppress

from flask import Flask

from authsvc import services, settings
from authsvc.errors import Unavailable
from authsvc.jobs.producer import Producer
from authsvc.services import Live, Services, Shared
from authsvc.web import (
    access,
    account,
    errors,
    events,
    forms,
    headers,
    health,
    language,
    lists,
    login,
    menu,
    metrics,
    password,
    search,
    site,
    token,
    visitor,
    words,
)
from authsvc.web.admin import (
    explain,
    groups,
    keys,
    links,
    log,
    members,
    projects,
    robots,
    roles,
    sessions,
    sources,
    users,
)
from authsvc.web.admin import health as admin_health
from authsvc.web.admin import settings as setting_pages
from authsvc.web.gunicorn import child_exit, post_worker_init, pre_fork
from authsvc.web.request import RowNumber

__all__ = ["child_exit", "create_app", "post_worker_init", "pre_fork"]

MAX_BODY = 1024 * 1024
_SHARED = Shared()
BLUEPRINTS = (
    *(token.bp, events.bp, health.bp, metrics.bp),
    *(site.bp, login.bp, account.bp, password.bp, search.bp),
    *(projects.bp, members.bp, explain.project_bp, log.of_project, robots.project_bp),
    *(explain.bp, users.bp, groups.bp, sessions.bp, log.bp),
    *(robots.bp, roles.bp, keys.bp, sources.bp, setting_pages.bp, admin_health.bp),
)
"""Doors for programs, pages for everybody, pages about a project, pages about the system."""


def create_app(built: Services | None = None) -> Flask:
    """The application that gunicorn serves.

    Args:
        built: the long-lived objects; made from the environment's settings, and made anew when these change, when None.

    Raises:
        Misconfigured: the settings or the data directory need a person's hand.
    """
    process = built or _live()
    services.start_logging(process.settings)
    app = Flask("authsvc", static_folder=None, template_folder="web/templates")
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True  # a long list is a fifth lighter
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.url_map.converters["int"] = RowNumber
    app.extensions["authsvc"] = process
    app.extensions["producer"] = Producer(lambda: process.settings)
    for room in (language, headers, errors, visitor, forms, access, menu, lists, words, links):
        room.register(app)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    return app


def _live() -> Live:
    live = Live(settings.load(), _SHARED)
    with suppress(Unavailable):  # until the database answers, whoever asks is told
        live.look()
    return live
