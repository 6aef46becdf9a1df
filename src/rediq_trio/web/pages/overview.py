"""The overview: what is wrong, how it has gone, the queues, what fails anew, and what runs longest."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import attrs

from rediq_trio.observe.alerts import Alert, Severity, alerts_of
from rediq_trio.observe.views import FleetView
from rediq_trio.observe.words import counted, relative
from rediq_trio.values.observed.failure_kind import FailureKind
from rediq_trio.values.observed.workers import RunningTask
from rediq_trio.web.drawing.small import spark
from rediq_trio.web.fleet_parts.chart_sets import (
    chart_data,
    depths_chart,
    rates_chart,
    slots_chart,
    waits_chart,
)
from rediq_trio.web.fleet_parts.kind_hours import hours_of
from rediq_trio.web.fleet_parts.memory import GoneWorker
from rediq_trio.web.fleet_parts.queue_table import queue_rows, sorted_rows
from rediq_trio.web.fleet_parts.readings import (
    read_all_kinds,
    read_all_marks,
    read_all_series,
    read_all_types,
    read_task_info,
    readings_of,
    seen,
)
from rediq_trio.web.fleet_parts.spans import HOUR, SPANS, span_of
from rediq_trio.web.site.page import Act, Page, Shown, Visit

QUEUES_SHOWN = 20
ALERTS_SHOWN = 5
KINDS_SHOWN, LONGEST_SHOWN = 5, 5
NEW_KIND = dt.timedelta(hours=1)
LONG_RUNNING = dt.timedelta(seconds=20)
"""An attempt that has run for so long is worth asking for its timeout."""


@attrs.frozen
class AlertGroup:
    """What is wrong with one queue, worker or server: a line."""

    first: Alert
    more: tuple[Alert, ...] = ()

    @property
    def next_step(self) -> str:
        """The first thing to do about the first of them."""
        return self.first.next_step.partition(";")[0]

    @property
    def bad(self) -> bool:
        """Whether the first of them is critical."""
        return self.first.severity is Severity.CRITICAL


def alert_groups(alerts: Sequence[Alert]) -> list[AlertGroup]:
    """Return the alerts by what they are about, the most severe first."""
    found: dict[str, list[Alert]] = {}
    for each in alerts:
        found.setdefault(each.subject, []).append(each)
    return [AlertGroup(some[0], tuple(some[1:])) for some in found.values()]


@attrs.frozen(kw_only=True)
class RunningRow:
    """An attempt that runs, as a row."""

    task: RunningTask
    worker: str
    instance: str
    seconds: float
    timeout: float | None = None
    """Seconds that it may run; None if it is not known."""
    message: str = ""

    @property
    def ink(self) -> str:
        """The state in whose ink its time is: that of a retry if it is nearly over."""
        return "retry ink" if self.timeout and self.seconds > 0.9 * self.timeout else ""


async def show(visit: Visit) -> Shown:
    """Show the whole fleet on one page, or how to begin if there is nothing yet."""
    view = await seen(visit)
    if not view.queues and not view.workers and not view.unread:
        if view.away is None:
            return Shown(template="start.html", title="Nothing yet", nav="/")
        return Shown(template="overview.html", title="Overview", nav="/", values=_empty(visit))
    span, alerts = span_of(visit), alerts_of(view)
    names = [each.name for each in view.queues]
    series = await read_all_series(visit, view, names, span.length)
    types = await read_all_types(visit, view, names, span.length)
    table_types = (
        types
        if span.length <= HOUR.length
        else await read_all_types(visit, view, names, HOUR.length)
    )
    data = chart_data(
        visit,
        view,
        span,
        list(series.values()),
        list(types.values()),
        await read_all_marks(visit, view),
    )
    sort, rows = sorted_rows(
        queue_rows(view, alerts, series, table_types), visit.query.get("sort") or "trouble"
    )
    kinds = await read_all_kinds(visit, view)
    values = {
        "groups": alert_groups(alerts),
        "view": view,
        "alerts_shown": 1000 if visit.query.get("alerts") == "all" else ALERTS_SHOWN,
        "nobody": _nobody(view, alerts, readings_of(visit).memory.gone(visit.now)),
        "spans": SPANS,
        "span": span,
        "charts": [
            rates_chart(data),
            waits_chart(data),
            depths_chart(data, view, names),
            slots_chart(data, view, readings_of(visit).memory.slots),
        ],
        "rows": rows[:QUEUES_SHOWN],
        "rows_of": len(rows),
        "sort": sort,
        "kinds": [_kind(visit, *each) for each in kinds[:KINDS_SHOWN]],
        "kinds_of": len(kinds),
        "running": await longest(visit, view, LONGEST_SHOWN),
        "running_of": sum(each.running for each in view.workers),
    }
    return Shown(template="overview.html", title="Overview", nav="/", values=values)


def _empty(visit: Visit) -> dict[str, object]:
    """Return what is shown while Redis is away and was never read."""
    return {
        "groups": (), "alerts_shown": 5, "nobody": "", "spans": SPANS, "span": span_of(visit),
        "charts": [], "rows": [], "rows_of": 0, "sort": "trouble", "kinds": [], "kinds_of": 0,
        "running": [], "running_of": 0,
    }  # fmt: skip


def _nobody(view: FleetView, alerts: Sequence[Alert], gone: Sequence[GoneWorker]) -> str:
    """Return what is said if no worker is alive at all; "" otherwise."""
    if view.workers or view.away is not None:
        return ""
    tasks = sum(each.waiting for each in view.queues)
    since = ""
    if gone:
        since = f" The last heartbeat of one was {relative(gone[0].info.last_heartbeat, view.at)}."
    return f"No worker is alive, and {counted(tasks, 'task waits', 'tasks wait')}.{since}"


def _kind(visit: Visit, queue: str, kind: FailureKind) -> dict[str, object]:
    message = visit.hide(kind.message, "error") if kind.message is not None else ""
    new = visit.now - kind.first_seen < NEW_KIND
    return {
        "queue": queue,
        "kind": kind,
        "message": message,
        "new": new,
        "hours": spark(hours_of(kind, visit.now), "dead" if new else "plain", width=88, bars=True),
    }


async def longest(visit: Visit, view: FleetView, most: int) -> list[RunningRow]:
    """Return the attempts that have run longest, of all workers."""
    running = [
        RunningRow(
            task=task,
            worker=worker.id,
            instance=worker.instance or worker.id,
            seconds=max(0.0, (view.at - task.since).total_seconds()),
        )
        for worker in view.workers
        for task in worker.running_tasks or ()
    ]
    running.sort(key=lambda each: (-each.seconds, each.task.id))
    return [await _described(visit, view, each) for each in running[:most]]


async def _described(visit: Visit, view: FleetView, row: RunningRow) -> RunningRow:
    if row.seconds < LONG_RUNNING.total_seconds():
        return row
    info = await read_task_info(visit, view, row.task.id)
    if info is None:
        return row
    progress = info.progress.message if info.progress is not None else None
    said = visit.hide(progress, "result") if progress else ""
    return attrs.evolve(row, timeout=info.timeout, message=str(said or ""))


PAGES: tuple[Page, ...] = (Page("/", show),)
ACTS: tuple[Act, ...] = ()
