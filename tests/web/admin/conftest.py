"""The administrators' browsers."""

import pytest

from tests.web.conftest import Browser


@pytest.fixture
def roots(browser) -> Browser:
    """The browser, in which the system administrator is logged in."""
    assert browser.log_in("root").status_code == 303
    browser.get("/account")
    return browser


@pytest.fixture
def alices(browser) -> Browser:
    """The browser, in which the project administrator of `acme` is logged in."""
    assert browser.log_in("alice").status_code == 303
    return browser
