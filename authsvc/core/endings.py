"""What will end, and when: certificates and robots, read from the database and the disk whenever Prometheus asks.

Nothing is counted here, so that any number of processes says the same.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from cryptography import x509
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import Engine

from authsvc.core import keys, robots
from authsvc.core.rights import system
from authsvc.db.engine import Session, reading
from authsvc.domain import certificates
from authsvc.errors import Unavailable
from authsvc.settings import Settings


class Endings(Collector):
    """Reads what will end.

    Args:
        now: the time, in UTC seconds.
    """

    def __init__(self, engine: Engine, settings: Settings, now: int) -> None:
        self._engine = engine
        self._settings = settings
        self._now = now

    def collect(self) -> Iterator[Metric]:
        """The gauges. One whose database or file cannot be read is left out, which an alert can ask for (`absent`)."""
        ends = self._files()
        expiring: int | None = None
        try:
            with reading(self._engine) as session:
                ends = {**ends, **_signing_key(session)}
                expiring = self._robots(session)
        except Unavailable:
            pass  # authsvc_database_up says so
        yield GaugeMetricFamily(
            "authsvc_database_up", "Whether the database answers: 1 or 0.", value=float(expiring is not None)
        )
        yield _certificates(ends)
        if expiring is not None:
            yield GaugeMetricFamily(
                "authsvc_robots_expiring",
                "Enabled robot accounts that have expired or will within robot_warning_days.",
                value=expiring,
            )

    def _files(self) -> dict[str, int]:
        found = {
            "token_ca": read_end(self._settings.paths.ca_certificate),
            "tls": read_end(self._settings.tls_certificate) if self._settings.tls_certificate else None,
        }
        return {name: ends_at for name, ends_at in found.items() if ends_at is not None}

    def _robots(self, session: Session) -> int:
        days = self._settings.robot_warning_days
        return len(robots.list_expiring(session, system("metrics"), days, self._now))


def read_end(path: Path) -> int | None:
    """When the first certificate of a PEM file ends, in UTC seconds; None when it cannot be read."""
    try:
        return certificates.ends_at(x509.load_pem_x509_certificate(path.read_bytes()))
    except (OSError, ValueError):
        return None


def _signing_key(session: Session) -> Mapping[str, int]:
    key = keys.find_newest(session)
    return {"signing_key": key.ends_at} if key else {}


def _certificates(ends: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(
        "authsvc_certificate_end_timestamp_seconds",
        "When a certificate ends, in UTC seconds since 1970: the signing key's, the token CA's, or nginx's for TLS.",
        labels=["certificate"],
    )
    for name, ends_at in sorted(ends.items()):
        family.add_metric([name], ends_at)
    return family
