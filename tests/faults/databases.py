"""What goes wrong with MariaDB beside its absence: sessions that lock each other out, migrations, a fail-over."""

import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import Engine, create_engine, func, select, text
from sqlalchemy.exc import DBAPIError

from authsvc.core.throttle import Throttle
from authsvc.db.engine import make_engine
from authsvc.db.tables import FailureCount
from authsvc.errors import AppError
from authsvc.settings import ThrottleSettings
from tests.bench.sites import database
from tests.db.test_migrate import differences
from tests.e2e import servers
from tests.faults.faults import CALM, EVERYTHING, KNOWN, Fault, root, sql
from tests.faults.migrating import BEGUN, newest, revert
from tests.faults.worlds import World

CROSSING = (
    ("UPDATE audit_heads SET length = length", "SELECT count(*) FROM projects FOR UPDATE"),
    ("SELECT count(*) FROM projects FOR UPDATE", "UPDATE audit_heads SET length = length"),
    ("UPDATE failure_counts SET last_at = last_at ORDER BY account DESC, source DESC",),
    ("UPDATE failed_secrets SET ends_at = ends_at ORDER BY digest DESC",),
)
"""What the sessions lock, each in its own order; it changes nothing."""
FAILURES, SOURCES = 400, 7
RETRIED = tuple(kind for kind in EVERYTHING if kind != "writer: project")
"""What is done anew when it met others; a command is told that the database is busy."""


def crossing(world: World) -> Iterator[None]:
    """Sessions lock rows in crossing orders, and failures are counted meanwhile: each is, or is refused."""
    with root(world) as server, _crossing(world):
        before = _deadlocks(server)
        counted, refused = _count_failures(world.engine)
        met = _deadlocks(server) - before
        assert met > 0, "nobody met anybody"
        print(f"  {met} deadlocks, {FAILURES - refused} failures counted, {refused} refused", file=sys.stderr)
        assert counted == FAILURES - refused, f"{counted} failures are counted of {FAILURES - refused}"
        yield


@contextmanager
def _crossing(world: World) -> Iterator[None]:
    end = threading.Event()
    engine = create_engine(world.engine.url)

    def cross(statements: tuple[str, ...]) -> None:
        while not end.wait(0.01):
            with suppress(DBAPIError), engine.begin() as connection:  # this may be the one that is ended
                for statement in statements:
                    connection.execute(text(statement)).close()
                    time.sleep(0.005)  # time for the others to lock what is next

    threads = [threading.Thread(target=cross, args=(statements,), daemon=True) for statements in CROSSING]
    for thread in threads:
        thread.start()
    yield
    end.set()
    for thread in threads:
        thread.join()
    engine.dispose()


def _deadlocks(server: Engine) -> int:
    with server.connect() as connection:
        return int(connection.execute(text("SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'")).one()[1])


def _count_failures(engine: Engine) -> tuple[int, int]:
    """How many failures the tables say, and how many could not be counted."""
    throttle, now, mark = Throttle(engine, b"key", ThrottleSettings()), int(time.time()), random.getrandbits(32)

    def fail(number: int) -> int:
        try:
            throttle.failed(f"crossed{mark}", f"192.0.2.{number % SOURCES}", f"wrong {number}", now)
        except AppError:
            return 1
        return 0

    with ThreadPoolExecutor(8) as threads:
        refused = sum(threads.map(fail, range(FAILURES)))
    mine = select(func.sum(FailureCount.failures)).where(FailureCount.account == f"crossed{mark}")
    with engine.connect() as connection:
        return int(connection.scalar(mine.where(FailureCount.source == "")) or 0), refused


def migrated(world: World) -> Iterator[None]:
    """A newer version migrates the database of this one, and an empty one; its process is killed ten times each."""
    url = world.engine.url.render_as_string(hide_password=False)
    with root(world) as server, tempfile.TemporaryDirectory() as versions:
        newest(Path(versions))
        _migrate_and_kill(url, versions)
        assert world.authsvc("user", "add", "eve", "--password-stdin").returncode == 1  # without a password
        assert world.authsvc("project", "list").returncode == 0, "this version cannot read a newer schema"
        revert(url, versions)
        sql(server, "GRANT ALL ON migrated.* TO authsvc")
        with database(str(server.url).removesuffix("/mysql"), "migrated") as empty:
            _migrate_and_kill(empty, "")
            made = make_engine(empty, None, Path())
            assert differences(made) == [], differences(made)
            made.dispose()
    yield


def _migrate_and_kill(url: str, versions: str) -> None:
    for turn in range(11):
        command = [sys.executable, "-m", "tests.faults.migrating", versions]
        environment = servers.clean_environment(MIGRATED=url)
        migrator = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=servers.ROOT)
        assert migrator.stdout
        assert migrator.stdout.readline().strip() == BEGUN
        if turn < 10:
            time.sleep(random.uniform(0.0, 0.4))  # the moment at which it is killed
            migrator.kill()
        ended = migrator.wait()
        assert ended in (0, -signal.SIGKILL), f"a migration ended with {ended}"
    assert ended == 0


class Pair:
    """Two MariaDB servers, the second a semi-synchronous replica of the first, behind haproxy."""

    def __init__(self, first: servers.MariaDB, second: servers.MariaDB, port: int) -> None:
        self.first, self.second, self.port = first, second, port

    def failed_over(self, _: World) -> Iterator[None]:
        """The first one is killed; haproxy turns to the second, which becomes the one that takes changes at the end."""
        os.kill(self.first.process.pid, signal.SIGKILL)
        time.sleep(CALM)
        yield
        engine = create_engine(f"{self.second.url}/mysql")
        with engine.connect() as connection:
            connection.execute(text("STOP SLAVE IO_THREAD"))
            servers.until(lambda: _has_applied_all(_status(connection)), "the replica's last change")
            for statement in ("STOP SLAVE", "RESET SLAVE ALL", "SET GLOBAL read_only = 0"):
                connection.execute(text(statement))
        engine.dispose()


@contextmanager
def pair(directory: Path) -> Iterator[Pair]:
    """Two servers and haproxy, running."""
    both = ("--log-bin=bin", "--log-bin-trust-function-creators=1", "--log-slave-updates", "--sync-binlog=1")
    leads = ("--server-id=1", "--rpl-semi-sync-master-enabled=1", "--rpl-semi-sync-master-wait-point=AFTER_SYNC")
    follows = ("--server-id=2", "--rpl-semi-sync-slave-enabled=1", "--read-only=1")
    port = servers.free_port()
    for name in ("first", "second"):
        (directory / name).mkdir(parents=True)
    with (
        servers.mariadb(directory / "first", *both, *leads) as first,
        servers.mariadb(directory / "second", *both, *follows) as second,
        servers.process(
            servers.need("haproxy"), "-f", str(_haproxy(directory, port, first, second)), log=directory / "haproxy.log"
        ),
    ):
        _replicate(first, second)
        engine = create_engine(f"mysql+pymysql://root@127.0.0.1:{port}/mysql")
        servers.until(lambda: _answers(engine), "haproxy's first answer")
        engine.dispose()
        yield Pair(first, second, port)


def _haproxy(directory: Path, port: int, first: servers.MariaDB, second: servers.MariaDB) -> Path:
    config = directory / "haproxy.cfg"
    config.write_text(f"""\
defaults
    mode tcp
    timeout connect 500ms
    timeout client 1h
    timeout server 1h
listen database
    bind 127.0.0.1:{port}
    option mysql-check user haproxy
    default-server check inter 500ms fall 2 rise 2 on-marked-down shutdown-sessions
    server first 127.0.0.1:{first.url.rpartition(":")[2]}
    server second 127.0.0.1:{second.url.rpartition(":")[2]} backup
""")
    return config


def _replicate(first: servers.MariaDB, second: servers.MariaDB) -> None:
    leader, follower = create_engine(f"{first.url}/mysql"), create_engine(f"{second.url}/mysql")
    port = first.url.rpartition(":")[2]
    sql(leader, "CREATE USER haproxy")
    sql(leader, "CREATE USER replica IDENTIFIED BY 'replica'")
    sql(leader, "GRANT REPLICATION SLAVE ON *.* TO replica")
    sql(
        follower,
        f"CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={port}, MASTER_USER='replica',"
        " MASTER_PASSWORD='replica', MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1",
    )
    sql(follower, "START SLAVE")
    with leader.connect() as connection:
        clients = text("SHOW STATUS LIKE 'Rpl_semi_sync_master_clients'")
        servers.until(lambda: connection.execute(clients).one()[1] == "1", "a replica that acknowledges")
    leader.dispose()
    follower.dispose()


def _status(connection: object) -> dict[str, object]:
    return dict(connection.execute(text("SHOW SLAVE STATUS")).mappings().one())  # type: ignore[attr-defined]


def _has_applied_all(status: dict[str, object]) -> bool:
    places = [("Master_Log_File", "Read_Master_Log_Pos"), ("Relay_Master_Log_File", "Exec_Master_Log_Pos")]
    read, done = ([status[name] for name in place] for place in places)
    return read == done


def _answers(engine: Engine) -> bool:
    with suppress(DBAPIError), engine.connect() as connection:
        return connection.scalar(text("SELECT 1")) == 1
    return False


MORE = [
    Fault("F4", "sessions that lock each other out", crossing, RETRIED),
    Fault("F25", "a newer version migrates, its process killed ten times", migrated, within=math.inf),
]


def fail_over(both: Pair) -> Fault:
    """The fault of a pair."""
    return Fault("F5", "MariaDB fails over to a replica behind haproxy", both.failed_over, KNOWN, quiet=True)
