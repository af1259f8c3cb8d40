import csv
import html
import io
import json
import re

import pytest
from sqlalchemy import text

from authsvc.core import audit
from authsvc.domain.permissions import Actor, Credential, Role

DAY = 86_400
JANUARY_15 = 979_516_800
BOB = Actor("bob", Credential.PASSWORD, Role.USER, source="192.0.2.7", request_id="request-7")


@pytest.fixture
def trail(built, root) -> None:
    """Five events, on three days."""
    with built.transaction() as session:
        audit.record(session, root, "project.add", "acme", JANUARY_15 - 1)
        audit.record(session, root, "user.add", "dave", JANUARY_15)
        audit.record(session, BOB, "robot.add", "acme+ci", JANUARY_15 + DAY - 1, detail="<script>")
        audit.record(session, BOB, "login", "bob", JANUARY_15 + DAY, result="refused", detail="wrong password")
        audit.record(session, BOB, "member.set", "open/=cmd()", JANUARY_15 + DAY)


@pytest.fixture
def alices(browser, trail):
    """The browser, in which the administrator of `acme` is logged in, after those events."""
    browser.log_in("alice")
    browser.get("/account")
    return browser


def actions(page) -> list[str]:
    return re.findall(r"<code>([\w-]+(?:\.[\w.-]+)?)</code></td>", page.text)


def objects(page) -> list[str]:
    return re.findall(r'href="/admin/users/(u\d+)"', page.text)


def link(page, rel: str) -> str:
    return html.unescape(re.search(rf'rel="{rel}" href="([^"]*)"', page.text)[1])


QUERIES = {
    "since=2001-01-15&until=2001-01-15": ["robot.add", "user.add"],
    "until=2001-01-14": ["project.add"],
    "actor=bob&until=2001-01-16": ["member.set", "login", "robot.add"],
    "action=user.add": ["user.add"],
    "action=robot.add": ["robot.add"],
    "object=acme&until=2001-01-16": ["robot.add", "project.add"],
    "result=refused": ["login"],
    "actor=nobody": [],
    "actor=<script>&action=%25&object=%00": [],
    "before=x&after=&action=user.add": ["user.add"],
    "before=999999999999999999999&action=user.add": ["user.add"],
}


def test_the_log_is_filtered_newest_first(trail, roots):
    assert {query: actions(roots.get(f"/admin/log?{query}")) for query in QUERIES} == QUERIES


def test_one_goes_on_to_older_events_and_back(built, roots):
    with built.transaction() as session:
        [audit.record(session, BOB, "user.add", f"u{number}", JANUARY_15) for number in range(60)]
    first = roots.get("/admin/log?actor=bob&object=u")
    second = roots.get(link(first, "next"))
    third = roots.get(link(second, "prev"))
    assert [objects(page)[:: len(objects(page)) - 1] for page in (first, second, third)] == [
        ["u59", "u10"],
        ["u9", "u0"],
        ["u59", "u10"],
    ]
    assert ('rel="next"' in second.text, 'rel="prev"' in third.text) == (False, False)


def test_an_event_says_how_it_came_and_is_escaped(trail, roots):
    page = roots.get("/admin/log?action=robot.add").text
    assert ("192.0.2.7" in page, "request-7" in page, "&lt;script&gt;" in page, "<script>" in page) == (
        True,
        True,
        True,
        False,
    )


def test_names_lead_to_their_pages(trail, roots):
    page = roots.get("/admin/log?until=2001-01-16").text
    links = [f'href="{path}"' in page for path in ("/admin/users/bob", "/admin/users/dave", "/projects/acme")]
    assert links == [True, True, True]


@pytest.mark.parametrize("path", ["/admin/log", "/projects/acme/log"])
@pytest.mark.parametrize("field", ["since", "until"])
def test_a_day_that_is_none_is_told_beside_its_field(trail, roots, path, field):
    answers = [roots.get(f"{path}?{field}={day}") for day in ("2027-02-30", "soon", "<script>", "9" * 5_000)]
    assert {answer.status_code for answer in answers} == {400}
    assert [re.findall(r'id="(\w+)-wrong"', answer.text) for answer in answers] == [[field]] * 4
    assert ('value="soon"' in answers[1].text, "<script>" in answers[2].text) == (True, False)


def test_what_is_filtered_is_exported(trail, roots):
    as_csv = roots.get("/admin/log/export?format=csv&actor=bob&until=2001-01-16")
    _, *rows = csv.reader(io.StringIO(as_csv.text, newline=""))
    assert [row[5:7] for row in rows] == [["robot.add", "acme+ci"], ["login", "bob"], ["member.set", "open/=cmd()"]]
    as_json = roots.get("/admin/log/export?format=json&actor=bob&until=2001-01-16")
    assert [row["action"] for row in json.loads(as_json.text)] == ["robot.add", "login", "member.set"]
    assert re.fullmatch(r'attachment; filename="audit-\d{4}-\d\d-\d\d.json"', as_json.headers["Content-Disposition"])


def test_a_page_offers_the_export_of_what_it_shows(trail, roots):
    page = roots.get("/admin/log?actor=bob&before=999").text
    assert "/admin/log/export?actor=bob&amp;format=csv&amp;before=&amp;after=" in page


@pytest.mark.parametrize(("query", "status"), [("format=xlsx", 404), ("", 404), ("format=csv&since=soon", 400)])
def test_an_export_that_cannot_be_is_refused(roots, query, status):
    assert roots.get(f"/admin/log/export?{query}").status_code == status


def test_the_chain_is_verified(trail, roots):
    assert "All 7 rows are as they were written." in roots.post("/admin/log/verify").text


def test_a_broken_chain_is_told(trail, built, roots):
    with built.transaction() as session:
        session.execute(text("DROP TRIGGER audit_events_refuse_update"))
        session.execute(text("UPDATE audit_events SET actor = 'nobody' WHERE id = 3"))
    page = roots.post("/admin/log/verify").text
    assert "Row 3 is not what was written; the 2 rows before it are." in page


def test_a_project_has_its_own_log(alices):
    page = alices.get("/projects/acme/log")
    assert actions(page) == ["robot.add", "project.add"]
    assert ("/admin/" in page.text, "/projects/acme/log/export?" in page.text) == (False, True)


def test_the_log_of_a_project_is_filtered_and_exported(alices):
    assert actions(alices.get("/projects/acme/log?action=robot.add")) == ["robot.add"]
    answer = alices.get("/projects/acme/log/export?format=json")
    assert [row["object"] for row in json.loads(answer.text)] == ["acme", "acme+ci"]
    assert 'filename="audit-acme-' in answer.headers["Content-Disposition"]


def test_no_log_shows_what_is_not_of_its_project(alices):
    assert actions(alices.get("/projects/acme/log?object=dave")) == []
    assert actions(alices.get("/projects/acme/log?project=open&actor=bob")) == ["robot.add"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/admin/log", 403),
        ("/admin/log/export?format=csv", 403),
        ("/projects/open/log", 403),
        ("/projects/open/log/export?format=csv", 403),
        ("/projects/library/log", 404),
        ("/projects/library/log/export?format=csv", 404),
        ("/projects/nowhere/log", 404),
    ],
)
def test_no_other_log_is_shown_to_a_projects_administrator(alices, path, status):
    assert alices.get(path).status_code == status


def test_a_developer_reads_no_log(trail, bobs):
    assert {bobs.get(f"/projects/acme/log{more}").status_code for more in ("", "/export?format=csv")} == {403}
