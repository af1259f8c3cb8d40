import pytest
from sqlalchemy import func, select

from authsvc import settings as settings_module
from authsvc.core import audit, setup
from authsvc.db.engine import reading, transaction
from authsvc.db.tables import AuditEvent, Base, Project, SigningKey, User
from authsvc.domain.certificates import DAY
from authsvc.errors import Misconfigured, Unavailable
from authsvc.identity import passwords
from tests.factories import make_user


@pytest.fixture
def environment(home, database_url) -> dict[str, str]:
    return {"AUTHSVC_HOME": str(home), "AUTHSVC_DATABASE__URL": database_url}


@pytest.fixture
def prepare(environment, now):
    def run(*, at: int = now, **more: str) -> list[str]:
        return setup.prepare(settings_module.load(environment | {f"AUTHSVC_{name}": more[name] for name in more}), at)

    return run


def rows(engine) -> dict[str, int]:
    with reading(engine) as session:
        return {
            table.name: session.scalar(select(func.count()).select_from(table)) for table in Base.metadata.sorted_tables
        }


def one(engine, what):
    with reading(engine) as session:
        return session.scalars(select(what)).one()


def test_the_first_start_says_what_it_made(prepare):
    assert prepare() == ["a signing key", "the administrator admin", "the private project library"]


def test_the_first_start_makes_the_tables(tmp_path, home, prepare):
    (home / "authsvc.db").unlink()
    assert prepare(DATABASE__URL="")[0].startswith("the database, at revision ")


def test_the_second_start_makes_nothing(prepare, engine):
    prepare()
    before = rows(engine)
    assert (prepare(), rows(engine)) == ([], before)


def test_the_administrator_has_the_password_of_the_file(prepare, engine, settings):
    prepare()
    assert passwords.is_correct(settings.paths.admin_password.read_text().strip(), one(engine, User).password_hash)


def test_the_administrator_has_the_password_that_was_given(prepare, engine):
    prepare(ADMIN_PASSWORD="given-by-a-person")
    assert passwords.is_correct("given-by-a-person", one(engine, User).password_hash)


@pytest.mark.parametrize(("given", "must"), [("", True), ("given-by-a-person", False)])
def test_a_first_password_that_nobody_chose_must_be_changed(prepare, engine, given, must):
    prepare(ADMIN_PASSWORD=given)
    assert one(engine, User).must_change is must


def test_an_empty_password_is_none_given(prepare, engine, settings):
    prepare(ADMIN_PASSWORD="")
    assert passwords.is_correct(settings.paths.admin_password.read_text().strip(), one(engine, User).password_hash)


def test_the_administrator_is_one(prepare, engine):
    prepare(ADMIN_NAME="boss")
    made = one(engine, User)
    assert (made.name, made.admin, made.enabled) == ("boss", True, True)


def test_another_administrator_is_not_made_where_there_are_users(prepare, engine):
    with transaction(engine) as session:
        make_user(session, "alice", admin=True)
    assert "the administrator admin" not in prepare()


def test_a_changed_password_is_not_reset_by_the_next_start(prepare, engine):
    prepare(ADMIN_PASSWORD="given-by-a-person")
    before = one(engine, User).password_hash
    prepare(ADMIN_PASSWORD="another-by-a-person")
    assert one(engine, User).password_hash == before


def test_the_root_project_is_private(prepare, engine):
    prepare(ROOT_PROJECT="old")
    made = one(engine, Project)
    assert (made.name, made.public) == ("old", False)


def test_everything_that_was_made_is_audited(prepare, engine):
    prepare()
    with reading(engine) as session:
        made = session.scalars(select(AuditEvent.action).order_by(AuditEvent.id)).all()
    assert made == ["signing-key.add", "user.add", "project.add"]


def test_the_trail_of_the_first_start_is_whole(prepare, engine):
    prepare()
    with reading(engine) as session:
        assert audit.verify(session, setup.ACTOR).broken_at is None


@pytest.mark.parametrize("password", ["short", "password1"])
def test_a_bad_first_password_says_which_setting_to_change(prepare, password):
    with pytest.raises(Misconfigured, match=r"the administrator cannot be made, password: .* AUTHSVC_ADMIN_PASSWORD"):
        prepare(ADMIN_PASSWORD=password)


def test_a_bad_first_password_leaves_nothing_half_made(prepare, engine):
    with pytest.raises(Misconfigured):
        prepare(ADMIN_PASSWORD="short")
    assert rows(engine)["signing_keys"] == 0


def test_a_missing_password_file_says_what_to_do(prepare, settings):
    settings.paths.admin_password.unlink()
    with pytest.raises(Misconfigured, match=r"admin.password cannot be read .*: run `authsvc init`"):
        prepare()


def test_a_missing_ca_says_what_to_do(prepare, settings):
    settings.paths.ca_key.unlink()
    with pytest.raises(Misconfigured, match="run `authsvc init`"):
        prepare()


def test_a_server_that_is_down_is_unavailable(prepare, no_database):
    with pytest.raises(Unavailable):
        prepare(DATABASE__URL=no_database.url.render_as_string(hide_password=False))


def test_a_start_renews_a_key_that_ends_soon(prepare, now):
    prepare()
    assert prepare(at=now + 61 * DAY) == ["a signing key"]


@pytest.mark.parametrize(("days", "renewed", "keys"), [(59, False, 1), (61, True, 2)])
def test_a_key_is_renewed_when_it_ends_soon(prepare, settings, engine, now, days, renewed, keys):
    prepare()
    assert (setup.renew_signing_key(settings, engine, now + days * DAY), rows(engine)["signing_keys"]) == (
        renewed,
        keys,
    )


def test_the_password_of_the_database_may_come_apart_from_its_url(environment):
    given = environment | {"AUTHSVC_DATABASE__URL": "mysql://u@h/d", "AUTHSVC_DATABASE__PASSWORD": "s3cret"}
    assert setup.connect(settings_module.load(given)).url.password == "s3cret"


def test_a_key_that_was_renewed_is_the_newest(prepare, settings, engine, now):
    prepare()
    setup.renew_signing_key(settings, engine, now + 61 * DAY)
    with reading(engine) as session:
        assert session.scalar(select(func.max(SigningKey.ends_at))) == now + (61 + 90) * DAY
