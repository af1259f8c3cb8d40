"""Pulls through the front against pulls from a bare registry on the same storage: how fast, and at what cost."""

import hashlib
import os
import ssl
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.bench import processes
from tests.bench.load import Request, measure
from tests.bench.sites import Bench
from tests.e2e.servers import answers, free_port, need, process, registry_config, run, until

BIG_BYTES, SMALL_BYTES, SMALL_COUNT, CONNECTIONS, ROUNDS = 500_000_000, 100_000, 1_000, 16, 4
REPOSITORY = "library/bench"


@dataclass(frozen=True)
class Pulled:
    """Megabytes a second, and seconds of the processor for each gigabyte."""

    mb_per_second: float
    cpu_per_gb: float


@dataclass(frozen=True)
class Blobs:
    """What is pulled: one big blob and many small ones, by their paths."""

    big: str
    small: Sequence[str]


@contextmanager
def bare_registry(storage: Path, directory: Path) -> Iterator[tuple[str, list[int]]]:
    """A stock registry on a storage, asking nobody for a token; its address and its processes."""
    port, config = free_port(), directory / "bare.yml"
    config.write_text(registry_config(port, storage))
    with process(need("docker-registry"), "serve", str(config), log=directory / "bare.log") as started:
        until(lambda: answers(f"http://127.0.0.1:{port}/"), "the bare registry's first answer")
        yield f"http://127.0.0.1:{port}", list(processes.tree(started.pid))


def push(base: str) -> Blobs:
    """Push the blobs, which need no manifest to be pulled."""
    small = [os.urandom(SMALL_BYTES) for _ in range(SMALL_COUNT)]
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda content: _push(base, content), small))
    return Blobs(_push(base, os.urandom(1_000_000) * (BIG_BYTES // 1_000_000)), paths)


def _push(base: str, content: bytes) -> str:
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    with httpx.Client(base_url=base, timeout=120) as client:
        where = httpx.URL(client.post(f"/v2/{REPOSITORY}/blobs/uploads/").raise_for_status().headers["location"])
        client.put(where.copy_merge_params({"digest": digest}), content=content).raise_for_status()
    return f"/v2/{REPOSITORY}/blobs/{digest}"


def pull_big(base: str, path: str, token: str, pids: Sequence[int]) -> Pulled:
    """One blob over one connection; the median of some rounds."""
    command = ["curl", "-fsSk", "-o", "/dev/null", "-H", f"Authorization: Bearer {token}", f"{base}{path}"]
    run(*command)
    before, times = processes.seconds(pids), []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        run(*command)
        times.append(time.perf_counter() - started)
    spent = processes.seconds(pids) - before
    median = sorted(times)[ROUNDS // 2]
    return Pulled(BIG_BYTES / 1e6 / median, spent / (ROUNDS * BIG_BYTES / 1e9))


def pull_small(base: str, paths: Sequence[str], token: str, pids: Sequence[int], directory: Path) -> Pulled:
    """Many small ones in turn, over many connections."""
    found = measure(base, [Request(path, f"Bearer {token}") for path in paths], CONNECTIONS, pids, directory)
    assert not found.failures, found
    return Pulled(found.per_second * SMALL_BYTES / 1e6, found.cpu_us / 1e6 * 1e9 / SMALL_BYTES)


def token(bench: Bench, scheme: str = "http") -> str:
    """A token of the administrator for these blobs."""
    secret = (bench.site.home / "secrets" / "admin.password").read_text().strip()
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    asked = {"service": "authsvc", "scope": f"repository:{REPOSITORY}:pull"}
    url = f"{scheme}://{bench.site.host}/service/token"
    return str(httpx.get(url, params=asked, auth=("admin", secret), verify=context).raise_for_status().json()["token"])
