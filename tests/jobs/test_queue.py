import time
from dataclasses import replace
from datetime import datetime

import pytest
from huey import RedisHuey, SqliteHuey
from sqlalchemy import func, select

from authsvc import settings as settings_module
from authsvc.core import events, health, keys, settings_store
from authsvc.core.onboarding import admit
from authsvc.core.rights import system
from authsvc.core.sealing import Sealer
from authsvc.core.settings_store import SetSetting, SetSource
from authsvc.db.tables import RegistryEvent, SigningKey, SiteSession, User
from authsvc.domain.certificates import DAY
from authsvc.jobs import queue
from authsvc.services import Live
from tests.corp import Corp
from tests.factories import make_session


@pytest.fixture
def add_key(built):
    """A signing key that was made so many seconds ago."""

    def add(age: int) -> None:
        paths = built.settings.paths
        with built.transaction() as session:
            ca = keys.load_ca(paths.ca_certificate, paths.ca_key)
            keys.add(session, system("test"), ca, Sealer.from_file(paths.master_key), int(time.time()) - age)

    return add


def count(built, table) -> int:
    with built.reading() as session:
        return session.scalar(select(func.count()).select_from(table))


@pytest.fixture
def registered(built) -> dict:
    made = queue.make_queue(built.settings)
    queue.register(made, lambda: built)
    return {type(task).__name__: task for task in made._registry.periodic_tasks}


def test_a_beat_says_that_the_worker_is_alive(built):
    queue.beat_once(built)
    with built.reading() as session:
        assert health.is_alive(session, health.WORKER, int(time.time()))


@pytest.mark.parametrize(("age", "made"), [(61 * DAY, 1), (59 * DAY, 0)])
def test_a_key_is_renewed_when_it_ends_soon(built, add_key, age, made):
    add_key(age)
    before = count(built, SigningKey)
    queue.renew_once(built)
    assert count(built, SigningKey) == before + made


def test_a_second_renewal_makes_no_second_key(built, add_key):
    add_key(61 * DAY)
    queue.renew_once(built)
    before = count(built, SigningKey)
    queue.renew_once(built)
    assert count(built, SigningKey) == before


def test_a_renewal_drops_what_nobody_needs_any_more(built):
    now = int(time.time())
    with built.transaction() as session:
        events.store(session, [{"id": "old"}], now - 8 * DAY)
        events.store(session, [{"id": "new"}], now - 6 * DAY)
    queue.renew_once(built)
    assert count(built, RegistryEvent) == 1


def test_a_renewal_drops_sessions_that_have_ended(built, cast):
    now = int(time.time())
    with built.transaction() as session:
        bob = session.scalars(select(User).where(User.name == "bob")).one()
        make_session(session, bob, "ended", created_at=now, last_seen_at=now - 2_000)
        make_session(session, bob, "good", created_at=now, last_seen_at=now)
    queue.renew_once(built)
    assert count(built, SiteSession) == 1


def test_the_queue_lies_in_the_data_directory(settings):
    made = queue.make_queue(settings)
    assert (type(made), made.storage.filename) == (SqliteHuey, str(settings.paths.jobs))


def test_the_queue_of_many_nodes_is_redis(home):
    environment = {"QUEUE__URL": "redis://cache:6380/3", "QUEUE__PASSWORD": "s3cret", "HOME": str(home)}
    made = queue.make_queue(settings_module.load({f"AUTHSVC_{name}": value for name, value in environment.items()}))
    where = made.storage.pool.connection_kwargs
    assert (type(made), {name: where[name] for name in ("host", "port", "db", "password")}) == (
        RedisHuey,
        {"host": "cache", "port": 6380, "db": 3, "password": "s3cret"},
    )


def test_the_password_of_the_queue_may_stand_in_its_url(home):
    found = settings_module.load({"AUTHSVC_HOME": str(home), "AUTHSVC_QUEUE__URL": "redis://:in-url@cache"})
    assert queue.make_queue(found).storage.pool.connection_kwargs["password"] == "in-url"


def test_what_runs_by_itself_is_registered(registered):
    assert set(registered) == {"beat", "renew", "rotate", "sync"}


@pytest.mark.parametrize(
    ("name", "minute", "due"), [("beat", 0, True), ("rotate", 59, True), ("renew", 17, True), ("renew", 18, False)]
)
def test_it_runs_when_it_should(registered, name, minute, due):
    assert registered[name].validate_datetime(datetime(2027, 1, 1, 12, minute)) is due  # noqa: DTZ001 (huey's are naive)


@pytest.mark.parametrize("name", ["beat", "renew"])
def test_what_is_registered_runs(registered, built, add_key, name):
    add_key(61 * DAY)
    registered[name].execute()
    with built.reading() as session:
        beats, newest = health.is_alive(session, health.WORKER, int(time.time())), keys.get_newest(session)
    assert (beats, newest.ends_at > time.time() + 80 * DAY) == (name == "beat", name == "renew")


def test_each_job_goes_by_the_settings_of_its_moment(built, root, now):
    live, made = Live(built.settings), queue.make_queue(built.settings)
    queue.register(made, live.newest)
    (task,) = [task for task in made._registry.periodic_tasks if type(task).__name__ == "sync"]
    at_five = datetime(2026, 11, 25, 3, 5)  # noqa: DTZ001 (huey's are naive)
    before = task.validate_datetime(at_five)
    directory = {"urls": "ldaps://ldap.example.com", "base": "dc=example,dc=com"}
    with built.transaction() as session:
        command = SetSource(kind="ldap", name="corp", fields=directory)
        settings_store.set_source(session, root, command, built.basis, now)
        settings_store.set_value(session, root, SetSetting(name="sync_minutes", value=5), built.basis, now)
    assert (before, task.validate_datetime(at_five)) == (False, True)


class TestSync:
    """Directories are asked about their people now and then."""

    @pytest.fixture
    def corp(self, built) -> Corp:
        made = Corp({"1": "dave", "2": "eve"})
        for identity in made.everybody():
            admit(built.engine, "corp", identity, 0, newcomers=True)
        return made

    @pytest.fixture
    def with_corp(self, built, corp):
        return replace(built, directories={"corp": corp})

    def enabled(self, built) -> dict[str, bool]:
        with built.reading() as session:
            return {user.name: user.enabled for user in session.scalars(select(User))}

    def test_who_vanished_is_disabled_and_logged(self, with_corp, corp, caplog):
        del corp.people["2"]
        queue.sync_once(with_corp)
        assert self.enabled(with_corp) == {"dave": True, "eve": False}
        assert "corp no longer knows eve" in caplog.text

    def test_a_directory_that_is_away_is_logged(self, with_corp, corp, caplog):
        corp.people = None
        queue.sync_once(with_corp)
        assert self.enabled(with_corp) == {"dave": True, "eve": True}
        assert "corp was not asked about its people: corp does not answer" in caplog.text

    @pytest.mark.parametrize(("minute", "due"), [(0, True), (15, True), (45, True), (7, False), (59, False)])
    def test_it_is_due_every_so_many_minutes(self, with_corp, minute, due):
        made = queue.make_queue(with_corp.settings)
        queue.register(made, lambda: with_corp)
        (task,) = [task for task in made._registry.periodic_tasks if type(task).__name__ == "sync"]
        assert task.validate_datetime(datetime(2026, 11, 25, 3, minute)) is due  # noqa: DTZ001 (huey's are naive)

    def test_without_a_directory_there_is_nothing_to_do(self, registered):
        assert not registered["sync"].validate_datetime(datetime(2026, 11, 25, 3, 0))  # noqa: DTZ001 (huey's are naive)
