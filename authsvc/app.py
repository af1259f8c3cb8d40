"""The Flask application.

This module is also gunicorn's configuration (`cli/run.py`), so its main process imports it: the processes that it
forks share the memory of all that is imported here, and what they tell each other.
"""

from flask import Flask

from authsvc import services, settings
from authsvc.services import Services, Shared
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
    site,
    token,
    visitor,
    words,
)
from authsvc.web.admin import projects
from authsvc.web.gunicorn import child_exit, pre_fork

__all__ = ["child_exit", "create_app", "pre_fork"]

MAX_BODY = 1024 * 1024
_SHARED = Shared()


def create_app(built: Services | None = None) -> Flask:
    """The application that gunicorn serves.

    Args:
        built: the long-lived objects; made from the environment's settings when None.

    Raises:
        Misconfigured: the settings or the data directory need a person's hand.
    """
    built = built or services.build(settings.load(), _SHARED)
    services.start_logging(built.settings)
    app = Flask("authsvc", static_folder=None, template_folder="web/templates")
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.extensions["authsvc"] = built
    language.register(app)
    headers.register(app)
    errors.register(app)
    visitor.register(app)
    forms.register(app)
    access.register(app)
    menu.register(app)
    lists.register(app)
    words.register(app)
    for blueprint in (token.bp, events.bp, health.bp, metrics.bp, site.bp, login.bp, account.bp, projects.bp):
        app.register_blueprint(blueprint)
    return app
