"""Where errors meet HTTP: one table of statuses, one rendering for each kind of caller."""

import logging

from flask import Flask, Response, jsonify, redirect, render_template, request, url_for
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
    say,
)
from authsvc.web import attempts
from authsvc.web.language import translated
from authsvc.web.request import is_from_program, origin, request_id

log = logging.getLogger(__name__)


def N_(sentence: str) -> str:  # noqa: N802 (the name by which Babel finds what is to be translated)
    """A sentence that is translated where it is shown."""
    return sentence


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
# What Werkzeug calls what it raises, here for its translation.
HTTP_ERRORS = (N_("not found"), N_("method not allowed"), N_("request entity too large"), N_("bad request"))
RETRY_SECONDS = 5
MAX_LOGGED = 200


def register(app: Flask) -> None:
    """Answer every error of `app` from here."""
    app.register_error_handler(AppError, on_app_error)
    app.register_error_handler(HTTPException, on_http_error)
    app.register_error_handler(Exception, on_bug)


def on_app_error(error: AppError) -> ResponseReturnValue:
    """What was raised on purpose: its sentence, under its status."""
    status, code = _status(error)
    if isinstance(error, Unauthenticated) and not is_from_program():
        return redirect(url_for("login.form", next=request.path if request.method == "GET" else None), 303)
    if isinstance(error, Misconfigured):
        log.error("%s", error)
        return answer(status, code, say("the service is not set up: see its log, request %(id)s", id=request_id()))
    response = answer(status, code, str(error), shown=sentence(error))
    if isinstance(error, TooMany):
        metrics.THROTTLED.inc()
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def on_form(error: AppError, template: str, *, field: str = "", **facts: object) -> Response:
    """What went wrong with a form, shown on its page, with the other facts that the page needs.

    The page finds the sentence as `error`, and what is wrong with each field as `wrong`. A refused login is 403: at 401
    a browser would ask for a password in a window of its own.

    Args:
        field: the one that is at fault where the error does not say.
    """
    status, _ = _status(error)
    status = 403 if status == 401 else status
    page = render_template(template, error=sentence(error), wrong=_wrong(error, field), **facts)
    response = Response(page, status)
    _log(status, str(error))
    if isinstance(error, TooMany):
        metrics.THROTTLED.inc()
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def _wrong(error: AppError, field: str) -> dict[str, str]:
    if isinstance(error, Invalid):
        return {name: translated(reason) for name, reason in error.fields.items()}
    return {field: sentence(error)} if field else {}


def sentence(error: AppError) -> str:
    """An error's sentence in the page's language."""
    if isinstance(error, Invalid):
        return "; ".join(translated(reason) for reason in error.fields.values())
    return translated(error.sentence)


def _status(error: AppError) -> tuple[int, str]:
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


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
    return answer(500, "UNKNOWN", say("internal error, request %(id)s", id=request_id()))


def answer(status: int, code: str, message: str, shown: str = "") -> Response:
    """An error as the caller reads it: a registry's envelope for programs, a page for people.

    Args:
        shown: the message in the page's language, where it is known already.

    The reason phrase is the sentence for a 503, because docker shows that and hides the body.
    """
    if is_from_program():
        response = jsonify({"errors": [{"code": code, "message": message, "detail": None}]})
    else:
        response = Response(render_template("error.html", status=status, message=shown or translated(message)))
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
