"""Does a registry really trust us: what it says, what it does with a token of ours, and what its configuration says.

A registry answers the same to a wrong issuer and to a wrong bundle (distribution, `registry/auth/token`), so which of
the two it is can only be read in its configuration file.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import httpx
import yaml
from cryptography import x509

from authsvc.core import events, keys
from authsvc.domain import certificates
from authsvc.errors import Misconfigured, Unavailable
from authsvc.registry.client import Challenge, RegistryClient
from authsvc.services import Services
from authsvc.settings import Settings
from authsvc.stack import places

MAX_CLOCK_DIFFERENCE = 20
"""Seconds. A registry forgives 60, so this warns while everything still works."""
PROBE = "authsvc-doctor/probe"


class State(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    WRONG = "wrong"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report: what was checked, how it is, and how to mend it."""

    check: str
    state: State
    message: str


def _ok(check: str, message: str) -> Finding:
    return Finding(check, State.OK, message)


def _warn(check: str, message: str) -> Finding:
    return Finding(check, State.WARN, message)


def _wrong(check: str, message: str) -> Finding:
    return Finding(check, State.WRONG, message)


def _unknown(check: str, message: str) -> Finding:
    return Finding(check, State.UNKNOWN, message)


def examine(
    services: Services, client: RegistryClient, config: Path | None, now: int, *, is_ours: bool
) -> Iterator[Finding]:
    """Check everything, one finding at a time.

    Args:
        client: the registry to look at.
        config: its configuration file, where this machine can read it.
        now: our clock in UTC seconds.
        is_ours: whether it is the registry that we configure ourselves, which notifies nobody as yet.
    """
    yield from _signing_key(services, now)
    yield from _tls(services, now)
    try:
        challenge = client.challenge()
    except (Unavailable, Misconfigured) as exc:
        yield _wrong("registry", f"{exc}; is it running, and is --registry its address?")
        return
    yield _ok("registry", "answers")
    found = _Config.read(config)
    yield from _challenge(services, challenge)
    yield from _clock(challenge, now)
    if challenge.scheme == "bearer":
        yield from _trust(services, client, challenge, found, now)
    yield from _configuration(services, found, is_ours=is_ours)


def _signing_key(services: Services, now: int) -> Iterator[Finding]:
    paths = services.settings.paths
    try:
        with services.reading() as session:
            row = keys.get_newest(session)
        ca = x509.load_pem_x509_certificate(paths.ca_certificate.read_bytes())
    except (Misconfigured, OSError, ValueError) as exc:
        yield _wrong("signing key", str(exc))
        return
    if fault := keys.find_fault(row, ca):
        yield _wrong("signing key", fault)
    else:
        yield _ok("key id", row.key_id)
        renewal = "is the worker running, which renews it? `authsvc key rotate` does, too"
        yield _end("signing key", row.ends_at, now, renewal)
    folder = paths.ca_certificate.parent
    new_ca = f"move {folder} away, run `authsvc init` and `authsvc key rotate`, and give the new one to each registry"
    yield _end("token CA", certificates.ends_at(ca), now, new_ca)


def _tls(services: Services, now: int) -> Iterator[Finding]:
    """The certificate that nginx shows, as far as this machine has it."""
    path = services.settings.tls_certificate
    if path is None:
        return
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as exc:
        yield _unknown("TLS certificate", f"{path} cannot be read here: {exc.strerror}")
        return
    except ValueError as exc:
        yield _wrong("TLS certificate", f"{path} is no PEM certificate: {exc}")
        return
    own = f"remove {path} and its key, and start again, which makes both anew"
    remedy = own if services.settings.tls.self_signed else f"put a new one into {path} and start again"
    yield _end("TLS certificate", certificates.ends_at(certificate), now, remedy)


def _end(check: str, ends_at: int, now: int, remedy: str) -> Finding:
    """Whether a certificate has ended, or soon will."""
    day = datetime.fromtimestamp(ends_at, UTC).date().isoformat()
    if ends_at <= now:
        return _wrong(check, f"has ended on {day}: {remedy}")
    if ends_at - now < certificates.WARN_BEFORE:
        return _warn(check, f"ends on {day}: {remedy}")
    return _ok(check, f"good until {day}")


def _challenge(services: Services, challenge: Challenge) -> Iterator[Finding]:
    settings = services.settings
    if challenge.scheme != "bearer":
        asks = f"asks for {challenge.scheme}" if challenge.scheme else "lets everybody in"
        yield _wrong(
            "auth",
            f"the registry {asks}: add what `authsvc registry-config` prints to its configuration and restart it",
        )
        return
    yield _same(
        "realm", challenge.parameters.get("realm", ""), settings.realm, "auth.token.realm", "AUTHSVC_PUBLIC_URL"
    )
    yield _same(
        "service",
        challenge.parameters.get("service", ""),
        settings.token.service,
        "auth.token.service",
        "AUTHSVC_TOKEN__SERVICE",
    )
    yield _realm_answers(challenge.parameters.get("realm", ""), settings.token.service)


def _same(check: str, theirs: str, ours: str, key: str, variable: str) -> Finding:
    if theirs == ours:
        return _ok(check, ours)
    return _wrong(
        check,
        f"the registry says {theirs!r}, we are {ours!r}: set {key} in its "
        f"configuration and restart it, or set {variable} here",
    )


def _realm_answers(realm: str, service: str) -> Finding:
    """Whether clients that follow the realm arrive at a token service; what they do with its certificate is theirs."""
    try:
        with httpx.Client(verify=False, timeout=5, follow_redirects=False) as client:  # noqa: S501 - nothing secret is sent
            answer = client.get(realm, params={"service": service})
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as exc:
        return _unknown("realm answers", f"{realm} cannot be reached from this machine, as clients must: {exc}")
    if answer.status_code == httpx.codes.OK and "token" in answer.text:
        return _ok("realm answers", "issues tokens")
    return _wrong("realm answers", f"{realm} answers {answer.status_code}, which is no token service of {service!r}")


def _clock(challenge: Challenge, now: int) -> Iterator[Finding]:
    if challenge.date is None:
        yield _unknown("clock", "the registry does not say what time it is")
        return
    difference = challenge.date - now
    if abs(difference) <= MAX_CLOCK_DIFFERENCE:
        yield _ok("clock", f"{abs(difference)} s apart")
        return
    state = State.WRONG if abs(difference) > 60 else State.WARN
    word = "ahead of" if difference > 0 else "behind"
    yield Finding("clock", state, f"the registry's clock is {abs(difference)} s {word} ours: run NTP on both machines")


def _trust(
    services: Services, client: RegistryClient, challenge: Challenge, config: "_Config", now: int
) -> Iterator[Finding]:
    # Signed for the registry's clock and service, so that what is refused now is the issuer or the bundle.
    clock = challenge.date if challenge.date is not None else now
    service = challenge.parameters.get("service", services.settings.token.service)
    token = services.tokens.probe(service, PROBE, clock)
    refused = client.challenge(token).status != httpx.codes.OK
    reasons = list(config.refusals(services, now)) if config.token else []
    yield from reasons
    if not refused:
        yield _ok("token", "the registry accepts our tokens")
        deletes = client.can_delete(PROBE, token)
        yield (
            _ok("delete", "enabled")
            if deletes
            else _warn("delete", "disabled, so nothing can be cleaned up: set storage.delete.enabled: true")
        )
    elif not reasons:
        where = "its log names which" if config.token else "run this with --config, or look in its log, for which"
        yield _wrong(
            "token",
            "the registry refuses our tokens: its issuer or its bundle is not ours, or "
            f"it was not restarted since they changed; {where}",
        )
    else:
        yield _wrong("token", "the registry refuses our tokens, for the reasons above")


def _configuration(services: Services, config: "_Config", *, is_ours: bool) -> Iterator[Finding]:
    if config.trouble:
        yield _unknown("configuration", config.trouble)
        return
    if is_ours:
        yield _pulls(services.settings)
    else:
        yield _notifications(services, config.tree)
    if _at(config.tree, "storage", "cache", "blobdescriptor") == "inmemory":
        yield _warn("cache", "an inmemory cache breaks pushes after a garbage collection: remove storage.cache")
    else:
        yield _ok("cache", "none in the registry's memory")


def _pulls(settings: Settings) -> Finding:
    if places.blobs(settings) is not None:
        return _ok("pulls", "nginx sends blobs itself")
    reason = "registry.sendfile is off" if settings.registry.sendfile is False else places.why_no_blobs(settings)
    return _warn("pulls", f"blobs pass through the registry, which takes longer: {reason}")


def _notifications(services: Services, tree: Mapping[str, Any]) -> Finding:
    endpoints = _at(tree, "notifications", "endpoints") or []
    ours = [found for found in endpoints if str(_at(found, "url")).endswith("/service/events")]
    if not ours:
        return _warn(
            "notifications",
            "the registry does not tell us of pushes: add what `authsvc registry-config --notifications` prints",
        )
    shown = _at(ours[0], "headers", "Authorization") or [""]
    if f"Bearer {services.events_secret}" not in shown:
        return _wrong(
            "notifications",
            "the registry shows another secret than ours: print the stanza "
            "again with `authsvc registry-config --notifications`",
        )
    with services.reading() as session:
        seen = events.newest_at(session)
    return _ok("notifications", "configured" if seen else "configured, and none has come yet")


@dataclass(frozen=True, slots=True)
class _Config:
    """A registry's configuration as its file says, or why it is not known."""

    tree: Mapping[str, Any]
    trouble: str = ""

    @classmethod
    def read(cls, path: Path | None) -> "_Config":
        if path is None:
            return cls({}, "not checked: name the registry's configuration file with --config")
        try:
            tree = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
            return cls({}, f"{path} cannot be read: {exc}")
        return cls(tree) if isinstance(tree, dict) else cls({}, f"{path} is not a registry's configuration")

    @property
    def token(self) -> Mapping[str, Any]:
        """The `auth.token` stanza."""
        found = _at(self.tree, "auth", "token")
        return found if isinstance(found, dict) else {}

    def refusals(self, services: Services, now: int) -> Iterator[Finding]:
        """Why a registry with this configuration refuses our tokens."""
        settings = services.settings
        issuer = str(self.token.get("issuer", ""))
        if issuer != settings.token.issuer:
            yield _same("issuer", issuer, settings.token.issuer, "auth.token.issuer", "AUTHSVC_TOKEN__ISSUER")
        bundle = Path(str(self.token.get("rootcertbundle", "")))
        try:
            trusted = x509.load_pem_x509_certificates(bundle.read_bytes())
            ca = x509.load_pem_x509_certificate(settings.paths.ca_certificate.read_bytes())
        except (OSError, ValueError) as exc:
            yield _unknown("bundle", f"{bundle} cannot be read here: {exc}")
            return
        if ca not in trusted:
            yield _wrong(
                "bundle",
                f"{bundle} does not hold our CA: copy {settings.paths.ca_certificate} there and restart the registry",
            )
        elif certificates.ends_at(ca) <= now:
            yield _wrong("bundle", "our CA's certificate has ended")


def _at(tree: object, *keys: str) -> Any:  # noqa: ANN401 - YAML holds anything
    for key in keys:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree
