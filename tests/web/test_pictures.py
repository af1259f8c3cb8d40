import pytest

from authsvc.core.metrics import Outcome
from authsvc.core.minutes import Minute
from authsvc.web import pictures
from tests.conftest import NOW

START = NOW - NOW % 3600
QUIET = [Minute(START + place * 60) for place in range(60)]


def hour(**minutes: Minute) -> list[Minute]:
    """An hour in which nothing happened but in the minutes `m0` to `m59`."""
    return [minutes.get(f"m{place}", minute) for place, minute in enumerate(QUIET)]


def busy(place: int, median: float = 0.002, slowest: float = 0.004, **requests: int) -> Minute:
    counts = {Outcome(outcome): count for outcome, count in requests.items()}
    return Minute(START + place * 60, counts, median, slowest)


def test_an_hour_without_requests_has_a_scale_and_nothing_else():
    drawn = pictures.requests(QUIET)
    assert (list(drawn.bars), [words for _, words in drawn.beside]) == ([], ["0", "1", "2", "3", "4"])


def test_each_way_to_end_stands_on_top_of_the_others():
    granted, refused = pictures.requests(hour(m0=busy(0, granted=30, refused=10))).bars
    assert (granted.kind, refused.kind) == ("granted", "refused")
    assert granted.height == pytest.approx(3 * refused.height)
    assert refused.y + refused.height == pytest.approx(granted.y)
    assert granted.y + granted.height == pictures.HEIGHT - pictures.BOTTOM


def test_the_highest_column_stays_in_the_picture():
    bars = pictures.requests(hour(m0=busy(0, granted=799), m59=busy(59, granted=12_345))).bars
    assert min(bar.y for bar in bars) >= pictures.TOP
    assert bars[0].x >= pictures.LEFT
    assert bars[-1].x + bars[-1].width <= pictures.WIDTH - pictures.RIGHT


def test_every_tenth_minute_has_its_time():
    times = [words for _, words in pictures.requests(QUIET).below]
    assert times == ["08:00", "08:10", "08:20", "08:30", "08:40", "08:50"]


def test_a_line_has_a_gap_where_nothing_was_measured():
    median, slowest = pictures.latencies(hour(m3=busy(3), m4=busy(4), m9=busy(9))).lines
    assert [len(piece.split()) for piece in median.pieces] == [2, 2]
    assert len(set(median.pieces[1].split())) == 1
    assert slowest.pieces != median.pieces


@pytest.mark.parametrize(("seconds", "words"), [(0.0005, "0.5 ms"), (0.0421, "42.1 ms"), (1, "1 s"), (2.5, "2.5 s")])
def test_a_time_is_said_in_its_unit(seconds, words):
    assert pictures.duration(seconds) == words
