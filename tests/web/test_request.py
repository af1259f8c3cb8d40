import base64
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.core.login import Credentials
from authsvc.web import request as request_module
from authsvc.web.request import parse_basic

readable = st.characters(exclude_categories=["Cs", "Cc"])


def header(plain: str) -> str:
    return "Basic " + base64.b64encode(plain.encode()).decode()


@given(st.text(readable).filter(lambda name: ":" not in name), st.text(readable))
def test_every_name_and_password_is_read_as_it_was_sent(name, password):
    assert parse_basic(header(f"{name}:{password}")) == Credentials(name, password)


@given(st.text(max_size=100) | st.text(string.ascii_letters + "+/=-_ :", max_size=40).map("Basic {}".format))
def test_no_header_is_an_error(text):
    assert isinstance(parse_basic(text), Credentials | None)


def test_a_password_may_hold_colons():
    assert parse_basic(header("bob:a:b:c")) == Credentials("bob", "a:b:c")


@pytest.mark.parametrize("text", ["Basic  {}", "Basic {} ", "basic {}"])
def test_white_space_around_the_credentials_is_no_part_of_them(text):
    encoded = base64.b64encode(b"bob:x").decode()
    assert parse_basic(text.format(encoded)) == Credentials("bob", "x")


@pytest.mark.parametrize(
    ("given_id", "kept"),
    [("abc-123", "abc-123"), ("", ""), ("a b", ""), ("a\tb", ""), ("a" * 64, "a" * 64), ("a" * 65, ""), ('"><x', "")],
)
def test_a_request_id_is_kept_when_it_is_one(app, given_id, kept):
    with app.test_request_context(headers={"X-Request-Id": given_id}):
        assert request_module.request_id() == kept


def test_a_request_may_come_without_an_id(app):
    with app.test_request_context():
        assert request_module.request_id() == ""


@pytest.mark.parametrize(
    ("headers", "source"),
    [
        ({}, "127.0.0.1"),
        ({"X-Real-IP": "192.0.2.1"}, "192.0.2.1"),
        ({"X-Forwarded-For": "203.0.113.9"}, "127.0.0.1"),
        ({"X-Real-IP": "192.0.2.1", "X-Forwarded-For": "203.0.113.9"}, "192.0.2.1"),
    ],
)
def test_the_origin_is_what_nginx_says(app, headers, source):
    with app.test_request_context(headers=headers, environ_base={"REMOTE_ADDR": "127.0.0.1"}):
        assert request_module.origin().source == source


@pytest.mark.parametrize("number", [2**63 - 1, 2**63, 10**400], ids=["most", "more", "much more"])
def test_a_row_beyond_what_a_database_counts_to_is_not_found(bobs, number):
    bobs.get("/account")
    assert bobs.post(f"/account/sessions/{number}/end").status_code == 404
