"""How far back charts go, and the frame that they share."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence

import attrs

from rediq_trio.observe.type_steps import NO_ATTEMPTS, TYPES_STEP, AttemptCounts, TypeSteps
from rediq_trio.values.observed.audit import Mark
from rediq_trio.values.observed.series import Series
from rediq_trio.web.drawing.charts import WaitStep
from rediq_trio.web.drawing.plot import TimeFrame
from rediq_trio.web.drawing.steps import STEPS_DRAWN
from rediq_trio.web.site.page import Visit


@attrs.frozen
class Span:
    """How far back charts go."""

    key: str
    """What stands in URLs."""
    words: str
    length: dt.timedelta

    @property
    def last(self) -> str:
        """How it is said: "last hour"."""
        return "last hour" if self.key == "1h" else f"last {self.words}"


SPANS = (
    Span("15m", "15 min", dt.timedelta(minutes=15)),
    Span("1h", "1 h", dt.timedelta(hours=1)),
    Span("6h", "6 h", dt.timedelta(hours=6)),
    Span("24h", "24 h", dt.timedelta(hours=24)),
    Span("7d", "7 d", dt.timedelta(days=7)),
    Span("30d", "30 d", dt.timedelta(days=30)),
)
HOUR = SPANS[1]


def span_of(visit: Visit) -> Span:
    """Return how far back the visitor wants charts to go: 1 h unless the URL says otherwise."""
    wanted = visit.query.get("span")
    return next((each for each in SPANS if each.key == wanted), HOUR)


def frame_of(
    visit: Visit, span: Span, until: dt.datetime, marks: Iterable[Mark], series: Series
) -> TimeFrame:
    """Return the time that charts show: up to the newest point, or to `until` if there is none of late."""
    newest = series.points[-1].at if series.points else until
    if abs((until - newest).total_seconds()) < max(30.0, series.step * 1.5):
        until = newest
    return TimeFrame(
        since=until - span.length,
        until=until,
        zone=visit.zone,
        marks=tuple((mark.at, mark.text) for mark in marks),
    )


def wait_steps(several: Sequence[TypeSteps], frame: TimeFrame) -> tuple[WaitStep, ...]:
    """Return how long attempts had waited, of some queues together, in few enough steps to be drawn."""
    sums: dict[dt.datetime, AttemptCounts] = {}
    each = (
        max(1, -(-int(frame.length / TYPES_STEP.total_seconds()) // STEPS_DRAWN))
        * TYPES_STEP.total_seconds()
    )
    for one in several:
        for since, counts in one.steps().items():
            at = dt.datetime.fromtimestamp(since.timestamp() // each * each, dt.UTC)
            sums[at] = sums.get(at, NO_ATTEMPTS).plus(counts)
    found: list[WaitStep] = []
    for since, counts in sorted(sums.items()):
        wait = counts.wait
        if wait is not None and since < frame.until:
            until = min(since + dt.timedelta(seconds=each), frame.until)
            found.append(WaitStep(since=since, until=until, wait=wait, attempts=counts.ended))
    return tuple(found)
