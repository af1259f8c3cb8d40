"""People in a directory: LDAP (RFC 4511), OpenLDAP's and Active Directory's ways.

A login is a search for the person, a bind as that person, and one search for their groups, on pooled connections. Who
is not found is left to the next source; a bind that is refused ends the chain; all else is `Unavailable`.
"""

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from authsvc.domain.names import canonical_user
from authsvc.errors import Conflict, Unavailable, say
from authsvc.identity import Identity, Verdict, ldap_groups, ldap_people
from authsvc.identity.ldap_answers import Ask, Entry, Search
from authsvc.identity.ldap_connection import Who
from authsvc.identity.ldap_groups import Membership
from authsvc.identity.ldap_names import escape_dn, escape_value
from authsvc.identity.ldap_pool import Pool
from authsvc.identity.ldap_wire import Deadline, make_context
from authsvc.settings import LdapSettings

MAX_NAME = 255
MAX_PASSWORD_BYTES = 4096
SUBJECTS_AT_ONCE = 100
# Enough to see that a name is not one person's.
_SOME = 5

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Description:
    """What a directory says about somebody, for a person to read."""

    identity: Identity
    dn: str
    memberships: Sequence[Membership]
    may_log_in: bool


class LdapBackend:
    """Checks passwords by binding, and looks people up.

    Args:
        name: the source's name.

    Raises:
        Misconfigured: a certificate or key cannot be read.
    """

    def __init__(self, name: str, settings: LdapSettings) -> None:
        self.name = name
        self.settings = settings
        self.pool = Pool(name, settings, make_context(settings))
        self._attributes = ldap_people.attributes(settings)

    def check(self, username: str, password: str) -> Identity | Verdict:
        """See `PasswordBackend.check`. An empty password is refused before anything is sent (RFC 4513, 5.1.2)."""
        if not password:
            return Verdict.REFUSED
        if not 0 < len(username) <= MAX_NAME:
            return Verdict.UNKNOWN
        with self.pool.turn() as deadline:
            if self.settings.bind_template:
                return self._check_directly(username, password, deadline)
            people = self._find(username, deadline)
            if not people:
                return Verdict.UNKNOWN
            return self._check_entry(people[0], password, deadline) if len(people) == 1 else Verdict.REFUSED

    def find(self, username: str) -> Identity | None:
        """See `Directory.find`."""
        with self._turn() as deadline:
            people = self._find_all(username, deadline)
            if len(people) != 1 or not self._may_log_in(people[0]):
                return None
            return self._identity(people[0], self._ask(deadline))

    def look_up(self, subjects: Collection[str]) -> Mapping[str, Identity]:
        """See `Directory.look_up`. Each hundred, and each person's groups, are a turn of their own."""
        found = [self._with_groups(entry) for entry in self._with_subjects(subjects) if self._may_log_in(entry)]
        return {identity.subject: identity for identity in found if identity and identity.subject in subjects}

    def describe(self, username: str) -> Description | None:
        """What is known of the one person of this name or alias, who may be kept from logging in.

        Raises:
            Unavailable: the source cannot say.
            Conflict: the name is that of several, or of an entry without a user name.
        """
        with self._turn() as deadline:
            people = self._find_all(username, deadline)
            if len(people) > 1:
                dns = "; ".join(entry.dn for entry in people)
                raise Conflict(
                    say(
                        "several entries of %(name)s are called %(username)s, so none can log in: %(dns)s",
                        name=self.name,
                        username=username,
                        dns=dns,
                    )
                )
            return self._describe(people[0], self._ask(deadline)) if people else None

    def is_away(self) -> bool:
        """See `Resting.is_away`."""
        return self.pool.is_away()

    def close(self) -> None:
        """Hang up what is kept for the next login."""
        self.pool.close()

    def _describe(self, entry: Entry, ask: Ask) -> Description:
        identity = self._identity(entry, ask)
        if identity is None:
            raise Conflict(
                say(
                    "%(dn)s has no %(name_attribute)s, so there is no user name",
                    dn=entry.dn,
                    name_attribute=self.settings.name_attribute,
                )
            )
        memberships = ldap_groups.explain(entry, self.settings, ask)
        return Description(identity, entry.dn, memberships, self._may_log_in(entry))

    def _with_groups(self, entry: Entry) -> Identity | None:
        with self._turn() as deadline:
            return self._identity(entry, self._ask(deadline))

    def _check_entry(self, entry: Entry, password: str, deadline: Deadline) -> Identity | Verdict:
        raw = _to_send(password)
        if raw is None:
            return self._refused(entry.dn, "no password can be like this")
        bound = self.pool.run(lambda one, limit: one.prove(entry.dn, raw, limit), deadline, Who.NOBODY, entry.server)
        if not bound.is_proved:
            return self._refused(entry.dn, bound.reason)
        return self._identity(entry, self._ask(deadline)) or Verdict.REFUSED

    def _check_directly(self, username: str, password: str, deadline: Deadline) -> Identity | Verdict:
        """Bind as whom the template says, who then reads the own entry and groups: there is no other account to do so.

        A refusal seldom tells whether there is such a person; where it does not, the next source is asked.
        """
        dn, raw = self.settings.bind_template.replace("{name}", escape_dn(username)), _to_send(password)
        if raw is None:
            return Verdict.UNKNOWN

        def read(ask: Ask) -> Identity | None:
            own = [one for one in ask(self._search_at(dn)) if self._is_called(one, username)]
            return self._identity(own[0], ask) if own else None

        bound, identity = self.pool.run(
            lambda one, limit: one.prove_and_read(dn, raw, read, limit), deadline, Who.NOBODY
        )
        if not bound.is_proved:
            return self._refused(dn, bound.reason) if bound.is_specific else Verdict.UNKNOWN
        return identity or Verdict.UNKNOWN

    def _refused(self, dn: str, reason: str) -> Verdict:
        log.info("ldap.refused", extra={"facts": {"source": self.name, "dn": dn, "reason": reason}})
        return Verdict.REFUSED

    def _turn(self) -> AbstractContextManager[Deadline]:
        """A turn for searches by the service alone."""
        if self.settings.bind_template:
            raise Unavailable(
                say(
                    "the directory %(name)s has no account for a service: set bind_dn and bind_password", name=self.name
                )
            )
        return self.pool.turn()

    def _find_all(self, username: str, deadline: Deadline) -> list[Entry]:
        return self._find(canonical_user(username), deadline) if 0 < len(username) <= MAX_NAME else []

    def _find(self, username: str, deadline: Deadline) -> list[Entry]:
        """The entries of this name; more than one is a mistake in the directory, which is logged."""
        settings, attributes = self.settings, self.settings.login_attributes
        domain = f"{canonical_user(settings.domain)}\\"
        if settings.domain and username.startswith(domain):
            username, attributes = username.removeprefix(domain), attributes[:1]
        parts = "".join(f"({attribute}={escape_value(username)})" for attribute in attributes)
        found = self.pool.search(self._search_for(parts, _SOME), deadline)
        people = [entry for entry in found if ldap_people.is_called(entry, username, attributes)]
        if len(people) > 1:
            facts = {"source": self.name, "name": username, "dns": [entry.dn for entry in people]}
            log.warning("ldap.ambiguous", extra={"facts": facts})
        return people

    def _is_called(self, entry: Entry, username: str) -> bool:
        return ldap_people.is_called(entry, username, self.settings.login_attributes)

    def _with_subjects(self, subjects: Collection[str]) -> list[Entry]:
        mine = f"{self.name}:"
        keys = [subject.removeprefix(mine) for subject in subjects if subject.startswith(mine)]
        ids = [ldap_people.id_filter(key, self.settings) for key in keys if "=" not in key]
        some = ("".join(ids[begin : begin + SUBJECTS_AT_ONCE]) for begin in range(0, len(ids), SUBJECTS_AT_ONCE))
        searches = [*map(self._search_for, some), *(self._search_at(key) for key in keys if "=" in key)]
        entries: list[Entry] = []
        for search in searches:
            with self._turn() as deadline:
                entries += self.pool.search(search, deadline)
        return entries

    def _search_for(self, parts: str, at_most: int = 0) -> Search:
        base = self.settings.user_base or self.settings.base
        filter_ = f"(&{self.settings.user_filter}(|{parts}))"
        return Search(base, self.settings.user_scope, filter_, self._attributes, at_most)

    def _search_at(self, dn: str) -> Search:
        return Search(dn, "base", self.settings.user_filter or "(objectClass=*)", self._attributes)

    def _ask(self, deadline: Deadline) -> Ask:
        return lambda search: self.pool.search(search, deadline)

    def _may_log_in(self, entry: Entry) -> bool:
        return ldap_people.may_log_in(entry, self.settings, time.time())

    def _identity(self, entry: Entry, ask: Ask) -> Identity | None:
        """Who the entry is; None, with a line in the log, for one without a name."""
        name = ldap_people.name_of(entry, self.settings)
        if not name:
            facts = {"source": self.name, "dn": entry.dn, "attribute": self.settings.name_attribute}
            log.warning("ldap.nameless", extra={"facts": facts})
            return None
        groups = ldap_groups.find(entry, self.settings, ask)
        subject = ldap_people.subject_of(self.name, entry, self.settings)
        is_admin = ldap_groups.is_admin(groups, self.settings)
        return Identity(subject, name, ldap_people.email_of(entry, self.settings), groups, is_admin)


def _to_send(password: str) -> bytes | None:
    """A password as it is sent; None for one that no directory has, or that some would cut short at a NUL."""
    try:
        raw = password.encode()
    except UnicodeEncodeError:
        return None
    return raw if len(raw) <= MAX_PASSWORD_BYTES and b"\0" not in raw else None
