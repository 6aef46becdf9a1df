"""Which types of a queue fail more than they did in a day, read of queues that fail only.

Only of a queue in which attempts failed of late the last minutes are read, in one call for each
partition. Where a type failed often in them, the day is read too; and all again a minute later at the
earliest.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import attrs

from rediq_trio.client import Client
from rediq_trio.observe.recent import LATELY, Recent
from rediq_trio.tasks.for_each import try_each
from rediq_trio.values.observed.types import TypeStats

A_DAY = dt.timedelta(hours=24)
TYPE_FAILURES_LEAST = 5
"""Failures of a queue, and of a type, in the last minutes below which it is not looked at."""
READ_AGAIN = 60.0
"""Seconds for which what was read counts."""


@attrs.frozen(kw_only=True)
class TypeView:
    """A type of a queue that failed in the last minutes."""

    recent: TypeStats
    """Its attempts of the last 10 minutes, to 5 minutes more."""
    day: TypeStats
    """Its attempts of the last 24 hours, those of the last minutes included."""


@attrs.frozen(kw_only=True)
class FailingTypes:
    """The types of a queue that failed in the last minutes, with when that was read."""

    at: dt.datetime
    types: tuple[TypeView, ...] = ()
    """Those that failed 5 times or more, the busiest first."""


async def read_failing(
    client: Client,
    at: dt.datetime,
    recent: Mapping[str, Recent],
    before: Mapping[str, FailingTypes],
) -> dict[str, FailingTypes]:
    """Return the failing types of each queue in which enough attempts failed in the last minutes.

    `before` is what was found by an earlier call; a queue that cannot be read is left out.
    """
    failing = [name for name, one in recent.items() if one.failed >= TYPE_FAILURES_LEAST]
    found = {
        name: before[name]
        for name in failing
        if name in before and (at - before[name].at).total_seconds() < READ_AGAIN
    }
    read, _ = await try_each(
        [name for name in failing if name not in found], lambda name: _read(client, name)
    )
    return found | {name: FailingTypes(at=at, types=types) for name, types in read.items()}


async def _read(client: Client, name: str) -> tuple[TypeView, ...]:
    queue = client.queue(name)
    recent = [one for one in await queue.types(LATELY) if one.failures >= TYPE_FAILURES_LEAST]
    if not recent:
        return ()
    day = {one.type: one for one in await queue.types(A_DAY)}
    return tuple(TypeView(recent=one, day=day.get(one.type, one)) for one in recent)
