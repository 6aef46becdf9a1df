"""Views: frozen values of what a fleet looks like, each with the instant at which it was true."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import attrs

from rediq_trio.client import Client
from rediq_trio.spec.lifecycle import WAITING, State
from rediq_trio.tasks.for_each import try_each
from rediq_trio.values.observed.series import SeriesGap, SeriesPoint
from rediq_trio.values.task import QueueStats, WorkerInfo

FAILURES_SINCE = dt.timedelta(minutes=10)
"""The time whose attempts are compared with a target."""
FAILURES_LEAST = 20
"""Ended attempts below which a share says nothing."""


@attrs.frozen(kw_only=True)
class QueueView:
    """One queue at one instant."""

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
    away: str | None = None
    """Why nothing could be read: the other fields are then those of the last view."""

    @classmethod
    def empty(cls) -> FleetView:
        """Return a view of nothing, read now."""
        return cls(at=dt.datetime.now(dt.UTC))

    def queue(self, name: str) -> QueueView | None:
        """Return the view of a queue; None if there is none of that name."""
        return next((each for each in self.queues if each.name == name), None)


async def look(
    client: Client, names: Sequence[str] | None = None, *, before: FleetView | None = None
) -> FleetView:
    """Read all queues, or those of these names, and the workers, at the same time.

    `before` is an earlier view, from which the rates are known. A queue that cannot be read is in
    `unread`. Raises `ConnectionLost` if nothing can be read.
    """
    at = dt.datetime.now(dt.UTC)
    found = await client.queues() if names is None else list(names)
    workers = tuple(await client.workers())
    stats, failures = await try_each(found, lambda name: client.queue(name).stats())
    if failures and not stats:
        raise failures[next(iter(failures))]
    failing = await _failures(client, stats)
    queues = tuple(
        attrs.evolve(
            _queue_view(name, at, stats[name], workers, before), failures=failing.get(name)
        )
        for name in found
        if name in stats
    )
    unread = {name: " ".join(str(error).split()) for name, error in failures.items()}
    return FleetView(at=at, queues=queues, workers=workers, unread=MappingProxyType(unread))


async def _failures(client: Client, stats: Mapping[str, QueueStats]) -> dict[str, float]:
    """Return which share of the last attempts failed, of the queues with a target for it."""
    wanted = [name for name, one in stats.items() if one.targets.failures is not None]
    series, _ = await try_each(wanted, lambda name: client.queue(name).series(FAILURES_SINCE))
    shares: dict[str, float] = {}
    for name, one in series.items():
        parts: list[SeriesPoint | SeriesGap] = [*one.points, *one.gaps]
        failed = sum(part.failed for part in parts)
        ended = failed + sum(part.completed for part in parts)
        if ended >= FAILURES_LEAST:
            shares[name] = failed / ended
    return shares


def _queue_view(
    name: str,
    at: dt.datetime,
    stats: QueueStats,
    workers: Sequence[WorkerInfo],
    before: FleetView | None,
) -> QueueView:
    serving = tuple(w.id for w in workers if name in w.queues and w.state != "quiet")
    last = None if before is None else before.queue(name)
    rate = None
    if last is not None and (elapsed := (at - last.at).total_seconds()) > 0:
        rate = max(0, stats.completed_total - last.stats.completed_total) / elapsed
    return QueueView(name=name, at=at, stats=stats, workers=serving, rate=rate)
