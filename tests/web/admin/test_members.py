import pytest

from authsvc.core import members
from authsvc.domain.permissions import Actor, Credential, Role

ADD = "/projects/acme/members"
GIVEN = {"kind": "person", "names": "charlie", "role": "guest", "pattern": "", "ends_at": ""}


@pytest.fixture
def alices(browser):
    """The browser, in which the administrator of acme is logged in."""
    browser.log_in("alice")
    browser.get(ADD)
    return browser


@pytest.fixture
def held(built):
    """The roles in acme: who, which, where, until when."""
    root = Actor("root", Credential.CONSOLE, Role.SYSTEM_ADMIN)

    def read() -> set[tuple[str, str, str, int | None]]:
        with built.reading() as session:
            rows = members.list_all(session, root, "acme")
        return {(row.user or row.group, row.role, row.pattern, row.ends_at) for row in rows}

    return read


BEFORE = {("alice", "projectAdmin", "", None), ("bob", "developer", "", None)}


def test_a_role_is_given_in_the_form(alices, held):
    answer = alices.post(ADD, **GIVEN)
    assert (answer.status_code, held()) == (303, BEFORE | {("charlie", "guest", "", None)})


def test_a_role_for_some_repositories_until_a_day_is_given(alices, held):
    alices.post(ADD, **GIVEN | {"pattern": "acme/web-*", "ends_at": "2099-12-31"})
    assert held() - BEFORE == {("charlie", "guest", "acme/web-*", 4_102_444_800)}


def test_many_are_given_a_role_at_once(alices, held):
    alices.post(ADD, **GIVEN | {"names": "charlie, root"})
    assert {row[0] for row in held() - BEFORE} == {"charlie", "root"}


def test_one_of_many_who_is_not_there_stops_all(alices, held):
    answer = alices.post(ADD, **GIVEN | {"names": "charlie, nobody"})
    assert (answer.status_code, 'id="names-wrong"' in answer.text, held()) == (404, True, BEFORE)


@pytest.mark.parametrize(
    ("field", "value", "wrong"),
    [
        ("names", "", "names"),
        ("names", "<script>alert(1)</script>", "names"),
        ("names", "x" * 10_000, "names"),
        ("names", "\u202eeilrahc", "names"),
        ("names", ",".join(f"n{number}" for number in range(201)), "names"),
        ("role", "king", "role"),
        ("role", "", "role"),
        ("pattern", "ACME/*", "pattern"),
        ("pattern", "<b>", "pattern"),
        ("ends_at", "2001-01-01", "ends_at"),
        ("ends_at", "tomorrow", "ends_at"),
    ],
)
def test_what_is_wrong_is_said_beside_its_field_and_nothing_is_stored(alices, held, field, value, wrong):
    answer = alices.post(ADD, **GIVEN | {field: value})
    assert (answer.status_code >= 400, f'id="{wrong}-wrong"' in answer.text, held()) == (True, True, BEFORE)
    assert "<script>alert" not in answer.text


def test_what_was_typed_stays(alices):
    page = alices.post(ADD, **GIVEN | {"names": "nobody", "pattern": "acme/web-*"}).text
    assert ('value="nobody"' in page, 'value="acme/web-*"' in page) == (True, True)


def test_what_is_wrong_is_said_in_chinese_too(alices):
    answer = alices.post(ADD, {"Accept-Language": "zh"}, **GIVEN | {"names": "nobody"})
    assert "没有用户 nobody" in answer.text


def test_a_role_is_changed(alices, held):
    path = f"{ADD}/edit?kind=person&name=bob&pattern="
    assert 'value="developer" selected' in alices.get(path).text
    alices.post(f"{ADD}/edit", kind="person", names="bob", pattern="", role="maintainer", ends_at="")
    assert ("bob", "maintainer", "", None) in held()


def test_roles_that_were_ticked_are_taken_away(alices, held):
    alices.post(f"{ADD}/remove", member=["person::bob"])
    assert held() == BEFORE - {("bob", "developer", "", None)}


def test_what_taking_away_would_change_is_said_and_nothing_is_taken(alices, held):
    page = alices.post(f"{ADD}/remove", member=["person::bob"], preview="yes").text
    assert ("<strong>bob</strong>" in page, "push" in page, 'value="person::bob" checked' in page) == (True, True, True)
    assert held() == BEFORE


def test_ticking_nobody_takes_nothing_away(alices, held):
    answer = alices.post(f"{ADD}/remove")
    assert (answer.status_code, "tick at least one" in answer.text, held()) == (400, True, BEFORE)


def test_names_are_suggested_by_their_beginning(alices):
    assert 'value="charlie"' in alices.get(f"{ADD}/suggest?kind=person&names=cha").text


def test_the_last_of_many_names_is_completed(alices):
    assert 'value="root, charlie"' in alices.get(f"{ADD}/suggest?kind=person&names=root, cha").text


def test_nobody_reads_the_whole_list_letter_by_letter(alices):
    assert "charlie" not in alices.get(f"{ADD}/suggest?kind=person&names=c").text


def test_a_member_sees_the_members_and_no_form(bobs):
    page = bobs.get(ADD).text
    assert ("alice" in page, "Give a role" in page, 'name="member"' in page) == (True, False, False)


@pytest.mark.parametrize("path", [ADD, f"{ADD}/suggest?names=cha", f"{ADD}/edit?kind=person&name=bob"])
def test_a_stranger_finds_no_such_project(browser, path):
    browser.log_in("charlie")
    assert browser.get(path).status_code == 404


def test_a_member_without_the_right_is_refused(bobs, held):
    assert (bobs.post(ADD, **GIVEN).status_code, held()) == (403, BEFORE)


def test_a_role_of_another_project_is_not_found(alices):
    assert alices.get(f"{ADD}/edit?kind=person&name=root&pattern=").status_code == 404


def test_a_member_leads_to_their_page_for_whoever_may_see_it(alices, other_browser):
    other_browser.log_in("root")
    link = '<a href="/admin/users/bob">bob</a>'
    assert (link in other_browser.get(ADD).text, link in alices.get(ADD).text) == (True, False)
