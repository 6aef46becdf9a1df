from __future__ import annotations

import datetime as dt
import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from rediq_trio.values.observed.series import Series, SeriesPoint
from rediq_trio.values.observed.types import Percentiles
from rediq_trio.web.drawing import charts, scales, small
from rediq_trio.web.drawing.plot import Chart, TimeFrame, spread
from rediq_trio.web.drawing.steps import (
    ChartStep,
    gaps_of,
    runs_of,
    steps_of,
    sum_series,
    with_gaps,
)

START = dt.datetime(2026, 11, 29, 11, 0, tzinfo=dt.UTC)
STATES = ("pending", "scheduled", "active", "retry", "blocked", "grouped", "dead")


def at(seconds: float) -> dt.datetime:
    return START + dt.timedelta(seconds=seconds)


def point(seconds: float, **numbers: float) -> SeriesPoint:
    counts = dict.fromkeys(("enqueued", "completed", "failed", "deaths", *STATES), 0)
    return SeriesPoint(at=at(seconds), **{**counts, "oldest_pending_age": 0.0, **numbers})  # type: ignore[arg-type]


def series(*points: SeriesPoint, step: float = 10.0) -> Series:
    return Series(step=step, points=points, gaps=())


def frame(seconds: float = 3600.0) -> TimeFrame:
    return TimeFrame(since=START, until=at(seconds))


def parsed(chart: Chart) -> ElementTree.Element:
    """Return the drawing as a tree: it is well-formed, has no style and no script, and no number is odd."""
    text = str(chart.picture)
    assert "style=" not in text
    assert not re.search(r"\b(nan|inf)\b|\de[-+]\d", text)
    root = ElementTree.fromstring(text.replace("&nbsp;", " "))
    assert not list(root.iter("script"))
    assert root.findall(".//svg[@role='img']")[0].get("aria-label")
    return root


def all_charts(found: Series, seconds: float = 3600.0) -> list[Chart]:
    within = with_gaps(frame(seconds), found)
    steps = steps_of(found)
    return [
        charts.rates("a", within, steps),
        charts.waits("b", within, (), oldest=steps, goal=30),
        charts.depths("c", within, steps),
        charts.slots_used("d", within, steps, [(START, 4)]),
    ]


CASES = {
    "no point": series(),
    "one point": series(point(10, completed=3, pending=2)),
    "zeros": series(*(point(10 * n) for n in range(1, 100))),
    "huge values": series(
        *(point(10 * n, completed=10**12, pending=10**15, active=10**9, oldest_pending_age=1e9)
          for n in range(1, 50))
    ),
    "a gap": series(point(10, failed=1), point(20, failed=1), point(900, failed=2), point(910, pending=4)),
}  # fmt: skip


@pytest.mark.parametrize("case", sorted(CASES))
def test_each_chart_can_be_drawn_of_any_series(case: str) -> None:
    for chart in all_charts(CASES[case]):
        parsed(chart)
        assert all(len(row) == len(chart.head) for row in chart.rows)


def test_a_gap_is_hatched_and_breaks_the_line() -> None:
    (rates, *_) = all_charts(CASES["a gap"], 910)
    root = parsed(rates)
    (hatched,) = root.findall(".//rect[@fill]")
    assert hatched.get("fill") == "url(#a-gap)"
    assert root.find(".//pattern").get("id") == "a-gap"  # type: ignore[union-attr]
    x, width = (float((hatched.get(key) or "").removesuffix("%")) for key in ("x", "width"))
    assert x == pytest.approx(100 * 20 / 910, abs=0.1)
    assert x + width == pytest.approx(100 * 890 / 910, abs=0.2)
    lines = root.findall(".//g[@class='mark completed']/path[@class='stroke']")
    assert len(lines) == 2


def test_an_end_that_is_not_known_is_hatched_and_the_time_before_the_first_point_is_not() -> None:
    found = series(point(1000), point(1010))
    assert gaps_of(found, at(3600)) == ((at(1010), at(3600)),)
    assert gaps_of(found, at(1030)) == ()
    assert gaps_of(series(), at(3600)) == ()


def test_steps_are_few_and_keep_all_counts_and_the_highest_peak() -> None:
    points = [point(10 * n, completed=n, pending=900 if n == 98 else 5) for n in range(1, 361)]
    steps = steps_of(series(*points))
    assert 45 <= len(steps) <= 92
    assert sum(step.completed for step in steps) == sum(range(1, 361))
    assert max(step.states.pending for step in steps) == 900
    assert steps[-1].states == points[-1]
    assert steps[0].since == START
    assert all(a.until == b.since for a, b in pairwise(steps))
    assert len(runs_of(steps)) == 1


def test_steps_that_were_drawn_stay_as_they_are_when_time_goes_on() -> None:
    points = [point(10 * n, completed=n) for n in range(1, 400)]
    before = steps_of(series(*points[:360]))
    after = steps_of(series(*points[1:361]))
    assert before[2:-1] == after[2 : len(before) - 1]


def test_the_series_of_queues_are_summed_where_one_has_no_point() -> None:
    first = series(point(10, pending=1, oldest_pending_age=4), point(20, pending=2))
    second = series(point(20, pending=3, completed=2, oldest_pending_age=7))
    found = sum_series([first, second])
    assert [(p.at, p.pending, p.completed, p.oldest_pending_age) for p in found.points] == [
        (at(10), 1, 0, 4), (at(20), 5, 2, 7),
    ]  # fmt: skip


def test_a_series_that_was_read_earlier_keeps_its_tasks_in_the_sum() -> None:
    early = series(point(10, pending=7, completed=5))
    late = series(*(point(10 * n, pending=1) for n in range(1, 5)))
    found = sum_series([early, late])
    assert [(p.pending, p.completed) for p in found.points] == [(8, 5), (8, 0), (8, 0), (8, 0)]
    long_ago = series(*(point(10 * n, pending=1) for n in range(1, 30)))
    assert sum_series([early, long_ago]).points[-1].pending == 1


def test_rates_are_those_of_a_second_whatever_the_step() -> None:
    one_minute = series(*(point(60 * n, completed=120, failed=6) for n in range(1, 11)), step=60.0)
    chart = charts.rates("a", frame(600), steps_of(one_minute))
    assert chart.rows[-1] == ("11:10", "2.0/s", "6/min")
    assert "completed 2.0/s at the end" in str(chart.picture)


def test_waits_say_their_percentiles_and_the_target() -> None:
    wait = Percentiles(p50=0.1, p95=41.0, p99=63.0)
    steps = [charts.WaitStep(since=at(0), until=at(300), wait=wait, attempts=10)]
    chart = charts.waits("a", frame(300), steps, goal=30)
    text = str(chart.picture)
    assert "waiting for the start: p99 1 min 3 s, p95 41 s, p50 100 ms" in text
    assert "target 30 s" in text
    assert chart.rows == (("11:05", "10", "100 ms", "41 s", "1 min 3 s"),)


def test_states_without_a_task_are_not_drawn() -> None:
    chart = charts.depths(
        "a", frame(60), steps_of(series(point(10, pending=3), point(20, retry=2)))
    )
    assert chart.head == ("until", "pending", "retry")
    assert "tasks that wait: retry 2" in str(chart.picture)
    assert "scheduled" not in str(chart.picture)


def test_slots_are_drawn_from_when_they_are_known() -> None:
    steps = steps_of(series(*(point(10 * n, active=2) for n in range(1, 7))))
    chart = charts.slots_used("a", frame(60), steps, [(at(20), 4), (at(40), 8)])
    assert [row[2] for row in chart.rows] == ["–", "4", "4", "8", "8", "8"]
    assert "2 in use of 8 slots" in str(chart.picture)


def test_marks_are_named_where_there_is_room_and_their_text_is_escaped() -> None:
    marks = ((at(100), "1.4.0"), (at(110), "1.4.1"), (at(590), "<b>\x1b"), (at(-50), "before"))
    within = TimeFrame(since=START, until=at(600), marks=marks)
    root = parsed(charts.rates("a", within, steps_of(series(point(10), point(600)))))
    assert [each.text for each in root.findall(".//text[@class='halo']")] == ["1.4.0", "<b>\\x1b"]
    assert [each.text for each in root.findall(".//line[@class='deploy']/title")] == [
        "1.4.0", "1.4.1", "<b>\\x1b",
    ]  # fmt: skip


def test_times_below_a_chart_are_as_short_as_they_can_be() -> None:
    assert frame(3600).times() == ("11:00", "11:15", "11:30", "11:45", "12:00")
    week = TimeFrame(since=START - dt.timedelta(days=7), until=START)
    assert week.times()[0] == "22 Nov"
    assert TimeFrame(since=START, until=START).part(START) == 1.0


def test_names_at_the_ends_of_lines_do_not_hide_one_another() -> None:
    assert spread([50, 51, 52], 6, 128) == [50, 64, 78]
    assert spread([126, 127, 128], 6, 128) == [100, 114, 128]
    many = spread([10.0] * 40, 6, 128)
    assert many == sorted(many)
    assert many[-1] <= 128 + 1e-6


@pytest.mark.parametrize(
    ("peak", "words"),
    [(0.0, []), (3.0, ["1.0/s", "2.0/s", "3.0/s"]), (0.05, ["1/min", "2/min", "3/min"])],
)
def test_the_grid_of_rates_has_round_numbers(peak: float, words: list[str]) -> None:
    assert [text for _, text in scales.rates(peak, 6, 92).lines] == words


def test_what_is_counted_has_no_line_between_whole_numbers() -> None:
    assert [text for _, text in scales.whole(1.0, 6, 131).lines] == ["1"]
    assert scales.whole(0, 6, 131).lines == ()
    assert [text for _, text in scales.whole(24.0, 6, 131).lines] == ["5", "10", "15", "20"]


def test_the_scale_of_durations_holds_any_value_within_the_plot() -> None:
    scale = scales.durations(0.002, 5e9, 6, 131)
    assert [6 <= scale.y(value) <= 131 for value in (0, 0.001, 1, 1e12)] == [True] * 4
    gaps = [a - b for (a, _), (b, _) in pairwise(scale.lines)]
    assert all(gap >= scales.APART for gap in gaps)


def test_bars_stand_for_what_happened_in_each_hour() -> None:
    hours = [(at(3600 * n), at(3600 * (n + 1)), n) for n in range(3)]
    chart = charts.by_hour("a", frame(3 * 3600), hours)
    assert len(parsed(chart).findall(".//g[@class='mark dead']/rect")) == 2
    assert "3 failures, 2 at most in a bar" in str(chart.picture)
    assert "no failures" in str(charts.by_hour("b", frame(), []).picture)


def drawn(markup: object) -> ElementTree.Element:
    return ElementTree.fromstring(str(markup))


def test_a_sparkline_is_broken_where_a_value_is_not_known() -> None:
    assert len(drawn(small.spark([1, 2, None, 3])).findall("path[@class='stroke']")) == 2
    assert drawn(small.spark([])).findall("path") == []
    assert drawn(small.spark([0, 0])).get("aria-hidden") == "true"
    bars = drawn(small.spark([0, 5, None], bars=True, label="5 in all"))
    assert (len(bars.findall("rect")), bars.get("aria-label")) == (1, "5 in all")


def test_slots_are_cells_up_to_48_and_a_bar_beyond() -> None:
    few = drawn(small.slots(2, 5, ahead=1))
    assert few.get("aria-label") == "2 of 5 slots in use, 1 claimed ahead"
    assert [each.get("class") for each in few.findall("rect")] == [None, None, None, "free", "free"]
    assert len(drawn(small.slots(60, 100)).findall("rect")) == 2
    assert len(drawn(small.slots(0, 0)).findall("rect")) == 2


@pytest.mark.parametrize(("wait", "ink"), [(29.0, "plain"), (31.0, "retry"), (61.0, "dead")])
def test_a_bar_against_its_target_says_how_far_it_is_over(wait: float, ink: str) -> None:
    assert drawn(small.bullet(wait, 30.0)).get("class") == f"bullet {ink}"
    assert drawn(small.bullet(wait, None)).get("class") == "bullet plain"


def test_a_share_never_leaves_its_bar() -> None:
    widths = [
        drawn(small.share(part, whole)).findall("rect")[1].get("width")
        for part, whole in ((1, 2), (9, 2), (1, 0))
    ]
    assert widths == ["40", "80", "0"]


def test_a_step_of_one_point_alone_is_seen() -> None:
    step = ChartStep(since=at(0), until=at(10), completed=5, states=point(10, pending=1))
    root = parsed(charts.rates("a", frame(3600), [step]))
    (line,) = root.findall(".//g[@class='mark completed']/path[@class='stroke']")
    assert "L" in (line.get("d") or "")
