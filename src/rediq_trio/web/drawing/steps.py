"""The steps of a chart: the points of series, put together until they are few enough to be drawn."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence

import attrs

from rediq_trio.values.observed.series import Series, SeriesGap, SeriesPoint
from rediq_trio.web.drawing.plot import TimeFrame

STEPS_DRAWN = 90
"""Steps that a chart shows, about."""
ROWS_SHOWN = 24
"""Steps that the table of a chart shows, about."""
SEEN_WITHIN = 3
"""After so many steps without a point at the end of a series, nothing is known of that time."""


@attrs.frozen(kw_only=True)
class ChartStep:
    """What happened in some time, and how it was at its end."""

    since: dt.datetime
    until: dt.datetime
    completed: int = 0
    failed: int = 0
    deaths: int = 0
    enqueued: int = 0
    states: SeriesPoint
    """The point with the most waiting tasks, so that no peak is lost; of the last step, the newest."""

    @property
    def seconds(self) -> float:
        """How long it took."""
        return max(0.001, (self.until - self.since).total_seconds())


def steps_of(series: Series, most: int = STEPS_DRAWN) -> tuple[ChartStep, ...]:
    """Return the points of a series in `most` steps at most, or a few more.

    Steps begin at round instants, so that what is drawn does not change but at its end. One that lies
    in a gap is left out.
    """
    if not series.points:
        return ()
    first, last = series.points[0].at, series.points[-1].at
    each = max(1, -(-int((last - first).total_seconds() / series.step + 1) // most))
    length = each * series.step
    found: list[list[SeriesPoint]] = []
    place = None
    for point in series.points:
        # A point is the end of its step: that of 12:00:00 belongs to what is before.
        at = int((point.at.timestamp() - series.step / 2) // length)
        if at != place:
            found.append([])
            place = at
        found[-1].append(point)
    return tuple(
        _step(points, series.step, newest=n == len(found) - 1) for n, points in enumerate(found)
    )


def _step(points: Sequence[SeriesPoint], length: float, *, newest: bool) -> ChartStep:
    return ChartStep(
        since=points[0].at - dt.timedelta(seconds=length),
        until=points[-1].at,
        completed=sum(each.completed for each in points),
        failed=sum(each.failed for each in points),
        deaths=sum(each.deaths for each in points),
        enqueued=sum(each.enqueued for each in points),
        states=points[-1] if newest else max(points, key=waiting),
    )


def waiting(point: SeriesPoint) -> int:
    """Return the tasks that waited, in any state, at the end of a step."""
    return point.pending + point.scheduled + point.retry + point.blocked + point.grouped


def runs_of(steps: Iterable[ChartStep]) -> list[list[ChartStep]]:
    """Return the steps in runs without a gap between them."""
    runs: list[list[ChartStep]] = []
    for step in steps:
        if not runs or (step.since - runs[-1][-1].until).total_seconds() > 1:
            runs.append([])
        runs[-1].append(step)
    return runs


def gaps_of(series: Series, until: dt.datetime) -> tuple[tuple[dt.datetime, dt.datetime], ...]:
    """Return the times of which a series knows nothing: its holes, and its end if it stopped."""
    gaps: list[tuple[dt.datetime, dt.datetime]] = []
    length = dt.timedelta(seconds=series.step)
    for before, after in zip(series.points, series.points[1:], strict=False):
        if after.at - before.at > length * 1.5:
            gaps.append((before.at, after.at - length))
    if series.points and until - series.points[-1].at > length * SEEN_WITHIN:
        gaps.append((series.points[-1].at, until))
    return tuple(gaps)


CARRIED = 90.0
"""Seconds by which a series may have been read earlier than another of the same sum."""
SUMMED_COUNTS = ("enqueued", "completed", "failed", "deaths")
SUMMED_GAUGES = ("pending", "scheduled", "active", "retry", "blocked", "grouped", "dead")


def sum_series(several: Sequence[Series]) -> Series:
    """Return the sum of the series of some queues, which have the same step.

    Where one of them has no point, the sum is of the others: only where none has, the sum has a gap. The
    oldest of all is the age of the oldest pending task.
    """
    if len(several) == 1:
        return several[0]
    newest = max((each.points[-1].at for each in several if each.points), default=None)
    points: dict[dt.datetime, dict[str, float]] = {}
    for series in several:
        for point in (*series.points, *_carried(series, newest)):
            sums = points.setdefault(
                point.at, dict.fromkeys((*SUMMED_COUNTS, *SUMMED_GAUGES, "oldest_pending_age"), 0)
            )
            for name in (*SUMMED_COUNTS, *SUMMED_GAUGES):
                sums[name] += getattr(point, name)
            sums["oldest_pending_age"] = max(sums["oldest_pending_age"], point.oldest_pending_age)
    step = several[0].step if several else 10.0
    gaps: list[SeriesGap] = sorted(
        (gap for series in several for gap in series.gaps), key=lambda gap: gap.since
    )
    return Series(
        step=step,
        points=tuple(_point(at, points[at]) for at in sorted(points)),
        gaps=tuple(gaps),
    )


def _carried(series: Series, until: dt.datetime | None) -> list[SeriesPoint]:
    """Return points for a series that was read a little earlier than another: nothing happened in them."""
    if until is None or not series.points:
        return []
    last, length = series.points[-1], dt.timedelta(seconds=series.step)
    missing = (until - last.at) / length
    if not 0 < missing * series.step <= max(CARRIED, series.step * 1.5):
        return []
    nothing = dict.fromkeys(SUMMED_COUNTS, 0)
    return [
        attrs.evolve(last, at=last.at + length * n, **nothing) for n in range(1, round(missing) + 1)
    ]


def _point(at: dt.datetime, sums: dict[str, float]) -> SeriesPoint:
    whole = {name: int(sums[name]) for name in (*SUMMED_COUNTS, *SUMMED_GAUGES)}
    return SeriesPoint(at=at, oldest_pending_age=sums["oldest_pending_age"], **whole)


def with_gaps(frame: TimeFrame, series: Series) -> TimeFrame:
    """Return the frame with the gaps of a series."""
    return attrs.evolve(frame, gaps=gaps_of(series, frame.until))
