"""A directory to measure logins against: OpenLDAP with many entries, some of them in many groups."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.fill import PASSWORD
from tests.identity import seed_slapd
from tests.identity.servers import BASE, SERVICE, SERVICE_PASSWORD, Authority, Seeded

ENTRIES = 100_000
GROUPS = (5, 100)
ROOM = 2**30


@dataclass(frozen=True)
class Directory:
    """A running directory.

    Args:
        people: their names; the first and the second are in as many groups as `GROUPS` says.
        environment: the settings with which an installation asks it.
    """

    people: list[str]
    port: int
    environment: dict[str, str]


@contextmanager
def running(directory: Path) -> Iterator[Directory]:
    """The time in which it runs."""
    directory.mkdir()
    authority = Authority(directory, "bench-ca")
    people = [f"person{number}" for number in range(ENTRIES)]
    persons = (seed_slapd.person(name, password=PASSWORD) for name in people)
    ldif = "".join([*seed_slapd.frame(), *persons, *_groups(people)])
    seeded = Seeded(directory / "slapd", authority, authority.issue("ldap.example.com"), ldif, room=ROOM)
    with seeded.running() as slapd:
        yield Directory(
            people,
            int(slapd.url.rpartition(":")[2]),
            {
                "AUTHSVC_LDAP__CORP__URLS": slapd.url,
                "AUTHSVC_LDAP__CORP__BASE": BASE,
                "AUTHSVC_LDAP__CORP__BIND_DN": SERVICE,
                "AUTHSVC_LDAP__CORP__BIND_PASSWORD": SERVICE_PASSWORD,
                "AUTHSVC_SYNC_MINUTES": "0",
            },
        )


def _groups(people: list[str]) -> Iterator[str]:
    for name, count in zip(people, GROUPS, strict=False):
        yield from (seed_slapd.group(f"{name}-{number}", f"uid={name},{seed_slapd.PEOPLE}") for number in range(count))


@dataclass
class Watch:
    """Counts the connections to a port of this machine.

    Args:
        most: how many there were at once, at most.
    """

    port: int
    most: int = 0
    _end: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator["Watch"]:
        """The time in which they are counted."""
        thread = threading.Thread(target=self._count, daemon=True)
        thread.start()
        yield self
        self._end.set()
        thread.join()

    def _count(self) -> None:
        while not self._end.wait(0.01):
            self.most = max(self.most, _connections(self.port))


def _connections(port: int) -> int:
    """How many established connections have this port as their far end (proc(5), `/proc/net/tcp`)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[3] == "01" and row[2].endswith(f":{port:04X}") for row in rows)
