"""Search: what somebody may list and has a text in its name (core/search.py)."""

from flask import Blueprint, render_template, request

from authsvc.core import search
from authsvc.core.groups import OWN
from authsvc.web import visitor
from authsvc.web.access import needs
from authsvc.web.request import services

bp = Blueprint("search", __name__)


@bp.get("/search")
@needs(OWN)
def show() -> str:
    """What was found, of each kind the first ones."""
    text = request.args.get("q", "")
    with services().reading() as unit:
        found = search.search(unit, visitor.required().actor, text)
    return render_template("search.html", text=text.strip(), found=found)
