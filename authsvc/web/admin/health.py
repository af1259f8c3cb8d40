"""How each part is, and pictures of the requests for tokens of the last hour."""

import time
from dataclasses import dataclass

from flask import Blueprint, render_template
from flask_babel import gettext, lazy_gettext

from authsvc.core import health, keys, minutes
from authsvc.core.health import Report
from authsvc.core.keys import Condition
from authsvc.core.metrics import Outcome
from authsvc.domain.certificates import WARN_BEFORE
from authsvc.errors import Unavailable
from authsvc.identity import Resting
from authsvc.web import pictures, visitor
from authsvc.web.access import needs
from authsvc.web.language import moment, translated
from authsvc.web.request import producer, services

bp = Blueprint("admin_health", __name__, url_prefix="/admin/health")
OUTCOMES = {
    Outcome.GRANTED: lazy_gettext("granted"),
    Outcome.REFUSED: lazy_gettext("refused"),
    Outcome.THROTTLED: lazy_gettext("throttled after failures"),
    Outcome.INVALID: lazy_gettext("not understood"),
    Outcome.UNAVAILABLE: lazy_gettext("not possible at the moment"),
    Outcome.FAILED: lazy_gettext("failed by a fault of ours"),
}


@dataclass(frozen=True, slots=True)
class Part:
    """A part: `state` is good, warn or bad, `word` says the same, `detail` more."""

    name: str
    state: str
    word: str
    detail: str = ""


@bp.get("")
@needs(health.READ)
def show() -> str:
    """The page."""
    me, now = visitor.required().actor, int(time.time())
    with services().reading() as unit:
        report = health.report(unit, me, now)
        condition = keys.examine(unit, me, services().settings.paths.ca_certificate)
        hour = minutes.last_hour(unit, me, now)
    totals = {outcome: sum(minute.requests.get(outcome, 0) for minute in hour) for outcome in Outcome}
    return render_template(
        "health.html",
        parts=[
            _database(report),
            _registry(),
            _worker(report),
            _queue(),
            *_sources(),
            *_certificates(condition, now),
        ],
        outcomes=OUTCOMES,
        totals=totals,
        hour=[minute for minute in reversed(hour) if minute.total],
        requests=pictures.requests(hour),
        latencies=pictures.latencies(hour),
        duration=pictures.duration,
    )


def _good(name: str, word: str, detail: str = "") -> Part:
    return Part(name, "good", word, detail)


def _database(report: Report) -> Part:
    name, detail = gettext("Database"), gettext("revision %(revision)s", revision=report.revision or "–")
    if report.is_migrated:
        return _good(name, gettext("answers"), detail)
    return Part(name, "bad", gettext("is not migrated: run authsvc migrate"), detail)


def _registry() -> Part:
    address = services().settings.registry_address
    if services().registry.answers():
        return _good(gettext("Registry"), gettext("answers"), address)
    return Part(gettext("Registry"), "bad", gettext("does not answer"), address)


def _worker(report: Report) -> Part:
    seen = gettext("last sign of life %(time)s", time=moment(report.worker_at)) if report.worker_at else ""
    if report.has_worker:
        return _good(gettext("Worker"), gettext("runs"), seen)
    return Part(gettext("Worker"), "bad", gettext("does not run"), seen)


def _queue() -> Part:
    try:
        waiting = producer().length()
    except Unavailable as exc:
        return Part(gettext("Queue"), "bad", gettext("does not answer"), translated(exc.sentence))
    return _good(gettext("Queue"), gettext("answers"), gettext("%(count)s jobs wait", count=waiting))


def _sources() -> list[Part]:
    """The sources of identity, as far as this process knows without asking them."""
    found = services()
    parts = []
    for name in (*found.settings.chain, *found.redirects.labels()):
        title, source = gettext("Identity source %(name)s", name=name), found.sources.get(name)
        if isinstance(source, Resting) and source.is_away():
            parts.append(Part(title, "bad", gettext("does not answer"), gettext("it is tried again in a moment")))
        else:
            parts.append(_good(title, gettext("nothing wrong is known")))
    return parts


def _certificates(condition: Condition, now: int) -> list[Part]:
    parts = [_end(gettext("Certificate authority of tokens"), condition.ca_ends_at, now)]
    key = _end(gettext("Signing key"), condition.key.ends_at if condition.key else None, now)
    if condition.fault:
        key = Part(key.name, "bad", gettext("does not fit"), translated(condition.fault))
    return [key, *parts]


def _end(name: str, ends_at: int | None, now: int) -> Part:
    if ends_at is None:
        return Part(name, "bad", gettext("unknown"))
    detail = gettext("ends %(time)s", time=moment(ends_at))
    if ends_at <= now:
        return Part(name, "bad", gettext("has ended"), detail)
    if ends_at - now < WARN_BEFORE:
        return Part(name, "warn", gettext("ends soon"), detail)
    return _good(name, gettext("good"), detail)
