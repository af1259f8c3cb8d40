"""Clients that never stop: what each asked, what it was answered, and what it was promised is kept."""

import hashlib
import itertools
import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
import jwt

from authsvc.core import projects
from authsvc.core.rights import system
from authsvc.core.standings import CHECK_SECONDS
from authsvc.db.engine import Engine, transaction
from authsvc.errors import AppError

OCI = "application/vnd.oci.image"
DAVE = "a-password-of-many-people"


@dataclass(frozen=True)
class Event:
    """One attempt: whose, when it ended, how long it took, and how it ended (a status, or an exception's name)."""

    kind: str
    at: float
    seconds: float
    result: str


@dataclass
class Acknowledged:
    """What clients were told was done, and so must be there afterwards."""

    projects: list[str] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cast:
    """Who takes part: a robot and a person that are known, and people who come once each; the same of a directory."""

    robot: tuple[str, str]
    person: tuple[str, str]
    strangers: list[str]
    employee: tuple[str, str] | None = None
    newcomers: Sequence[str] = ()


class Load:
    """Clients of one installation."""

    def __init__(self, host: str, cast: Cast, engine: Engine | None, seed: int) -> None:
        self._base = f"http://{host}"
        self._cast = cast
        self._engine = engine
        self._random = random.Random(seed)
        self._mark = f"{self._random.getrandbits(32):08x}"
        self._strangers = itertools.cycle(cast.strangers)
        self._newcomers = itertools.cycle(cast.newcomers)
        self._stop = threading.Event()
        self._may_write = threading.Event()
        self._may_write.set()
        self._lock = threading.Lock()
        self.events: list[Event] = []
        self.tokens: list[tuple[str, str]] = []
        self.acknowledged = Acknowledged()

    @contextmanager
    def running(self, *, crowd: int = 1) -> Iterator["Load"]:
        """Five clients and a writer, or `crowd` times five, work until the block ends."""
        work: list[Callable[[], None]] = []
        for number in range(crowd):
            work += [self._pull_as_robot, self._pull_as_person, self._pull_as_nobody]
            work += [self._log_in_as_stranger, self._pusher(number)]
            work += [self._pull_as_employee, self._log_in_as_newcomer] if self._cast.employee else []
        work += [self._writer()] if self._engine is not None else []
        threads = [threading.Thread(target=self._repeat, args=(one,), daemon=True) for one in work]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(60)

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Nothing is changed meanwhile, and those who are known ask once more: a change ends what was known."""
        self._may_write.clear()
        time.sleep(2 * CHECK_SECONDS)
        for who in (self._cast.robot, self._cast.person):
            self._token("known: token", who, "repository:acme/kept:pull")
        yield
        self._may_write.set()

    def since(self, start: float, end: float = float("inf")) -> list[Event]:
        """What ended in that time."""
        with self._lock:
            return [event for event in self.events if start <= event.at < end]

    def _repeat(self, work: Callable[[], None]) -> None:
        while not self._stop.is_set():
            work()
            self._stop.wait(0.02)

    def _note(self, kind: str, started: float, result: str) -> None:
        now = time.monotonic()
        with self._lock:
            self.events.append(Event(kind, now, now - started, result))

    def _pull_as_robot(self) -> None:
        self._pull("robot", self._cast.robot, "acme/kept")

    def _pull_as_person(self) -> None:
        self._pull("person", self._cast.person, "acme/kept")

    def _pull_as_employee(self) -> None:
        self._pull("employee", self._cast.employee, "acme/kept")

    def _pull_as_nobody(self) -> None:
        self._pull("nobody", None, "open/kept")

    def _pull(self, kind: str, who: tuple[str, str] | None, repository: str) -> None:
        token = self._token(f"{kind}: token", who, f"repository:{repository}:pull")
        if token is None:
            return
        started = time.monotonic()
        shown = {"Authorization": f"Bearer {token}", "Accept": f"{OCI}.manifest.v1+json"}
        try:
            with httpx.Client(base_url=self._base, timeout=30) as client:
                manifest = client.get(f"/v2/{repository}/manifests/1", headers=shown)
                result = str(manifest.status_code)
                if manifest.is_success:
                    layer = manifest.json()["layers"][0]["digest"]
                    blob = client.get(f"/v2/{repository}/blobs/{layer}", headers=shown)
                    is_whole = hashlib.sha256(blob.content).hexdigest() == layer.removeprefix("sha256:")
                    result = "damaged" if blob.is_success and not is_whole else str(blob.status_code)
        except httpx.HTTPError as exc:
            result = type(exc).__name__
        self._note(f"{kind}: pull", started, result)

    def _log_in_as_stranger(self) -> None:
        with self._lock:
            name = next(self._strangers)
        self._token("stranger: token", (name, DAVE), "repository:acme/kept:pull")

    def _log_in_as_newcomer(self) -> None:
        assert self._cast.employee
        with self._lock:
            name = next(self._newcomers)
        self._token("newcomer: token", (name, self._cast.employee[1]), "repository:acme/kept:pull")

    def _token(self, kind: str, who: tuple[str, str] | None, scope: str) -> str | None:
        started = time.monotonic()
        try:
            answer = httpx.get(
                f"{self._base}/service/token", params={"service": "authsvc", "scope": scope}, auth=who, timeout=30
            )
        except httpx.HTTPError as exc:
            self._note(kind, started, type(exc).__name__)
            return None
        self._note(kind, started, str(answer.status_code))
        if not answer.is_success:
            return None
        token = str(answer.json()["token"])
        with self._lock:
            self.tokens.append((who[0] if who else "", token))
        return token

    def _pusher(self, number: int) -> Callable[[], None]:
        counter = itertools.count()

        def push() -> None:
            tag = f"{self._mark}-{number}-{next(counter)}"
            token = self._token("pusher: token", self._cast.person, "repository:acme/pushed:pull,push")
            access = jwt.decode(token, options={"verify_signature": False})["access"] if token else []
            if not access or "push" not in access[0]["actions"]:
                return  # in an outage a known person may pull, not push
            started = time.monotonic()
            try:
                with httpx.Client(base_url=self._base, timeout=30) as client:
                    client.headers["Authorization"] = f"Bearer {token}"
                    result, digest = push_image(client, "acme/pushed", tag, os.urandom(512))
            except httpx.HTTPError as exc:
                result, digest = type(exc).__name__, ""
            self._note("pusher: push", started, result)
            if result == "201":
                with self._lock:
                    self.acknowledged.tags[tag] = digest

        return push

    def _writer(self) -> Callable[[], None]:
        counter = itertools.count()

        def write() -> None:
            if not self._may_write.wait(1):
                return
            name, started = f"{self._mark}-{next(counter)}", time.monotonic()
            try:
                with transaction(self._engine) as session:
                    projects.add(session, system("writer"), projects.AddProject(name=name), int(time.time()))
            except AppError as exc:
                self._note("writer: project", started, type(exc).__name__)
                return
            self._note("writer: project", started, "ok")
            with self._lock:
                self.acknowledged.projects.append(name)

        return write


def push_image(client: httpx.Client, repository: str, tag: str, layer: bytes) -> tuple[str, str]:
    """Push an image of one layer: the status of the first step that failed, or 201, and the manifest's digest."""
    described = []
    # Of its own: a registry that gets one blob twice at once may not find it for a moment.
    config = json.dumps({"architecture": "amd64", "os": "linux", "author": layer[:16].hex()}).encode()
    for content, kind in ((config, "config.v1+json"), (layer, "layer.v1.tar")):
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        begun = client.post(f"/v2/{repository}/blobs/uploads/")
        if begun.status_code != 202:
            return str(begun.status_code), ""
        done = client.put(httpx.URL(begun.headers["location"]).copy_merge_params({"digest": digest}), content=content)
        if done.status_code != 201:
            return str(done.status_code), ""
        described.append({"mediaType": f"{OCI}.{kind}", "digest": digest, "size": len(content)})
    manifest = json.dumps(
        {
            "schemaVersion": 2, "mediaType": f"{OCI}.manifest.v1+json", "config": described[0],
            "layers": described[1:],
        }
    ).encode()  # fmt: skip
    kind = {"Content-Type": f"{OCI}.manifest.v1+json"}
    pushed = client.put(f"/v2/{repository}/manifests/{tag}", content=manifest, headers=kind)
    return str(pushed.status_code), f"sha256:{hashlib.sha256(manifest).hexdigest()}"
