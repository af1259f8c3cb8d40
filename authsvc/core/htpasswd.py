"""Local users made of a htpasswd file, whose passwords go on working; their first login renews the hash.

Not here: how a line is read (domain/htpasswd.py), how bcrypt is checked and renewed (identity/).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from authsvc.core import audit, users
from authsvc.core.rights import require
from authsvc.db.tables import User
from authsvc.domain import htpasswd
from authsvc.domain.htpasswd import Line, Refusal
from authsvc.domain.permissions import Actor
from authsvc.errors import AlreadyExists
from authsvc.identity.local import LocalBackend


@dataclass(frozen=True, kw_only=True)
class ImportHtpasswd:
    """The text of a htpasswd file.

    Args:
        skip_existing: leave users who are there already as they are, instead of refusing their lines.
        skip_invalid: import the other lines when some are refused, instead of none.
        dry_run: say what would be done, and do nothing.
    """

    text: str = field(repr=False)
    skip_existing: bool = False
    skip_invalid: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """Who was imported, who was there and left as they are, and which lines were refused."""

    imported: tuple[str, ...]
    existing: tuple[str, ...]
    refused: tuple[Refusal, ...]


def import_users(session: Session, actor: Actor, command: ImportHtpasswd, now: int) -> Outcome:
    """Add a local user for each line; where one line is refused, for none, unless the command skips those.

    Raises:
        AlreadyExists: one of them was added meanwhile.
    """
    require(actor, users.CREATE)
    lines, refused = htpasswd.parse(command.text)
    there = set(session.scalars(select(User.name)))
    known = [line for line in lines if line.name in there]
    fresh = [line for line in lines if line.name not in there | users.RESERVED]
    refused += [_refusal(line) for line in lines if line.name in users.RESERVED]
    if not command.skip_existing:
        refused += [Refusal(line.number, line.name, "there is a user of this name already") for line in known]
    if refused and not command.skip_invalid:
        fresh = []
    if not command.dry_run:
        _add(session, actor, fresh, now)
    existing = tuple(line.name for line in known) if command.skip_existing else ()
    return Outcome(tuple(line.name for line in fresh), existing, tuple(sorted(refused, key=lambda one: one.number)))


def _refusal(line: Line) -> Refusal:
    return Refusal(line.number, line.name, f"{line.name} has a meaning of its own")


def _add(session: Session, actor: Actor, lines: Sequence[Line], now: int) -> None:
    session.add_all(
        User(name=line.name, source=LocalBackend.name, password_hash=line.hash, created_at=now) for line in lines
    )
    try:
        session.flush()
    except IntegrityError as exc:
        raise AlreadyExists("somebody added one of these users at the same time: try again") from exc
    for line in lines:
        audit.record(session, actor, "user.add", line.name, now, detail="from a htpasswd file")
