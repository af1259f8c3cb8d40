"""A certified OpenID Connect provider from npm, which none of us wrote, with pages of its own."""

import fcntl
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.servers import ROOT, answers, free_port, need, process, run, until

HERE = Path(__file__).parent
CLIENT, SECRET = "authsvc", "a-secret-of-the-client"


@dataclass(frozen=True)
class OidcProvider:
    """A running provider."""

    url: str
    client_id: str = CLIENT
    client_secret: str = SECRET


def install() -> Path:
    """The provider with what it needs, as its lock file says, once for all tests of this checkout."""
    directory = ROOT / "build" / "oidc-provider"
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted, there = HERE / "package-lock.json", directory / "node_modules" / "installed.json"
        if not there.exists() or there.read_bytes() != wanted.read_bytes():
            for name in ("package.json", "package-lock.json"):
                shutil.copy(HERE / name, directory)
            run(need("npm"), "ci", "--prefix", str(directory), "--no-audit", "--no-fund", "--silent")
            shutil.copy(wanted, there)
        shutil.copy(HERE / "server.js", directory)
    return directory


@contextmanager
def running(
    directory: Path, redirect_uris: Sequence[str], people: Mapping[str, Mapping[str, object]]
) -> Iterator[OidcProvider]:
    """A provider that knows these people by `sub`; its login page takes that as the name, and any password."""
    installed, port, log = install(), free_port(), directory / "oidc-provider.log"
    client = {"client_id": CLIENT, "client_secret": SECRET, "redirect_uris": list(redirect_uris)}
    settings = json.dumps({"port": port, "people": people, "clients": [client]})
    url = f"http://localhost:{port}"
    with process(need("node"), str(installed / "server.js"), settings, log=log) as started:
        document = f"{url}/.well-known/openid-configuration"
        until(lambda: started.poll() is not None or answers(document), "the provider's first answer")
        assert started.poll() is None, log.read_text()[-2000:]
        yield OidcProvider(url)
