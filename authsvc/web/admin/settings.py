"""Settings that are changed while the service runs: what each says, where that comes from, and a form for each."""

import time

from flask import Blueprint, flash, redirect, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext, lazy_gettext

from authsvc.core import settings_store
from authsvc.core.settings_store import Basis, Listed, SetSetting
from authsvc.errors import AppError, Invalid, NotFound, say
from authsvc.settings import kind_of
from authsvc.web import errors, visitor
from authsvc.web.access import needs
from authsvc.web.request import process, services
from authsvc.web.words import setting_in_text

bp = Blueprint("settings", __name__, url_prefix="/admin/settings")
LIST, PAGE = "admin/settings.html", "admin/setting.html"
MEANINGS = {
    "sources": lazy_gettext(
        "The sources of identity in the order in which they are asked; empty: local, then the others"
    ),
    "onboard": lazy_gettext("Whether somebody whom a directory knows gets an account at their first login"),
    "sync_minutes": lazy_gettext("Minutes between two questions to directories about their people; 0: never"),
    "robot_warning_days": lazy_gettext("Days ahead at which the end of a robot is announced"),
    "token.lifetime": lazy_gettext("Seconds for which a token for docker is good"),
    "token.proof_ttl": lazy_gettext("Seconds for which a password that was right is remembered"),
    "token.passwords": lazy_gettext("Whether docker takes people's passwords, and not access tokens alone"),
    "token.passwords_refused_from": lazy_gettext("Sources of identity whose people's passwords docker does not take"),
    "token.refresh_tokens": lazy_gettext("Whether docker is given a refresh token to keep in place of the password"),
    "token.refresh_lifetime_days": lazy_gettext("Days for which a refresh token is good"),
    "token.refresh_rotation": lazy_gettext("Whether each use replaces a refresh token; docker does not follow that"),
    "password.min_length": lazy_gettext("Characters that a password has at least"),
    "session.idle": lazy_gettext("Seconds after its last request at which a browser is logged out"),
    "session.lifetime": lazy_gettext("Seconds after its login at which a browser is logged out in any case"),
    "throttle.account_failures": lazy_gettext("Wrong passwords for a user from one address after which attempts wait"),
    "throttle.max_delay": lazy_gettext("Seconds that an attempt waits at most"),
    "throttle.account_hour": lazy_gettext("Wrong passwords for a user in an hour after which new addresses wait"),
    "throttle.source_failures": lazy_gettext("Failed logins from one address after which it is refused for a while"),
    "throttle.source_window": lazy_gettext("Seconds in which these are counted"),
    "throttle.known_days": lazy_gettext("Days for which an address is known after a login from it"),
    "federation.keys_ttl": lazy_gettext("Seconds for which the keys of an issuer of CI tokens are remembered"),
    "log.level": lazy_gettext("How much is written to the log: debug, info, warning or error"),
}
"""What each setting means, in a line."""


@bp.get("")
@needs(settings_store.READ)
def index() -> str:
    """All of them but the sources of identity, which have pages of their own."""
    rows = [row for row in _all() if kind_of(row.name) is None]
    return render_template(LIST, rows=rows, meanings=MEANINGS)


@bp.get("/<name>")
@needs(settings_store.UPDATE, fresh=True)
def edit(name: str) -> str:
    """The form of one."""
    row = _row(name)
    return render_template(PAGE, row=row, meaning=MEANINGS[name], given={"value": setting_in_text(row.value)})


@bp.post("/<name>")
@needs(settings_store.UPDATE, fresh=True)
def change(name: str) -> ResponseReturnValue:
    """Give it a value, or its default again."""
    row, me, now, basis = _row(name), visitor.required().actor, int(time.time()), Basis.of(process().settings)
    command = SetSetting(name=name, value=request.form.get("value", ""))
    try:
        if "default" in request.form:
            services().retried(lambda unit: settings_store.remove(unit, me, name, basis, now))
        else:
            services().retried(lambda unit: settings_store.set_value(unit, me, command, basis, now))
    except AppError as exc:
        exc = Invalid({"value": exc.fields.get(name) or exc.sentence}) if isinstance(exc, Invalid) else exc
        return errors.on_form(exc, PAGE, field="value", row=row, meaning=MEANINGS[name], given=request.form)
    flash(gettext("%(name)s was changed; every process follows within two seconds.", name=name))
    return redirect("/admin/settings", 303)


def _all() -> list[Listed]:
    me = visitor.required().actor
    with services().reading() as unit:
        return list(settings_store.list_all(unit, me, Basis.of(process().settings)))


def _row(name: str) -> Listed:
    row = next((row for row in _all() if row.name == name and name in MEANINGS), None)
    if row is None:
        raise NotFound(say("there is no setting %(name)s", name=name[:100]))
    return row
