"""Logins at other services, to which the browser is sent: whose account it is that comes back.

Not here: what such a service says (identity/oidc.py), what the browser keeps meanwhile (web/login.py).
"""

from collections.abc import Mapping, Sequence

from sqlalchemy import Engine

from authsvc.core import onboarding, users
from authsvc.core.callers import DISABLED, Callers, Origin
from authsvc.core.standing import Account
from authsvc.core.throttle import Throttle
from authsvc.db.engine import reading
from authsvc.domain.permissions import Credential
from authsvc.errors import NotFound, Unauthenticated, say
from authsvc.identity import Identity, Pending, RedirectBackend

REFUSED = say("this login was not begun here, took too long, or was refused there: try again")


class Redirects:
    """The services, in the order in which people see them.

    Args:
        newcomers: whether whom a service vouches for gets an account at the first login.
    """

    def __init__(
        self,
        engine: Engine,
        backends: Sequence[RedirectBackend],
        callers: Callers,
        throttle: Throttle,
        *,
        newcomers: bool,
    ) -> None:
        self._engine = engine
        self._backends = {backend.name: backend for backend in backends}
        self._callers = callers
        self._throttle = throttle
        self._newcomers = newcomers

    def labels(self) -> Mapping[str, str]:
        """What each is called on its button, by its name."""
        return {name: backend.label for name, backend in self._backends.items()}

    def start(self, name: str, now: int) -> tuple[str, Pending]:
        """Where to send the browser, and what it must keep until it is back.

        Raises:
            NotFound: there is no such service.
            Unavailable: it does not answer.
        """
        return self._get(name).start(now)

    def finish(
        self, name: str, pending: Pending | None, answer: Mapping[str, str], origin: Origin, now: int
    ) -> Account:
        """Whose account it is that came back; one that is new is made.

        Args:
            pending: what the browser kept of a login at this service; None for nothing.

        Raises:
            Unauthenticated: the answer is no good, or whoever it is has no account to use; an audit row says why.
            NotFound: there is no such service.
            TooMany: there were too many bad answers.
            Unavailable: the service or the database does not answer.
        """
        backend = self._get(name)
        # Before the service is asked, so that nobody has us ask it without end.
        self._throttle.check(None, origin.source, now)
        try:
            identity = _finish(backend, pending, answer, now)
        except Unauthenticated as exc:
            self._throttle.failed(None, origin.source, answer.get("state", ""), now)
            self._callers.refuse("", Credential.SESSION, origin, REFUSED, now, detail=f"{name}: {exc}")
        try:
            admitted = onboarding.admit(self._engine, name, identity, now, newcomers=self._newcomers)
        except Unauthenticated as exc:
            self._callers.refuse(identity.name, Credential.SESSION, origin, str(exc), now)
        with reading(self._engine) as session:
            user = users.get(session, admitted.name)
            account = Account(user.name, user.source, admitted.version, user.enabled)
        if not account.enabled:
            self._callers.refuse(account.name, Credential.SESSION, origin, DISABLED, now)
        return account

    def _get(self, name: str) -> RedirectBackend:
        if name not in self._backends:
            raise NotFound(say("there is no such way to log in"))
        return self._backends[name]


def _finish(backend: RedirectBackend, pending: Pending | None, answer: Mapping[str, str], now: int) -> Identity:
    if pending is None:
        raise Unauthenticated(say("this browser began no login there"))
    return backend.finish(pending, answer, now)
