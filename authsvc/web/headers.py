"""Headers that answers carry (OWASP ASVS 3.4): all of them what a browser shows, few of them what programs read."""

from flask import Flask, Response, request

from authsvc.web.request import is_over_tls

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; object-src 'none'"
)
_DATA = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_PAGE = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer: browsers would send `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def register(app: Flask) -> None:
    """Add the headers to every answer of `app`; nothing but files is kept by a cache."""

    @app.after_request
    def add(response: Response) -> Response:
        response.headers.extend(_DATA if response.content_type == "application/json" else _PAGE)
        if is_over_tls():
            # A year. Browsers forget it where they have warned of the certificate (RFC 6797, 8.1).
            response.headers["Strict-Transport-Security"] = "max-age=31536000"
        if not request.path.startswith("/static/"):
            response.headers.setdefault("Cache-Control", "no-store")
        if response.mimetype == "text/html":
            response.vary.update(["Accept-Language", "Cookie"])
        return response
