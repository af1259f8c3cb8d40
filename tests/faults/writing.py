"""Processes that write, to be killed or to be many."""

import os
import secrets
import time
from pathlib import Path

from authsvc.core import projects
from authsvc.core.rights import system
from authsvc.db.engine import Engine, make_engine, transaction
from authsvc.errors import AppError


def write_often(path: Path, number: int) -> str:
    """Write 150 times; returns what went wrong."""
    engine = make_engine("", None, path)
    try:
        for turn in range(150):
            _write(engine, f"e{number}-{turn}-{secrets.token_hex(3)}")
    except AppError as exc:
        return str(exc)
    return ""


def write_for_ever(path: Path, acknowledged: Path, turn: int) -> None:
    """Write until killed, and say of each write when it is done."""
    try:
        engine = make_engine("", None, path)
        with acknowledged.open("a") as said:
            for number in range(10_000):
                name = f"k{turn}-{number}"
                _write(engine, name)
                said.write(f"{name}\n")
                said.flush()
    finally:
        os._exit(1)


def _write(engine: Engine, name: str) -> None:
    with transaction(engine) as session:
        projects.add(session, system("writer"), projects.AddProject(name=name), int(time.time()))
