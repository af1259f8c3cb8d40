"""Search over everything that whoever asks may list: projects, and for administrators people and groups.

Repositories are not among it: registries' notifications are kept as they came, for a week (core/events.py), and there
is no index of repositories yet that could be asked.
"""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from authsvc.core import groups, projects, users
from authsvc.core.pages import Asked, Page
from authsvc.domain.permissions import Actor, decide

MOST = 10
"""How many of each kind are shown."""


@dataclass(frozen=True, slots=True)
class Found:
    """The first of each kind, by name, and how many there are; None of what the actor may not list."""

    projects: Page[projects.Listed]
    users: Page[users.Listed] | None
    groups: Page[groups.Listed] | None


def search(session: Session, actor: Actor, text: str) -> Found | None:
    """What has a text in its name; None where nothing was asked for."""
    asked = Asked(text.strip(), size=MOST)
    if not asked.text:
        return None
    return Found(
        projects=projects.list_page(session, actor, asked),
        users=users.list_page(session, actor, asked) if decide(actor, users.LIST) else None,
        groups=groups.list_page(session, actor, asked) if decide(actor, groups.LIST) else None,
    )
