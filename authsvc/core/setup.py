"""The first start: the schema, a signing key, the administrator, the root project. Repeating it changes nothing."""

from pathlib import Path

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from authsvc.core import keys, projects, users
from authsvc.core.rights import system
from authsvc.core.sealing import Sealer
from authsvc.db.engine import MIGRATING, PATIENT, make_engine, retried, transaction
from authsvc.db.tables import User
from authsvc.errors import Invalid, Misconfigured
from authsvc.settings import Settings

ACTOR = system("setup")


def connect(settings: Settings, answer_within: float = PATIENT) -> Engine:
    """The engine that the settings describe.

    Args:
        answer_within: seconds after which a server is taken to be away.
    """
    password = settings.database.password
    return make_engine(
        settings.database.url,
        password.get_secret_value() if password else None,
        settings.paths.database,
        answer_within,
    )


def prepare(settings: Settings, now: int) -> list[str]:
    """Make what is missing in the database.

    Returns:
        What was made, one phrase each; empty when everything was there.

    Raises:
        Misconfigured: the data directory or a setting needs a person's hand.
        Unavailable: the database does not answer.
    """
    from authsvc.db import migrate  # noqa: PLC0415 (what serves requests imports this module, and needs no Alembic)

    engine = connect(settings, MIGRATING)
    made = migrate.upgrade(engine)
    with transaction(engine) as session:
        made += [*_signing_key(session, settings, now), *_administrator(session, settings, now)]
        made += _root_project(session, settings, now)
    engine.dispose()
    return made


def renew_signing_key(settings: Settings, engine: Engine, now: int) -> bool:
    """Make a new signing key when the newest one ends soon; says whether it did."""
    return retried(engine, lambda session: bool(_signing_key(session, settings, now)))


def _signing_key(session: Session, settings: Settings, now: int) -> list[str]:
    if not keys.is_due(keys.find_newest(session), now):
        return []
    ca = keys.load_ca(settings.paths.ca_certificate, settings.paths.ca_key)
    keys.add(session, ACTOR, ca, Sealer.from_file(settings.paths.master_key), now)
    return ["a signing key"]


def _administrator(session: Session, settings: Settings, now: int) -> list[str]:
    if session.scalar(select(func.count(User.id))):
        return []
    password = settings.admin_password
    command = users.AddUser(
        name=settings.admin_name,
        password=password.get_secret_value() if password else _read(settings.paths.admin_password),
        admin=True,
        min_length=settings.password.min_length,
        must_change=not password,
    )
    try:
        users.add(session, ACTOR, command, now)
    except Invalid as exc:
        raise Misconfigured(f"the administrator cannot be made, {exc}: choose another AUTHSVC_ADMIN_PASSWORD") from exc
    return [f"the administrator {settings.admin_name}"]


def _root_project(session: Session, settings: Settings, now: int) -> list[str]:
    if projects.find(session, settings.root_project) is not None:
        return []
    projects.add(session, ACTOR, projects.AddProject(name=settings.root_project), now)
    return [f"the private project {settings.root_project}"]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as exc:
        raise Misconfigured(f"{path} cannot be read ({exc.strerror}): run `authsvc init`") from exc
