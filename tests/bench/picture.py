"""The figures as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

KINDS = (
    "constant Flask view",
    "anonymous",
    "robot",
    "access token",
    "refresh grant",
    "user, repeated",
    "user, first",
    "LDAP, 5 groups, repeated",
    "LDAP, 5 groups, first",
)
DIRECT, FRONT = "#33658a", "#f26419"


def draw(tables: Mapping[str, Sequence[Mapping[str, Any]]], target: Path) -> None:
    """Draw tokens a second, what each costs, and pulls, into an SVG file."""
    figure, axes = plt.subplots(1, 3, figsize=(16, 5), layout="constrained")
    _rates(axes[0], tables["tokens"])
    _costs(axes[1], tables["tokens"])
    _pulls(axes[2], tables["pulls"])
    figure.savefig(target)
    plt.close(figure)


def _rates(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    axes.set_title("tokens a second, 16 connections, SQLite")
    for shift, way, color in ((-0.2, "direct", DIRECT), (0.2, "nginx", FRONT)):
        found = {row["what"]: row["per_second"] for row in _small(rows, way)}
        places = [place for place, kind in enumerate(KINDS) if kind in found]
        values = [found[KINDS[place]] for place in places]
        bars = axes.barh([place + shift for place in places], values, 0.38, label=way, color=color)
        axes.bar_label(bars, padding=3, fontsize=8)
    _label(axes, KINDS)
    axes.set_xscale("log")
    axes.legend()


def _costs(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    axes.set_title("the processor's time for one, µs (16 connections, direct)")
    found = {row["what"]: row["cpu_us"] for row in _small(rows, "direct")}
    kinds = [kind for kind in KINDS if kind in found]
    bars = axes.barh(range(len(kinds)), [found[kind] for kind in kinds], color=DIRECT)
    axes.bar_label(bars, padding=3, fontsize=8)
    _label(axes, kinds)
    axes.set_xscale("log")


def _pulls(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    axes.set_title("pulls, MB/s")
    bars = axes.barh(range(len(rows)), [row["mb_per_s"] for row in rows], color=FRONT)
    axes.bar_label(bars, padding=3, fontsize=8)
    _label(axes, [f"{row['blobs']} from {row['from']}" for row in rows])


def _label(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.spines[["top", "right"]].set_visible(False)


def _small(rows: Sequence[Mapping[str, Any]], way: str) -> list[Mapping[str, Any]]:
    return [
        row
        for row in rows
        if (row["way"], row["connections"]) == (way, 16) and row["users"] <= 10 and row["database"] != "MariaDB"
    ]
