"""A request to the token endpoint as it is counted and logged: what was shown, who it was, how it ended.

Nothing here holds a secret or what was asked for.
"""

import time
from contextlib import suppress
from dataclasses import dataclass, field

from flask import Blueprint, Response, g, request

from authsvc.core import metrics
from authsvc.core.login import Credentials
from authsvc.core.metrics import Outcome
from authsvc.core.tokens import Grant
from authsvc.domain.permissions import Credential
from authsvc.errors import AppError
from authsvc.web.request import services

MAX_NAME = 64
_OUTCOMES = {
    200: Outcome.GRANTED,
    401: Outcome.REFUSED,
    403: Outcome.REFUSED,
    429: Outcome.THROTTLED,
    500: Outcome.FAILED,
    503: Outcome.UNAVAILABLE,
}


@dataclass(slots=True)
class Attempt:
    """What is known so far. `source` is where the caller's password is checked, once they are known."""

    kind: Credential
    name: str = ""
    source: str = ""
    started: float = field(default_factory=time.perf_counter)

    def facts(self, status: int) -> dict[str, object]:
        """What the log says of it."""
        return {"outcome": outcome(status).value, "kind": self.kind.value, "name": self.name[:MAX_NAME]}


def outcome(status: int) -> Outcome:
    """How a request ended that was answered so; what is in no row was a mistake of the client."""
    return _OUTCOMES.get(status, Outcome.INVALID)


def register(blueprint: Blueprint) -> None:
    """Count every request to `blueprint`."""
    blueprint.before_request(_start)
    blueprint.after_request(_count)


def current() -> Attempt | None:
    """The attempt that this request is, or None when it is no request for a token."""
    found: Attempt | None = g.get("attempt")
    return found


def note_shown(shown: Credentials | str | None) -> None:
    """Remember what the client shows; a text is a refresh token."""
    if isinstance(shown, str):
        g.attempt.kind = Credential.REFRESH_TOKEN
        return
    g.attempt.kind = services().callers.kind(shown)
    g.attempt.name = shown.name if shown else ""


def note_granted(grant: Grant, shown: Credentials | str | None) -> None:
    """Remember what the client got."""
    g.attempt.source = grant.source
    if grant.refresh_token not in (None, shown):
        metrics.REFRESH_TOKENS.labels(grant.via.value).inc()


def _start() -> None:
    # Until it is read: a header that cannot be is a password's.
    has_header = "Authorization" in request.headers
    g.attempt = Attempt(Credential.PASSWORD if has_header else Credential.ANONYMOUS)


def _count(response: Response) -> Response:
    attempt = current()
    if attempt is not None:
        seconds, ended = time.perf_counter() - attempt.started, outcome(response.status_code)
        metrics.count_token(ended, attempt.kind, attempt.source, seconds)
        with suppress(AppError):  # whoever asks while nothing is known yet is told so, and counted there alone
            services().minutes.count(ended, seconds, int(time.time()))
    return response
