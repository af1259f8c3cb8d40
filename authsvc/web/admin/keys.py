"""The keys that sign tokens: which there are, when they and the CA end, and a new one, which the worker makes."""

import time
from typing import Any

from flask import Blueprint, flash, redirect, render_template
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from authsvc.core import health, keys, rotations
from authsvc.domain.certificates import WARN_BEFORE
from authsvc.web import visitor
from authsvc.web.access import needs
from authsvc.web.request import producer, services

bp = Blueprint("keys", __name__, url_prefix="/admin/keys")


@bp.get("")
@needs(keys.LIST)
def index() -> str:
    """Every key, the newest first."""
    return render_template("keys/list.html", **_facts())


@bp.post("/rotate")
@needs(keys.CREATE, fresh=True)
def rotate() -> ResponseReturnValue:
    """Ask for a new key."""
    me = visitor.required().actor
    services().retried(lambda unit: rotations.ask(unit, me, int(time.time())))
    producer().tell("rotate")
    flash(gettext("A new key was asked for."))
    return redirect("/admin/keys", 303)


def _facts() -> dict[str, Any]:
    me, now, paths = visitor.required().actor, int(time.time()), services().settings.paths
    with services().reading() as unit:
        return {
            "keys": keys.list_all(unit, me),
            "condition": keys.examine(unit, me, paths.ca_certificate),
            "wish": rotations.find_newest(unit, me),
            "has_worker": health.is_alive(unit, health.WORKER, now),
            "now": now,
            "soon": now + WARN_BEFORE,
        }
