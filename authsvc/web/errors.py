"""Where errors meet HTTP: one table of statuses, one rendering for each kind of caller."""

import logging

from flask import Flask, Response, jsonify, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from authsvc.core import metrics
from authsvc.errors import (
    AlreadyExists,
    AppError,
    Conflict,
    Forbidden,
    Invalid,
    Misconfigured,
    NotFound,
    TooMany,
    Unauthenticated,
    Unavailable,
)
from authsvc.web import attempts
from authsvc.web.request import origin, request_id

log = logging.getLogger(__name__)

# Codes are distribution's where it has one (specification, "Errors"), else Harbor's.
STATUS: dict[type[AppError], tuple[int, str]] = {
    Invalid: (400, "BAD_REQUEST"),
    Unauthenticated: (401, "UNAUTHORIZED"),
    Forbidden: (403, "DENIED"),
    NotFound: (404, "NOT_FOUND"),
    AlreadyExists: (409, "CONFLICT"),
    Conflict: (409, "CONFLICT"),
    TooMany: (429, "TOOMANYREQUESTS"),
    Unavailable: (503, "UNAVAILABLE"),
    Misconfigured: (500, "UNKNOWN"),
}
RETRY_SECONDS = 5
MAX_LOGGED = 200
_MACHINES = ("/service/", "/api/", "/v2/")


def register(app: Flask) -> None:
    """Answer every error of `app` from here."""
    app.register_error_handler(AppError, on_app_error)
    app.register_error_handler(HTTPException, on_http_error)
    app.register_error_handler(Exception, on_bug)


def on_app_error(error: AppError) -> ResponseReturnValue:
    """What was raised on purpose: its sentence, under its status."""
    status, code = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    if isinstance(error, Misconfigured):
        log.error("%s", error)
        return answer(status, code, f"the service is not set up: see its log, request {request_id()}")
    response = answer(status, code, str(error))
    if isinstance(error, TooMany):
        metrics.THROTTLED.inc()
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def on_http_error(error: HTTPException) -> ResponseReturnValue:
    """What Flask raised: no such route, wrong method, body too large."""
    status = error.code or 500
    code = {404: "NOT_FOUND", 405: "UNSUPPORTED", 413: "SIZE_INVALID"}.get(status, "BAD_REQUEST")
    response = answer(status, code, error.name.lower())
    if isinstance(error, MethodNotAllowed):
        response.allow.update(error.valid_methods or ())
    return response


def on_bug(error: Exception) -> ResponseReturnValue:
    """Anything else is a bug: logged once, and its id shown."""
    log.error("internal error in request %s", request_id(), exc_info=error)
    return answer(500, "UNKNOWN", f"internal error, request {request_id()}")


def answer(status: int, code: str, message: str) -> Response:
    """An error as the caller reads it: a registry's envelope for programs, a page for people.

    The reason phrase is the sentence for a 503, because docker shows that and hides the body.
    """
    if request.path.startswith(_MACHINES):
        response = jsonify({"errors": [{"code": code, "message": message, "detail": None}]})
    else:
        response = Response(render_template("error.html", status=status, message=message))
    _log(status, message)
    response.status = f"{status} {message[:120]}" if status == 503 and message.isascii() else str(status)
    response.headers["Cache-Control"] = "no-store"
    if status == 503:
        response.headers["Retry-After"] = str(RETRY_SECONDS)
    if status == 401:
        # Not Bearer: docker and containers/image would merge two errors into one.
        response.headers["WWW-Authenticate"] = 'Basic realm="authsvc"'
    return response


def _log(status: int, reason: str) -> None:
    """One line for each answer that is an error, bounded; for a request for a token it says more."""
    attempt = attempts.current()
    facts = attempt.facts(status) if attempt else {}
    facts |= {
        "status": status,
        "method": request.method,
        "path": request.path[:MAX_LOGGED],
        "address": origin().source[:64],
        "reason": reason[:MAX_LOGGED],
        "request_id": request_id(),
    }
    log.info("token.refused" if attempt else "request.refused", extra={"facts": facts})
