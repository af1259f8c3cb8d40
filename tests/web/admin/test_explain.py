import pytest

ASKED = "?user=bob&action=push&repository=acme/web"


@pytest.fixture
def roots(browser):
    """The browser, in which the system administrator is logged in."""
    browser.log_in("root")
    return browser


def test_an_administrator_learns_why(roots):
    page = roots.get(f"/explain{ASKED}").text
    assert ("<strong>Yes.</strong>" in page, "developer × repository:push" in page) == (True, True)


def test_an_administrator_learns_why_not(roots):
    page = roots.get(f"/explain{ASKED.replace('bob', 'charlie')}").text
    assert ("<strong>No.</strong>" in page, "charlie is not a member of project acme" in page) == (True, True)


def test_the_reason_is_said_in_chinese(roots):
    page = roots.get(f"/explain{ASKED.replace('bob', 'charlie')}", **{"Accept-Language": "zh"}).text
    assert "charlie 不是项目 acme 的成员" in page


def test_everybody_who_may_is_listed(roots):
    page = roots.get(f"/explain{ASKED}").text
    assert [name in page for name in ("alice", "Project administrator", "Developer")] == [True, True, True]


def test_without_a_repository_nothing_is_answered(roots):
    assert "Who may push" not in roots.get("/explain").text


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?user=bob&action=fly&repository=acme/web", "action"),
        ("?user=bob&action=push&repository=<script>", "repository"),
        ("?user=nobody&action=push&repository=acme/web", "user"),
        ("?user=bob&action=push&repository=" + "x" * 300, "repository"),
    ],
)
def test_a_question_that_makes_no_sense_is_told_so_beside_its_field(roots, query, field):
    page = roots.get(f"/explain{query}").text
    assert (f'id="{field}-wrong"' in page, "<script>" in page.replace("<script src", "")) == (True, False)


def test_an_administrator_of_a_project_asks_about_it_and_no_other(browser):
    browser.log_in("alice")
    assert "<strong>Yes.</strong>" in browser.get(f"/projects/acme/explain{ASKED}").text
    assert browser.get("/projects/acme/explain?user=bob&action=pull&repository=open/web").status_code == 403
    assert browser.get(f"/explain{ASKED}").status_code == 403


def test_a_member_does_not_ask(bobs):
    assert bobs.get(f"/projects/acme/explain{ASKED}").status_code == 403
