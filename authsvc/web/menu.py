"""What the pages lead to. Each entry is offered to whoever would be let in there (web/access.py)."""

from collections.abc import Sequence

from flask import Flask
from flask_babel import lazy_gettext

Menu = Sequence[tuple[object, str, str]]
"""Entries: what each is called, its address, and its endpoint."""

MAIN: Menu = (
    (lazy_gettext("Projects"), "/projects", "projects.index"),
    (lazy_gettext("Administration"), "/admin", "users.index"),
)
ADMIN: Menu = ()


def register(app: Flask) -> None:
    """Give the templates of `app` the menus."""
    app.jinja_env.globals.update(main_menu=lambda: MAIN, admin_menu=lambda: ADMIN)
