"""The administrator's browser."""

import pytest

from tests.web.conftest import Browser


@pytest.fixture
def roots(browser) -> Browser:
    """The browser, in which the administrator is logged in."""
    browser.log_in("root")
    browser.get("/account")
    return browser
