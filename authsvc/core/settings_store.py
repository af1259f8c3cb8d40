"""The settings that are changed while the service runs: one row each, sealed, under what file and environment say.

A source (`ldap.corp`) is one setting with all of its fields, every other one a single value. Not here: which settings
these are, and what goes over them (settings/stored.py, settings/loading.py).
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from authsvc.core import audit, certificate_files, health
from authsvc.core.rights import require
from authsvc.core.sealing import Sealer
from authsvc.db.engine import fetch
from authsvc.db.tables import AuditHead, Setting
from authsvc.domain.permissions import Actor, Right
from authsvc.errors import Conflict, Invalid, Misconfigured, NotFound, Unavailable, say
from authsvc.settings import KINDS, SCALARS, Given, Kind, Origin, Section, Settings, Tree, kind_of, with_stored

READ, UPDATE = Right("configuration", "read"), Right("configuration", "update")
MASK = "********"
"""Stands for a secret that is set."""
TYPE_AGAIN = say("the address has changed: type it again")
MAX_CHARACTERS = 32_768
_KEPT = ("", MASK)
_ROWS = select(Setting.name, Setting.value).order_by(Setting.name)

Rows = Mapping[str, str]
"""What the table holds: sealed values by name."""


@dataclass(frozen=True, slots=True)
class Basis:
    """What the table lies under, and what its values are sealed with."""

    given: Given
    sealer: Sealer = field(repr=False)

    @classmethod
    def of(cls, settings: Settings) -> "Basis":
        """What these settings, of whatever origin, lie on.

        Raises:
            Misconfigured: the master key cannot be read.
        """
        return cls(settings.given, Sealer.from_file(settings.paths.master_key))


@dataclass(frozen=True, slots=True)
class Listed:
    """A setting as it is shown.

    Args:
        name: such as `token.lifetime` or `ldap.corp`.
        value: in JSON's types; of a source the fields that are set, a secret as `MASK`. What the table would say is
            not shown where the file or the environment say otherwise.
        default: what it is unless it is set; None for a source.
        changed_at: when the row of the table was written, in UTC seconds; None when there is none.
        problem: why the row cannot be used; "" when it can.
    """

    name: str
    value: object
    default: object
    origin: Origin
    changed_at: int | None = None
    changed_by: str = ""
    problem: str = ""

    @property
    def is_fixed(self) -> bool:
        """Whether the file or the environment says it, and nobody here can."""
        return self.origin in {Origin.FILE, Origin.ENVIRONMENT}


@dataclass(frozen=True, slots=True)
class Source:
    """A source for a form: each of its fields, a secret as `MASK` or None, and which of them are no defaults."""

    kind: str
    name: str
    origin: Origin
    fields: Mapping[str, object]
    changed: frozenset[str]

    @property
    def is_fixed(self) -> bool:
        """Whether the file or the environment says something of it, and nobody here can."""
        return self.origin in {Origin.FILE, Origin.ENVIRONMENT}


@dataclass(frozen=True, kw_only=True)
class SetSetting:
    """Give a setting of one value another one, in its own type or as the text of an environment variable."""

    name: str
    value: object


@dataclass(frozen=True, kw_only=True)
class SetSource:
    """Make a source, or change some of its fields.

    Args:
        kind: `ldap`, `uaa` or `oidc`.
        fields: what is left out stays as it is, and so does a secret that is "" or `MASK`; None is the default again.
    """

    kind: str
    name: str
    fields: Mapping[str, object] = field(repr=False)

    @property
    def setting(self) -> str:
        """What the setting is called: `ldap.corp`."""
        return f"{self.kind}.{self.name}"


def read(engine: Engine) -> Rows:
    """What the table holds now.

    Raises:
        Unavailable: the database does not answer, or has no such table yet.
    """
    try:
        return {row.name: row.value for row in fetch(engine, _ROWS)}
    except (Unavailable, DBAPIError) as exc:  # SQLite and MariaDB say differently that a table is missing
        if not health.is_migrated(engine):
            raise Unavailable(health.NOT_MIGRATED) from exc
        raise


def load(settings: Settings, engine: Engine) -> Settings:
    """The settings as the service runs by them, read now. Raises as `read` and `effective` do."""
    rows = read(engine)
    return effective(rows, Basis.of(settings)) if rows else settings


def effective(rows: Rows, basis: Basis) -> Settings:
    """The settings as the service runs by them.

    Raises:
        Misconfigured: a row does not open, or does not fit to the others and what is given.
    """
    stored = {name: _opened(name, value, basis.sealer) for name, value in rows.items()}
    try:
        return with_stored(basis.given, stored)
    except Invalid as exc:
        mistakes = "; ".join(f"{name}: {reason}" for name, reason in exc.fields.items())
        guilty = [name for name in stored if any(f"{wrong}.".startswith(f"{name}.") for wrong in exc.fields)]
        commands = " or ".join(f"`authsvc setting unset {name}`" for name in guilty or stored)
        raise Misconfigured(
            say(
                "settings of the database do not fit (%(mistakes)s): mend the file, or %(commands)s",
                mistakes=mistakes,
                commands=commands,
            )
        ) from exc


def list_all(session: Session, actor: Actor, basis: Basis) -> Sequence[Listed]:
    """Every setting that the table may say, and every source."""
    require(actor, READ)
    rows = {row.name: row for row in session.scalars(select(Setting).order_by(Setting.name))}
    fixed, defaults = with_stored(basis.given, {}), Settings()
    sources = [f"{kind}.{name}" for kind in KINDS for name in getattr(fixed, kind)]
    stored = [name for name in rows if kind_of(name) and name not in sources]
    return [_listed(name, rows.get(name), fixed, defaults, basis) for name in (*SCALARS, *sources, *stored)]


def get_source(session: Session, actor: Actor, kind: str, name: str, basis: Basis) -> Source:
    """A source, for a form.

    Raises:
        NotFound: there is no such source.
        Misconfigured: its row does not open.
        Invalid: its row is no such source any more.
    """
    require(actor, READ)
    setting = f"{kind}.{name}"
    known, origin = kind_of(setting), basis.given.origin(setting)
    if known is None:
        raise NotFound(say("there is no source %(name)s", name=setting))
    if origin is not None:
        section: Section = getattr(with_stored(basis.given, {}), kind)[name]
        return _source(kind, name, origin, section, section.model_fields_set)
    row = session.get(Setting, setting)
    if row is None:
        raise NotFound(say("there is no source %(name)s", name=setting))
    fields = _opened(setting, row.value, basis.sealer)
    section = _section(_fitting(basis, {setting: fields}, setting), setting)
    return _source(kind, name, Origin.TABLE, section, fields)


def set_value(session: Session, actor: Actor, command: SetSetting, basis: Basis, now: int) -> None:
    """Give a setting of one value another one. Running processes have it a second or two after the commit.

    Raises:
        NotFound: there is no such setting, or it cannot be changed while the service runs.
        Conflict: the file or the environment says it.
        Invalid: the value breaks a rule, or does not fit to the other settings.
        Misconfigured: another row does not open.
    """
    require(actor, UPDATE)
    if command.name not in SCALARS:
        raise NotFound(say("%(name)s is no setting that can be changed while the service runs", name=command.name))
    _require_free(command.name, basis.given)
    stored = _stored(session, basis, but=command.name)
    settings = _fitting(basis, {**stored, command.name: command.value})
    value = _value(settings, command.name)
    _keep(session, actor, command.name, value, basis, now)
    audit.record(session, actor, "setting.set", command.name, now, detail=json.dumps(value))


def set_source(session: Session, actor: Actor, command: SetSource, basis: Basis, now: int) -> None:
    """Make or change a source. Its secret is only kept while the address that it is sent to stays.

    Raises:
        Conflict: the file or the environment says something of this source.
        Invalid: by the names of the source's fields, and of other settings that do not fit to it.
        Misconfigured: a row does not open.
    """
    require(actor, UPDATE)
    setting, kind = command.setting, kind_of(command.setting)
    if kind is None:
        raise Invalid({"name": say("%(name)s is no name of a source", name=setting)})
    _require_free(setting, basis.given)
    stored = _stored(session, basis)
    before = stored.get(setting, {})
    wanted = _wanted(kind, before, command.fields)
    section = _section(_fitting(basis, {**stored, setting: wanted}, setting), setting)
    is_kept = kind.secret in wanted and command.fields.get(kind.secret, "") in _KEPT
    if is_kept and _has_moved(kind, before, section):
        raise Invalid({kind.secret: TYPE_AGAIN})
    certificate_files.check(section)
    fields = _revealed(section, kind, wanted)
    _keep(session, actor, setting, fields, basis, now)
    changed = sorted(name for name in {*before, *fields} if before.get(name) != fields.get(name))
    audit.record(session, actor, "setting.set", setting, now, detail=" ".join(changed))


def remove(session: Session, actor: Actor, name: str, basis: Basis, now: int) -> None:
    """Take a setting out of the table, after which it has its default, or a source is gone.

    Where rows do not open or do not fit any more, each may be taken out, whatever is left.

    Raises:
        NotFound: the table does not say it.
        Invalid: the other settings do not fit without it.
    """
    require(actor, UPDATE)
    _lock(session)
    row = session.get(Setting, name)
    if row is None:
        raise NotFound(say("%(name)s is not set in the database", name=name))
    if _is_well(session, basis):
        _fitting(basis, _stored(session, basis, but=name))
    session.delete(row)
    audit.record(session, actor, "setting.unset", name, now)


def _require_free(name: str, given: Given) -> None:
    origin = given.origin(name)
    if origin is Origin.FILE:
        raise Conflict(say("%(name)s is set in authsvc.toml, and can be changed only there", name=name))
    if origin is Origin.ENVIRONMENT:
        raise Conflict(say("%(name)s is set in the environment, and can be changed only there", name=name))


def _lock(session: Session) -> None:
    """Who changes a setting waits for whoever does: each must see what the other one leaves.

    The head of the trail, otherwise locked last, is locked first here: nobody waits for a setting with it in hand.
    """
    session.execute(select(AuditHead.id).with_for_update())


def _stored(session: Session, basis: Basis, but: str = "") -> dict[str, Any]:
    """What the table says, without one setting, opened."""
    _lock(session)
    rows = session.execute(_ROWS).all()
    return {name: _opened(name, value, basis.sealer) for name, value in rows if name != but}


def _is_well(session: Session, basis: Basis) -> bool:
    """Whether all rows open, and fit."""
    try:
        with_stored(basis.given, _stored(session, basis))
    except (Invalid, Misconfigured):
        return False
    return True


def _opened(name: str, sealed: str, sealer: Sealer) -> Any:  # noqa: ANN401 (JSON)
    try:
        return json.loads(sealer.open(sealed, _place(name)))
    except Misconfigured as exc:
        raise Misconfigured(f"{exc}, or give it up with `authsvc setting unset {name}`") from exc


def _place(name: str) -> str:
    return f"settings/{name}"


def _keep(session: Session, actor: Actor, name: str, value: object, basis: Basis, now: int) -> None:
    text = json.dumps(value)
    if len(text) > MAX_CHARACTERS:
        raise Invalid({name: say("more than %(most)s characters", most=MAX_CHARACTERS)})
    sealed = basis.sealer.seal(text.encode(), _place(name))
    session.merge(Setting(name=name, value=sealed, changed_at=now, changed_by=actor.name[:255]))


def _fitting(basis: Basis, stored: Tree, source: str = "") -> Settings:
    """The settings with what would be stored, all of it checked together.

    Args:
        source: whose fields are named as its form names them, `urls` for `ldap.corp.urls`.

    Raises:
        Invalid: it does not fit.
    """
    try:
        return with_stored(basis.given, stored)
    except Invalid as exc:
        if not source:
            raise
        raise Invalid({_field(name, source): reason for name, reason in exc.fields.items()}) from exc


def _field(name: str, source: str) -> str:
    own = name.removeprefix(f"{source}.")
    return "name" if own == "[key]" else own.partition(".")[0] if own != name else name


def _value(settings: Settings, name: str) -> Any:  # noqa: ANN401 (JSON)
    """What the settings say of one that has a single value."""
    found = settings.model_dump(mode="json")
    for part in name.split("."):
        found = found[part]
    return found


def _section(settings: Settings, setting: str) -> Section:
    kind, _, name = setting.partition(".")
    found: Section = getattr(settings, kind)[name]
    return found


def _wanted(kind: Kind, before: Tree, fields: Mapping[str, object]) -> dict[str, Any]:
    """The fields of a source after a change."""
    wanted = dict(before)
    for name, value in fields.items():
        if name == kind.secret and value in _KEPT:
            continue
        is_no_path = value == "" and name in kind.section.model_fields and _takes_path(kind, name)
        if value is None or is_no_path:
            wanted.pop(name, None)
        else:
            wanted[name] = value
    return wanted


def _takes_path(kind: Kind, name: str) -> bool:
    return kind.section.model_fields[name].annotation == Path | None


def _has_moved(kind: Kind, before: Tree, after: Section) -> bool:
    """Whether a secret would be sent elsewhere than before, or to somebody who is checked otherwise."""
    if not before:
        return False
    try:
        then = kind.section.model_validate(before)
    except ValueError:
        return True
    return any(getattr(then, name) != getattr(after, name) for name in kind.address)


def _revealed(section: Section, kind: Kind, wanted: Tree) -> dict[str, Any]:
    """The fields that are set, as they are stored."""
    fields = section.model_dump(mode="json", include=set(wanted))
    return fields | {name: wanted[name] for name in wanted if name == kind.secret}


def _masked(fields: Tree, secret: str) -> dict[str, object]:
    return {name: MASK if name == secret and value else value for name, value in fields.items()}


def _source(kind: str, name: str, origin: Origin, section: Section, changed: Iterable[str]) -> Source:
    fields = _masked(section.model_dump(mode="json"), KINDS[kind].secret)
    return Source(kind, name, origin, fields, frozenset(changed))


def _listed(name: str, row: Setting | None, fixed: Settings, defaults: Settings, basis: Basis) -> Listed:
    kind = kind_of(name)
    default = None if kind else _value(defaults, name)
    origin, value, problem = basis.given.origin(name) or Origin.TABLE, default, ""
    if origin is not Origin.TABLE:
        value = _section(fixed, name).model_dump(mode="json", exclude_unset=True) if kind else _value(fixed, name)
    elif row is None:
        origin = Origin.DEFAULT
    else:
        value, problem = _opened_or_not(row, basis.sealer)
    shown = _masked(value, kind.secret) if kind and value else value
    return Listed(
        name=name,
        value=shown,
        default=default,
        origin=origin,
        changed_at=row.changed_at if row else None,
        changed_by=row.changed_by if row else "",
        problem=problem,
    )


def _opened_or_not(row: Setting, sealer: Sealer) -> tuple[Any, str]:
    """What a row says, and why it says nothing."""
    try:
        return _opened(row.name, row.value, sealer), ""
    except Misconfigured as exc:
        return None, str(exc)
