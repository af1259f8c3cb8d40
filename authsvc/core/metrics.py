"""What Prometheus is told: every metric that counts, by name, and the page that shows them.

Label values come from short lists, never from the names of users or repositories. Under gunicorn every process counts
into files of its own in `PROMETHEUS_MULTIPROC_DIR`, which must be set before this module is imported; the page adds
them up. What is true for the whole installation is read when somebody looks (core/endings.py), not counted here.
"""

import os
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from authsvc.domain.permissions import Credential

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
"""The variable, named by prometheus-client, that says where each process keeps its counts."""

REGISTRY = CollectorRegistry()


class Outcome(StrEnum):
    """How a request for a token ended."""

    GRANTED = "granted"
    REFUSED = "refused"
    THROTTLED = "throttled"
    INVALID = "invalid"
    UNAVAILABLE = "unavailable"
    FAILED = "failed"


SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""The limits by which latencies are counted."""

TOKEN_REQUESTS = Counter(
    "authsvc_token_requests",
    "Requests to the token endpoint by how they ended, kind of credential and, once proved, source of identity.",
    ["outcome", "kind", "source"],
    registry=REGISTRY,
)
TOKEN_SECONDS = Histogram(
    "authsvc_token_request_duration_seconds",
    "Time from a request to the token endpoint until its answer.",
    ["outcome"],
    buckets=SECONDS,
    registry=REGISTRY,
)
REFRESH_TOKENS = Counter(
    "authsvc_refresh_tokens_issued",
    "Refresh tokens handed out, by what they were handed out for: a password, or the refresh token before it.",
    ["kind"],
    registry=REGISTRY,
)
THROTTLED = Counter(
    "authsvc_throttled",
    "Attempts at any door that were answered 429, because too many had failed before.",
    registry=REGISTRY,
)
_PROOFS = Counter(
    "authsvc_proof_cache_lookups",
    "Passwords looked up among those proved a moment ago: a hit costs nothing, a miss a hash or a directory's answer.",
    ["result"],
    registry=REGISTRY,
)
PROOF_HITS, PROOF_MISSES = _PROOFS.labels("hit"), _PROOFS.labels("miss")
_STANDINGS = Counter(
    "authsvc_standing_cache_lookups",
    "Rights looked up among those read a moment ago: a hit costs nothing, a miss one statement in the database.",
    ["result"],
    registry=REGISTRY,
)
STANDING_HITS, STANDING_MISSES = _STANDINGS.labels("hit"), _STANDINGS.labels("miss")


def count_token(outcome: Outcome, kind: Credential, source: str, seconds: float) -> None:
    """Count one request to the token endpoint.

    Args:
        source: the source of identity, `local` or `robot`; "" while nobody proved who they are.
        seconds: how long it took.
    """
    TOKEN_REQUESTS.labels(outcome.value, kind.value, source).inc()
    TOKEN_SECONDS.labels(outcome.value).observe(seconds)


def page(whole: Collector) -> bytes:
    """Every metric in Prometheus' text format.

    Args:
        whole: collects what is true for the whole installation, and is no matter of this process.
    """
    shown = CollectorRegistry()
    if DIRECTORY in os.environ:
        MultiProcessCollector(shown)  # type: ignore[no-untyped-call]
    else:
        shown.register(REGISTRY)
    shown.register(whole)
    return generate_latest(shown)
