"""`GET /metrics` in Prometheus' text format, over all processes of web. nginx shows it at `metrics.listen` alone."""

import time

from flask import Blueprint, Response

from authsvc.core import metrics
from authsvc.core.endings import Endings
from authsvc.web.access import open_to_all
from authsvc.web.request import process

bp = Blueprint("metrics", __name__)


@bp.get("/metrics")
@open_to_all
def show() -> Response:
    """Every metric."""
    found = process()
    page = metrics.page(Endings(found.engine, found.settings, int(time.time())))
    return Response(page, content_type=metrics.CONTENT_TYPE)
