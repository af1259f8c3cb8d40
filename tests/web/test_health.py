import dataclasses
import time

import pytest
from sqlalchemy import text

from authsvc.app import create_app
from authsvc.core import health
from authsvc.registry.client import RegistryClient
from tests.conftest import free_port


def parts(answer) -> dict[str, str]:
    return {part["name"]: part["status"] for part in answer.json["components"]}


@pytest.fixture
def down(app, built, no_database):
    """A client of an application whose database is down."""
    app.extensions["authsvc"] = dataclasses.replace(built, engine=no_database)
    return app.test_client()


@pytest.mark.parametrize(("path", "body"), [("/healthz", "ok\n"), ("/readyz", "ready\n"), ("/api/v2.0/ping", "Pong")])
def test_a_service_that_works_says_so(client, path, body):
    answer = client.get(path)
    assert (answer.status_code, answer.text, answer.mimetype) == (200, body, "text/plain")


@pytest.mark.parametrize("path", ["/healthz", "/api/v2.0/ping"])
def test_a_process_is_alive_without_its_database(down, path):
    assert down.get(path).status_code == 200


def test_a_process_is_not_ready_without_its_database(down):
    assert down.get("/readyz").status == "503 the database does not answer; try again in a moment"


def test_a_process_is_not_ready_before_the_migration(client, built):
    with built.transaction() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    assert client.get("/readyz").status == "503 the database is not migrated: run `authsvc migrate`"


def test_the_state_of_each_part_is_told(client):
    assert parts(client.get("/api/v2.0/health")) == {
        "core": "healthy",
        "database": "healthy",
        "jobservice": "unhealthy",
        "registry": "unhealthy",
    }


def test_the_whole_is_unhealthy_with_one_of_its_parts(client):
    answer = client.get("/api/v2.0/health")
    assert (answer.status_code, answer.json["status"]) == (200, "unhealthy")


def test_the_whole_is_healthy_with_all_of_its_parts(client, built, monkeypatch):
    monkeypatch.setattr(RegistryClient, "answers", lambda _: True)
    with built.transaction() as session:
        health.beat(session, health.WORKER, int(time.time()))
    assert client.get("/api/v2.0/health").json["status"] == "healthy"


def test_a_database_that_is_down_is_a_part_that_is_unhealthy(down):
    answer = down.get("/api/v2.0/health")
    assert (answer.status_code, parts(answer)["database"]) == (200, "unhealthy")


class TestUnread:
    """The database has been away since the start, so that nobody knows what its settings say."""

    @pytest.fixture
    def unread(self, home, monkeypatch):
        monkeypatch.setenv("AUTHSVC_HOME", str(home))
        monkeypatch.setenv("AUTHSVC_DATABASE__URL", f"mysql+pymysql://root@127.0.0.1:{free_port()}/authsvc")
        monkeypatch.setenv("AUTHSVC_REGISTRY__URL", f"http://127.0.0.1:{free_port()}")
        return create_app().test_client()

    @pytest.mark.parametrize("path", ["/healthz", "/api/v2.0/ping", "/api/v2.0/health", "/metrics", "/"])
    def test_a_process_is_alive(self, unread, path):
        assert unread.get(path).status_code == 200

    @pytest.mark.parametrize("path", ["/readyz", "/service/token", "/login"])
    def test_nobody_gets_anything(self, unread, path):
        assert unread.get(path).status == "503 the database does not answer; try again in a moment"

    def test_each_part_is_told(self, unread):
        assert parts(unread.get("/api/v2.0/health"))["database"] == "unhealthy"
