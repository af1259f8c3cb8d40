"""What a check of a directory tries with each of its servers."""

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from authsvc.errors import Unavailable, say
from authsvc.identity.ldap_answers import Found, Search
from authsvc.identity.ldap_connection import Connection
from authsvc.identity.ldap_wire import Deadline, connect, make_context, resolve, secure
from authsvc.identity.steps import Step, Trial
from authsvc.settings import LdapSettings

T = TypeVar("T")

_A_FEW = 10
RESOLVE, CONNECT, TLS, BIND = say("resolve"), say("connect"), say("TLS"), say("bind")
SEARCH, PEOPLE, GROUPS = say("search"), say("people"), say("groups")
_MENDS: Mapping[str, str] = {
    RESOLVE: say("check the host name in urls, and this machine's DNS"),
    CONNECT: say("check host and port in urls, the firewall between, and that a server listens there"),
    TLS: say("ldaps:// is for a port that begins with TLS (636), starttls for one that does not (389)"),
    BIND: say("check bind_dn and bind_password"),
    SEARCH: say("check base, and that the account of bind_dn may read it"),
    PEOPLE: say("check user_base and user_filter, and that the account of bind_dn may read people"),
    GROUPS: say("check group_base and group_filter, and that the account of bind_dn may read groups"),
}
_NEEDS_TLS = say("use ldaps:// or starttls")
_NEEDS_ACCOUNT = say("set bind_dn and bind_password: this directory is not searched anonymously")
_SIGNS: Mapping[str, str] = {
    "strongerAuthRequired": _NEEDS_TLS,
    "confidentialityRequired": _NEEDS_TLS,
    "successful bind": _NEEDS_ACCOUNT,
    "inappropriateAuthentication": _NEEDS_ACCOUNT,
}


def probe(settings: LdapSettings) -> Iterator[Step]:
    """Try each server, to its first failure. No step takes longer than `timeout`.

    Raises:
        Misconfigured: a certificate or key cannot be read.
    """
    for url in settings.urls:
        yield from _Probe(settings, url).run()


class _Probe:
    def __init__(self, settings: LdapSettings, url: str) -> None:
        self._settings = settings
        self._url = url
        self._trial = Trial(url, "urls", _MENDS, _SIGNS)

    def run(self) -> list[Step]:
        return self._trial.run(self._run)

    def _run(self) -> None:
        settings, url, context = self._settings, self._url, make_context(self._settings)
        addresses = self._try(RESOLVE, lambda limit: resolve(url, limit), ", ".join)
        wire = self._try(CONNECT, lambda limit: connect(url, addresses, limit), lambda _: say("connected"))
        connection = Connection(settings, context, url, wire)
        try:
            self._try(TLS, lambda limit: secure(wire, settings, context, url, limit), self._about_tls)
            if settings.bind_template:
                return
            self._try(BIND, connection.become_service, lambda _: self._about_bind())
            self._search_all(connection)
        finally:
            connection.close()

    def _search_all(self, connection: Connection) -> None:
        settings = self._settings
        user_base, group_base = settings.user_base or settings.base, settings.group_base or settings.base
        self._search(connection, SEARCH, Search(settings.base, "base", "(objectClass=*)", ()))
        people = Search(user_base, settings.user_scope, settings.user_filter or "(objectClass=*)", (), _A_FEW)
        self._search(connection, PEOPLE, people)
        if settings.group_matchers:
            filter_ = settings.group_filter or f"({settings.group_name_attribute}=*)"
            self._search(connection, GROUPS, Search(group_base, settings.group_scope, filter_, (), _A_FEW))

    def _search(self, connection: Connection, step: str, search: Search) -> None:
        def ask(limit: Deadline) -> Found:
            found = connection.search(search, limit)
            if not found.entries and step != GROUPS:
                raise Unavailable(say("nothing is found in %(base)s", base=search.base))
            return found

        self._try(step, ask, lambda found: _about_entries(search.base, len(found.entries)))

    def _about_tls(self, is_on: bool) -> str:
        if not is_on:
            return say("off: passwords cross the network in the clear")
        if not self._settings.verify:
            return say("on, the certificate is not checked")
        return say("certificate and host name are good")

    def _about_bind(self) -> str:
        dn = self._settings.bind_dn
        return say("bound as %(dn)s", dn=dn) if dn else say("anonymously")

    def _try(self, step: str, action: Callable[[Deadline], T], message: Callable[[T], str]) -> T:
        return self._trial.take(step, lambda: action(Deadline(self._settings.timeout)), message)


def _about_entries(base: str, count: int) -> str:
    if count >= _A_FEW:
        return say("found in %(base)s: %(count)s or more", base=base, count=_A_FEW)
    return say("found in %(base)s: %(count)s", base=base, count=count)
