"""Referrals: parts of a directory that other servers have (RFC 4511, 4.1.10). Followed only to hosts that are allowed.

The service's password goes to them, so that none is followed that would send it with less protection than our own
server has.
"""

import logging
from dataclasses import dataclass, replace
from urllib.parse import unquote, urlsplit

from authsvc.identity.ldap_answers import Search
from authsvc.identity.ldap_wire import is_protected
from authsvc.settings import LdapSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Referral:
    """Where a search goes on.

    Args:
        server: URL of the server, without a path.
        base: the DN to search from; the one before when empty.
        scope: the scope there; the one before when empty.
    """

    server: str
    base: str
    scope: str

    def narrowed(self, search: Search) -> Search:
        """The search as it goes on there."""
        return replace(search, base=self.base or search.base, scope=self.scope or search.scope)


def readable(url: str, settings: LdapSettings) -> Referral | None:
    """What a referral says (RFC 4516), or None when it is not to be followed."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    if parts.scheme not in {"ldap", "ldaps"} or host not in {name.lower() for name in settings.referral_hosts}:
        log.debug("ldap.referral_ignored", extra={"facts": {"url": url}})
        return None
    server = f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{f':{port}' if port else ''}"
    if is_protected(settings, settings.urls[0]) and not is_protected(settings, server):
        log.warning("ldap.referral_unprotected", extra={"facts": {"url": url}})
        return None
    scope = [*parts.query.split("?"), "", ""][1]
    return Referral(server, unquote(parts.path.removeprefix("/")), {"sub": "subtree"}.get(scope, scope))
