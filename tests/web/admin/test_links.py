import pytest

from authsvc.db.tables import AuditEvent
from authsvc.web.admin import links

OBJECTS = {
    ("user.add", "alice"): "/admin/users/alice",
    ("login", "alice"): "/admin/users/alice",
    ("login", "<script>"): "",
    ("session.end", "*"): "",
    ("session.begin", "a@b.example"): "/admin/users/a@b.example",
    ("access-token.add", "alice/my laptop"): "/admin/users/alice",
    ("group.add", "ops/ 中"): "/admin/groups?text=ops/+%E4%B8%AD",
    ("group.user.add", "ops/alice"): "/admin/groups?text=ops",
    ("group.user.add", "ops/east/alice"): "/admin/groups?text=ops/east",
    ("project.add", "acme"): "/projects/acme",
    ("project.delete", "../admin"): "",
    ("refresh-token.revoke", "17"): "",
    ("nothing.known", "alice"): "",
}
ACTORS = {
    ("session", "alice"): "/admin/users/alice",
    ("access-token", "alice"): "/admin/users/alice",
    ("console", "alice"): "",
    ("system", "worker"): "",
    ("anonymous", ""): "",
    ("password", "javascript:alert(1)"): "",
}


@pytest.fixture
def seen_by(app, built, monkeypatch):
    """Whether a page is one for the visitor, as `may` says."""

    def see(allowed):
        monkeypatch.setattr(links, "may", lambda endpoint, _project=None: endpoint in app.view_functions and allowed)
        return app.test_request_context()

    return see


def test_what_something_was_done_to_has_a_page(seen_by):
    with seen_by(allowed=True):
        found = {key: links.of_object(AuditEvent(action=key[0], object=key[1])) for key in OBJECTS}
    assert found == OBJECTS


def test_whoever_did_something_has_a_page(seen_by):
    with seen_by(allowed=True):
        found = {key: links.of_actor(AuditEvent(credential=key[0], actor=key[1])) for key in ACTORS}
    assert found == ACTORS


def test_nothing_is_linked_that_the_visitor_may_not_see(seen_by):
    with seen_by(allowed=False):
        found = {links.of_object(AuditEvent(action=key[0], object=key[1])) for key in OBJECTS}
        found |= {links.of_actor(AuditEvent(credential=key[0], actor=key[1])) for key in ACTORS}
    assert found == {""}
