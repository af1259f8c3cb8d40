"""`POST /service/events`: a registry's notifications.

A registry repeats what is not answered with 2xx for ever and in order, so this stores, answers at once, and never
refuses what it cannot read from a registry that has shown the secret.
"""

import hmac
import time
from typing import Any

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from authsvc.core import events
from authsvc.errors import Unauthenticated
from authsvc.web.access import open_to_all
from authsvc.web.request import services

bp = Blueprint("events", __name__)


@bp.post("/service/events")
@open_to_all
def receive() -> ResponseReturnValue:
    """Keep the events of one envelope."""
    shown = request.headers.get("Authorization", "").encode(errors="replace")
    if not _secret() or not hmac.compare_digest(shown, b"Bearer " + _secret()):
        raise Unauthenticated("this door is for registries that show the secret of `authsvc registry-config`")
    envelope = _envelope()
    found = envelope.get("events") if isinstance(envelope, dict) else None
    if isinstance(found, list):
        kept = [event for event in found if isinstance(event, dict)]
        services().retried(lambda session: events.store(session, kept, int(time.time())))
    return "", 200


def _envelope() -> Any:  # noqa: ANN401 - JSON holds anything
    try:
        return request.get_json(force=True, silent=True)
    except RecursionError:
        return None


def _secret() -> bytes:
    return services().events_secret.encode()
