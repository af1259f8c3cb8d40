"""Sessions: the browsers of everybody, and how they are logged out."""

import time

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from authsvc.core import sessions
from authsvc.web import lists, visitor
from authsvc.web.access import needs
from authsvc.web.request import services

bp = Blueprint("admin_sessions", __name__, url_prefix="/admin/sessions")
PAGE = "sessions/list.html"


@bp.get("")
@needs(sessions.OF_OTHERS)
def index() -> str:
    """Everybody's sessions that have not ended, the one used last first."""
    me, asked, limits = visitor.required().actor, lists.asked("-seen"), services().settings.session
    with services().reading() as unit:
        found = sessions.list_page(unit, me, limits, asked, int(time.time()))
    return render_template(PAGE, asked=asked, found=found, limits=limits)


@bp.post("/<int:session_id>/end")
@needs(sessions.OF_OTHERS)
def end(session_id: int) -> ResponseReturnValue:
    """End one."""
    me = visitor.required().actor
    services().retried(lambda unit: sessions.end(unit, me, session_id, int(time.time())))
    flash(gettext("The session was ended."))
    return redirect(url_for(".index"), 303)


@bp.post("/end-user")
@needs(sessions.OF_OTHERS)
def end_user() -> ResponseReturnValue:
    """End all of one user."""
    me, user = visitor.required().actor, request.form.get("user", "")
    services().retried(lambda unit: sessions.end_user(unit, me, user, int(time.time())))
    flash(gettext("All sessions of %(name)s were ended.", name=user))
    return redirect(url_for(".index"), 303)


@bp.post("/end-all")
@needs(sessions.OF_OTHERS, fresh=True)
def end_all() -> ResponseReturnValue:
    """End all there are, this one too."""
    me = visitor.required().actor
    services().retried(lambda unit: sessions.end_all(unit, me, int(time.time())))
    flash(gettext("Everybody was logged out."))
    return redirect("/login", 303)
