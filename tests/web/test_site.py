import dataclasses
from pathlib import Path

import pytest

from authsvc import services
from authsvc import settings as settings_module
from authsvc.app import create_app
from authsvc.registry.client import RegistryClient
from authsvc.stack import home as home_module


@pytest.fixture
def self_signed(home, now):
    """A client of a service with a certificate of its own."""
    found = settings_module.load({"AUTHSVC_HOME": str(home), "AUTHSVC_TLS__SELF_SIGNED": "true"})
    home_module.make(found, now)
    return create_app(services.build(found)).test_client()


@pytest.mark.parametrize(
    "text",
    ["docker login registry.example.com", "docker push registry.example.com/library/alpine", "/api/v2.0/health"],
)
def test_the_first_page_says_how_to_log_in_with_docker(client, text):
    assert text in client.get("/", headers={"Host": "registry.example.com"}).text


@pytest.mark.parametrize(
    ("answers", "sentence"), [(True, "The registry answers."), (False, "The registry does not answer.")]
)
def test_the_first_page_says_whether_the_registry_answers(client, monkeypatch, answers, sentence):
    monkeypatch.setattr(RegistryClient, "answers", lambda _: answers)
    assert sentence in client.get("/").text


def test_the_first_page_escapes_the_host(client):
    assert "<script>" not in client.get("/", headers={"Host": "<script>"}).text


def test_what_the_first_page_links_to_is_there(client):
    page = client.get("/").text
    assert ("/static/site.css" in page, "/static/icon.svg" in page, "<script>" in page) == (True, True, False)


@pytest.mark.parametrize("path", ["/ca", "/ca.crt"])
def test_without_a_certificate_of_its_own_there_is_none_to_trust(client, path):
    assert client.get(path).status_code == 404


def test_without_a_certificate_of_its_own_the_first_page_offers_none(client):
    assert "/ca" not in client.get("/").text


@pytest.mark.parametrize("text", ["/etc/docker/certs.d/registry.example.com:8443", "/ca.crt"])
def test_docker_is_told_to_trust_the_certificate(self_signed, text):
    assert text in self_signed.get("/ca", headers={"Host": "registry.example.com:8443"}).text


def test_the_certificate_is_offered_for_download(self_signed, home):
    answer = self_signed.get("/ca.crt")
    assert (answer.data, answer.mimetype, answer.headers["Content-Disposition"]) == (
        (Path(home) / "tls" / "ca.crt").read_bytes(),
        "application/x-x509-ca-cert",
        'attachment; filename="authsvc-ca.crt"',
    )


def test_no_private_key_is_offered(self_signed):
    assert "PRIVATE" not in self_signed.get("/ca.crt").text


def test_the_first_page_offers_the_certificate(client, built, app):
    found = built.settings.model_copy(update={"tls": built.settings.tls.model_copy(update={"self_signed": True})})
    app.extensions["authsvc"] = dataclasses.replace(built, settings=found)
    assert 'href="/ca"' in client.get("/").text


@pytest.mark.parametrize("code", ["fr", "EN", "zh-CN", "..%2f"])
def test_a_language_that_is_not_there_is_not_found(client, code):
    assert client.get(f"/language/{code}").status_code == 404


def test_a_language_that_was_chosen_is_remembered(client):
    answer = client.get("/language/zh")
    cookie = client.get_cookie("language")
    assert (answer.status_code, answer.location, cookie.value, cookie.http_only, cookie.same_site) == (
        303,
        "/",
        "zh",
        True,
        "Lax",
    )
