import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from authsvc.core import certificate_files
from authsvc.errors import Invalid
from authsvc.settings import LdapSettings, OidcSettings
from tests.identity.servers import Authority

DIRECTORY = {"urls": "ldaps://ldap.example.com", "base": "dc=example,dc=com"}


@pytest.fixture
def files(tmp_path) -> dict[str, Path]:
    """Of a directory: a CA's certificate, and one of our own with its key."""
    authority = Authority(tmp_path, "ca")
    own = authority.issue("authsvc.example.com")
    return {"ca_certificate": authority.certificate, "client_certificate": own.certificate, "client_key": own.key}


def wrong(**fields: object) -> dict[str, str]:
    with pytest.raises(Invalid) as refused:
        certificate_files.check(LdapSettings.model_validate(DIRECTORY | fields))
    return refused.value.fields


def test_files_that_hold_what_they_should_are_good(files):
    certificate_files.check(LdapSettings.model_validate(DIRECTORY | files))


def test_a_source_without_files_is_good():
    certificate_files.check(OidcSettings(issuer="https://x.example.com", client_id="x", client_secret="x"))


@pytest.mark.parametrize("path", ["/missing", "/dev/zero", "/etc"])
def test_what_is_no_file_is_told(path):
    assert wrong(ca_certificate=path) == {"ca_certificate": "no file that can be read"}


def test_each_one_that_is_missing_is_told():
    assert wrong(client_certificate="/missing", client_key="/missing").keys() == {"client_certificate", "client_key"}


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert wrong(ca_certificate=tmp_path / "pipe").keys() == {"ca_certificate"}


def test_a_file_without_certificates_is_told():
    assert wrong(ca_certificate="/etc/hostname") == {"ca_certificate": "no certificates in PEM"}


def test_a_certificate_of_another_key_is_told(files, tmp_path):
    other = Authority(tmp_path, "other-ca").issue("other.example.com")
    assert wrong(**files | {"client_key": other.key}).keys() == {"client_certificate"}


def test_a_key_with_a_password_is_told_and_nobody_is_asked_for_it(files, tmp_path):
    key = serialization.load_pem_private_key(files["client_key"].read_bytes(), None)
    locked = tmp_path / "locked.key"
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    assert wrong(**files | {"client_key": locked}).keys() == {"client_certificate"}
