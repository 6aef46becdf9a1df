"""The charts of a page, each with its newest values in large figures."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import attrs

from rediq_trio.observe.type_steps import TypeSteps, total
from rediq_trio.observe.views import FleetView
from rediq_trio.observe.words import count, counted, duration, rate, share
from rediq_trio.values.observed.audit import Mark
from rediq_trio.values.observed.series import Series
from rediq_trio.web.drawing import charts
from rediq_trio.web.drawing.plot import Chart, TimeFrame
from rediq_trio.web.drawing.steps import (
    ChartStep,
    runs_of,
    steps_of,
    sum_series,
    waiting,
    with_gaps,
)
from rediq_trio.web.fleet_parts.spans import Span, frame_of, wait_steps
from rediq_trio.web.site.page import Visit

NEWEST_WAITS = dt.timedelta(minutes=5)
"""The time of the newest percentiles, and the step in progress."""
PERCENTILES_KEPT = dt.timedelta(hours=24)
RATE_SECONDS = 60.0
"""Seconds over which the newest rate is averaged, or one step."""


@attrs.frozen(kw_only=True)
class Titled:
    """A chart with its title, and the newest values in words."""

    name: str
    title: str
    figures: tuple[tuple[str, str, str], ...]
    """Each as a large figure, its small unit, and the state in whose ink it is, "" for none."""
    note: str = ""
    chart: Chart


@attrs.frozen(kw_only=True)
class ChartData:
    """What the charts of a page are drawn of."""

    frame: TimeFrame
    series: Series
    steps: tuple[ChartStep, ...]
    types: tuple[TypeSteps, ...]
    span: Span


def chart_data(
    visit: Visit,
    view: FleetView,
    span: Span,
    series: Sequence[Series],
    types: Sequence[TypeSteps],
    marks: Sequence[Mark],
) -> ChartData:
    """Return what the charts of some queues together are drawn of."""
    summed = sum_series(series)
    until = visit.now if view.away is not None else view.at
    frame = with_gaps(frame_of(visit, span, until, marks, summed), summed)
    inside = attrs.evolve(
        summed, points=tuple(each for each in summed.points if each.at > frame.since)
    )
    return ChartData(
        frame=frame, series=inside, steps=steps_of(inside), types=tuple(types), span=span
    )


def rates_chart(data: ChartData) -> Titled:
    """Return what was finished and what failed, in a second."""
    completed = failed = 0.0
    if points := data.series.points:
        last = points[-max(1, round(RATE_SECONDS / data.series.step)) :]
        seconds = len(last) * data.series.step
        completed = sum(each.completed for each in last) / seconds
        failed = sum(each.failed for each in last) / seconds
    part = f" failed, {share(failed / (completed + failed))}" if failed else " failed"
    return Titled(
        name="rates",
        title="Completed and failed",
        figures=(_split(rate(completed)), _with(_split(rate(failed)), part)),
        chart=charts.rates("rates", data.frame, data.steps),
    )


def waits_chart(data: ChartData, goal: float | None = None, *, ages: bool = False) -> Titled:
    """Return how long tasks waited for their start; `ages` also how old the oldest pending one was.

    Percentiles are kept for a day: of more, only ages are known.
    """
    old = data.span.length > PERCENTILES_KEPT
    steps = () if old else wait_steps(data.types, data.frame)
    chart = charts.waits(
        "waits", data.frame, steps, goal=goal, oldest=data.steps if ages or old else ()
    )
    figures: tuple[tuple[str, str, str], ...] = ()
    note = "no attempt ended"
    if old:
        age = data.steps[-1].states.oldest_pending_age if data.steps else 0.0
        figures, note = (
            ((*_split(duration(age))[:2], ""),),
            "the oldest pending task; percentiles are kept 24 h",
        )
    elif (wait := total(each.lately(NEWEST_WAITS) for each in data.types).wait) is not None:
        over = bool(goal) and wait.p95 > (goal or 0)
        ink = "retry" if over else ""
        number, unit, _ = _split(duration(wait.p95))
        low, low_unit, _ = _split(duration(wait.p50))
        figures = ((number, f"{unit} p95", ink), (low, f"{low_unit} p50", ""))
        note = f"{duration(wait.p95 - goal)} over the target" if goal and over else ""
    return Titled(
        name="waits", title="Wait before the start", figures=figures, note=note, chart=chart
    )


def depths_chart(data: ChartData, view: FleetView, names: Sequence[str]) -> Titled:
    """Return how many tasks of these queues waited, by state.

    The chart knows only queues that workers sample; the figure is of all.
    """
    queues = [each for each in view.queues if each.name in names]
    now = sum(each.waiting for each in queues)
    unsampled = now - (waiting(data.series.points[-1]) if data.series.points else 0)
    note = ""
    runs = runs_of(data.steps)
    if any(not each.workers and each.waiting for each in queues) and unsampled > 0:
        note = f"{count(unsampled)} unserved, not drawn"
    elif runs and (grown := _change(runs[-1])):
        words = "grew" if grown > 0 else "shrank"
        length = (data.steps[-1].until - runs[-1][0].until).total_seconds()
        note = f"{words} by {count(abs(grown))} in {duration(length)}"
    return Titled(
        name="depths",
        title="Tasks that wait",
        figures=((count(now), "", ""),),
        note=note,
        chart=charts.depths("depths", data.frame, data.steps),
    )


def _change(run: Sequence[ChartStep]) -> int:
    return waiting(run[-1].states) - waiting(run[0].states)


def slots_chart(
    data: ChartData, view: FleetView, slots: Sequence[tuple[dt.datetime, int]]
) -> Titled:
    """Return how many workers and slots there are, and how many are in use."""
    used = sum(each.stats.active for each in view.queues)
    total_slots = sum(each.concurrency for each in view.workers)
    workers = counted(len(view.workers), "worker").partition(" ")
    return Titled(
        name="slots",
        title="Workers and slots",
        figures=(
            (workers[0], f" {workers[2]}", "" if view.workers else "dead"),
            (count(used), f" of {counted(total_slots, 'slot')} in use", ""),
        ),
        chart=charts.slots_used("slots", data.frame, data.steps, slots),
    )


def _split(words: str) -> tuple[str, str, str]:
    """Return a number apart from its unit: "12/s" as "12" and "/s"."""
    if words.count(" ") > 1:  # "8 min 16 s"
        return words, "", ""
    for n, letter in enumerate(words):
        if not (letter.isdigit() or letter in ",.-"):
            return words[:n], words[n:], ""
    return words, "", ""


def _with(figure: tuple[str, str, str], more: str) -> tuple[str, str, str]:
    number, unit, ink = figure
    return number, unit + more, ink
