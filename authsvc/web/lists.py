"""Lists on pages: what the address of one asks for, and the addresses that ask for it in another way."""

from collections.abc import Iterable
from urllib.parse import urlencode

from flask import Flask, request

from authsvc.core.pages import Asked


def register(app: Flask) -> None:
    """Give the templates of `app` `address_with`, for links to the same list in another way (templates/list.html)."""
    app.jinja_env.globals["address_with"] = address_with


def asked(sort: str) -> Asked:
    """What the address asks for. What it says that cannot be is brought to what can (core/pages.py).

    Args:
        sort: the order of a list that nobody asked for in another.
    """
    given = request.args
    page = given.get("page", "1")
    return Asked(
        text=given.get("text", "").strip(),
        sort=given.get("sort", sort),
        page=int(page) if page.isdecimal() and len(page) < 10 else 1,
    )


def address_with(**changes: object) -> str:
    """The query of this address with other values."""
    kept = {name: value for name, value in request.args.items() if name not in changes}
    return "?" + urlencode(kept | changes)


def options(names: Iterable[str]) -> list[tuple[str, str]]:
    """Names as a form's choices have them: what is sent, and what is read."""
    return [(name, name) for name in names]
