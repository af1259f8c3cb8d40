import pytest
from sqlalchemy import select

from authsvc.core.htpasswd import ImportHtpasswd, Outcome, import_users
from authsvc.db.tables import AuditEvent, User
from authsvc.errors import AlreadyExists, Forbidden
from tests.factories import make_user, password_hash

BCRYPT = "$2y$05$J/OTLLJhNvdBwVOkZKoTg.YRT0AnfVf6m/Gp7Im9uYivIhBF/I2ci"
TWO = f"alice:{BCRYPT}\nBob:{BCRYPT}\n"


def users(session) -> list[str]:
    return list(session.scalars(select(User.name).order_by(User.name)))


def reasons(outcome: Outcome) -> list[tuple[int, str]]:
    return [(refusal.number, refusal.reason) for refusal in outcome.refused]


def test_every_line_becomes_a_local_user(session, root, now):
    outcome = import_users(session, root, ImportHtpasswd(text=TWO), now)
    made = session.scalars(select(User).order_by(User.name)).all()
    assert (outcome, [(one.name, one.source, one.password_hash, one.admin, one.created_at) for one in made]) == (
        Outcome(("alice", "bob"), (), ()),
        [("alice", "local", BCRYPT, False, now), ("bob", "local", BCRYPT, False, now)],
    )


def test_every_user_has_a_row_in_the_trail(session, root, now):
    import_users(session, root, ImportHtpasswd(text=TWO), now)
    rows = session.scalars(select(AuditEvent).order_by(AuditEvent.id)).all()
    assert [(row.actor, row.action, row.object, row.detail) for row in rows] == [
        ("root", "user.add", "alice", "from a htpasswd file"),
        ("root", "user.add", "bob", "from a htpasswd file"),
    ]


def test_one_wrong_line_keeps_all_out(session, root, now):
    outcome = import_users(session, root, ImportHtpasswd(text=TWO + "charlie:x"), now)
    assert (outcome.imported, [number for number, _ in reasons(outcome)], users(session)) == ((), [3], [])


def test_wrong_lines_can_be_skipped(session, root, now):
    outcome = import_users(session, root, ImportHtpasswd(text="charlie:x\n" + TWO, skip_invalid=True), now)
    assert (outcome.imported, len(outcome.refused), users(session)) == (("alice", "bob"), 1, ["alice", "bob"])


def test_a_user_who_is_there_is_a_wrong_line(session, root, now):
    make_user(session, "bob")
    outcome = import_users(session, root, ImportHtpasswd(text=TWO), now)
    assert (reasons(outcome), users(session)) == ([(2, "there is a user of this name already")], ["bob"])


def test_users_who_are_there_can_be_left_as_they_are(session, root, now):
    bob = make_user(session, "bob", source="ldap")
    outcome = import_users(session, root, ImportHtpasswd(text=TWO, skip_existing=True), now)
    session.refresh(bob)
    assert (outcome, bob.source, bob.password_hash) == (Outcome(("alice",), ("bob",), ()), "ldap", password_hash())


def test_a_name_with_a_meaning_of_its_own_is_a_wrong_line(session, root, now):
    outcome = import_users(session, root, ImportHtpasswd(text=f"anonymous:{BCRYPT}"), now)
    assert (reasons(outcome), users(session)) == ([(1, "anonymous has a meaning of its own")], [])


def test_wrong_lines_are_told_in_their_order(session, root, now):
    make_user(session, "bob")
    text = f"anonymous:{BCRYPT}\nbob:{BCRYPT}\ncharlie:x\n"
    outcome = import_users(session, root, ImportHtpasswd(text=text), now)
    assert [number for number, _ in reasons(outcome)] == [1, 2, 3]


def test_a_rehearsal_changes_nothing(session, root, now):
    outcome = import_users(session, root, ImportHtpasswd(text=TWO, dry_run=True), now)
    assert (outcome.imported, users(session), session.scalars(select(AuditEvent)).all()) == (("alice", "bob"), [], [])


def test_a_user_who_is_added_meanwhile_keeps_all_out(session, root, now, monkeypatch):
    make_user(session, "bob")
    monkeypatch.setattr(session, "scalars", lambda _: [])
    with pytest.raises(AlreadyExists, match="at the same time"):
        import_users(session, root, ImportHtpasswd(text=TWO), now)
    session.rollback()


def test_nobody_but_an_administrator_imports_users(session, alice, now):
    with pytest.raises(Forbidden):
        import_users(session, alice, ImportHtpasswd(text=TWO), now)


def test_a_hash_is_not_shown():
    assert BCRYPT not in repr(ImportHtpasswd(text=TWO))
