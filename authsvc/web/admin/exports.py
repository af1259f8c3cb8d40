"""Exports of the audit log as CSV and JSON, written while they are read, so that they need no memory however long."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice

from flask import Response

from authsvc.db.tables import AuditEvent
from authsvc.errors import NotFound, say

FIELDS = ("id", "time", "actor", "credential", "source", "action", "object", "result", "detail", "request_id")
"""As `authsvc audit list --json` has them."""
AT_ONCE = 100
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

Facts = dict[str, object]


def respond(kind: str, name: str, events: Iterable[AuditEvent]) -> Response:
    """An answer that a browser saves as a file.

    Args:
        kind: `csv` or `json`.
        name: of the file, without its ending.

    Raises:
        NotFound: there is no such kind.
    """
    if kind not in KINDS:
        raise NotFound(say("there is no such format"))
    write, mimetype = KINDS[kind]
    response = Response(write(_batches(events)), content_type=mimetype)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.{kind}"'
    return response


def as_csv(batches: Iterable[Sequence[Facts]]) -> Iterator[str]:
    """Lines after a heading (RFC 4180)."""
    yield _lines([FIELDS])
    for batch in batches:
        yield _lines([[_cell(value) for value in facts.values()] for facts in batch])


def as_json(batches: Iterable[Sequence[Facts]]) -> Iterator[str]:
    """One array, an event a line."""
    start = "["
    for batch in batches:
        yield start + ",\n".join(map(json.dumps, batch))
        start = ",\n"
    yield "[]\n" if start == "[" else "]\n"


KINDS: dict[str, tuple[Callable[[Iterable[Sequence[Facts]]], Iterator[str]], str]] = {
    "csv": (as_csv, "text/csv; charset=utf-8"),
    "json": (as_json, "application/json"),
}


def _batches(events: Iterable[AuditEvent]) -> Iterator[Sequence[Facts]]:
    waiting = iter(events)
    while batch := [_facts(event) for event in islice(waiting, AT_ONCE)]:
        yield batch


def _facts(event: AuditEvent) -> Facts:
    time = datetime.fromtimestamp(event.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {field: time if field == "time" else getattr(event, field) for field in FIELDS}


def _lines(rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _cell(value: object) -> str:
    """A value as a spreadsheet shows it: somebody's name must not become a formula there (OWASP, CSV injection)."""
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
