"""Pictures of the last hour as SVG: what stands where. How it looks is in templates/picture.html and site.css."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from authsvc.core.metrics import Outcome
from authsvc.core.minutes import Minute

WIDTH, HEIGHT = 720, 200
LEFT, RIGHT, TOP, BOTTOM = 66, 8, 8, 24
_ROOM, _DEPTH = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
_STEPS = 4


@dataclass(frozen=True, slots=True)
class Bar:
    """A part of a column. `kind` is how requests ended."""

    x: float
    y: float
    width: float
    height: float
    kind: str


@dataclass(frozen=True, slots=True)
class Line:
    """A curve in pieces, since it has gaps where nothing was measured. Each piece is a list of points for SVG."""

    kind: str
    pieces: Sequence[str]


@dataclass(frozen=True, slots=True)
class Picture:
    """Bars or lines, and what stands at the axes: places along them, each with its words."""

    beside: Sequence[tuple[float, str]]
    below: Sequence[tuple[float, str]]
    bars: Sequence[Bar] = ()
    lines: Sequence[Line] = ()


def requests(minutes: Sequence[Minute]) -> Picture:
    """Requests by the minute, those that ended in each way on top of each other."""
    most = _ceiling(max((minute.total for minute in minutes), default=0), least=4)
    bars = [bar for place, minute in enumerate(minutes) for bar in _column(minute, place, len(minutes), most)]
    return Picture(_scale(most, _count), _times(minutes), bars=bars)


def latencies(minutes: Sequence[Minute]) -> Picture:
    """What half of the requests of a minute took at most, and what 95 of a hundred did."""
    known = [minute.slowest for minute in minutes if minute.slowest is not None]
    most = _ceiling(max(known, default=0), least=0.004)
    curves = {"median": [one.median for one in minutes], "slowest": [one.slowest for one in minutes]}
    lines = [Line(kind, _pieces(values, most)) for kind, values in curves.items()]
    return Picture(_scale(most, duration), _times(minutes), lines=lines)


def duration(seconds: float) -> str:
    """A time as pages say it, such as `12 ms`."""
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"


def _count(number: float) -> str:
    return f"{number:g}"


def _ceiling(value: float, least: float) -> float:
    """The next value of 1, 2, 4 or 8 times a power of ten, so that the scale has round quarters."""
    wanted = max(value, least)
    power = 10.0 ** math.floor(math.log10(wanted))
    return next((step * power for step in (1, 2, 4, 8) if step * power >= wanted * 0.9999), 10 * power)


def _scale(most: float, words: Callable[[float], str]) -> list[tuple[float, str]]:
    return [(_y(most * step / _STEPS, most), words(most * step / _STEPS)) for step in range(_STEPS + 1)]


def _times(minutes: Sequence[Minute]) -> list[tuple[float, str]]:
    """Every tenth minute."""
    return [
        (_x(place + 0.5, len(minutes)), datetime.fromtimestamp(minute.at, UTC).strftime("%H:%M"))
        for place, minute in enumerate(minutes)
        if minute.at // 60 % 10 == 0
    ]


def _column(minute: Minute, place: int, places: int, most: float) -> Iterable[Bar]:
    below = 0
    for outcome in Outcome:
        count = minute.requests.get(outcome, 0)
        if count:
            top, foot = _y(below + count, most), _y(below, most)
            yield Bar(_x(place + 0.1, places), top, round(0.8 * _ROOM / places, 2), round(foot - top, 2), outcome.value)
        below += count


def _pieces(values: Sequence[float | None], most: float) -> list[str]:
    pieces: list[list[str]] = [[]]
    for place, value in enumerate(values):
        if value is None:
            pieces.append([])
        else:
            pieces[-1].append(f"{_x(place + 0.5, len(values))},{_y(value, most)}")
    # A line of one point is not drawn; one that comes back to it is, as a dot.
    return [" ".join(piece * 2 if len(piece) == 1 else piece) for piece in pieces if piece]


def _x(place: float, places: int) -> float:
    return round(LEFT + _ROOM * place / places, 2)


def _y(value: float, most: float) -> float:
    return round(TOP + _DEPTH * (1 - min(value, most) / most), 2)
