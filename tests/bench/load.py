"""Load: wrk for many requests of one kind, and a storm of many clients that ask once each."""

import asyncio
import base64
import json
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench import processes
from tests.e2e.servers import need, run

SECONDS, ROUNDS = 3, 7
_UNITS = {"us": 0.001, "ms": 1.0, "s": 1_000.0, "m": 60_000.0}


@dataclass(frozen=True)
class Request:
    """One request of a kind: a GET with a header, or a POST of a form."""

    path: str
    authorization: str = ""
    form: str = ""


@dataclass(frozen=True)
class Measured:
    """What a run of wrk was like, and what it cost the processes that answered."""

    per_second: float
    p50_ms: float
    p99_ms: float
    failures: int
    cpu_us: float


def basic(name: str, password: str) -> str:
    """The value of an Authorization header."""
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def measure(
    base: str,
    requests: Sequence[Request],
    connections: int,
    pids: Sequence[int],
    directory: Path,
    length: int = SECONDS,
) -> Measured:
    """Send these requests in turn for some seconds, after another second that does not count."""
    script = directory / "wrk.lua"
    script.write_text(_lua(requests))
    command = [need("wrk"), "-t1", f"-c{connections}", "--timeout", "60s", "--latency", "-s", str(script)]
    run(*command, "-d1s", base)
    before = processes.seconds(pids)
    out = run(*command, f"-d{length}s", base).stdout
    spent = processes.seconds(pids) - before
    found = re.search(r"(\d+) requests in", out)
    count = int(found.group(1)) if found else 0
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", out)
    failures = (int(bad.group(1)) if bad else 0) + (sum(map(int, errors.groups())) if errors else 0)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", out)
    return Measured(
        per_second=float(rate.group(1)) if rate else 0.0,
        p50_ms=_latency(out, "50%"),
        p99_ms=_latency(out, "99%"),
        failures=failures,
        cpu_us=spent / count * 1e6 if count else 0.0,
    )


def compare(first: Callable[[], float], second: Callable[[], float]) -> float:
    """How many times the second the first is: the median of some pairs, since a machine's speed drifts."""
    return statistics.median(first() / second() for _ in range(ROUNDS))


def _latency(out: str, which: str) -> float:
    found = re.search(rf"{re.escape(which)}\s+([\d.]+)(us|ms|s|m)\b", out)
    return float(found.group(1)) * _UNITS[found.group(2)] if found else 0.0


def _lua(requests: Sequence[Request]) -> str:
    rows = [f"{{{json.dumps(one.path)}, {json.dumps(one.authorization)}, {json.dumps(one.form)}}}" for one in requests]
    return f"""
local all = {{ {", ".join(rows)} }}
local made, turn = {{}}, 0
init = function(args)
  for i, one in ipairs(all) do
    local headers = {{}}
    if one[2] ~= "" then headers["Authorization"] = one[2] end
    local method, body = "GET", nil
    if one[3] ~= "" then
      method, body = "POST", one[3]
      headers["Content-Type"] = "application/x-www-form-urlencoded"
    end
    made[i] = wrk.format(method, one[1], headers, body)
  end
end
request = function()
  turn = turn % #made + 1
  return made[turn]
end
"""


@dataclass(frozen=True)
class Storm:
    """What became of many clients that came at once."""

    seconds: float
    statuses: dict[str, int]


def storm(port: int, requests: Sequence[Request]) -> Storm:
    """Every request at once, each on a connection of its own; over when the last one is answered."""
    return asyncio.run(_storm(port, requests))


async def _storm(port: int, requests: Sequence[Request]) -> Storm:
    started = time.perf_counter()
    statuses = await asyncio.gather(*(_ask(port, one) for one in requests))
    return Storm(time.perf_counter() - started, dict(Counter(statuses)))


async def _ask(port: int, request: Request) -> str:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"GET {request.path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: {request.authorization}\r\n"
        writer.write(f"{head}Connection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
    except OSError as exc:
        return type(exc).__name__
    return answer.split(b" ", 2)[1].decode() if answer else "nothing"
