"""Failed logins are slowed down, never locked out (OWASP ASVS 5.0, 6.1.1 and 6.3.1; NIST SP 800-63B, "Rate Limiting").

Three counts, in the database and so the same for every process: of an account from a source (delays from the fifth
failure on), of an account over all sources (delays from the fiftieth in an hour on, which all unknown sources share),
and of a source over all accounts (a stop from the hundredth in ten minutes on). A source from which the account
logged in within a month is held up by the first alone, so others' failures never keep anybody out of their account.

So within an hour an account meets at most 50 + 6 + 58 = 114 wrong passwords from all unknown sources together, and
5 + 6 + 58 = 69 from each known one (and those that were already being checked when the delays began).

Not here: whether a secret is right (core/login.py, core/callers.py).
"""

import hashlib
import hmac
import ipaddress
import logging
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from sqlalchemy import ColumnElement, Engine, and_, case, delete, or_, select, update
from sqlalchemy.orm import Session, class_mapper

from authsvc.core import audit, users
from authsvc.core.rights import require
from authsvc.db.engine import fetch, retried
from authsvc.db.ensure import ensure
from authsvc.db.tables import FailedSecret, FailureCount, KnownSource
from authsvc.domain.names import canonical_user, is_user
from authsvc.domain.permissions import Actor
from authsvc.errors import TooMany, Unavailable, say
from authsvc.settings import ThrottleSettings

log = logging.getLogger(__name__)
HOUR, DAY = 3_600, 86_400
ALL = ""  # in place of an account or a source: over all of them
UNREADABLE = "unreadable"
# A site has 65,536 IPv6 networks of its own to change among, so the site is counted too, less strictly.
SITE_FACTOR = 10
PURGE_BATCH = 500
_SITE = "/48"

Key = tuple[str, str]


class Tally(NamedTuple):
    """A row of `FailureCount` as it was read."""

    account: str
    source: str
    failures: int
    last_at: int
    ends_at: int


class Throttle:
    """Counts failures for every process alike.

    Args:
        key: for the hashes by which a wrong secret is known again.
    """

    def __init__(self, engine: Engine, key: bytes, settings: ThrottleSettings) -> None:
        self._engine = engine
        self._key = key
        self._settings = settings

    def check(self, account: str | None, source: str, now: int) -> None:
        """Let an attempt go on, or not. One read, unless the account is being slowed down.

        Raises:
            TooMany: this account from this source, or this source altogether, failed too often.
            Unavailable: the database does not answer.
        """
        name, sources = _account(account), prefixes(source)
        counts = _find_counts(self._engine, name, sources, now)
        if counts and _known_until(self._engine, name, sources[0]) > now:
            counts = [count for count in counts if count.account == name and count.source == sources[0]]
        wait = max((self._ready_at(count) - now for count in counts), default=0)
        if wait > 0:
            raise _too_many(wait)
        self._take_turns([count for count in counts if self._delay(count)], now)

    def failed(self, account: str | None, source: str, secret: str, now: int) -> None:
        """Count a failure; the same wrong secret again counts once. `account` is None for machine credentials.

        Raises:
            Unavailable: the database does not answer.
        """
        retried(self._engine, lambda session: self._count_failure(session, _account(account), source, secret, now))

    def succeeded(self, account: str, source: str, now: int) -> None:
        """Forget the failures of an account from a source, and remember the source. Writes once a day.

        What cannot be written now, to a full disk say, keeps nobody out: the next login writes it.
        """
        key = _account(account), prefixes(source)[0]
        if key[0] == ALL:
            return
        try:
            self._note_success(key, now)
        except Unavailable as exc:
            log.warning("the source of a login cannot be remembered: %s", exc)

    def _count_failure(self, session: Session, name: str, source: str, secret: str, now: int) -> None:
        sources = prefixes(source)
        near = sources[0]
        counts: list[Key] = []
        if _is_first(session, self._digest(name, near, secret), now):
            counts += [(ALL, prefix) for prefix in sources]
            counts += [(name, near)] if name else []
        # An outdated password on many machines is one wrong password of its account.
        if name and _is_first(session, self._digest(name, ALL, secret), now):
            counts.append((name, ALL))
        for key in sorted(counts):  # see `ensure`
            _count(session, key, self._period(key), now)

    def _note_success(self, key: Key, now: int) -> None:
        until = now + self._settings.known_days * DAY
        failed = fetch(self._engine, select(FailureCount.failures).where(_is(key), FailureCount.ends_at > now))
        if not failed and _known_until(self._engine, *key) > until - DAY:
            return

        def note(session: Session) -> None:
            _forget(session, _is(key))
            _remember(session, key, until)

        retried(self._engine, note)

    def _take_turns(self, counts: Sequence[Tally], now: int) -> None:
        """One attempt for each delay, however many come when it is over: the first to move `last_at` has it."""
        if not counts:
            return

        def take(session: Session) -> None:
            for count in counts:
                unmoved = and_(FailureCount.failures == count.failures, FailureCount.last_at == count.last_at)
                mine = update(FailureCount).where(_is((count.account, count.source)), unmoved)
                if session.connection().execute(mine.values(last_at=now)).rowcount != 1:
                    raise _too_many(self._delay(count))

        retried(self._engine, take)

    def _ready_at(self, count: Tally) -> int:
        """When the next attempt may be made."""
        if count.account != ALL:
            return count.last_at + self._delay(count)
        allowed = self._settings.source_failures * (SITE_FACTOR if count.source.endswith(_SITE) else 1)
        return count.ends_at if count.failures >= allowed else 0

    def _delay(self, count: Tally) -> int:
        """Seconds between two attempts: none, then 1, 2, 4 and so on; an account's only."""
        if count.account == ALL:
            return 0
        free = self._settings.account_hour if count.source == ALL else self._settings.account_failures
        longest = self._settings.max_delay
        return min(longest, 1 << min(count.failures - free, longest.bit_length())) if count.failures >= free else 0

    def _period(self, key: Key) -> int:
        return self._settings.source_window if key[0] == ALL else HOUR

    def _digest(self, account: str, source: str, secret: str) -> str:
        text = "\0".join((account, source, secret))  # of which only the last may have a \0
        return hmac.new(self._key, text.encode(errors="surrogatepass"), hashlib.sha256).hexdigest()


def prefixes(source: str) -> list[str]:
    """What counts as one source: an IPv4 address, or an IPv6 /64 and then its /48; all that is unreadable is one."""
    try:
        address = ipaddress.ip_address(source)
    except ValueError:
        return [UNREADABLE]
    match address:
        case IPv4Address():
            return [str(address)]
        case IPv6Address(ipv4_mapped=IPv4Address() as mapped):
            return [str(mapped)]
        case _:
            return [str(ipaddress.IPv6Network((int(address), length), strict=False)) for length in (64, 48)]


def unlock(session: Session, actor: Actor, name: str, now: int) -> str:
    """Forget an account's failures from everywhere, and say its name. What a source did elsewhere stays counted.

    Raises:
        NotFound: there is no such user.
    """
    require(actor, users.UPDATE)
    user = users.get(session, name)
    _forget(session, FailureCount.account == user.name)
    audit.record(session, actor, "user.unlock", user.name, now)
    return user.name


def purge(engine: Engine, now: int) -> None:
    """Drop what has ended, a few rows at a time, so that no login waits long."""
    for table in (FailureCount, FailedSecret, KnownSource):
        while _purge_some(engine, table, now) == PURGE_BATCH:
            pass


def _purge_some(engine: Engine, table: type[FailureCount | FailedSecret | KnownSource], now: int) -> int:
    columns = class_mapper(table).primary_key

    def drop(session: Session) -> int:
        # Found without locks, then deleted one by one in the order in which logins lock them.
        ended = session.execute(select(*columns).where(table.ends_at <= now).limit(PURGE_BATCH)).all()
        for key in sorted(ended, key=tuple):
            same = [column == value for column, value in zip(columns, key, strict=True)]
            session.connection().execute(delete(table).where(*same, table.ends_at <= now))
        return len(ended)

    return retried(engine, drop)


def _account(typed: str | None) -> str:
    """The name that is counted. What cannot be a user's name has no password to guess: its source alone counts."""
    name = canonical_user(typed or "")
    return name if is_user(name) else ALL


def _too_many(seconds: int) -> TooMany:
    return TooMany(say("too many failed logins; try again in %(seconds)s seconds", seconds=seconds), seconds)


def _is(key: Key) -> ColumnElement[bool]:
    return and_(FailureCount.account == key[0], FailureCount.source == key[1])


def _find_counts(engine: Engine, account: str, sources: Sequence[str], now: int) -> Sequence[Tally]:
    """The counts that an attempt meets, in the order of their keys."""
    keys = [(ALL, prefix) for prefix in sources]
    keys += [(account, ALL), (account, sources[0])] if account else []
    wanted = select(*(getattr(FailureCount, name) for name in Tally._fields))
    met = wanted.where(or_(*map(_is, keys)), FailureCount.ends_at > now)
    return [Tally._make(row) for row in fetch(engine, met.order_by(FailureCount.account, FailureCount.source))]


def _known_until(engine: Engine, account: str, source: str) -> int:
    mine = select(KnownSource.ends_at).where(KnownSource.account == account, KnownSource.source == source)
    return max((row.ends_at for row in fetch(engine, mine)), default=0)


def _is_first(session: Session, digest: str, now: int) -> bool:
    """Whether this secret was not counted within the hour; the hour begins anew."""
    ensure(session, FailedSecret, digest=digest, ends_at=0)
    renew = update(FailedSecret).where(FailedSecret.digest == digest).values(ends_at=now + HOUR)
    if session.connection().execute(renew.where(FailedSecret.ends_at <= now)).rowcount == 1:
        return True
    session.connection().execute(renew)
    return False


def _count(session: Session, key: Key, period: int, now: int) -> None:
    ensure(session, FailureCount, account=key[0], source=key[1], failures=0, last_at=now, ends_at=0)
    has_ended = FailureCount.ends_at <= now
    session.connection().execute(
        update(FailureCount)
        .where(_is(key))
        # In this order: MariaDB sets from left to right, and would look at the new `ends_at`.
        .ordered_values(
            (FailureCount.failures, case((has_ended, 1), else_=FailureCount.failures + 1)),
            (FailureCount.last_at, now),
            (FailureCount.ends_at, case((has_ended, now + period), else_=FailureCount.ends_at)),
        )
    )


def _forget(session: Session, which: ColumnElement[bool]) -> None:
    # Ended, not deleted: rows that come and go under the same key are what InnoDB makes deadlocks of.
    session.connection().execute(update(FailureCount).where(which).values(ends_at=0))


def _remember(session: Session, key: Key, until: int) -> None:
    ensure(session, KnownSource, account=key[0], source=key[1], ends_at=until)
    mine = update(KnownSource).where(KnownSource.account == key[0], KnownSource.source == key[1])
    session.connection().execute(mine.values(ends_at=until))
