"""`GET` and `POST /service/token` (distribution, "Token Authentication Specification" and its OAuth2 form)."""

import json
import time

from flask import Blueprint, Response, request
from werkzeug.datastructures import MultiDict

from authsvc.core.login import Credentials
from authsvc.core.tokens import Grant, TokenRequest
from authsvc.errors import Invalid
from authsvc.web import attempts
from authsvc.web.access import open_to_all
from authsvc.web.request import basic_credentials, origin, services

bp = Blueprint("token", __name__)
attempts.register(bp)
PATH = "/service/token"
ANONYMOUS_SECONDS = "5"
"""How long nginx may give the same token to everybody who shows nothing (design decision 14)."""


@bp.get(PATH, strict_slashes=False)
@open_to_all
def get() -> Response:
    """A token for what is asked and allowed. `account` is a client's hint and decides nothing."""
    asked = request.args
    credentials = basic_credentials()
    if request.method == "HEAD":
        return _head(credentials)
    grant = _issue(asked, credentials, wants_refresh=asked.get("offline_token", "").lower() == "true")
    response = _answer({"token": grant.token, "access_token": grant.token, "expires_in": grant.lifetime}, grant)
    if credentials is None:
        response.headers["X-Accel-Expires"] = ANONYMOUS_SECONDS
    return response


@bp.post(PATH, strict_slashes=False)
@open_to_all
def post() -> Response:
    """The OAuth2 form: `password` and `refresh_token` grants (RFC 6749, 4.3 and 6)."""
    form = request.form
    if request.headers.get("Authorization"):
        raise Invalid({"Authorization": "credentials go into the form, not into a header beside it"})
    grant = _issue(form, _form_credentials(form), wants_refresh=form.get("access_type") == "offline")
    scope = " ".join(
        f"{entry['type']}:{entry['name']}:{','.join(map(str, entry['actions']))}" for entry in grant.access
    )
    return _answer({"access_token": grant.token, "expires_in": grant.lifetime, "scope": scope}, grant)


def _head(credentials: Credentials | None) -> Response:
    """Whether the credentials are good, without a token."""
    attempts.note_shown(credentials)
    services().tokens.check(credentials, origin(), int(time.time()))
    return Response(status=200, headers={"Cache-Control": "no-store"})


def _form_credentials(form: MultiDict[str, str]) -> Credentials | str:
    match form.get("grant_type"):
        case "password":
            name, password = form.get("username", ""), form.get("password", "")
            return Credentials(name, password)
        case "refresh_token":
            return form.get("refresh_token", "")
        case None:
            raise Invalid({"grant_type": "is missing: password or refresh_token"})
        case other:
            raise Invalid({"grant_type": f"{other[:64]!r} is not supported: password or refresh_token"})


def _issue(asked: MultiDict[str, str], credentials: Credentials | str | None, *, wants_refresh: bool) -> Grant:
    attempts.note_shown(credentials)
    grant = services().tokens.issue(
        TokenRequest(
            services=asked.getlist("service"),
            scopes=asked.getlist("scope"),
            credentials=credentials,
            origin=origin(),
            wants_refresh=wants_refresh,
            client=asked.get("client_id", ""),
        ),
        int(time.time()),
    )
    attempts.note_granted(grant, credentials)
    return grant


def _answer(fields: dict[str, object], grant: Grant) -> Response:
    if grant.refresh_token is not None:
        fields["refresh_token"] = grant.refresh_token
    return Response(json.dumps(fields), content_type="application/json", headers={"Cache-Control": "no-store"})
