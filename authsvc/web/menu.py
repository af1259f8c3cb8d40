"""What the pages lead to. Each entry is offered to whoever would be let in there (web/access.py)."""

from collections.abc import Sequence

from flask import Flask
from flask_babel import lazy_gettext

Menu = Sequence[tuple[object, str, str]]
"""Entries: what each is called, its address, and its endpoint."""

MAIN: Menu = (
    (lazy_gettext("Projects"), "/projects", "projects.index"),
    (lazy_gettext("Who may"), "/explain", "explain.show"),
    (lazy_gettext("Administration"), "/admin/users", "users.index"),
)
PROJECT: Menu = (
    (lazy_gettext("Overview"), "", "projects.show"),
    (lazy_gettext("Members"), "/members", "members.index"),
    (lazy_gettext("Robots"), "/robots", "project_robots.index"),
    (lazy_gettext("Who may"), "/explain", "project_explain.show_project"),
    (lazy_gettext("Audit log"), "/log", "project_log.index"),
)
"""Addresses below the project's."""
ADMIN: Menu = (
    (lazy_gettext("Users"), "/admin/users", "users.index"),
    (lazy_gettext("Groups"), "/admin/groups", "groups.index"),
    (lazy_gettext("Robots"), "/admin/robots", "robots.index"),
    (lazy_gettext("Roles"), "/admin/roles", "roles.index"),
    (lazy_gettext("Identity sources"), "/admin/sources", "sources.index"),
    (lazy_gettext("Settings"), "/admin/settings", "settings.index"),
    (lazy_gettext("Signing keys"), "/admin/keys", "keys.index"),
    (lazy_gettext("Sessions"), "/admin/sessions", "admin_sessions.index"),
    (lazy_gettext("Audit log"), "/admin/log", "log.index"),
    (lazy_gettext("Health"), "/admin/health", "admin_health.show"),
)


def register(app: Flask) -> None:
    """Give the templates of `app` the menus."""
    app.jinja_env.globals.update(main_menu=lambda: MAIN, project_menu=lambda: PROJECT, admin_menu=lambda: ADMIN)
