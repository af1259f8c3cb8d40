"""The check of any source, of whatever kind, as the settings have it now."""

from collections.abc import Sequence

from authsvc.identity.oidc import OidcBackend
from authsvc.identity.steps import Step
from authsvc.identity.uaa import UaaBackend
from authsvc.settings import KINDS, Settings


def list_sources(settings: Settings) -> list[tuple[str, str]]:
    """Kind and name of every source that can be checked."""
    return [(kind, name) for kind in KINDS for name in getattr(settings, kind)]


def probe(settings: Settings, kind: str, name: str) -> Sequence[Step]:
    """Try a source. No step takes longer than a login may.

    Raises:
        Misconfigured: a certificate or key cannot be read.
        KeyError: there is no such source.
    """
    match kind:
        case "uaa":
            return UaaBackend(name, settings.uaa[name]).probe()
        case "oidc":
            return OidcBackend(name, settings.oidc[name], settings.callback(name)).probe()
    from authsvc.identity import ldap_probe  # noqa: PLC0415 (megabytes in each process, which many do without)

    return list(ldap_probe.probe(settings.ldap[name]))
