import re

import pytest

from authsvc.core import groups, members
from authsvc.core.groups import AddGroup, Belonging
from authsvc.core.members import SetMember

HOSTILE = "<script>alert(1)</script>/ops"
WRONG = [
    ("name", ""),
    ("name", "g" * 10_000),
    ("name", "\u202espo"),
    ("name", "builders"),
    ("key", "k" * 10_000),
    ("key", ""),
    ("source", "nowhere"),
]


@pytest.fixture
def environment(environment) -> dict[str, str]:
    """A directory, which is never asked here."""
    corp = {"URLS": "ldaps://127.0.0.1:9", "BASE": "dc=example,dc=com"}
    return environment | {f"AUTHSVC_LDAP__CORP__{key}": value for key, value in corp.items()}


@pytest.fixture
def builders(built, root, now) -> int:
    """A group of our own with charlie in it, who has a role through it."""
    with built.transaction() as session:
        made = groups.add(session, root, AddGroup(name="builders"), now).id
        groups.add_user(session, root, Belonging(group="builders", user="charlie"), now)
        command = SetMember(project="acme", group="builders", role="guest", pattern="acme/web-*")
        members.set_role(session, root, command, now)
    return made


@pytest.fixture
def staff(built, root, now) -> int:
    """A group of a directory, with a name that means harm."""
    with built.transaction() as session:
        return groups.add(session, root, AddGroup(name=HOSTILE, source="corp", key="cn=staff"), now).id


def names(page) -> list[str]:
    return re.findall(r'<th scope="row"><a href="/admin/groups/\d+">([^<]*)</a>', page.text)


def people(built, root, name="builders") -> list[str]:
    with built.reading() as session:
        return [user.name for user in groups.list_users(session, root, name)]


def all_names(built, root) -> list[str]:
    with built.reading() as session:
        return [row.name for row in groups.list_all(session, root)]


def test_the_list_is_filtered_and_sorted(roots, builders, staff):
    other = "&lt;script&gt;alert(1)&lt;/script&gt;/ops"
    assert {query: names(roots.get(f"/admin/groups?{query}")) for query in ("", "text=BUILD", "source=corp")} == {
        "": [other, "builders"],
        "text=BUILD": ["builders"],
        "source=corp": [other],
    }
    assert names(roots.get("/admin/groups?sort=-name")) == ["builders", other]


@pytest.mark.parametrize(("source", "key"), [("local", ""), ("corp", "cn=devs,dc=example,dc=com")])
def test_a_group_is_made(roots, built, root, source, key):
    answer = roots.post("/admin/groups/new", name="devs & ops", source=source, key=key)
    with built.reading() as session:
        (made,) = groups.list_all(session, root)
    assert (answer.location, made.name, made.source, made.key) == (
        f"/admin/groups/{made.id}",
        "devs & ops",
        source,
        key,
    )


def test_a_wrong_value_is_told_beside_its_field_and_nothing_is_made(roots, built, root, builders):
    good = {"name": "devs", "source": "corp", "key": "cn=devs"}
    answers = [roots.post("/admin/groups/new", **good | {field: value}) for field, value in WRONG]
    assert [re.findall(r'id="(\w+)-wrong"', answer.text) for answer in answers] == [[field] for field, _ in WRONG]
    assert {answer.status_code for answer in answers} == {400, 409}
    assert all_names(built, root) == ["builders"]


def test_what_was_typed_stays_in_the_form(roots):
    page = roots.post("/admin/groups/new", name='"><script>', source="corp", key="").text
    assert ('value="&#34;&gt;&lt;script&gt;"' in page, '<option value="corp" selected' in page) == (True, True)


def test_a_page_says_who_belongs_to_a_group_and_which_roles_it_has(roots, builders):
    page = roots.get(f"/admin/groups/{builders}").text
    assert ('href="/admin/users/charlie"' in page, 'href="/projects/acme"' in page, "acme/web-*" in page) == (True,) * 3


def test_somebody_is_put_into_a_group_and_taken_out(roots, built, root, builders):
    page = f"/admin/groups/{builders}"
    assert roots.post(f"{page}/users", user=" Bob ").location == page
    assert people(built, root) == ["bob", "charlie"]
    assert roots.post(f"{page}/users/remove", user="charlie").location == page
    assert people(built, root) == ["bob"]


def test_who_cannot_be_put_into_a_group_is_told_beside_the_field(roots, built, root, builders):
    answers = [
        roots.post(f"/admin/groups/{builders}/users", user=user)
        for user in ("charlie", "nobody", "", "<script>", "x" * 10_000, "\u202ebob")
    ]
    assert [answer.status_code for answer in answers] == [409, 404, 404, 404, 404, 404]
    assert {('id="user-wrong"' in answer.text, "<script>" in answer.text) for answer in answers} == {(True, False)}
    assert people(built, root) == ["charlie"]


def test_who_belongs_to_a_directorys_group_is_not_ours_to_say(roots, built, root, staff):
    page = roots.get(f"/admin/groups/{staff}").text
    assert (f"/admin/groups/{staff}/users" in page, "corp says who belongs to it" in page) == (False, True)
    assert roots.post(f"/admin/groups/{staff}/users", user="bob").status_code == 409
    assert people(built, root, HOSTILE) == []


@pytest.mark.parametrize(("typed", "expected"), [("B", ["bob"]), ("li", ["alice", "charlie"]), ("", []), ("<", [])])
def test_names_are_suggested_while_one_is_typed(roots, builders, typed, expected):
    page = roots.get(f"/admin/groups/{builders}/suggestions?user={typed}").text
    assert re.findall(r'<option value="(\w+)"', page) == expected


def test_a_group_is_deleted_by_whoever_types_its_name(roots, built, root, staff):
    page = f"/admin/groups/{staff}/delete"
    assert [roots.post(page, name=typed).status_code for typed in ("", "ops", "<SCRIPT>")] == [400, 400, 400]
    assert all_names(built, root) == [HOSTILE]
    assert roots.post(page, name=HOSTILE).location == "/admin/groups"
    assert all_names(built, root) == []


def test_a_group_that_is_not_there_is_not_found(roots):
    answers = [roots.get("/admin/groups/9"), roots.post("/admin/groups/9/users", user="bob")]
    answers += [roots.post("/admin/groups/9/delete", name="x"), roots.get("/admin/groups/builders")]
    assert [answer.status_code for answer in answers] == [404, 404, 404, 404]


def test_groups_are_not_for_everybody(bobs, builders, built, root):
    bobs.get("/account")
    page = f"/admin/groups/{builders}"
    answers = [bobs.get("/admin/groups"), bobs.get(page), bobs.get(f"{page}/suggestions?user=a")]
    answers += [bobs.post(f"{page}/users", user="bob"), bobs.post(f"{page}/delete", name="builders")]
    assert {answer.status_code for answer in answers} == {403}
    assert people(built, root) == ["charlie"]
