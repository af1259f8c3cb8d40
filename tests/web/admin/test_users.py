import dataclasses
import re
import time

import pytest

from authsvc.core import access_tokens, groups, members, sessions, users
from authsvc.core.groups import AddGroup, Belonging
from authsvc.core.members import SetMember
from authsvc.core.users import SetEnabled
from tests.corp import Corp
from tests.factories import make_access_token, make_session, make_user

NEW = {"name": "dave", "email": "dave@example.com", "made": "on", "must_change": "on"}
OWN = {"name": "dave", "password": "a-long-password"}
WRONG = [
    ("name", ""),
    ("name", "<script>alert(1)</script>"),
    ("name", "d" * 10_000),
    ("name", "\u202eevad"),
    ("name", "ALICE"),
    ("email", "nowhere"),
    ("password", "short"),
    ("password", ""),
]
LISTS = {
    "": ["alice", "bob", "charlie", "erin", "root"],
    "sort=-name": ["root", "erin", "charlie", "bob", "alice"],
    "text=LI": ["alice", "charlie"],
    "source=corp": ["erin"],
    "role=administrators": ["erin", "root"],
    "role=others&state=enabled": ["alice", "charlie"],
    "state=disabled": ["bob"],
    "text=<script>": [],
    "state=x&role=y&page=-1&sort=z": ["alice", "bob", "charlie", "erin", "root"],
}


@pytest.fixture
def corp(app, built) -> Corp:
    """A directory that people can be imported from."""
    made = Corp({"1": "erin", "2": "alice"})
    app.extensions["authsvc"] = dataclasses.replace(built, directories={"corp": made})
    return made


@pytest.fixture
def erin(built) -> None:
    """Somebody of a directory, whom it makes an administrator."""
    with built.transaction() as session:
        make_user(session, "erin", source="corp", password_hash=None, subject="corp:1", admin_by_source=True)


def found(built, name="dave"):
    with built.reading() as session:
        return users.get(session, name)


def there(built, name="dave") -> bool:
    with built.reading() as session:
        return name in [row.name for row in session.query(users.User)]


def shown_password(page) -> str:
    return re.search(r'id="made">([\w-]+)<', page.text)[1]


def names(page) -> list[str]:
    return re.findall(r'<th scope="row"><a href="/admin/users/[^"]*">([^<]*)</a>', page.text)


def test_the_administration_begins_with_its_users(roots):
    assert roots.get("/admin").location == "/admin/users"


def test_the_list_is_filtered_and_sorted(roots, built, root, erin, now):
    with built.transaction() as session:
        users.set_enabled(session, root, SetEnabled(name="bob", enabled=False), now)
    assert {query: names(roots.get(f"/admin/users?{query}")) for query in LISTS} == LISTS


def test_a_user_is_made_with_a_password_that_is_shown_once_and_must_be_changed(roots, other_browser, built):
    page = roots.post("/admin/users/-/new", **NEW)
    password = shown_password(page)
    made = found(built)
    assert (made.email, made.admin, made.must_change, len(password)) == ("dave@example.com", False, True, 24)
    assert password not in roots.get("/admin/users/dave").text
    assert other_browser.log_in("dave", password).status_code == 303


def test_a_user_is_made_with_a_password_that_was_chosen(roots, other_browser, built):
    answer = roots.post("/admin/users/-/new", **OWN, admin="on")
    assert (answer.location, found(built).admin, found(built).must_change) == ("/admin/users/dave", True, False)
    assert other_browser.log_in("dave", OWN["password"]).status_code == 303


def test_a_wrong_value_is_told_beside_its_field_and_nobody_is_made(roots, built):
    before = found(built, "alice").password_hash
    answers = [roots.post("/admin/users/-/new", **OWN | {field: value}) for field, value in WRONG]
    assert [re.findall(r'id="(\w+)-wrong"', answer.text) for answer in answers] == [[field] for field, _ in WRONG]
    assert {(answer.status_code, "<script>" in answer.text) for answer in answers} == {(400, False), (409, False)}
    assert (there(built), found(built, "alice").password_hash) == (False, before)


def test_what_was_typed_stays_but_the_password(roots):
    page = roots.post("/admin/users/-/new", **OWN | {"email": "no address"}, admin="on").text
    assert 'value="no address"' in page
    assert re.findall(r'name="(\w+)" value="on" checked', page) == ["admin"]
    assert OWN["password"] not in page


def test_a_page_says_who_somebody_is_and_what_they_may_do_and_why(roots, built, root, now):
    with built.transaction() as session:
        groups.add(session, root, AddGroup(name="ops & co"), now)
        groups.add_user(session, root, Belonging(group="ops & co", user="bob"), now)
        members.set_role(session, root, SetMember(project="open", group="ops & co", role="guest"), now)
        make_access_token(session, users.get(session, "bob"), "laptop", last_used_at=now)
    page = roots.get("/admin/users/bob").text
    assert ("Developer" in page, "Guest" in page, "the group ops &amp; co" in page, "laptop" in page) == (True,) * 4
    assert page.count("2027-01-15 08:00 UTC") == 2  # last seen, by that token


def test_somebody_who_is_gone_from_a_directory_is_shown_as_such(roots, built, now):
    with built.transaction() as session:
        make_user(session, "erin", source="corp", subject="corp:1", enabled=False, vanished_at=now)
    page = roots.get("/admin/users/erin").text
    assert ("gone from corp" in page, "2027-01-15 08:00 UTC" in page) == (True, True)


def test_what_a_directory_says_is_not_offered_to_change(roots, erin):
    page = roots.get("/admin/users/erin").text
    assert ("/users/erin/enabled" in page, "/users/erin/password" in page, "/users/erin/admin" in page) == (
        True,
        False,
        False,
    )


@pytest.mark.parametrize(("path", "form"), [("password", {}), ("admin", {"admin": "no"})])
def test_what_a_directory_says_is_not_ours_to_change(roots, built, erin, path, form):
    answer = roots.post(f"/admin/users/erin/{path}", **form)
    assert (answer.status_code, 'role="alert"' in answer.text) == (409, True)
    assert (found(built, "erin").admin_by_source, found(built, "erin").password_hash) == (True, None)


def test_somebody_who_is_not_there_is_not_found(roots):
    answers = [roots.get(f"/admin/users/{name}") for name in ("nobody", "%3Cscript%3E", "x" * 5_000, "%E2%80%AEbob")]
    assert {(answer.status_code, "<script>" in answer.text) for answer in answers} == {(404, False)}


def test_somebody_is_disabled_and_let_in_again(roots, other_browser, built):
    other_browser.log_in("bob")
    assert roots.post("/admin/users/bob/enabled", enabled="no").location == "/admin/users/bob"
    assert (found(built, "bob").enabled, other_browser.name()) == (False, "")
    roots.post("/admin/users/bob/enabled", enabled="yes")
    assert found(built, "bob").enabled


def test_somebody_is_made_an_administrator_and_no_longer_one(roots, built):
    roots.post("/admin/users/bob/admin", admin="yes")
    assert found(built, "bob").admin
    roots.post("/admin/users/bob/admin", admin="no")
    assert not found(built, "bob").admin


@pytest.mark.parametrize(
    ("path", "form"), [("admin", {"admin": "no"}), ("enabled", {"enabled": "no"}), ("delete", {"name": "root"})]
)
def test_the_last_administrator_stays(roots, built, path, form):
    answer = roots.post(f"/admin/users/root/{path}", **form)
    assert (answer.status_code, "root is the last administrator" in answer.text) == (409, True)
    assert (found(built, "root").admin, found(built, "root").enabled) == (True, True)


def test_a_new_password_is_shown_once_and_the_old_one_refused(roots, other_browser, built):
    password = shown_password(roots.post("/admin/users/bob/password"))
    assert found(built, "bob").must_change
    assert (other_browser.log_in("bob").status_code, other_browser.log_in("bob", password).status_code) == (403, 303)
    assert password not in roots.get("/admin/users/bob").text


def test_a_user_is_deleted_by_whoever_types_the_name(roots, built):
    assert roots.post("/admin/users/bob/delete", name="bob").location == "/admin/users"
    assert not there(built, "bob")


def test_a_user_stays_when_another_name_is_typed(roots, built):
    answers = [roots.post("/admin/users/bob/delete", name=typed) for typed in ("", "BOB", "alice", "<script>")]
    assert {(one.status_code, 'id="name-wrong"' in one.text, "<script>" in one.text) for one in answers} == {
        (400, True, False)
    }
    assert there(built, "bob")


def test_a_token_is_revoked(roots, built, root):
    with built.transaction() as session:
        make_access_token(session, users.get(session, "bob"), "laptop")
    roots.post("/admin/users/bob/tokens/revoke", token="laptop")
    with built.reading() as session:
        assert access_tokens.list_all(session, root, "bob") == []
    assert roots.post("/admin/users/bob/tokens/revoke", token="laptop").status_code == 404


@pytest.mark.parametrize(("path", "left"), [("sessions/{number}/end", 1), ("sessions/end", 0)])
def test_sessions_of_somebody_are_ended(roots, built, root, path, left):
    now = int(time.time())
    with built.transaction() as session:
        bob = users.get(session, "bob")
        number = make_session(session, bob, "x", created_at=now, last_seen_at=now).id
        make_session(session, bob, "y", created_at=now, last_seen_at=now)
    roots.post("/admin/users/bob/" + path.format(number=number))
    with built.reading() as session:
        assert len(sessions.list_all(session, root, built.settings.session, now, "bob")) == left


def test_failed_logins_are_forgotten(roots, other_browser):
    [other_browser.log_in("bob", f"wrong-{number}") for number in range(20)]
    assert other_browser.log_in("bob").status_code == 429
    roots.post("/admin/users/bob/unlock")
    assert other_browser.log_in("bob").status_code == 303


def test_somebody_of_a_directory_is_imported(roots, built, corp):
    assert roots.post("/admin/users/-/import", source="corp", name="erin").location == "/admin/users/erin"
    assert found(built, "erin").source == "corp"


@pytest.mark.parametrize(
    ("source", "name", "status", "wrong"),
    [
        ("corp", "nobody", 404, "name"),
        ("corp", "alice", 409, "name"),
        ("local", "erin", 400, "source"),
        ("", "", 400, "source"),
    ],
)
def test_who_cannot_be_imported_is_told_beside_the_field(roots, built, corp, source, name, status, wrong):
    answer = roots.post("/admin/users/-/import", source=source, name=name)
    assert (answer.status_code, re.findall(r'id="(\w+)-wrong"', answer.text)) == (status, [wrong])
    assert (there(built, "erin"), found(built, "alice").source) == (False, "local")


def test_a_directory_that_does_not_answer_is_told(roots, corp):
    corp.people = None
    assert roots.post("/admin/users/-/import", source="corp", name="erin").status_code == 503


def test_without_a_directory_nobody_can_be_imported(roots):
    assert "There is no directory" in roots.get("/admin/users/-/import").text
    assert "/-/import" not in roots.get("/admin/users").text


def test_the_page_of_a_user_and_what_it_offers_are_not_for_everybody(bobs):
    bobs.get("/account")
    answers = {bobs.get(path).status_code for path in ("/admin", "/admin/users", "/admin/users/bob")}
    answers |= {bobs.post(f"/admin/users/bob/{path}").status_code for path in ("admin", "password", "enabled")}
    assert answers == {403}
