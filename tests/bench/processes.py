"""What processes cost: time on the processor, and memory."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def tree(root: int) -> Iterator[int]:
    """A process and everything below it."""
    yield root
    try:
        tasks = list(Path(f"/proc/{root}/task").iterdir())
    except OSError:
        return
    for task in tasks:
        try:
            children = (task / "children").read_text().split()
        except OSError:
            continue
        for child in children:
            yield from tree(int(child))


def named(root: int, *words: str) -> list[int]:
    """Those below a process whose command line, or their parent's, holds one of the words."""
    found = (pid for top in tree(root) if any(word in _command(top) for word in words) for pid in tree(top))
    return list(dict.fromkeys(found))


def seconds(pids: Iterable[int]) -> float:
    """The processor's time that they have used."""
    return sum(map(_seconds, set(pids)))


def proportional_kib(pids: Iterable[int]) -> int:
    """Their memory, in which what several share counts once (PSS)."""
    return sum(map(_pss, set(pids)))


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def _pss(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
