"""What goes wrong between the parts: a name that nobody resolves, packets that do not arrive.

All of it in the namespaces that `make faults` makes for itself (__main__.py).
"""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e import servers
from tests.faults.faults import CALM, KNOWN, TOKENS, Fault, killing_connections
from tests.faults.worlds import World

NAME, BLACK_HOLE = "mariadb.faults.example", "127.0.0.99"


@dataclass(frozen=True)
class Names:
    """The files by which this machine resolves names."""

    hosts: Path

    def unresolved(self, world: World) -> Iterator[None]:
        """Nobody resolves MariaDB's name any more, and its connections break."""
        self.hosts.write_text("127.0.0.1 localhost\n")
        with killing_connections(world):
            time.sleep(CALM)  # nothing may be changed over a connection that is left
            yield
            self.hosts.write_text(f"127.0.0.1 localhost {NAME}\n")


@contextmanager
def names(directory: Path) -> Iterator[Names]:
    """Names are found in a file of our own, or asked of a server that never answers."""
    hosts, resolver = directory / "hosts", directory / "resolv.conf"
    hosts.write_text(f"127.0.0.1 localhost {NAME}\n")
    resolver.write_text(f"nameserver {BLACK_HOLE}\n")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((BLACK_HOLE, 53))
        for ours, theirs in ((hosts, "/etc/hosts"), (resolver, "/etc/resolv.conf")):
            servers.run("mount", "--bind", str(ours), theirs)
        try:
            yield Names(hosts)
        finally:
            servers.run("umount", "/etc/hosts")
            servers.run("umount", "/etc/resolv.conf")


@dataclass(frozen=True)
class Parted:
    """Nothing that is sent to a port arrives, though the way back is open."""

    port: int

    def inject(self, _: World) -> Iterator[None]:
        """Drop what is sent there."""
        rule = ["INPUT", "-i", "lo", "-p", "tcp", "--dport", str(self.port), "-j", "DROP"]
        servers.run(servers.need("iptables"), "-I", *rule)
        try:
            yield
        finally:
            servers.run(servers.need("iptables"), "-D", *rule)


LONG = 20.0
SORRY = frozenset({"502", "503", "504"})
GIVEN_UP = 15.0
"""Seconds within which nginx says that a part cannot be reached: two tries over connections that it had kept, and two
over new ones, which take four seconds."""


def unresolved(found: Names) -> Fault:
    """The fault of names."""
    return Fault("F36", "a resolver that does not answer", found.unresolved, KNOWN, quiet=True)


def partitions(web: int, registry: int, database: int) -> list[Fault]:
    """The faults of a network, by the ports of the parts."""
    return [
        Fault("F37", "no packet arrives at web", Parted(web).inject, (), SORRY, GIVEN_UP, LONG),
        Fault(
            "F37",
            "no packet arrives at the registry",
            Parted(registry).inject,
            TOKENS,
            SORRY,
            within=GIVEN_UP,
            hold=20.0,
        ),
        Fault("F37", "no packet arrives at MariaDB", Parted(database).inject, KNOWN, quiet=True),
    ]
