"""Is it alive, is it ready, and which part is not.

`/healthz` asks only this process; `/readyz` asks whether it can do its work; `/api/v2.0/health` is Harbor's.
"""

import time

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from authsvc.core import health
from authsvc.errors import Unavailable
from authsvc.web.access import open_to_all
from authsvc.web.request import process, services

bp = Blueprint("health", __name__)


@bp.get("/healthz")
@open_to_all
def live() -> ResponseReturnValue:
    """Liveness: this process answers."""
    return "ok\n", 200, {"Content-Type": "text/plain"}


@bp.get("/readyz")
@open_to_all
def ready() -> ResponseReturnValue:
    """Readiness: the database answers and has the schema this version needs."""
    if not health.is_migrated(services().engine):
        raise Unavailable(health.NOT_MIGRATED)
    return "ready\n", 200, {"Content-Type": "text/plain"}


@bp.get("/api/v2.0/ping")
@open_to_all
def ping() -> ResponseReturnValue:
    """Harbor's ping."""
    return "Pong", 200, {"Content-Type": "text/plain"}


@bp.get("/api/v2.0/health")
@open_to_all
def components() -> ResponseReturnValue:
    """Harbor's health: 200 whatever it says, each part `healthy` or `unhealthy`."""
    found = {"core": True} | health.components(process().engine, int(time.time()))
    found["registry"] = process().registry.answers()
    parts = [{"name": name, "status": _word(healthy=well)} for name, well in sorted(found.items())]
    return jsonify({"status": _word(healthy=all(found.values())), "components": parts})


def _word(*, healthy: bool) -> str:
    return "healthy" if healthy else "unhealthy"
