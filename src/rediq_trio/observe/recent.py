"""What happened of late, read for few queues at a time and kept from one view to the next.

A queue in which no attempt failed and no task died costs no call. Of the others at most `RECENT_READ_AT_ONCE`
are read for one view, those first whose numbers are oldest, and none more often than every `RECENT_KEPT`
seconds.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import attrs

from rediq_trio._errors import RediqError
from rediq_trio.client import Client
from rediq_trio.store.port import ServerMemory
from rediq_trio.tasks.for_each import try_each
from rediq_trio.values.bounds import MISSED_AFTER
from rediq_trio.values.observed.failure_kind import FailureKind
from rediq_trio.values.observed.series import SeriesGap, SeriesPoint
from rediq_trio.values.task import QueueStats

if TYPE_CHECKING:
    from rediq_trio.schedules.admin import ScheduleInfo  # only what looks at schedules loads them

LATELY = dt.timedelta(minutes=10)
"""The time in which attempts and deaths are counted."""
NEW = dt.timedelta(hours=1)
"""How long a kind of failure is new."""
RECENT_KEPT = dt.timedelta(seconds=10)
"""How long numbers are kept: series have a step of 10 s."""
RECENT_READ_AT_ONCE = 100
"""Queues that are read for one view."""
EARLIEST = dt.datetime.min.replace(tzinfo=dt.UTC)


@attrs.frozen(kw_only=True)
class Recent:
    """What happened of late in one queue."""

    at: dt.datetime
    """When it was read, by the store's clock."""
    ended: int
    """Attempts that completed or failed in the last 10 minutes."""
    failed: int
    """Those of them that failed."""
    deaths: int
    """Tasks that went to dead in the last 10 minutes."""
    new_kinds: tuple[FailureKind, ...] = attrs.field(repr=False)
    """The kinds of failure that were first seen within the hour, the one that was seen last first."""
    totals: tuple[int, int] = attrs.field(repr=False)
    """The failed attempts and dead tasks that the queue had counted when it was read."""

    @classmethod
    def nothing(cls, at: dt.datetime) -> Recent:
        """Return what there is to say of a queue in which nothing failed or died."""
        return cls(at=at, ended=0, failed=0, deaths=0, new_kinds=(), totals=(0, 0))


@attrs.frozen(kw_only=True)
class Checked:
    """What is read of all queues together, and of the servers."""

    at: dt.datetime
    """When it was read, by the store's clock."""
    overdue: tuple[ScheduleInfo, ...] | None = None
    """The schedules whose tick is overdue by a minute or more, ordered by name; None if not known."""
    memory: tuple[ServerMemory, ...] | None = None
    """The memory of each server, none for `memory://`; None if not known."""
    unknown: Mapping[str, str] = MappingProxyType({})
    """Why a rule has nothing to judge by, by the rule's name."""


Unknown = dict[str, str]


async def read_recent(
    client: Client, stats: Mapping[str, QueueStats], before: Mapping[str, Recent], at: dt.datetime
) -> tuple[dict[str, Recent], Unknown]:
    """Return what happened of late in these queues, and why that of some is not known."""
    found: dict[str, Recent] = {}
    wanted: list[str] = []
    for name, one in stats.items():
        if (known := _known(one, before.get(name), at)) is not None:
            found[name] = known
        else:
            wanted.append(name)
    wanted.sort(key=lambda name: before[name].at if name in before else EARLIEST)
    now, later = wanted[:RECENT_READ_AT_ONCE], wanted[RECENT_READ_AT_ONCE:]
    read, failures = await try_each(now, lambda name: _read(client, name, stats[name], at))
    found |= read
    found |= {name: _aged(before[name], at) for name in later if name in before}
    unread = [name for name in later if name not in before]
    unknown: Unknown = {}
    if failures:
        unknown = _unknown_of(next(iter(failures.values())))
    elif unread:
        unknown = dict.fromkeys(
            ("dead-growing", "new-failure"),
            f"{len(unread)} queues more were not read yet: {RECENT_READ_AT_ONCE} are for one view",
        )
    return found, unknown


def _unknown_of(error: RediqError) -> Unknown:
    return dict.fromkeys(("dead-growing", "new-failure", "failing"), _line(error))


def _known(stats: QueueStats, before: Recent | None, at: dt.datetime) -> Recent | None:
    """Return what is known without reading; None if it has to be read."""
    totals = stats.failed_total, stats.dead_total
    aims = stats.targets.failures is not None
    if totals == (0, 0) and not aims:
        return Recent.nothing(at)
    if before is None:
        return None
    quiet = not aims and totals == before.totals and not before.failed and not before.deaths
    return _aged(before, at) if quiet or at - before.at < RECENT_KEPT else None


def _aged(recent: Recent, at: dt.datetime) -> Recent:
    """Return it without the kinds that are not new any more."""
    return attrs.evolve(recent, new_kinds=_new(recent.new_kinds, at))


def _new(kinds: tuple[FailureKind, ...], at: dt.datetime) -> tuple[FailureKind, ...]:
    return tuple(kind for kind in kinds if at - kind.first_seen < NEW)


async def _read(client: Client, name: str, stats: QueueStats, at: dt.datetime) -> Recent:
    queue = client.queue(name)
    series = await queue.series(LATELY)
    kinds = await queue.failures() if stats.failed_total else ()
    parts: list[SeriesPoint | SeriesGap] = [*series.points, *series.gaps]
    failed = sum(part.failed for part in parts)
    return Recent(
        at=at,
        ended=failed + sum(part.completed for part in parts),
        failed=failed,
        deaths=sum(part.deaths for part in parts),
        new_kinds=_new(kinds, at),
        totals=(stats.failed_total, stats.dead_total),
    )


async def read_checked(client: Client, before: Checked | None, at: dt.datetime) -> Checked:
    """Return the schedules that are overdue and the memory of the servers, or what is kept of them."""
    if before is not None and at - before.at < RECENT_KEPT:
        return before
    unknown: Unknown = {}
    overdue = memory = None
    try:
        overdue = _overdue(await client.schedules().list(), at)
    except RediqError as error:
        unknown["missed-tick"] = _line(error)
    try:
        memory = await client._patient_store.server_memory()
    except RediqError as error:
        unknown["memory"] = _line(error)
    return Checked(at=at, overdue=overdue, memory=memory, unknown=MappingProxyType(unknown))


def _overdue(schedules: list[ScheduleInfo], at: dt.datetime) -> tuple[ScheduleInfo, ...]:
    missed = at - dt.timedelta(seconds=MISSED_AFTER)
    return tuple(
        each for each in schedules
        if not each.paused and each.next_run is not None and each.next_run < missed
    )  # fmt: skip


def _line(error: RediqError) -> str:
    return " ".join(str(error).split())
