"""What pages read beside the shared view: series, types, marks and kinds, once for all visitors.

A reading counts for about one step of its series. While Redis is away the last one is shown, and no call
is made. What is kept is bounded, and ends with the site.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar, cast

import attrs
import trio

from rediq_trio._errors import RediqError
from rediq_trio.observe.type_steps import TypeSteps, read_type_steps
from rediq_trio.observe.views import FleetView
from rediq_trio.tasks.for_each import try_each
from rediq_trio.values.chance import utc_now
from rediq_trio.values.observed.audit import Mark
from rediq_trio.values.observed.failure_kind import FailureKind
from rediq_trio.values.observed.series import Series
from rediq_trio.values.task import TaskInfo
from rediq_trio.web.fleet_parts.memory import FleetMemory
from rediq_trio.web.site.page import Visit

T = TypeVar("T")
READINGS_MAX = 4_000
"""Readings that are kept; then those that were read first go."""
MINUTE = 60.0
TYPES_AGE, MARKS_AGE, KINDS_AGE, INFO_AGE = 10.0, 10.0, 10.0, 10.0
"""Seconds for which types, marks, kinds of failure and running tasks count."""
UNCHANGED_AGE = 60.0
"""Seconds for which the series of a queue in which nothing changed count."""
FINE_SPAN = dt.timedelta(hours=1)
READ_AGAIN_TAIL, TAIL_MAX = dt.timedelta(seconds=30), dt.timedelta(minutes=5)
"""What was read is followed by what is new, with so much of what was known, if it is not older than that."""
TYPES_SPAN = dt.timedelta(hours=24)
"""How far back types are kept."""


@attrs.define(eq=False)
class _Kept:
    value: Any
    read_at: float
    tag: object
    """What it depends on: with another tag it is read again after `age`, with the same later."""


@attrs.define(eq=False)
class Readings:
    """What was read of late, by what it is."""

    memory: FleetMemory = attrs.field(factory=FleetMemory)
    _kept: dict[tuple[object, ...], _Kept] = attrs.field(factory=dict[tuple[object, ...], _Kept])
    _locks: dict[tuple[object, ...], trio.Lock] = attrs.field(
        factory=dict[tuple[object, ...], trio.Lock]
    )
    calls: int = 0
    """How often something was read."""

    async def get(
        self,
        key: tuple[object, ...],
        age: float,
        read: Callable[[], Awaitable[T]],
        *,
        away: bool = False,
        tag: object = None,
        same: float = 0.0,
    ) -> T | None:
        """Return what was read less than `age` seconds ago, or read it; None if it cannot be read.

        If `tag` is that of the reading, it counts for `same` seconds. While Redis is `away`, the last one
        is returned, however old. Visitors who ask at the same time share one reading.
        """
        if (fresh := self._fresh(key, age, tag, same, away)) is not None:
            return cast("T | None", fresh.value)
        if away:
            return None
        lock = self._locks.setdefault(key, trio.Lock())
        try:
            async with lock:
                if (fresh := self._fresh(key, age, tag, same, away)) is not None:
                    return cast("T | None", fresh.value)
                self.calls += 1
                value = await read()
                self._keep(key, _Kept(value, trio.current_time(), tag))
                return value
        except RediqError:
            kept = self._kept.get(key)
            return None if kept is None else cast("T | None", kept.value)
        finally:
            if not lock.locked():
                self._locks.pop(key, None)

    def last(self, key: tuple[object, ...]) -> Any:
        """Return what was read last; None if it was not read."""
        kept = self._kept.get(key)
        return None if kept is None else kept.value

    def _fresh(
        self, key: tuple[object, ...], age: float, tag: object, same: float, away: bool
    ) -> _Kept | None:
        kept = self._kept.get(key)
        if kept is None:
            return None
        counts_for = max(age, same) if tag is not None and tag == kept.tag else age
        return kept if away or trio.current_time() - kept.read_at < counts_for else None

    def _keep(self, key: tuple[object, ...], kept: _Kept) -> None:
        self._kept.pop(key, None)
        self._kept[key] = kept
        while len(self._kept) > READINGS_MAX:
            del self._kept[next(iter(self._kept))]


def readings_of(visit: Visit) -> Readings:
    """Return the readings that all visits of the site share."""
    found = visit.shared.owned.setdefault("readings", Readings())
    assert isinstance(found, Readings)
    return found


async def seen(visit: Visit) -> FleetView:
    """Return the newest view of the fleet, and remember who works in it.

    While Redis is away it is the last one that a page showed, with the reason.
    """
    view, memory = await visit.fleet(), readings_of(visit).memory
    memory.note(view)
    if view.away is not None and memory.view is not None:
        return attrs.evolve(memory.view, away=view.away)
    return view


async def read_all_series(
    visit: Visit, view: FleetView, names: Sequence[str], span: dt.timedelta
) -> dict[str, Series]:
    """Return the series of these queues, for as long as `span` goes back; of those that can be read."""
    readings = readings_of(visit)

    async def read(name: str) -> Series | None:
        queue = view.queue(name)
        tag = None if queue is None else (queue.stats.enqueued, attrs.astuple(queue.stats)[:6])
        step = 10.0 if span <= FINE_SPAN else MINUTE
        key = ("series", name, span)
        return await readings.get(
            key,
            step,
            lambda: _series_again(visit, name, span, readings.last(key)),
            away=view.away is not None,
            tag=tag,
            same=UNCHANGED_AGE,
        )

    found, _ = await try_each(names, read)
    return {name: each for name, each in found.items() if each is not None}


async def _series_again(
    visit: Visit, name: str, span: dt.timedelta, before: Series | None
) -> Series:
    """Read a series; of one that was read of late, only what is new."""
    queue, now = visit.shared.client.queue(name), utc_now()
    tail = before.points[-1].at - READ_AGAIN_TAIL if before is not None and before.points else None
    if before is None or tail is None or span > FINE_SPAN or now - tail > TAIL_MAX:
        return await queue.series(span)
    newer = await queue.series(tail)
    if not newer.points or newer.step != before.step:
        return await queue.series(span)
    first = newer.points[0].at
    until = newer.points[-1].at
    older = (each for each in before.points if until - span < each.at < first)
    return Series(step=newer.step, points=(*older, *newer.points), gaps=newer.gaps)


async def _types_again(
    visit: Visit, name: str, since: dt.timedelta, before: TypeSteps | None
) -> TypeSteps:
    """Read the attempts by type and step; of those that were read of late, only the last steps."""
    client = visit.shared.client
    if before is None or since > FINE_SPAN or utc_now() - before.at > TAIL_MAX:
        return await read_type_steps(client, name, since)
    return before.followed_by(await read_type_steps(client, name, TAIL_MAX), since)


async def read_all_types(
    visit: Visit, view: FleetView, names: Sequence[str], span: dt.timedelta
) -> dict[str, TypeSteps]:
    """Return how the attempts of these queues went, by type and step; of those that can be read."""
    readings = readings_of(visit)
    since = min(span, TYPES_SPAN)

    async def read(name: str) -> TypeSteps | None:
        key = ("types", name, since)
        return await readings.get(
            key,
            TYPES_AGE if since <= FINE_SPAN else MINUTE,
            lambda: _types_again(visit, name, since, readings.last(key)),
            away=view.away is not None,
        )

    found, _ = await try_each(names, read)
    return {name: each for name, each in found.items() if each is not None}


async def read_all_marks(visit: Visit, view: FleetView) -> tuple[Mark, ...]:
    """Return the last marks, the newest first."""
    found = await readings_of(visit).get(
        ("marks",), MARKS_AGE, visit.shared.client.marks, away=view.away is not None
    )
    return found or ()


async def read_all_kinds(visit: Visit, view: FleetView) -> list[tuple[str, FailureKind]]:
    """Return the kinds of failure of all queues, each with its queue, the one that is newest first."""
    readings = readings_of(visit)
    failed = {each.name: each.stats.failed_total for each in view.queues if each.stats.failed_total}

    async def read(name: str) -> tuple[FailureKind, ...] | None:
        return await readings.get(
            ("kinds", name),
            KINDS_AGE,
            visit.shared.client.queue(name).failures,
            away=view.away is not None,
            tag=failed[name],
            same=UNCHANGED_AGE,
        )

    found, _ = await try_each(list(failed), read)
    kinds = [(name, kind) for name, some in found.items() for kind in some or ()]
    return sorted(kinds, key=lambda each: each[1].first_seen, reverse=True)


async def read_task_info(visit: Visit, view: FleetView, task_id: str) -> TaskInfo | None:
    """Return what is known of a running task; None if it is gone or cannot be read."""
    return await readings_of(visit).get(
        ("task", task_id),
        INFO_AGE,
        visit.shared.client.task(task_id).info,
        away=view.away is not None,
    )
