"""A process that follows the settings in the database. What differs between databases is tested below `core`."""

import logging
import os
import weakref
from pathlib import Path

import pytest

from authsvc import settings as settings_module
from authsvc.core import settings_store
from authsvc.core.callers import Origin
from authsvc.core.login import Credentials
from authsvc.core.sealing import Sealer
from authsvc.core.settings_store import Basis, SetSetting, SetSource
from authsvc.db.engine import transaction
from authsvc.db.tables import Setting
from authsvc.errors import Misconfigured, Unavailable
from authsvc.identity.local import LocalBackend
from authsvc.services import Live, Shared
from tests.conftest import free_port
from tests.factories import PASSWORD
from tests.identity import servers
from tests.identity.conftest import authority, certificate, directory, example  # noqa: F401 (fixtures)

BOB = Credentials("bob", PASSWORD)
HERE = Origin("192.0.2.1", "")


@pytest.fixture
def database_url(sqlite_url) -> str:
    return sqlite_url


@pytest.fixture
def live(settings) -> Live:
    made = Live(settings)
    yield made
    made.engine.dispose()


@pytest.fixture
def change(engine, root, settings, now):
    """Change a setting of one value."""
    basis = Basis.of(settings)

    def set_value(name: str, value: object) -> None:
        with transaction(engine) as session:
            settings_store.set_value(session, root, SetSetting(name=name, value=value), basis, now)

    return set_value


@pytest.fixture
def change_corp(engine, root, settings, now, directory, authority):  # noqa: F811 (the fixtures)
    """Set README's directory, at a real server, and changes."""
    fields = example("corp") | {
        "urls": [directory.tls_url],
        "ca_certificate": str(authority.certificate),
        "bind_password": servers.SERVICE_PASSWORD,
    }

    def set_source(**changes: object) -> None:
        command = SetSource(kind="ldap", name="corp", fields=fields | changes)
        with transaction(engine) as session:
            settings_store.set_source(session, root, command, Basis.of(settings), now)

    return set_source


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    """Whose passwords were looked at, and not remembered."""
    seen: list[str] = []
    check = LocalBackend.check

    def note(self, username: str, password: str):
        seen.append(username)
        return check(self, username, password)

    monkeypatch.setattr(LocalBackend, "check", note)
    return seen


def break_it(engine, settings) -> None:
    """A source in the row that nobody has, as after a change of the file."""
    sealed = Sealer.from_file(settings.paths.master_key).seal(b'["gone"]', "settings/sources")
    with transaction(engine) as session:
        session.merge(Setting(name="sources", value=sealed, changed_at=0, changed_by="root"))


def sockets() -> int:
    """How many this process has open."""
    open_files = (descriptor for descriptor in Path("/proc/self/fd").iterdir() if descriptor.is_symlink())
    return sum(os.readlink(descriptor).startswith("socket:") for descriptor in open_files)  # noqa: PTH115 (no path)


def test_a_change_makes_new_services_on_the_same_connections(live, change):
    before = live.look()
    change("token.lifetime", 600)
    assert live.current() is before
    after = live.look()
    assert (after.settings.token.lifetime, live.settings.token.lifetime, after.engine is before.engine) == (
        600,
        600,
        True,
    )


def test_without_a_change_nothing_is_made_anew(live):
    assert live.look() is live.look() is live.newest() is live.current()


def test_the_level_of_the_log_follows(live, change):
    change("log.level", "warning")
    live.look()
    assert logging.getLogger("authsvc").level == logging.WARNING


@pytest.mark.usefixtures("cast")
def test_what_was_proved_counts_while_the_sources_stay(live, change, asked, now):
    live.look().callers.person(BOB, HERE, now)
    change("token.lifetime", 600)
    live.look().callers.person(BOB, HERE, now)
    assert asked == ["bob"]


@pytest.mark.usefixtures("cast")
def test_what_was_proved_is_proved_again_under_other_sources(live, change, asked, now):
    live.look().callers.person(BOB, HERE, now)
    change("sources", "local")
    live.look().callers.person(BOB, HERE, now)
    assert asked == ["bob", "bob"]


@pytest.mark.usefixtures("cast")
def test_a_process_that_is_behind_leaves_no_proof_to_the_others(settings, change, asked, now):
    shared = Shared()
    first, second = Live(settings, shared), Live(settings, shared)
    behind = second.look()
    change("sources", "local")
    ahead = first.look()
    behind.callers.person(BOB, HERE, now)
    ahead.callers.person(BOB, HERE, now)
    assert asked == ["bob", "bob"]


def test_people_of_a_directory_that_was_added_come_in(live, change_corp, now):
    live.look()
    change_corp()
    assert live.look().callers.person(BOB, HERE, now).source == "corp"


def test_old_connections_are_closed_when_the_last_request_ends(live, change_corp, now):
    at_first = sockets()
    change_corp()
    old = live.look()
    old.callers.person(BOB, HERE, now)
    assert sockets() > at_first
    change_corp(page_size=10)
    live.look()
    under_way = old.callers.person(Credentials("alice", PASSWORD), HERE, now)
    assert (under_way.name, sockets() > at_first) == ("alice", True)
    gone = weakref.ref(old.callers)
    del old
    assert (gone(), sockets()) == (None, at_first)


class TestBroken:
    """The database is away, or says what does not fit."""

    def test_what_does_not_fit_changes_nothing_and_is_logged_once(self, live, engine, settings, caplog):
        before = live.look()
        break_it(engine, settings)
        assert [live.newest(), live.newest()] == [before, before]
        assert len([line for line in caplog.messages if "`authsvc setting unset sources`" in line]) == 1

    def test_it_is_followed_again_when_it_was_mended(self, live, engine, settings, change):
        live.look()
        break_it(engine, settings)
        live.newest()
        change_out(engine, settings)
        change("onboard", False)
        assert not live.newest().settings.onboard

    def test_nothing_starts_with_what_does_not_fit(self, live, engine, settings):
        break_it(engine, settings)
        with pytest.raises(Misconfigured, match="no source gone"):
            live.newest()

    def test_a_database_that_goes_away_changes_nothing_and_is_logged_once(self, live, monkeypatch, no_database, caplog):
        before = live.look()
        monkeypatch.setattr(live, "engine", no_database)
        assert [live.newest(), live.newest()] == [before, before]
        assert len([line for line in caplog.messages if "the database does not answer" in line]) == 1

    def test_a_database_that_is_away_from_the_start_is_told_until_it_is_there(self, home, settings, monkeypatch):
        url = f"mysql+pymysql://root@127.0.0.1:{free_port()}/authsvc"
        away = Live(settings_module.load({"AUTHSVC_HOME": str(home), "AUTHSVC_DATABASE__URL": url}))
        with pytest.raises(Unavailable):
            away.current()
        monkeypatch.setattr(away, "engine", Live(settings).engine)
        assert away.current().settings.token.passwords


def change_out(engine, settings) -> None:
    with transaction(engine) as session:
        session.delete(session.get_one(Setting, "sources"))
