import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select, text

from authsvc import settings as settings_module
from authsvc.core import settings_store
from authsvc.core.sealing import Sealer
from authsvc.core.settings_store import MASK, TYPE_AGAIN, Basis, SetSetting, SetSource
from authsvc.db import revision
from authsvc.db.engine import reading, transaction
from authsvc.db.tables import AuditEvent, Setting
from authsvc.errors import Conflict, Forbidden, Invalid, Misconfigured, NotFound, Unavailable
from authsvc.settings import SCALARS, Origin

CORP = {
    "urls": "ldaps://one.example.com,ldaps://two.example.com",
    "base": "dc=example,dc=com",
    "bind_dn": "cn=authsvc,dc=example,dc=com",
    "bind_password": "s3cret-of-the-directory",
}
UAA = {"issuer": "https://uaa.example.com", "client_id": "authsvc", "client_secret": "s3cret-of-uaa"}
OIDC = {"issuer": "https://login.example.com", "client_id": "authsvc", "client_secret": "s3cret-of-oidc"}
FULL = {"ldap": CORP, "uaa": UAA, "oidc": OIDC}


@pytest.fixture
def basis(settings) -> Basis:
    return Basis(settings.given, Sealer.from_file(settings.paths.master_key))


@pytest.fixture
def set_value(engine, root, basis, now):
    """Change a setting of one value, in a unit of work of its own."""

    def change(name: str, value: object, actor=root) -> None:
        with transaction(engine) as session:
            settings_store.set_value(session, actor, SetSetting(name=name, value=value), basis, now)

    return change


@pytest.fixture
def set_source(engine, root, basis, now):
    """Change a source, in a unit of work of its own."""

    def change(kind: str, name: str, actor=root, **fields: object) -> None:
        with transaction(engine) as session:
            settings_store.set_source(session, actor, SetSource(kind=kind, name=name, fields=fields), basis, now)

    return change


@pytest.fixture
def remove(engine, root, basis, now):
    """Take a setting out, in a unit of work of its own."""

    def take_out(name: str, actor=root) -> None:
        with transaction(engine) as session:
            settings_store.remove(session, actor, name, basis, now)

    return take_out


@pytest.fixture
def found(engine, basis):
    """The settings as the service runs by them."""
    return lambda: settings_store.effective(settings_store.read(engine), basis)


@pytest.fixture
def listed(engine, root, basis):
    """Settings as they are shown, by name."""

    def read():
        with reading(engine) as session:
            return {one.name: one for one in settings_store.list_all(session, root, basis)}

    return read


@pytest.fixture
def source(engine, root, basis):
    """A source for its form."""

    def read(kind: str, name: str):
        with reading(engine) as session:
            return settings_store.get_source(session, root, kind, name, basis)

    return read


@pytest.fixture
def rewrite(engine, basis, now):
    """Write a row as nobody could here, such as one of another version."""

    def write(name: str, value: object, key: bytes | None = None) -> None:
        sealer = Sealer(key) if key else basis.sealer
        sealed = sealer.seal(json.dumps(value).encode(), f"settings/{name}")
        with transaction(engine) as session:
            session.merge(Setting(name=name, value=sealed, changed_at=now, changed_by="root"))

    return write


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("onboard", "false", False),
        ("onboard", False, False),
        ("sync_minutes", "0", 0),
        ("token.lifetime", 600, 600),
        ("token.passwords_refused_from", "corp, ad", ["corp", "ad"]),
        ("sources", ["local"], ["local"]),
        ("log.level", "debug", "debug"),
    ],
)
def test_a_value_counts_in_whatever_form_it_is_given(set_value, found, listed, name, value, kept):
    set_value(name, value)
    one = listed()[name]
    assert (one.value, one.origin, found().model_dump(mode="json") != {}) == (kept, Origin.TABLE, True)


def test_a_value_goes_before_the_default(set_value, found):
    set_value("token.lifetime", "600")
    assert (found().token.lifetime, found().token.proof_ttl) == (600, 60)


def test_a_value_is_shown_with_who_changed_it_and_when(set_value, listed, now):
    set_value("onboard", "false")
    one = listed()["onboard"]
    assert (one.default, one.changed_at, one.changed_by, one.is_fixed) == (True, now, "root", False)


def test_what_nobody_changed_is_shown_with_its_default(listed):
    one = listed()["token.lifetime"]
    assert (one.value, one.default, one.origin, one.changed_at) == (300, 300, Origin.DEFAULT, None)


def test_every_setting_that_can_be_changed_is_shown(listed):
    assert tuple(listed()) == SCALARS


@pytest.mark.parametrize("name", SCALARS)
def test_each_setting_takes_its_own_default(set_value, listed, name):
    set_value(name, listed()[name].default)
    assert (listed()[name].value, listed()[name].origin) == (listed()[name].default, Origin.TABLE)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("token.lifetime", "5", "60 or more"),
        ("token.passwords", "perhaps", "true or false"),
        ("log.level", "loud", "one of 'debug', 'info', 'warning' or 'error'"),
        ("sources", "local,corp", "there is no source corp, only local"),
        ("onboard", None, "Input should be a valid boolean"),
        ("token.passwords_refused_from", ["x" * 40_000], "more than 32768 characters"),
    ],
)
def test_a_value_that_does_not_fit_is_not_stored(set_value, listed, name, value, reason):
    with pytest.raises(Invalid) as refused:
        set_value(name, value)
    assert (refused.value.fields, listed()[name].origin) == ({name: reason}, Origin.DEFAULT)


@pytest.mark.parametrize(
    "name", ["port", "database.url", "admin_password", "token.issuer", "token.grace", "x", "ldap.corp"]
)
def test_what_needs_a_start_cannot_be_changed(set_value, name):
    with pytest.raises(NotFound):
        set_value(name, "x")


@pytest.mark.parametrize(
    "change",
    [
        lambda *some: settings_store.set_value(*some[:2], SetSetting(name="onboard", value="false"), *some[2:]),
        lambda *some: settings_store.set_source(*some[:2], SetSource(kind="ldap", name="corp", fields=CORP), *some[2:]),
        lambda *some: settings_store.remove(*some[:2], "onboard", *some[2:]),
    ],
    ids=["set_value", "set_source", "remove"],
)
def test_only_administrators_change_settings(session, alice, basis, now, change):
    with pytest.raises(Forbidden):
        change(session, alice, basis, now)


@pytest.mark.parametrize(
    "read", [settings_store.list_all, lambda *some: settings_store.get_source(*some[:2], "ldap", "corp", some[2])]
)
def test_nobody_reads_settings_without_the_right(session, charlie, basis, read):
    with pytest.raises(Forbidden):
        read(session, charlie, basis)


class TestGiven:
    """What the file or the environment says stands."""

    @pytest.fixture
    def settings(self, home, database_url):
        (home / "authsvc.toml").write_text(
            "onboard = false\n[token]\nproof_ttl = 30\n"
            "[oidc.login]\nissuer = 'https://x.example.com'\nclient_id = 'x'\nclient_secret = 's3cret'\n"
            "[ldap.corp]\nurls = ['ldaps://ldap.example.com']\nbase = 'dc=x'\nbind_dn = 'cn=x'\n"
        )
        environment = {
            "HOME": str(home), "DATABASE__URL": database_url, "TOKEN__LIFETIME": "900",
            "LDAP__CORP__BIND_PASSWORD": "s3cret-of-the-environment",
        }  # fmt: skip
        return settings_module.load({f"AUTHSVC_{name}": value for name, value in environment.items()})

    @pytest.mark.parametrize(
        ("name", "value", "origin"),
        [
            ("onboard", False, Origin.FILE),
            ("token.proof_ttl", 30, Origin.FILE),
            ("token.lifetime", 900, Origin.ENVIRONMENT),
            ("oidc.login", {"issuer": "https://x.example.com", "client_id": "x", "client_secret": MASK}, Origin.FILE),
            (
                "ldap.corp",
                {"urls": ["ldaps://ldap.example.com"], "base": "dc=x", "bind_dn": "cn=x", "bind_password": MASK},
                Origin.ENVIRONMENT,
            ),
        ],
    )
    def test_it_is_shown_with_where_it_stands(self, listed, name, value, origin):
        one = listed()[name]
        assert (one.value, one.origin, one.is_fixed) == (value, origin, True)

    @pytest.mark.parametrize(("name", "place"), [("onboard", "authsvc.toml"), ("token.lifetime", "the environment")])
    def test_it_is_not_changed(self, set_value, name, place):
        with pytest.raises(Conflict, match=f"{name} is set in {place}, and can be changed only there"):
            set_value(name, "true")

    def test_a_source_is_its_own_in_every_field(self, set_source):
        with pytest.raises(Conflict, match="corp is set in the environment"):
            set_source("ldap", "corp", urls="ldaps://mine.example.net")

    def test_what_was_stored_before_it_was_said_is_not_used(self, rewrite, found):
        rewrite("token.lifetime", 60)
        rewrite("ldap.corp", {"urls": ["ldaps://mine.example.net"], "referral_hosts": ["mine.example.net"]})
        corp = found().ldap["corp"]
        assert (found().token.lifetime, corp.urls, corp.referral_hosts) == (900, ("ldaps://ldap.example.com",), ())

    def test_what_was_stored_before_it_was_said_can_be_taken_out(self, rewrite, remove, listed):
        rewrite("onboard", True)
        remove("onboard")
        assert (listed()["onboard"].value, listed()["onboard"].origin) == (False, Origin.FILE)

    def test_a_source_of_the_file_is_shown_whole(self, source):
        shown = source("ldap", "corp")
        assert (shown.is_fixed, shown.fields["bind_password"], shown.fields["user_scope"]) == (True, MASK, "subtree")


@pytest.mark.parametrize("kind", FULL)
def test_a_source_is_made_and_shown_without_its_secret(set_source, found, listed, source, kind):
    set_source(kind, "corp", **FULL[kind])
    assert "corp" in getattr(found(), kind)
    assert "s3cret" not in repr(listed()) + repr(source(kind, "corp"))


@pytest.mark.parametrize("kind", FULL)
def test_a_secret_lies_sealed_and_is_not_in_the_trail(engine, set_source, kind):
    set_source(kind, "corp", **FULL[kind])
    with reading(engine) as session:
        rows = session.execute(text("SELECT * FROM settings")).all()
        trail = [(row.action, row.object, row.detail) for row in session.scalars(select(AuditEvent))]
    assert ("s3cret" in repr(rows), "example.com" in repr(rows)) == (False, False)
    assert trail == [("setting.set", f"{kind}.corp", " ".join(sorted(FULL[kind])))]


def test_fields_are_kept_in_their_own_types(set_source, listed):
    set_source("ldap", "corp", **CORP)
    assert listed()["ldap.corp"].value == CORP | {
        "urls": ["ldaps://one.example.com", "ldaps://two.example.com"],
        "bind_password": MASK,
    }


def test_fields_that_are_left_out_stay(set_source, found):
    set_source("ldap", "corp", **CORP, user_filter="objectClass=person")
    set_source("ldap", "corp", page_size="50", bind_password="")
    corp = found().ldap["corp"]
    assert (corp.page_size, corp.user_filter, corp.bind_password.get_secret_value()) == (
        50,
        "(objectClass=person)",
        CORP["bind_password"],
    )


def test_a_field_goes_back_to_its_default(set_source, source):
    set_source("ldap", "corp", **CORP, page_size="50")
    set_source("ldap", "corp", page_size=None, client_key="")
    shown = source("ldap", "corp")
    assert (shown.fields["page_size"], "page_size" in shown.changed, "base" in shown.changed) == (500, False, True)


def test_the_trail_says_which_fields_changed(engine, set_source):
    set_source("ldap", "corp", **CORP)
    set_source("ldap", "corp", **CORP | {"base": "dc=other", "bind_password": MASK}, page_size=5)
    with reading(engine) as session:
        newest = session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc())).first()
    assert newest.detail == "base page_size"


def test_active_directory_changes_defaults_that_are_not_stored(set_source, listed, source):
    set_source("ldap", "ad", type="active-directory", urls="ldaps://dc.example.com", base="dc=example")
    assert listed()["ldap.ad"].value.keys() == {"type", "urls", "base"}
    assert source("ldap", "ad").fields["name_attribute"] == "sAMAccountName"


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({}, {"urls", "base"}),
        (CORP | {"urls": "http://x"}, {"urls"}),
        (CORP | {"bind_password": ""}, {"ldap.corp"}),
        (CORP | {"bind_password_file": "/etc/hostname"}, {"bind_password_file"}),
        (CORP | {"ca_certificate": "/missing"}, {"ca_certificate"}),
        (CORP | {"base": "dc=" + "x" * 40_000}, {"ldap.corp"}),
    ],
)
def test_a_source_that_is_wrong_is_not_stored(set_source, listed, fields, wrong):
    with pytest.raises(Invalid) as refused:
        set_source("ldap", "corp", **fields)
    assert (refused.value.fields.keys(), "ldap.corp" in listed()) == (wrong, False)


@pytest.mark.parametrize(
    ("kind", "name", "field"),
    [
        ("ldap", "Corp", "name"),
        ("ldap", "local", "name"),
        ("ldap", "a.b", "name"),
        ("ldap", "", "name"),
        ("nis", "x", "name"),
    ],
)
def test_a_source_needs_a_kind_and_a_name(set_source, kind, name, field):
    with pytest.raises(Invalid) as refused:
        set_source(kind, name, **CORP)
    assert refused.value.fields.keys() == {field}


def test_two_sources_of_one_name_do_not_fit(set_source):
    set_source("ldap", "corp", **CORP)
    with pytest.raises(Invalid) as refused:
        set_source("uaa", "corp", **UAA)
    assert refused.value.fields == {"sources": "corp is the name of two"}


def test_who_changes_settings_waits_for_whoever_does(engine, root, basis, now, set_source):
    with ThreadPoolExecutor(1) as other:
        with transaction(engine) as session:
            command = SetSource(kind="ldap", name="corp", fields=CORP)
            settings_store.set_source(session, root, command, basis, now)
            waiting = other.submit(set_source, "uaa", "corp", **UAA)
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.5)
        with pytest.raises(Invalid):
            waiting.result()


MOVED = [
    ("ldap", {"urls": "ldaps://mine.example.net"}),
    ("ldap", {"urls": "ldap://one.example.com", "verify": False}),
    ("ldap", {"verify": "false"}),
    ("ldap", {"referral_hosts": "mine.example.net"}),
    ("uaa", {"issuer": "https://mine.example.net"}),
    ("uaa", {"allow_http": True}),
    ("oidc", {"issuer": "https://mine.example.net"}),
]


@pytest.mark.parametrize(("kind", "fields"), MOVED)
@pytest.mark.parametrize("typed", [None, "", MASK], ids=["nothing", "empty", "mask"])
def test_a_secret_does_not_go_to_another_address(set_source, found, kind, fields, typed):
    set_source(kind, "corp", **FULL[kind])
    before, secret = found(), settings_module.KINDS[kind].secret
    with pytest.raises(Invalid) as refused:
        set_source(kind, "corp", **fields, **({} if typed is None else {secret: typed}))
    assert (refused.value.fields, getattr(found(), kind)) == ({secret: TYPE_AGAIN}, getattr(before, kind))


@pytest.mark.parametrize("typed", ["new", CORP["bind_password"]])
def test_with_its_secret_a_source_may_move(set_source, found, typed):
    set_source("ldap", "corp", **CORP)
    set_source("ldap", "corp", urls="ldaps://three.example.com", bind_password=typed)
    assert found().ldap["corp"].bind_password.get_secret_value() == typed


def test_a_source_that_moves_and_needs_no_secret_any_more_has_none(set_source, found):
    set_source("ldap", "corp", **CORP)
    set_source("ldap", "corp", urls="ldaps://three.example.com", bind_dn=None, bind_password=None)
    assert found().ldap["corp"].bind_password is None


def test_the_same_address_in_other_words_has_not_moved(set_source, found):
    set_source("ldap", "corp", **CORP)
    set_source("ldap", "corp", urls=["ldaps://one.example.com", "ldaps://two.example.com"], verify="on")
    assert found().ldap["corp"].bind_password.get_secret_value() == CORP["bind_password"]


def test_a_source_made_anew_has_nothing_of_the_one_before(set_source, remove):
    set_source("ldap", "corp", **CORP)
    remove("ldap.corp")
    with pytest.raises(Invalid):
        set_source("ldap", "corp", **CORP | {"bind_password": ""})


def test_what_is_taken_out_has_its_default_again(engine, set_value, remove, listed, found):
    set_value("token.lifetime", "600")
    remove("token.lifetime")
    assert (listed()["token.lifetime"].origin, found().token.lifetime) == (Origin.DEFAULT, 300)
    with reading(engine) as session:
        assert [row.action for row in session.scalars(select(AuditEvent))] == ["setting.set", "setting.unset"]


@pytest.mark.parametrize("name", ["token.lifetime", "ldap.corp", "nonsense"])
def test_what_is_not_there_cannot_be_taken_out(remove, name):
    with pytest.raises(NotFound):
        remove(name)


def test_a_source_that_is_needed_stays(set_source, set_value, remove, listed):
    set_source("ldap", "corp", **CORP)
    set_value("sources", "corp,local")
    with pytest.raises(Invalid) as refused:
        remove("ldap.corp")
    assert (refused.value.fields, "ldap.corp" in listed()) == (
        {"sources": "there is no source corp, only local"},
        True,
    )


@pytest.mark.parametrize(("kind", "name"), [("ldap", "corp"), ("nis", "corp"), ("token", "lifetime")])
def test_a_source_that_is_not_there_is_told(source, kind, name):
    with pytest.raises(NotFound):
        source(kind, name)


class TestBroken:
    """Rows that do not open, or do not fit any more."""

    @pytest.fixture
    def _two(self, rewrite) -> None:
        rewrite("sources", ["gone", "local"])
        rewrite("token.lifetime", 5)

    @pytest.mark.usefixtures("_two")
    def test_it_is_said_with_the_command_that_helps(self, found):
        with pytest.raises(Misconfigured) as refused:
            found()
        assert "`authsvc setting unset token.lifetime`" in str(refused.value)

    @pytest.mark.usefixtures("_two")
    def test_each_can_be_taken_out(self, remove, found):
        remove("sources")
        remove("token.lifetime")
        assert found().token.lifetime == 300

    def test_a_row_of_another_master_key_is_listed_and_can_be_taken_out(self, rewrite, listed, remove, found):
        rewrite("onboard", False, key=bytes(32))
        with pytest.raises(Misconfigured, match="give it up with `authsvc setting unset onboard`"):
            found()
        assert (listed()["onboard"].value, "does not open" in listed()["onboard"].problem) == (None, True)
        remove("onboard")
        assert found().onboard

    def test_a_row_that_was_copied_does_not_open(self, engine, set_source, found):
        set_source("ldap", "corp", **CORP)
        with transaction(engine) as session:
            session.execute(text("UPDATE settings SET name = 'ldap.other'"))
        with pytest.raises(Misconfigured, match="other does not open"):
            found()

    def test_what_no_setting_is_any_more_is_ignored(self, rewrite, found):
        rewrite("database.url", "sqlite://")
        rewrite("token.grace", 0)
        assert (found().database.url != "sqlite://", found().token.grace) == (True, 300)


def test_before_the_migration_it_is_said(engine):
    with transaction(engine) as session:
        session.execute(text("UPDATE alembic_version SET version_num = '0007'"))
        session.execute(text("ALTER TABLE settings RENAME TO later"))
    try:
        with pytest.raises(Unavailable, match="the database is not migrated"):
            settings_store.read(engine)
    finally:
        with transaction(engine) as session:
            session.execute(text("ALTER TABLE later RENAME TO settings"))
            session.execute(text(f"UPDATE alembic_version SET version_num = '{revision.NEWEST}'"))


def test_a_database_that_is_away_is_said(no_database):
    with pytest.raises(Unavailable, match="does not answer"):
        settings_store.read(no_database)
