"""Charts of queues: how much was finished, how long it waited, how much there is, and who works."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence

import attrs

from rediq_trio.observe.words import count, counted, duration, rate
from rediq_trio.values.observed.types import Percentiles
from rediq_trio.web.drawing import scales, svg
from rediq_trio.web.drawing.plot import PLOT_HEIGHT, Chart, LineEnd, TimeFrame, plot
from rediq_trio.web.drawing.steps import ROWS_SHOWN, SUMMED_COUNTS, ChartStep, runs_of

FINISHED_FLOOR = 92.0
"""The pixel on which what is finished stands; failures have a scale of their own below it."""
BOTTOM = PLOT_HEIGHT - 1
STACKED = ("pending", "retry", "scheduled", "blocked", "grouped")
"""The states of tasks that wait, from the bottom up."""


def rates(name: str, frame: TimeFrame, steps: Sequence[ChartStep]) -> Chart:
    """Draw tasks completed in a second, and below it attempts that failed, on a scale of their own."""
    done = [(step, step.completed / step.seconds) for step in steps]
    failed = [(step, step.failed / step.seconds) for step in steps]
    up = scales.rates(_peak(done) * 1.08, 6.0, FINISHED_FLOOR)
    down = scales.rates(_peak(failed) * 1.15, FINISHED_FLOOR + 11, BOTTOM)
    layers = ""
    for run in runs_of(steps):
        points = _across(frame, run, lambda step: up.y(step.completed / step.seconds))
        drawn = svg.fill(svg.ground(points, FINISHED_FLOOR)) + svg.stroke(points)
        layers += svg.group("completed", drawn)
    bars = ""
    for step, value in failed:
        if value:
            x, y = frame.x(step.since), down.y(value)
            wide = max(2.0, (frame.x(step.until) - x) * 0.7)
            bars += svg.rect(x, min(y, BOTTOM - 1.5), wide, max(1.5, BOTTOM - y))
    layers += svg.group("dead", bars)
    label = "no attempts ended"
    ends: list[LineEnd] = []
    if steps:
        label = (
            f"completed {rate(done[-1][1])} at the end, {rate(_peak(done))} at most; "
            f"failed {rate(failed[-1][1])} at the end, {rate(_peak(failed))} at most"
        )
        ends = [LineEnd(up.y(done[-1][1]), "completed", "completed")]
        if any(value for _, value in failed):
            ends.append(LineEnd(down.y(failed[-1][1]) - 4, "dead", "failed"))
    return Chart(
        picture=plot(
            name, frame, layers, label=label, ends=ends, floors=(FINISHED_FLOOR,),
            scale=(*up.lines[-2:], *down.lines[-1:]),
        ),
        head=("until", "completed", "failed"),
        rows=tuple(
            (frame.said(each.until), rate(each.completed / each.seconds), rate(each.failed / each.seconds))
            for each in _few(steps)
        ),
    )  # fmt: skip


@attrs.frozen(kw_only=True)
class WaitStep:
    """How long attempts that ended in some time had waited for their start."""

    since: dt.datetime
    until: dt.datetime
    wait: Percentiles
    attempts: int


def waits(
    name: str,
    frame: TimeFrame,
    steps: Sequence[WaitStep],
    *,
    goal: float | None = None,
    oldest: Sequence[ChartStep] = (),
) -> Chart:
    """Draw how long tasks waited for their start: p50, p95 and p99 on a logarithmic scale.

    `goal` is the target, seconds. `oldest` are steps of a series: how old the oldest pending task was is drawn of
    them as a thin line.
    """
    inside = [each for each in steps if each.until > frame.since]
    ages = [each.states.oldest_pending_age for each in oldest]
    values = [each for one in inside for each in (one.wait.p50, one.wait.p99)] + ages
    known = [max(value, 0.001) for value in (*values, goal or 0.0) if value > 0]
    scale = scales.durations(min(known, default=0.01), max(known, default=1.0), 6.0, BOTTOM)
    layers, ends = _wait_lines(frame, inside, scale)
    if oldest:
        for run in runs_of(each for each in oldest if each.states.oldest_pending_age):
            points = _across(frame, run, lambda step: scale.y(step.states.oldest_pending_age))
            layers = svg.group("plain", svg.stroke(points, "stroke thin")) + layers
        if ages[-1]:
            ends.append(LineEnd(scale.y(ages[-1]), "plain", f"oldest {duration(ages[-1])}"))
    said = ", ".join(end.text for end in ends)
    return Chart(
        picture=plot(
            name, frame, layers, scale=scale.lines, ends=ends,
            label=f"waiting for the start: {said}" if said else "no attempt ended",
            goal=(scale.y(goal), f"target {duration(goal)}") if goal else None,
        ),
        head=("until", "attempts", "p50", "p95", "p99"),
        rows=tuple(
            (
                frame.said(each.until), count(each.attempts),
                *map(duration, (each.wait.p50, each.wait.p95, each.wait.p99)),
            )
            for each in inside[-ROWS_SHOWN:]
        ),
    )  # fmt: skip


def _wait_lines(
    frame: TimeFrame, steps: Sequence[WaitStep], scale: scales.Scale
) -> tuple[str, list[LineEnd]]:
    layers = ""
    for run in _touching(steps):
        low, middle, high = (_over(frame, run, scale, share) for share in ("p50", "p95", "p99"))
        layers += svg.group(
            "pending",
            svg.fill(svg.band(high, low), "soft") + svg.fill(svg.band(middle, low))
            + svg.stroke(high, "stroke thin") + svg.stroke(middle) + svg.stroke(low),
        )  # fmt: skip
    if not steps:
        return layers, []
    last = steps[-1].wait
    named = (("p99", last.p99), ("p95", last.p95), ("p50", last.p50))
    return layers, [
        LineEnd(scale.y(value), "pending", f"{n} {duration(value)}") for n, value in named
    ]


def _touching(steps: Sequence[WaitStep]) -> list[list[WaitStep]]:
    runs: list[list[WaitStep]] = []
    for step in steps:
        if not runs or step.since > runs[-1][-1].until:
            runs.append([])
        runs[-1].append(step)
    return runs


def _over(
    frame: TimeFrame, run: Sequence[WaitStep], scale: scales.Scale, share: str
) -> list[svg.LinePoint]:
    """Return a point in the middle of each step, and one at each end of the run."""
    pixels = [scale.y(getattr(each.wait, share)) for each in run]
    middles = [frame.x(each.since + (each.until - each.since) / 2) for each in run]
    return [
        (frame.x(run[0].since), pixels[0]),
        *zip(middles, pixels, strict=True),
        (frame.x(run[-1].until), pixels[-1]),
    ]


def depths(name: str, frame: TimeFrame, steps: Sequence[ChartStep]) -> Chart:
    """Draw how many tasks waited, the states on top of each other."""
    there = [s for s in STACKED if any(getattr(step.states, s) for step in steps)]
    sums = {step: _sums(step, there) for step in steps}
    peak = max((each[-1] for each in sums.values()), default=0.0)
    scale = scales.whole(peak * 1.06 if peak >= 3 else peak, 6.0, BOTTOM)
    layers = ""
    for n, state in enumerate(there):
        for run in runs_of(steps):
            upper = [(x, scale.y(sums[step][n + 1])) for x, step in _places(frame, run)]
            lower = [(x, scale.y(sums[step][n])) for x, step in _places(frame, run)]
            drawn = svg.fill(svg.band(upper, lower)) + svg.stroke(upper, "stroke thin")
            layers += svg.group(state, drawn)
    ends: list[LineEnd] = []
    if steps:
        last = sums[steps[-1]]
        for n, state in enumerate(there):
            if value := getattr(steps[-1].states, state):
                ends.append(
                    LineEnd(
                        (scale.y(last[n]) + scale.y(last[n + 1])) / 2,
                        state,
                        f"{state} {count(value)}",
                    )
                )
    said = ", ".join(each.text for each in ends)
    return Chart(
        picture=plot(
            name, frame, layers, scale=scale.lines, ends=ends,
            label=f"tasks that wait: {said}" if said else "no task waits",
        ),
        head=("until", *there),
        rows=tuple(
            (frame.said(each.until), *(count(getattr(each.states, state)) for state in there))
            for each in _few(steps)
        ),
    )  # fmt: skip


def _sums(step: ChartStep, states: Sequence[str]) -> list[float]:
    sums = [0.0]
    for state in states:
        sums.append(sums[-1] + getattr(step.states, state))
    return sums


def slots_used(
    name: str,
    frame: TimeFrame,
    steps: Sequence[ChartStep],
    slots: Sequence[tuple[dt.datetime, int]],
) -> Chart:
    """Draw how many tasks were active, and how many slots there were from each of some instants on."""
    peak = max([each.states.active for each in steps] + [total for _, total in slots], default=0)
    scale = scales.whole(peak * 1.1 if peak >= 3 else peak, 6.0, BOTTOM)
    layers = ""
    for run in runs_of(steps):
        points = _across(frame, run, lambda step: scale.y(step.states.active))
        layers += svg.group("active", svg.fill(svg.ground(points, BOTTOM)) + svg.stroke(points))
    ends: list[LineEnd] = []
    if steps:
        used = steps[-1].states.active
        ends.append(LineEnd(scale.y(used), "active", f"{count(used)} in use"))
    if slots:
        corners: list[svg.LinePoint] = []
        for at, total in slots:
            corners += [(frame.x(at), corners[-1][1])] if corners else []
            corners.append((frame.x(at), scale.y(total)))
        corners.append((frame.x(frame.until), corners[-1][1]))
        layers += svg.group("plain", svg.stroke(corners))
        ends.append(LineEnd(corners[-1][1], "plain", counted(slots[-1][1], "slot")))
    said = " of ".join(each.text for each in ends)
    return Chart(
        picture=plot(
            name, frame, layers, scale=scale.lines, ends=ends,
            label=said or "no slot was in use",
        ),
        head=("until", "in use", "slots"),
        rows=tuple(
            (frame.said(each.until), count(each.states.active), _slots_at(slots, each.until))
            for each in _few(steps)
        ),
    )  # fmt: skip


def _slots_at(slots: Sequence[tuple[dt.datetime, int]], at: dt.datetime) -> str:
    before = [total for since, total in slots if since <= at]
    return count(before[-1]) if before else "–"


def by_hour(
    name: str,
    frame: TimeFrame,
    bars: Sequence[tuple[dt.datetime, dt.datetime, int]],
    *,
    ink: str = "dead",
    what: str = "failures",
    height: float = 64.0,
) -> Chart:
    """Draw how often something happened as bars, each from an instant to another."""  # fmt: skip
    peak = max((value for _, _, value in bars), default=0)
    scale = scales.whole(peak * 1.1 if peak >= 3 else peak, 6.0, height - 1)
    drawn = ""
    for since, until, value in bars:
        if value and until > frame.since:
            x = frame.x(since)
            wide = max(2.0, (frame.x(until) - x) * 0.8)
            top = min(scale.y(value), height - 2.5)
            drawn += svg.rect(x, top, wide, height - 1 - top)
    total = sum(value for _, _, value in bars)
    return Chart(
        picture=plot(
            name, frame, svg.group(ink, drawn), scale=scale.lines[-1:], height=height, gutter=32,
            label=f"{count(total)} {what}, {count(peak)} at most in a bar" if total else f"no {what}",
        ),
        head=("since", what),
        rows=tuple((frame.said(since), count(value)) for since, _, value in bars[-48:]),
    )  # fmt: skip


def _peak(values: Sequence[tuple[ChartStep, float]]) -> float:
    return max((value for _, value in values), default=0.0)


def _across(
    frame: TimeFrame, run: Sequence[ChartStep], y: Callable[[ChartStep], float]
) -> list[svg.LinePoint]:
    """Return a point at the end of each step."""
    return [(x, y(step)) for x, step in _places(frame, run)]


def _places(frame: TimeFrame, run: Sequence[ChartStep]) -> list[tuple[float, ChartStep]]:
    """Return the place of each step, its end; a run of one step has one at its beginning too."""
    places = [(frame.x(each.until), each) for each in run]
    return places if len(places) > 1 else [(frame.x(run[0].since), run[0]), *places]


def _few(steps: Sequence[ChartStep]) -> list[ChartStep]:
    """Return steps for a table, put together until they are few, the last one whole."""
    each = max(1, -(-len(steps) // ROWS_SHOWN))
    found: list[ChartStep] = []
    for end in range(len(steps), 0, -each):
        some = steps[max(0, end - each) : end]
        found.append(attrs.evolve(
            some[-1], since=some[0].since,
            **{name: sum(getattr(one, name) for one in some) for name in SUMMED_COUNTS},
        ))  # fmt: skip
    return found[::-1]
