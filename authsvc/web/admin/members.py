"""Members of a project: who has which role there, for how long and for which repositories; given, changed, taken."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from authsvc.core import groups, members, previews, users
from authsvc.core.members import RemoveMember, SetMember
from authsvc.core.previews import Preview
from authsvc.db.engine import Session
from authsvc.errors import AppError, Invalid, say
from authsvc.web import access, errors, lists, visitor
from authsvc.web.access import needs
from authsvc.web.request import services

bp = Blueprint("members", __name__, url_prefix="/projects/<project>/members")
PAGE, EDIT = "projects/members.html", "projects/member.html"
GROUP, PERSON = "group", "person"
MOST = 200
"""As many can be given a role at once."""


@bp.get("")
@needs(members.LIST)
def index(project: str) -> str:
    """The members, and the form that makes more of them."""
    return render_template(PAGE, **_facts(project))


@bp.post("")
@needs(members.CREATE)
def add(project: str) -> ResponseReturnValue:
    """Give a role to one or many."""
    try:
        named = _names(request.form.get("names", ""))
        given = [_command(project, request.form.get("kind", ""), name, request.form) for name in named]
        _each(given, members.set_role)
    except AppError as exc:
        return errors.on_form(exc, PAGE, field="names", **_facts(project) | {"given": request.form})
    flash(gettext("%(names)s: the role counts within a second.", names=", ".join(named)))
    return redirect(f"/projects/{project}/members", 303)


@bp.get("/edit")
@needs(members.UPDATE)
def edit(project: str) -> str:
    """The form of one member's role."""
    me, asked = visitor.required().actor, request.args
    kind, name, pattern = asked.get("kind", ""), asked.get("name", ""), asked.get("pattern", "")
    with services().reading() as unit:
        found = members.get_listed(unit, me, _command(project, kind, name, {"role": "", "pattern": pattern}))
    until = datetime.fromtimestamp(found.ends_at - 1, UTC).date().isoformat() if found.ends_at else ""
    given = {"kind": kind, "names": name, "role": found.role, "pattern": pattern, "ends_at": until}
    return render_template(EDIT, **_facts(project) | {"given": given})


@bp.post("/edit")
@needs(members.UPDATE)
def change(project: str) -> ResponseReturnValue:
    """Change one member's role, or until when it counts."""
    form = request.form
    try:
        _each([_command(project, form.get("kind", ""), form.get("names", ""), form)], members.set_role)
    except AppError as exc:
        return errors.on_form(exc, EDIT, field="role", **_facts(project) | {"given": form})
    flash(gettext("%(names)s: the role counts within a second.", names=form.get("names", "")))
    return redirect(f"/projects/{project}/members", 303)


@bp.post("/remove")
@needs(members.DELETE)
def remove(project: str) -> ResponseReturnValue:
    """Take the roles that were ticked away, or say what that would change."""
    ticked = request.form.getlist("member")
    try:
        if not ticked:
            raise Invalid({"member": say("tick at least one")})
        commands = [_ticked(project, one) for one in ticked[:MOST]]
        if "preview" in request.form:
            return render_template(PAGE, **_facts(project) | {"ticked": ticked, "taken": _previews(commands)})
        _each(commands, members.remove)
    except AppError as exc:
        return errors.on_form(exc, PAGE, field="member", **_facts(project) | {"ticked": ticked})
    flash(gettext("Taken away; it counts within a second."))
    return redirect(f"/projects/{project}/members", 303)


@bp.post("/preview")
@needs(members.CREATE)
def preview(project: str) -> ResponseReturnValue:
    """What the form would give to whom and take from whom. Nothing is written."""
    form = request.form
    facts = _facts(project) | {"given": form}
    try:
        named = _names(form.get("names", ""))
        facts["previews"] = _previews([_command(project, form.get("kind", ""), name, form) for name in named])
    except AppError as exc:
        return errors.on_form(exc, PAGE, field="names", **facts)
    return render_template(PAGE, **facts)


@bp.get("/suggest")
@needs(members.CREATE)
def suggest(project: str) -> str:
    """Options whose names begin with what was typed last."""
    me, kind = visitor.required().actor, request.args.get("kind", "")
    typed = request.args.get("names", "")
    before, last = typed[: len(typed) - len(_last(typed))], _last(typed)
    with services().reading() as unit:
        find = groups.suggest if kind == GROUP else users.suggest
        found = find(unit, me, last, project)
    return render_template("projects/options.html", before=before, found=found)


def _facts(project: str) -> dict[str, Any]:
    me, asked = visitor.required().actor, lists.asked("name")
    with services().reading() as unit:
        return {
            "project": access.project(),
            "asked": asked,
            "found": members.list_page(unit, me, project, asked),
            "choices": members.choices(unit, me, project),
            "given": {"kind": PERSON, "role": "developer"},
            "now": int(time.time()),
        }


def _previews(commands: Sequence[SetMember | RemoveMember]) -> list[Preview]:
    """What each would give and take. Nothing is written."""
    me, now = visitor.required().actor, int(time.time())
    with services().reading() as unit:
        return [previews.of_member(unit, me, command, now) for command in commands]


def _each(commands: list[Any], do: Callable[..., object]) -> None:
    """All of it or nothing."""
    me, now = visitor.required().actor, int(time.time())

    def work(unit: Session) -> None:
        for command in commands:
            do(unit, me, command, now)

    services().retried(work)


def _command(project: str, kind: str, name: str, given: Any) -> SetMember:  # noqa: ANN401 (a form or a dict)
    who = {"group": name} if kind == GROUP else {"user": name}
    ends_at = _ends_at(given.get("ends_at", ""))
    pattern = given.get("pattern", "").strip()
    return SetMember(project=project, role=given.get("role", ""), pattern=pattern, ends_at=ends_at, **who)


def _ticked(project: str, text: str) -> RemoveMember:
    """What a ticked box stands for: its kind, its pattern, which has no colon in it, and its name."""
    kind, _, rest = text.partition(":")
    pattern, _, name = rest.partition(":")
    who = {"group": name} if kind == GROUP else {"user": name}
    return RemoveMember(project=project, pattern=pattern, **who)


def _names(text: str) -> list[str]:
    """Names, divided by commas or lines."""
    found = [name.strip() for line in text.splitlines() for name in line.split(",") if name.strip()]
    if not found:
        raise Invalid({"names": say("name somebody")})
    if len(found) > MOST:
        raise Invalid({"names": say("at most %(most)s at once", most=MOST)})
    return list(dict.fromkeys(found))


def _last(text: str) -> str:
    return text.rpartition(",")[2].lstrip()


def _ends_at(text: str) -> int | None:
    """The end of a day (UTC seconds) that was typed as 2027-01-31; None for nothing."""
    if not text.strip():
        return None
    try:
        day = datetime.strptime(text.strip(), "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as exc:
        raise Invalid({"ends_at": say("a date such as 2027-01-31")}) from exc
    return int((day + timedelta(days=1)).timestamp())
