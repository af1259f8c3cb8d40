"""`make profile`: where the time of a token goes, function by function, without the network."""

import cProfile
import pstats
import tempfile
import time
from pathlib import Path

from werkzeug.test import EnvironBuilder

from authsvc import services
from authsvc import settings as settings_module
from authsvc.app import create_app
from authsvc.core import setup
from authsvc.stack import home
from tests.bench.fill import PASSWORD, fill
from tests.bench.load import basic
from tests.e2e.servers import clean_environment

REQUESTS, ROWS = 3_000, 30


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="profile") as directory:
        now = int(time.time())
        settings = settings_module.load(clean_environment(AUTHSVC_HOME=f"{directory}/data"))
        home.make(settings, now)
        setup.prepare(settings, now)
        filled = fill(setup.connect(settings), users=10, projects=10, robots=1)
        _profile(Path(directory) / "data", filled.people[0])


def _profile(directory: Path, user: str) -> None:
    app = create_app(services.build(settings_module.load({"AUTHSVC_HOME": str(directory)})))
    query = "service=authsvc&scope=repository:team0/app:pull,push"
    shown = {"Authorization": basic(user, PASSWORD)}
    environ = EnvironBuilder(path="/service/token", query_string=query, headers=shown).get_environ()

    def ask() -> None:
        b"".join(app.wsgi_app(dict(environ), lambda *_: None))

    ask()  # proves the password
    started = time.process_time()
    for _ in range(REQUESTS):
        ask()
    print(f"{(time.process_time() - started) / REQUESTS * 1e6:.0f} µs for a token of a user who was proved before")
    profile = cProfile.Profile()
    profile.runcall(lambda: [ask() for _ in range(REQUESTS)])
    pstats.Stats(profile).sort_stats("tottime").print_stats(ROWS)


if __name__ == "__main__":
    main()
