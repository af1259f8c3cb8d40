"""The files of certificates that a source names, looked at before it is stored: no later start shall fail by them."""

import os
import ssl
from pathlib import Path
from typing import NoReturn

from authsvc.errors import Invalid, say
from authsvc.settings import Section


def check(section: Section) -> None:
    """Whether the files that a source names are there, and hold what they should.

    Raises:
        Invalid: by the names of the fields.
    """
    files = {name: value for name, value in section if isinstance(value, Path)}
    missing = {name: say("no file that can be read") for name, path in files.items() if not _is_readable(path)}
    if missing:
        raise Invalid(missing)
    if "ca_certificate" in files:
        _check_ca(files["ca_certificate"])
    if "client_certificate" in files:
        _check_pair(files["client_certificate"], files.get("client_key"))


def _is_readable(path: Path) -> bool:
    """Not a device or a pipe, which would have no end. A name that is too long for any file is none."""
    try:
        return path.is_file() and os.access(path, os.R_OK)
    except OSError:
        return False


def _check_ca(path: Path) -> None:
    try:
        ssl.create_default_context(cafile=path)
    except OSError as exc:
        raise Invalid({"ca_certificate": say("no certificates in PEM")}) from exc


def _check_pair(certificate: Path, key: Path | None) -> None:
    def refuse() -> NoReturn:
        raise ValueError("a key with a password, which nobody could type")

    try:
        ssl.create_default_context().load_cert_chain(certificate, key, password=refuse)
    except (OSError, ValueError) as exc:
        raise Invalid({"client_certificate": say("no certificate in PEM to which client_key belongs")}) from exc
