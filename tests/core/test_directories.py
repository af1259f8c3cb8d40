import pytest
from sqlalchemy import select

from authsvc.core import directories, users
from authsvc.core.directories import import_user, sync
from authsvc.core.onboarding import admit
from authsvc.core.users import SetEnabled
from authsvc.db.engine import reading, transaction
from authsvc.db.tables import AuditEvent, SiteSession, User
from authsvc.errors import Conflict, Forbidden, NotFound, Unavailable
from tests.corp import Corp
from tests.factories import make_session, make_user


@pytest.fixture
def corp(engine, cast, now) -> Corp:
    """Three people, who have logged in once."""
    made = Corp({"1": "dave", "2": "second", "3": "third"})
    for identity in made.everybody():
        admit(engine, "corp", identity, now, newcomers=True)
    return made


def enabled(engine) -> dict[str, bool]:
    with reading(engine) as session:
        return {user.name: user.enabled for user in session.scalars(select(User).where(User.source == "corp"))}


def last_event(engine) -> tuple[str, str]:
    with reading(engine) as session:
        event = session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc()).limit(1)).one()
        return event.action, event.object


def test_nothing_changes_when_nothing_has(engine, corp, root, now):
    before = last_event(engine)
    found = sync(engine, root, corp, now)
    assert (found, last_event(engine)) == (directories.Synced(asked=3), before)


def test_who_vanished_is_disabled(engine, corp, root, now):
    del corp.people["2"]
    assert sync(engine, root, corp, now).vanished == ("second",)
    assert enabled(engine) == {"dave": True, "second": False, "third": True}
    assert last_event(engine) == ("user.vanish", "second")


def test_who_vanished_is_logged_out_of_the_site(engine, corp, root, now):
    with transaction(engine) as session:
        make_session(session, users.get(session, "second"), "a browser")
        make_session(session, users.get(session, "third"), "another")
    del corp.people["2"]
    sync(engine, root, corp, now)
    corp.people["2"] = "second"
    sync(engine, root, corp, now)
    with reading(engine) as session:
        assert [row.user_id for row in session.scalars(select(SiteSession))] == [users.get(session, "third").id]


def test_who_vanished_is_told_of_once(engine, corp, root, now):
    del corp.people["2"]
    sync(engine, root, corp, now)
    assert sync(engine, root, corp, now).vanished == ()


def test_who_is_back_is_enabled(engine, corp, root, now):
    del corp.people["2"]
    sync(engine, root, corp, now)
    corp.people["2"] = "second"
    assert (sync(engine, root, corp, now).changed, enabled(engine)["second"]) == (("second",), True)


def test_who_was_disabled_here_stays_disabled(engine, corp, root, now):
    with transaction(engine) as session:
        users.set_enabled(session, root, SetEnabled(name="second", enabled=False), now)
    sync(engine, root, corp, now)
    assert enabled(engine)["second"] is False


def test_who_is_renamed_is_renamed(engine, corp, root, now):
    corp.people["2"] = "renamed"
    assert (sync(engine, root, corp, now).changed, set(enabled(engine))) == (("renamed",), {"dave", "renamed", "third"})


def test_a_new_name_that_is_taken_changes_nothing_else(engine, corp, root, now):
    corp.people |= {"2": "bob", "3": "another"}
    found = sync(engine, root, corp, now)
    assert (found.changed, len(found.refused), set(enabled(engine))) == (("another",), 1, {"dave", "second", "another"})


def test_people_of_other_sources_are_not_asked_for(engine, corp, root, now):
    with transaction(engine) as session:
        make_user(session, "fourth", source="other", subject="other:1")
    assert sync(engine, root, corp, now).asked == 3


def test_a_directory_that_is_away_changes_nothing(engine, corp, root, now):
    with pytest.raises(Unavailable):
        sync(engine, root, Corp(None), now)
    assert set(enabled(engine).values()) == {True}


class TestMany:
    @pytest.fixture
    def crowd(self, engine, cast) -> Corp:  # noqa: ARG002
        made = Corp({str(number): f"person{number}" for number in range(30)})
        with transaction(engine) as session:
            for number, name in made.people.items():
                make_user(session, name, source="corp", subject=f"corp:{number}")
        return made

    def test_a_wrong_base_locks_nobody_out(self, engine, crowd, root, now):
        crowd.people = {"0": "person0"}
        with pytest.raises(Conflict, match="no longer knows 29 of 30 people"):
            sync(engine, root, crowd, now)
        assert set(enabled(engine).values()) == {True}

    def test_it_can_be_meant(self, engine, crowd, root, now):
        crowd.people = {"0": "person0"}
        assert len(sync(engine, root, crowd, now, force=True).vanished) == 29

    def test_they_are_asked_for_in_batches_and_told_of(self, engine, crowd, root, now, monkeypatch):
        monkeypatch.setattr(directories, "BATCH", 12)
        told: list[tuple[int, int]] = []
        sync(engine, root, crowd, now, progress=lambda part, total: told.append((part, total)))
        assert (crowd.asked, told) == ([12, 12, 6], [(12, 30), (24, 30), (30, 30)])


def test_somebody_is_imported_before_their_first_login(engine, corp, root, now):
    corp.people["4"] = "fourth"
    assert (import_user(engine, root, corp, "fourth", now).name, enabled(engine)["fourth"]) == ("fourth", True)


def test_who_is_imported_again_is_refreshed(engine, corp, root, now):
    corp.people["1"] = "other"
    assert import_user(engine, root, corp, "other", now).name == "other"


def test_who_is_not_there_is_not_imported(engine, corp, root, now):
    with pytest.raises(NotFound, match="corp knows nobody of the name fourth"):
        import_user(engine, root, corp, "fourth", now)


def test_whose_name_is_taken_is_not_imported(engine, corp, root, now):
    corp.people["4"] = "bob"
    with pytest.raises(Conflict, match="the name bob is that of another account"):
        import_user(engine, root, corp, "bob", now)


def test_both_are_the_administrators(engine, corp, alice, now):
    with pytest.raises(Forbidden):
        sync(engine, alice, corp, now)
    with pytest.raises(Forbidden):
        import_user(engine, alice, corp, "dave", now)
