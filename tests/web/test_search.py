import pytest


def test_an_administrator_finds_projects_and_people(browser):
    browser.log_in("root")
    page = browser.get("/search?q=a").text
    assert ('href="/projects/acme"' in page, 'href="/admin/users/alice"' in page) == (True, True)


def test_others_find_the_projects_that_they_may_know_of(bobs):
    page = bobs.get("/search?q=a").text
    assert ('href="/projects/acme"' in page, "alice" in page) == (True, False)


def test_a_stranger_does_not_find_a_private_project(browser):
    browser.log_in("charlie")
    assert "acme" not in browser.get("/search?q=ac").text.replace('value="ac"', "")


@pytest.mark.parametrize("text", ["", "%", "_", "<script>alert(1)</script>", "x" * 10_000, "\u202e"])
def test_what_is_hostile_finds_nothing(bobs, text):
    answer = bobs.get("/search") if not text else bobs.client.get("/search", query_string={"q": text})
    assert (answer.status_code, "<script>alert" in answer.text, "/projects/acme" in answer.text) == (200, False, False)
