import time

import pytest
from sqlalchemy import select

from authsvc.core import keys
from authsvc.db.tables import KeyRotation
from authsvc.domain import certificates
from authsvc.domain.certificates import DAY
from authsvc.jobs import queue


@pytest.fixture
def worker(built) -> None:
    """A worker that gave a sign of life."""
    queue.beat_once(built)


@pytest.fixture
def newest(built):
    def read() -> str:
        with built.reading() as unit:
            return keys.get_newest(unit).key_id

    return read


def rows(built, table) -> list:
    with built.reading() as unit:
        return list(unit.scalars(select(table).order_by(table.id)))


def test_the_list_shows_which_key_signs_and_when_it_ends(roots, newest):
    page = roots.get("/admin/keys").text
    assert newest() in page
    assert "signs</strong>" in page


@pytest.mark.usefixtures("worker")
def test_a_new_key_is_asked_for_and_made_by_the_worker(roots, built, app, newest):
    before = newest()
    roots.get("/admin/keys")
    assert roots.post("/admin/keys/rotate").status_code == 303
    page = roots.get("/admin/keys").text
    assert "root asked for a new key" in page
    assert 'hx-trigger="every 1s"' in page
    assert "Make a new key" not in page
    assert app.extensions["producer"].length() == 1
    assert newest() == before
    queue.rotate_once(built)
    page = roots.get("/admin/keys").text
    assert newest() != before
    assert f"<code>{newest()}</code>" in page.partition("Done at")[2]
    assert "hx-get" not in page


def test_without_a_worker_the_page_says_so(roots):
    roots.get("/admin/keys")
    roots.post("/admin/keys/rotate")
    assert "No worker runs" in roots.get("/admin/keys").text


@pytest.mark.usefixtures("worker")
def test_what_keeps_the_worker_from_it_is_shown(roots, built, settings):
    settings.paths.ca_key.unlink()
    roots.get("/admin/keys")
    roots.post("/admin/keys/rotate")
    queue.rotate_once(built)
    assert "The worker could not make it" in roots.get("/admin/keys").text


def test_a_key_that_ends_soon_is_warned_of(roots, built):
    with built.transaction() as unit:
        key = keys.get_newest(unit)
        key.ends_at = int(time.time()) + 3 * DAY
    page = roots.get("/admin/keys").text
    assert "ends soon, on" in page
    assert "is it running?" in page


def test_a_key_of_another_ca_is_told(roots, settings):
    another = certificates.make_ca("another", int(time.time()))
    settings.paths.ca_certificate.write_bytes(another.certificate_pem())
    assert "was not signed by this CA" in roots.get("/admin/keys").text


def test_a_ca_that_cannot_be_read_is_told(roots, settings):
    settings.paths.ca_certificate.write_text("nothing")
    assert "certificate cannot be read here" in roots.get("/admin/keys").text


@pytest.mark.parametrize("who", ["alice", "bob", "charlie"])
def test_nobody_else_sees_keys_or_asks_for_one(browser, built, who):
    browser.log_in(who)
    assert browser.get("/admin/keys").status_code == 403
    assert browser.post("/admin/keys/rotate").status_code == 403
    assert rows(built, KeyRotation) == []
