"""What must be true after every fault, whatever it was."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import jwt
from sqlalchemy import Engine, select, text

from authsvc.db.tables import Project
from tests.bench import processes
from tests.e2e.native import Native
from tests.faults.load import OCI, Load
from tests.faults.worlds import World

ALLOWED = {
    "": {"open/kept": {"pull"}},
    "robot$acme+ci": {"acme/kept": {"pull"}},
    "alice": {"acme/kept": {"pull"}, "acme/pushed": {"pull", "push"}},
    "employee": {"acme/kept": {"pull"}},
}
"""The most that a token may say for what each of the load's clients asks; strangers may pull what is kept."""
STRANGER = {"acme/kept": {"pull"}}
FDS, MB = 64, 256
"""By how much the open files and the memory of web may grow: what hashes took, 19 MiB each, a process keeps."""


def descriptors(pids: list[int]) -> int:
    """How many files processes hold open."""
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids if Path(f"/proc/{pid}").exists())


def broken(world: World, load: Load, before: tuple[int, int]) -> Iterator[str]:
    """What is not as it must be, a sentence each.

    Args:
        before: the open files and the memory (KiB) of web before the fault.
    """
    yield from _writes(world.engine, load)
    yield from _tags(world.site, load)
    yield from _tokens(load)
    trail = world.authsvc("audit", "verify")
    if trail.returncode:
        yield f"the audit trail is not whole: {trail.stdout}{trail.stderr}"
    if world.engine.dialect.name == "sqlite":
        with world.engine.connect() as connection:
            yield from (
                f"the database is damaged: {row}" for row in connection.execute(text("PRAGMA foreign_key_check"))
            )
            if connection.scalar(text("PRAGMA integrity_check")) != "ok":
                yield "the database's file is damaged"
    files, memory = descriptors(world.web), processes.proportional_kib(world.web)
    if files > before[0] + FDS:
        yield f"web holds {files} files open, and held {before[0]} before"
    if memory > before[1] + MB * 1024:
        yield f"web takes {memory // 1024} MB, and took {before[1] // 1024} before"


def _writes(engine: Engine, load: Load) -> Iterator[str]:
    with engine.connect() as connection:
        there = set(connection.scalars(select(Project.name)))
    missing = set(load.acknowledged.projects) - there
    if missing:
        yield f"{len(missing)} acknowledged writes are not there, such as {min(missing)}"


def _tags(site: Native, load: Load) -> Iterator[str]:
    """Every tag that was pushed can be pulled, with each of its blobs."""
    asked = {"service": "authsvc", "scope": "repository:acme/pushed:pull"}
    secret = (site.home / "secrets" / "admin.password").read_text().strip()
    with httpx.Client(base_url=f"http://{site.host}", timeout=30) as client:
        token = client.get("/service/token", params=asked, auth=("admin", secret)).raise_for_status().json()["token"]
        client.headers.update({"Authorization": f"Bearer {token}", "Accept": f"{OCI}.manifest.v1+json"})
        for tag, digest in load.acknowledged.tags.items():
            manifest = client.get(f"/v2/acme/pushed/manifests/{tag}")
            if manifest.headers.get("docker-content-digest") != digest:
                yield f"tag {tag} was acknowledged and is not there ({manifest.status_code})"
                return
            found = json.loads(manifest.content)
            for blob in (found["config"], *found["layers"]):
                if not client.head(f"/v2/acme/pushed/blobs/{blob['digest']}").is_success:
                    yield f"tag {tag} lacks a blob"
                    return


def _tokens(load: Load) -> Iterator[str]:
    for name, token in load.tokens:
        claims = jwt.decode(token, options={"verify_signature": False})
        allowed = ALLOWED.get(name, STRANGER)
        given = {entry["name"]: set(entry["actions"]) for entry in claims["access"]}
        if claims["sub"] != name or any(actions - allowed.get(which, set()) for which, actions in given.items()):
            yield f"a token of {name or 'nobody'} says {given}"
            return
