import re
import time

import pytest

from authsvc.core import sessions, users
from tests.factories import make_session


@pytest.fixture
def some(built) -> dict[str, int]:
    """Two sessions of bob and one of alice, who calls her browser a script."""
    now = int(time.time()) - 5
    with built.transaction() as session:
        return {
            key: make_session(
                session, users.get(session, user), key, browser="<script>", created_at=now, last_seen_at=now + number
            ).id
            for number, (key, user) in enumerate([("first", "bob"), ("second", "bob"), ("hers", "alice")])
        }


def shown(page) -> list[str]:
    return re.findall(r'<a href="/admin/users/(\w+)"', page.text)


def left(built, root) -> list[str]:
    with built.reading() as session:
        found = sessions.list_all(session, root, built.settings.session, int(time.time()))
        return sorted(row.user for row in found)


def test_everybodys_sessions_are_listed_the_one_used_last_first(roots, some):
    assert {
        query: shown(roots.get(f"/admin/sessions?{query}")) for query in ("", "sort=user", "text=LI", "text=x")
    } == {
        "": ["root", "alice", "bob", "bob"],
        "sort=user": ["alice", "bob", "bob", "root"],
        "text=LI": ["alice"],
        "text=x": [],
    }


def test_a_browser_that_calls_itself_a_script_is_escaped(roots, some):
    page = roots.get("/admin/sessions").text
    assert ("&lt;script&gt;" in page, "<script>" in page) == (True, False)


def test_ones_own_session_is_marked_and_not_ended_by_mistake(roots, some):
    page = roots.get("/admin/sessions").text
    assert (page.count("this one"), len(re.findall(r"/sessions/\d+/end", page))) == (1, 3)


def test_one_session_is_ended(roots, built, root, some):
    assert roots.post(f"/admin/sessions/{some['first']}/end").location == "/admin/sessions"
    assert left(built, root) == ["alice", "bob", "root"]
    assert roots.post(f"/admin/sessions/{some['first']}/end").status_code == 404


def test_all_of_a_user_are_ended(roots, built, root, some):
    roots.post("/admin/sessions/end-user", user="bob")
    assert left(built, root) == ["alice", "root"]
    assert roots.post("/admin/sessions/end-user", user="<nobody>").status_code == 404


def test_all_of_everybody_are_ended(roots, built, root, some):
    assert roots.post("/admin/sessions/end-all").location == "/login"
    assert (left(built, root), roots.name()) == ([], "")


def test_sessions_of_others_are_not_for_everybody(bobs, built, root, some):
    bobs.get("/account")
    answers = [bobs.get("/admin/sessions"), bobs.post(f"/admin/sessions/{some['hers']}/end")]
    answers += [bobs.post("/admin/sessions/end-user", user="alice"), bobs.post("/admin/sessions/end-all")]
    assert {answer.status_code for answer in answers} == {403}
    assert left(built, root) == ["alice", "bob", "bob", "bob"]
