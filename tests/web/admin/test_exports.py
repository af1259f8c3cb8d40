import csv
import io
import json
import tracemalloc

import pytest

from authsvc.db.tables import AuditEvent
from authsvc.errors import NotFound
from authsvc.web.admin import exports

NAMES = ["id", "time", "actor", "credential", "source", "action", "object", "result", "detail", "request_id"]


def event(number: int = 1, **columns: object) -> AuditEvent:
    defaults = {"actor": "root", "credential": "session", "source": "192.0.2.7", "action": "user.add", "object": "bob"}
    defaults |= {"result": "ok", "detail": "", "request_id": "request-1", "hash": "x"}
    return AuditEvent(id=number, at=1_800_000_000, **defaults | columns)


def read(kind: str, *events: AuditEvent) -> str:
    return exports.respond(kind, "audit", events).get_data(as_text=True)


def rows(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


def test_an_event_is_a_line_under_a_heading():
    line = ["1", "2027-01-15T08:00:00Z", "root", "session", "192.0.2.7", "user.add", "bob", "ok", "", "request-1"]
    assert rows(read("csv", event())) == [NAMES, line]


def test_an_event_is_an_object_in_an_array():
    (found,) = json.loads(read("json", event(detail='"\n\u202e中')))
    assert list(found) == NAMES
    assert (found["id"], found["time"], found["detail"]) == (1, "2027-01-15T08:00:00Z", '"\n\u202e中')


@pytest.mark.parametrize(("kind", "expected"), [("csv", ",".join(NAMES) + "\r\n"), ("json", "[]\n")])
def test_without_an_event_there_is_an_empty_file(kind, expected):
    assert read(kind) == expected


@pytest.mark.parametrize("number", [1, 99, 100, 101, 250])
def test_no_event_is_lost_between_batches(number):
    events = [event(one) for one in range(1, number + 1)]
    assert [one["id"] for one in json.loads(read("json", *events))] == list(range(1, number + 1))
    assert len(rows(read("csv", *events))) == number + 1


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_becomes_a_formula(begin):
    (_, row) = rows(read("csv", event(object=f'{begin}HYPERLINK("http://example.com")', detail=begin)))
    assert (row[6], row[8]) == (f'\'{begin}HYPERLINK("http://example.com")', f"'{begin}")


def test_a_cell_with_lines_and_quotes_stays_one_cell():
    assert rows(read("csv", event(detail='a "b",\r\n=c')))[1][8] == 'a "b",\r\n=c'


@pytest.mark.parametrize(("kind", "content_type"), [("csv", "text/csv; charset=utf-8"), ("json", "application/json")])
def test_a_browser_saves_it_as_a_file(kind, content_type):
    answer = exports.respond(kind, "audit-2027-01-15", [])
    assert answer.headers["Content-Type"] == content_type
    assert answer.headers["Content-Disposition"] == f'attachment; filename="audit-2027-01-15.{kind}"'


@pytest.mark.parametrize("kind", ["", "xlsx", "<script>"])
def test_another_format_is_not_found(kind):
    with pytest.raises(NotFound):
        exports.respond(kind, "audit", [])


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_a_long_log_needs_no_memory(kind):
    answer = exports.respond(kind, "audit", (event(number, detail="x" * 500) for number in range(20_000)))
    tracemalloc.start()
    length = sum(map(len, answer.response))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (length > 10_000_000, most < 2_000_000) == (True, True)
