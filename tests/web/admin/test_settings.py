import pytest

from authsvc.settings import SCALARS
from authsvc.web.admin.settings import MEANINGS

PAGE = "/admin/settings/token.passwords"


@pytest.fixture
def roots(browser):
    """The browser, in which the system administrator is logged in."""
    browser.log_in("root")
    return browser


def test_every_setting_that_can_be_changed_has_a_meaning():
    assert set(MEANINGS) == set(SCALARS)


def test_every_setting_is_shown_with_its_value(roots):
    page = roots.get("/admin/settings").text
    assert [name for name in SCALARS if f"<code>{name}</code>" not in page] == []


def test_a_setting_is_changed_in_its_form_and_back(roots):
    roots.get(PAGE)
    assert roots.post(PAGE, value="false").status_code == 303
    assert 'value="false" selected' in roots.get(PAGE).text
    roots.post(PAGE, default="yes")
    assert 'value="true" selected' in roots.get(PAGE).text


@pytest.mark.parametrize("value", ["", "maybe", "<script>", "x" * 10_000, "\u202etrue"])
def test_a_wrong_value_is_said_beside_its_field_and_nothing_is_stored(roots, value):
    roots.get("/admin/settings/token.lifetime")
    answer = roots.post("/admin/settings/token.lifetime", value=value)
    assert (answer.status_code, 'id="value-wrong"' in answer.text, "<script>" in answer.text) == (400, True, False)
    assert ">300<" in roots.get("/admin/settings").text


@pytest.mark.parametrize("name", ["token.issuer", "database.url", "ldap.corp", "nothing"])
def test_no_other_setting_has_a_form(roots, name):
    assert roots.get(f"/admin/settings/{name}").status_code == 404


def test_nobody_else_sees_settings(bobs):
    assert bobs.get("/admin/settings").status_code == 403


class TestFixed:
    @pytest.fixture
    def environment(self, environment):
        return environment | {"AUTHSVC_TOKEN__LIFETIME": "600"}

    def test_what_the_environment_says_cannot_be_changed(self, roots):
        page = roots.get("/admin/settings/token.lifetime")
        assert ("cannot be changed here" in page.text, '<input id="value"' in page.text) == (True, False)
        assert roots.post("/admin/settings/token.lifetime", value="900").status_code == 409
