import re
import time

import pytest

from authsvc.core import keys
from authsvc.domain.certificates import DAY
from authsvc.jobs import queue
from tests.factories import basic


def part(page: str, name: str) -> str:
    """What the page says of a part."""
    row = re.search(rf'<th scope="row">{name}</th>.*?</tr>', page, re.DOTALL)[0]
    return " ".join(re.sub(r"<[^>]+>", " ", row).split())


@pytest.fixture
def page(roots):
    return lambda: roots.get("/admin/health").text


def test_each_part_has_a_word(page, built):
    queue.beat_once(built)
    shown = page()
    assert "✓ answers revision 0" in part(shown, "Database")
    assert "✗ does not answer" in part(shown, "Registry")
    assert "✓ runs last sign of life" in part(shown, "Worker")
    assert "0 jobs wait" in part(shown, "Queue")
    assert "✓ nothing wrong is known" in part(shown, "Identity source local")
    assert "✓ good ends" in part(shown, "Certificate authority of tokens")


def test_a_worker_that_does_not_run_is_told(page):
    assert "✗ does not run" in part(page(), "Worker")


def test_jobs_that_wait_are_counted(page, app):
    app.extensions["producer"].tell("rotate")
    assert "1 jobs wait" in part(page(), "Queue")


@pytest.mark.parametrize(("left", "word"), [(-1, "✗ has ended"), (3 * DAY, "! ends soon"), (60 * DAY, "✓ good")])
def test_the_end_of_the_signing_key_is_told(page, built, left, word):
    with built.transaction() as unit:
        keys.get_newest(unit).ends_at = int(time.time()) + left
    assert word in part(page(), "Signing key")


def test_requests_for_tokens_are_drawn_and_listed(page, built, client):
    for _ in range(3):
        client.get("/service/token?service=authsvc", headers=basic("bob"))
    client.get("/service/token?service=authsvc", headers=basic("bob", "wrong"))
    built.minutes.flush()
    shown = page()
    assert ("granted: 3" in shown, "refused: 1" in shown, "4 in all" in shown) == (True, True, True)
    assert re.search(r'<rect class="granted" x="[0-9.]+" y="[0-9.]+" width="[0-9.]+" height="[0-9.]+">', shown)
    assert '<polyline class="slowest" points="' in shown
    assert " style=" not in shown
    assert "UTC</th><td" in shown.partition("<details>")[2]


def test_an_hour_without_requests_says_so(page):
    assert "There were none." in page()


@pytest.mark.parametrize("who", ["alice", "bob", "charlie"])
def test_nobody_else_comes_in(browser, who):
    browser.log_in(who)
    assert browser.get("/admin/health").status_code == 403


class TestDirectory:
    @pytest.fixture
    def environment(self, environment) -> dict[str, str]:
        return environment | {
            "AUTHSVC_LDAP__CORP__URLS": "ldaps://127.0.0.1:1",
            "AUTHSVC_LDAP__CORP__BASE": "dc=corp",
        }

    def test_one_that_is_away_is_told_without_asking_it(self, page, built):
        assert "nothing wrong is known" in part(page(), "Identity source corp")
        built.sources["corp"].pool._servers.give_up()
        assert "✗ does not answer" in part(page(), "Identity source corp")
