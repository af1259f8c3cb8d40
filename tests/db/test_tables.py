import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from authsvc.core import audit
from authsvc.core.rights import system
from authsvc.db.engine import transaction
from authsvc.db.tables import AuditEvent, Member, Project, User
from authsvc.domain.permissions import Role
from tests.factories import make_member, make_project, make_user

NEARLY_ALICE = ["Alice", "alice", "alice ", "álice"]


def test_names_compare_byte_for_byte(session):
    for name in NEARLY_ALICE:
        make_user(session, name)
    assert session.scalars(select(User.name).where(User.name == "alice")).all() == ["alice"]


@pytest.mark.parametrize("typed", [name for name in NEARLY_ALICE if name != "alice"])
def test_a_name_that_is_nearly_alices_finds_nobody(session, typed):
    make_user(session, "alice")
    assert session.scalar(select(User).where(User.name == typed)) is None


def test_project_names_compare_byte_for_byte(session):
    for name in ("acme", "Acme", "acme "):
        make_project(session, name)
    assert session.scalars(select(Project.name).where(Project.name == "acme")).all() == ["acme"]


@pytest.mark.parametrize("make", [make_user, make_project])
def test_a_name_is_taken_once(session, make):
    make(session, "acme")
    with pytest.raises(IntegrityError), session.begin_nested():
        make(session, "acme")


def test_a_user_has_one_role_in_a_project(session):
    project, user = make_project(session, "acme"), make_user(session, "alice")
    make_member(session, project, user, Role.GUEST)
    with pytest.raises(IntegrityError), session.begin_nested():
        make_member(session, project, user, Role.DEVELOPER)


@pytest.mark.parametrize("table", ["users", "projects"])
def test_memberships_go_with_their_user_and_their_project(session, table):
    make_member(session, make_project(session, "acme"), make_user(session, "alice"), Role.GUEST)
    session.execute(text(f"DELETE FROM {table}"))
    assert session.scalars(select(Member)).all() == []


def test_every_letter_is_kept(session):
    make_user(session, "x", email="爱丽丝🐳@example.com")
    session.expire_all()
    assert session.scalars(select(User.email)).one() == "爱丽丝🐳@example.com"


@pytest.mark.parametrize("statement", ["UPDATE audit_events SET actor = 'charlie'", "DELETE FROM audit_events"])
def test_the_audit_trail_is_append_only(engine, statement, now):
    with transaction(engine) as session:
        audit.record(session, system("test"), "user.add", "alice", now)
    with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
        connection.execute(text(statement))


def test_a_refused_change_of_the_audit_trail_changes_nothing(engine, now):
    with transaction(engine) as session:
        audit.record(session, system("test"), "user.add", "alice", now)
    with pytest.raises(DBAPIError), engine.begin() as connection:
        connection.execute(text("DELETE FROM audit_events"))
    with transaction(engine) as session:
        assert session.scalars(select(AuditEvent.object)).all() == ["alice"]
