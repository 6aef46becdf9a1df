"""Views: frozen values of what a fleet looks like, each with the instant at which it was true."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import attrs

from rediq_trio._errors import RediqError
from rediq_trio.admin.overview import read_overview
from rediq_trio.client import Client
from rediq_trio.observe.recent import Checked, Recent, read_checked, read_recent
from rediq_trio.observe.types import FailingTypes, read_failing
from rediq_trio.observe.words import duration
from rediq_trio.spec.lifecycle import WAITING, State
from rediq_trio.tasks.for_each import try_each
from rediq_trio.values.chance import utc_now
from rediq_trio.values.observed.series import Series
from rediq_trio.values.task import QueueStats, WorkerInfo

FAILURES_LEAST = 20
"""Ended attempts below which a share says nothing."""
RATE_OVER = 60.0
"""Seconds over which a rate is averaged, or one step."""
TREND_OVER = 300.0
"""Seconds over which it is judged whether a queue drains."""
QUICK = 5.0
"""A queue whose pending tasks are done within so many seconds is not judged by its trend."""


@attrs.frozen(kw_only=True)
class QueueView:
    """One queue, as it was read.

    Its counts and totals are of one instant if it has pending tasks or is paused, each partition by
    itself. Those of other queues are read as `Client.overview` does: a task that moves meanwhile may be
    counted twice, or not at all.
    """

    name: str
    at: dt.datetime
    """When it was read."""
    stats: QueueStats
    workers: tuple[str, ...]
    """Ids of the live workers that serve it, without those that are quiet."""
    rate: float | None = None
    """Completed tasks in a second since the view before; None for the first."""
    failures: float | None = None
    """The share of the attempts that ended in the last 10 minutes and failed; None for a queue without
    a target for it, and where fewer than 20 ended."""
    recent: Recent | None = None
    """What happened of late; None if it is not known."""
    failing: FailingTypes | None = None
    """Its types that failed in the last minutes; None where too few attempts did to look at them."""

    @property
    def waiting(self) -> int:
        """Tasks that will run without a person's doing, and do not run yet."""
        return sum(getattr(self.stats, state.value) for state in WAITING)

    @property
    def tasks(self) -> int:
        """Tasks in all states."""
        return sum(getattr(self.stats, state.value) for state in State)


@attrs.frozen(kw_only=True)
class FleetView:
    """All queues and workers at one instant."""

    at: dt.datetime
    """When reading began, by this process's clock."""
    queues: tuple[QueueView, ...] = ()
    """By name."""
    workers: tuple[WorkerInfo, ...] = ()
    """By id."""
    unread: Mapping[str, str] = MappingProxyType({})
    """Why a queue could not be read, by its name."""
    checked: Checked | None = None
    """Schedules and servers; None in a view of some queues."""
    unknown: Mapping[str, str] = MappingProxyType({})
    """Why a rule of alerts has nothing to judge by in some part of the view, by the rule's name."""
    away: str | None = None
    """Why nothing could be read: the other fields are then those of the last view."""

    @classmethod
    def empty(cls) -> FleetView:
        """Return a view of nothing, read now."""
        return cls(at=utc_now())

    def queue(self, name: str) -> QueueView | None:
        """Return the view of a queue; None if there is none of that name."""
        return next((each for each in self.queues if each.name == name), None)


async def look(
    client: Client, names: Sequence[str] | None = None, *, before: FleetView | None = None
) -> FleetView:
    """Read all queues, or those of these names, and the workers, at the same time.

    However many queues there are, their counts are a few calls; only those with pending tasks, those
    that are paused, and those in which something failed of late are read by themselves. Schedules and
    the memory of servers are read with all queues. `before` is an earlier view, from which the rates
    are known and what need not be read again. A queue that cannot be read is in `unread`. Raises
    `ConnectionLost` if nothing can be read.
    """
    at = utc_now()
    found = await client.queues() if names is None else list(names)
    workers = tuple(await client.workers())
    stats, failures, there = await _all_stats(client, found)
    if failures and not stats:
        raise failures[next(iter(failures))]
    last = {} if before is None else {each.name: each for each in before.queues}
    kept = {name: each.recent for name, each in last.items() if each.recent is not None}
    recent, unknown = await read_recent(client, stats, kept, there or at)
    checked = None
    if names is None:
        last_checked = None if before is None else before.checked
        checked = await read_checked(client, last_checked, there or at)
        unknown |= checked.unknown
    known = {name: each.failing for name, each in last.items() if each.failing is not None}
    failing = await read_failing(client, at, recent, known)
    queues = tuple(
        attrs.evolve(
            _queue_view(name, at, stats[name], workers, last.get(name), recent.get(name)),
            failing=failing.get(name),
        )
        for name in found
        if name in stats
    )
    return FleetView(
        at=at,
        queues=queues,
        workers=workers,
        checked=checked,
        unread=MappingProxyType(
            {name: " ".join(str(error).split()) for name, error in failures.items()}
        ),
        unknown=MappingProxyType(unknown),
    )


async def _all_stats(
    client: Client, names: Sequence[str]
) -> tuple[dict[str, QueueStats], dict[str, RediqError], dt.datetime | None]:
    """Return the numbers of each queue, why some have none, and the time by the store's clock."""
    try:
        # Without patience: the queues that answer are read one by one if not all do.
        overview = await read_overview(client._store, names)
    except RediqError:
        stats, failures = await try_each(names, lambda name: client.queue(name).stats())
        return stats, failures, None
    counts = overview.queues
    wanted = [name for name, one in counts.items() if one.pending or one.paused]
    stats, failures = await try_each(wanted, lambda name: client.queue(name).stats())
    for name, one in counts.items():
        if name not in failures and name not in stats:
            stats[name] = QueueStats(**attrs.asdict(one, recurse=False))
    return stats, failures, overview.at


def _queue_view(
    name: str,
    at: dt.datetime,
    stats: QueueStats,
    workers: Sequence[WorkerInfo],
    last: QueueView | None,
    recent: Recent | None,
) -> QueueView:
    serving = tuple(w.id for w in workers if name in w.queues and w.state != "quiet")
    rate = failures = None
    if last is not None and (elapsed := (at - last.at).total_seconds()) > 0:
        rate = max(0, stats.completed_total - last.stats.completed_total) / elapsed
    aims = stats.targets.failures is not None
    if aims and recent is not None and recent.ended >= FAILURES_LEAST:
        failures = recent.failed / recent.ended
    return QueueView(
        name=name, at=at, stats=stats, workers=serving, rate=rate, failures=failures, recent=recent
    )


def slots_of(view: FleetView, name: str) -> int:
    """Return the slots of all workers that serve a queue, without those that are quiet."""
    serving = [each for each in view.workers if name in each.queues and each.state != "quiet"]
    return sum(each.concurrency for each in serving)


def rate_of(series: Series | None, queue: QueueView) -> float:
    """Return the tasks completed in a second, over the last minute or step."""
    if series is None or not series.points:
        return queue.rate or 0.0
    last = series.points[-max(1, round(RATE_OVER / series.step)) :]
    return sum(each.completed for each in last) / (series.step * len(last))


def drains_in(queue: QueueView, series: Series | None, rate: float) -> str:
    """Return in how long nothing is pending, if all goes on as in the last minutes."""
    stats = queue.stats
    if not stats.pending:
        return "–"
    if stats.paused:
        return "paused"
    if not queue.workers:
        return "never"
    if rate and stats.pending / rate <= QUICK:
        return duration(stats.pending / rate)
    if series is None or len(series.points) < 2:
        return "–"
    last = series.points[-max(2, round(TREND_OVER / series.step)) :]
    seconds = (last[-1].at - last[0].at).total_seconds()
    slope = (last[-1].pending - last[0].pending) / seconds if seconds else 0.0
    if slope >= 0:
        return "grows" if slope * TREND_OVER > max(1.0, stats.pending * 0.02) else "stands"
    return duration(stats.pending / -slope)
