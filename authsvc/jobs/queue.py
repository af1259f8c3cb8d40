"""The queue (huey, on SQLite or Redis) and the worker that takes from it."""

import logging
import time
from collections.abc import Callable
from datetime import datetime
from urllib.parse import urlsplit

from huey import Huey, RedisHuey, SqliteHuey, crontab

from authsvc import services
from authsvc.core import directories, events, health, minutes, robots, rotations, sessions, setup, throttle
from authsvc.core.rights import system
from authsvc.errors import Conflict, Misconfigured, Unavailable
from authsvc.services import Live, Services
from authsvc.settings import Settings

ACTOR = system("worker")
ASK_SECONDS = 1
"""How often an embedded queue is looked into at least; Redis says by itself when there is something."""
log = logging.getLogger(__name__)


def make_queue(settings: Settings) -> Huey:
    """The queue that the settings describe."""
    password = settings.queue.password
    if settings.queue.url:
        parts = urlsplit(settings.queue.url)
        return RedisHuey(
            "authsvc",
            host=parts.hostname,
            port=parts.port or 6379,
            db=int(parts.path.strip("/") or 0),
            password=password.get_secret_value() if password else parts.password,
        )
    return SqliteHuey("authsvc", filename=str(settings.paths.jobs))


def ends(queue: Huey) -> None:
    """Close the connections of a queue that is no longer used."""
    if isinstance(queue, RedisHuey):
        queue.storage.pool.disconnect()
    else:
        queue.storage.close()


def register(queue: Huey, newest: Callable[[], Services]) -> None:
    """Say what runs when.

    Args:
        newest: the services after the settings of that moment, asked before each job.
    """
    queue.periodic_task(crontab(minute="*"), name="beat")(lambda: beat_once(newest()))
    queue.periodic_task(crontab(minute="*"), name="rotate")(lambda: rotate_once(newest()))
    queue.periodic_task(crontab(minute="17"), name="renew")(lambda: renew_once(newest()))
    queue.periodic_task(lambda moment: _is_sync_due(newest(), moment), name="sync")(lambda: sync_once(newest()))


def beat_once(built: Services) -> None:
    """Say that the worker is alive."""
    built.retried(lambda session: health.beat(session, health.WORKER, int(time.time())))


def rotate_once(built: Services) -> None:
    """Make the signing key that somebody asked for. Told at once when they do, and looked for every minute."""
    try:
        made = rotations.fulfil(built.settings, built.engine, ACTOR, int(time.time()))
    except Misconfigured as exc:
        log.error("the signing key was not rotated: %s", exc)  # noqa: TRY400 (a person's mistake, not ours)
        return
    if made:
        log.info("%s signs from now on", made)


def renew_once(built: Services) -> None:
    """Renew the signing key when it ends soon, announce robots that do, and drop what is old."""
    now = int(time.time())
    if setup.renew_signing_key(built.settings, built.engine, now):
        log.info("made a new signing key")
    throttle.purge(built.engine, now)
    built.retried(lambda session: events.purge(session, now))
    built.retried(lambda session: minutes.purge(session, now))
    built.retried(lambda session: sessions.purge(session, built.settings.session, now))
    announced = built.retried(
        lambda session: robots.announce_expiring(session, ACTOR, built.settings.robot_warning_days, now)
    )
    for robot in announced:
        log.warning("robot %s%s expires soon", built.settings.robot_prefix, robot.name)


def sync_once(built: Services) -> None:
    """Ask each directory about the people who came from it. One that is away, or has gone mad, changes nothing."""
    for name, directory in built.directories.items():
        try:
            found = directories.sync(built.engine, ACTOR, directory, int(time.time()))
        except (Unavailable, Conflict) as exc:
            log.warning("%s was not asked about its people: %s", name, exc)
            continue
        for user in found.vanished:
            log.warning("%s no longer knows %s, who was disabled", name, user)
        for refusal in found.refused:
            log.warning("%s: %s", name, refusal)


def _is_sync_due(built: Services, moment: datetime) -> bool:
    minutes = built.settings.sync_minutes
    return bool(built.directories and minutes) and (moment.hour * 60 + moment.minute) % minutes == 0


def run(settings: Settings) -> None:
    """Run the worker until SIGTERM or SIGINT.

    Raises:
        Misconfigured: the settings or the data directory need a person's hand.
        Unavailable: the database does not answer.
    """
    services.start_logging(settings)
    live = Live(settings)
    built = live.look()
    queue = make_queue(settings)
    register(queue, live.newest)
    beat_once(built)
    renew_once(built)
    rotate_once(built)
    queue.create_consumer(workers=1, periodic=True, check_worker_health=True, max_delay=ASK_SECONDS).run()
