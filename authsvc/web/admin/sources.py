"""Identity sources: the list, a form for each, a check of each step, and what a directory says about somebody."""

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from authsvc.core import groups, settings_store
from authsvc.core.settings_store import MASK, Basis, Listed, SetSource, Source
from authsvc.db.engine import Session
from authsvc.errors import AppError, Conflict, Invalid, Misconfigured, NotFound, say
from authsvc.identity import probes
from authsvc.identity.local import LocalBackend
from authsvc.settings import KINDS, Settings, kind_of
from authsvc.web import errors, visitor
from authsvc.web.access import needs
from authsvc.web.admin import source_forms
from authsvc.web.admin.source_forms import AD, NAMES
from authsvc.web.request import process, services

if TYPE_CHECKING:
    from authsvc.identity.ldap import Description

bp = Blueprint("sources", __name__, url_prefix="/admin/sources")
LIST, NEW, PAGE = "sources/list.html", "sources/new.html", "sources/show.html"


@dataclass(frozen=True, slots=True)
class Row:
    """A source in the list. `place` is that in the chain from 1 on, 0 for none; None where it has a button."""

    kind: str
    name: str
    words: str
    address: str
    origin: str
    place: int | None
    problem: str


@bp.get("")
@needs(settings_store.READ)
def index() -> str:
    """All of them, in the order in which the settings have them."""
    settings, problem = _settings()
    rows = [_row(row, settings) for row in _listed()]
    place = _place(settings, LocalBackend.name)
    return render_template(LIST, rows=rows, local=LocalBackend.name, local_place=place, kinds=NAMES, problem=problem)


@bp.get("/new")
@needs(settings_store.UPDATE, fresh=True)
def new() -> str:
    """The form of a new one."""
    chosen = request.args.get("kind", "")
    facts = _new_facts(chosen)
    return render_template(NEW, given={"type": AD} if chosen == AD else {}, **facts)


@bp.post("/new")
@needs(settings_store.UPDATE, fresh=True)
def add() -> ResponseReturnValue:
    """Make one."""
    facts, name = _new_facts(request.form.get("kind", "")), request.form.get("name", "").strip()
    kind = facts["kind"]
    try:
        _store(kind, name, is_new=True)
    except AppError as exc:
        return errors.on_form(exc, NEW, given=request.form, **facts)
    flash(gettext("The source %(name)s was made; every process follows within two seconds.", name=name))
    return _to(kind, name)


@bp.get("/<kind>/<name>")
@needs(settings_store.UPDATE, fresh=True)
def show(kind: str, name: str) -> str:
    """A source, with its form."""
    return render_template(PAGE, **_facts(kind, name))


@bp.post("/<kind>/<name>")
@needs(settings_store.UPDATE, fresh=True)
def change(kind: str, name: str) -> ResponseReturnValue:
    """Change its fields."""
    facts = _facts(kind, name)
    try:
        _store(kind, name)
    except AppError as exc:
        return errors.on_form(exc, PAGE, **facts | {"given": request.form})
    flash(gettext("%(name)s was changed; every process follows within two seconds.", name=name))
    return _to(kind, name)


@bp.post("/<kind>/<name>/delete")
@needs(settings_store.UPDATE, fresh=True)
def delete(kind: str, name: str) -> ResponseReturnValue:
    """Forget it; the accounts that came from it stay, and nobody can log in to them."""
    facts, basis, me = _facts(kind, name), Basis.of(process().settings), visitor.required().actor
    try:
        services().retried(lambda unit: settings_store.remove(unit, me, f"{kind}.{name}", basis, int(time.time())))
    except AppError as exc:
        return errors.on_form(exc, PAGE, **facts)
    flash(gettext("The source %(name)s was deleted.", name=name))
    return redirect(url_for(".index"), 303)


@bp.post("/<kind>/<name>/check")
@needs(settings_store.UPDATE)
def check(kind: str, name: str) -> str:
    """Try it as it is stored, step by step."""
    facts = _facts(kind, name)
    try:
        _require_usable(facts)
        return render_template(PAGE, steps=probes.probe(_settings()[0], kind, name), **facts)
    except (Misconfigured, Conflict) as exc:
        return render_template(PAGE, steps=[], check_error=errors.sentence(exc), **facts)


@bp.post("/<kind>/<name>/person")
@needs(settings_store.UPDATE)
def person(kind: str, name: str) -> str:
    """What a directory says about somebody, by any of their names."""
    if kind != "ldap":
        raise NotFound(say("only directories can be asked about people"))
    facts, who = _facts(kind, name), request.form.get("person", "").strip()
    facts["given"] = facts["given"] | {"person": who}
    try:
        _require_usable(facts)
        found, me = _describe(name, who), visitor.required().actor
        keys = [membership.group.key for membership in found.memberships]
        with services().reading() as unit:
            held = groups.list_roles(unit, me, name, keys, int(time.time()))
    except AppError as exc:
        return render_template(PAGE, wrong={"person": errors.sentence(exc)}, **facts)
    return render_template(PAGE, found=found, roles=held, **facts)


def _describe(name: str, who: str) -> "Description":
    from authsvc.identity.ldap import LdapBackend  # noqa: PLC0415 (megabytes in each process, which many do without)

    with closing(LdapBackend(name, _settings()[0].ldap[name])) as backend:
        found = backend.describe(who)
    if found is None:
        raise NotFound(say("%(name)s has nobody who is called %(who)s", name=name, who=who[:100]))
    return found


def _require_usable(facts: dict[str, Any]) -> None:
    if facts["problem"]:
        raise Conflict(facts["problem"])


def _store(kind: str, name: str, *, is_new: bool = False) -> None:
    """Store what the form gives."""
    me, now, basis = visitor.required().actor, int(time.time()), Basis.of(process().settings)
    command = SetSource(kind=kind, name=name, fields=source_forms.read(kind, request.form))

    def work(unit: Session) -> None:
        if is_new and command.setting in {row.name for row in settings_store.list_all(unit, me, basis)}:
            raise Invalid({"name": say("there is a source of this kind and name")})
        settings_store.set_source(unit, me, command, basis, now)

    services().retried(work)


def _settings() -> tuple[Settings, str]:
    """The settings as they are stored now; or those that this process runs by, and why they are not those."""
    try:
        return settings_store.load(process().settings, services().engine), ""
    except Misconfigured as exc:
        return services().settings, errors.sentence(exc)


def _listed() -> Sequence[Listed]:
    me = visitor.required().actor
    with services().reading() as unit:
        found = settings_store.list_all(unit, me, Basis.of(process().settings))
    return [row for row in found if kind_of(row.name)]


def _row(row: Listed, settings: Settings) -> Row:
    kind, _, name = row.name.partition(".")
    value = row.value if isinstance(row.value, dict) else {}
    urls = value.get("urls", ())
    address = ", ".join(urls) if isinstance(urls, list) else str(urls)
    address = address or str(value.get("issuer") or value.get("token_endpoint", ""))
    place = None if kind == "oidc" else _place(settings, name)
    words = str(NAMES[_directory(value) or kind])
    return Row(kind, name, words, address, row.origin, place, row.problem)


def _directory(fields: Any) -> str:  # noqa: ANN401 (JSON)
    """The kind of a directory that has other defaults."""
    return AD if fields.get("type") == AD else ""


def _place(settings: Settings, name: str) -> int:
    return settings.chain.index(name) + 1 if name in settings.chain else 0


def _new_facts(chosen: str) -> dict[str, Any]:
    """What the page of a new source shows."""
    if chosen not in NAMES:
        raise NotFound(say("there is no kind of source %(name)s", name=chosen[:100]))
    kind, directory = ("ldap", AD) if chosen == AD else (chosen, "")
    return {
        "chosen": chosen,
        "kind": kind,
        "words": NAMES[chosen],
        "essential": source_forms.essential(kind, directory),
        "others": source_forms.others(kind, directory),
        "callback": process().settings.callback("NAME"),
    }


def _facts(kind: str, name: str) -> dict[str, Any]:
    """What the page of a source shows; of one whose row cannot be used, why."""
    source, problem = _source(kind, name)
    settings, _ = _settings()
    directory = _directory(source.fields) if source else ""
    return {
        "kind": kind,
        "name": name,
        "source": source,
        "problem": problem,
        "words": NAMES[directory or kind],
        "place": None if kind == "oidc" else _place(settings, name),
        "callback": process().settings.callback(name),
        "essential": source_forms.essential(kind, directory),
        "others": source_forms.others(kind, directory),
        "set_fields": list(source_forms.set_fields(source)) if source else [],
        "has_secret": bool(source and source.fields[KINDS[kind].secret] == MASK),
        "mask": MASK,
        "given": source_forms.shown(source) if source else {},
    }


def _source(kind: str, name: str) -> tuple[Source | None, str]:
    me = visitor.required().actor
    try:
        with services().reading() as unit:
            return settings_store.get_source(unit, me, kind, name, Basis.of(process().settings)), ""
    except (Invalid, Misconfigured) as exc:
        return None, errors.sentence(exc)


def _to(kind: str, name: str) -> ResponseReturnValue:
    return redirect(url_for(".show", kind=kind, name=name), 303)
