import json

import pytest
from sqlalchemy import select

from authsvc import services
from authsvc.app import create_app
from authsvc.db.tables import RegistryEvent

URL = "/service/events"
MEDIA = "application/vnd.docker.distribution.events.v2+json"


@pytest.fixture
def send(client, built):
    def post(body: object, secret: str | None = None) -> int:
        data = body if isinstance(body, bytes) else json.dumps(body)
        header = {"Authorization": f"Bearer {built.events_secret if secret is None else secret}"}
        return client.post(URL, data=data, content_type=MEDIA, headers=header).status_code

    return post


@pytest.fixture
def stored(built):
    def read() -> list[str]:
        with built.reading() as session:
            return sorted(session.scalars(select(RegistryEvent.id)))

    return read


def test_a_registry_that_shows_the_secret_is_heard(send, stored):
    assert (send({"events": [{"id": "one"}, {"id": "two"}]}), stored()) == (200, ["one", "two"])


def test_an_event_that_is_repeated_is_stored_once(send, stored):
    for _ in range(2):
        send({"events": [{"id": "one"}]})
    assert stored() == ["one"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer é"},
    ],
)
def test_who_does_not_show_the_secret_is_refused(client, stored, headers):
    answer = client.post(URL, json={"events": [{"id": "one"}]}, headers=headers)
    assert (answer.status_code, answer.json["errors"][0]["code"], stored()) == (401, "UNAUTHORIZED", [])


def test_without_a_secret_nobody_is_heard(app, built, monkeypatch, settings):
    settings.paths.events_secret.unlink()
    silent = services.build(settings)
    answer = create_app(silent).test_client().post(URL, json={"events": []}, headers={"Authorization": "Bearer "})
    silent.engine.dispose()
    assert answer.status_code == 401


@pytest.mark.parametrize(
    "body",
    [
        *[b"", b"{", b"\xff", b"null", b"[]", b'"x"'],
        *[{}, {"events": None}, {"events": {}}, {"events": [None, 1, "x", []]}, {"events": [{}]}],
        *[{"events": [{"id": "\ud800"}]}, {"events": [{"id": ["x"]}]}],
    ],
)
def test_what_cannot_be_read_is_not_refused_or_the_registry_repeats_it_for_ever(send, body):
    assert send(body) == 200


def test_what_cannot_be_read_does_not_take_others_with_it(send, stored):
    send({"events": [None, {"id": "one"}, {}]})
    assert stored() == ["one"]
