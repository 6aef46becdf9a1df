"""The ticker: makes the tasks of a queue's schedules whose ticks are due.

Any number may tick the same queue: the store lets the first one win each tick, and the
others look again. What is due is reckoned from the store's clock, never from this one's.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from rediq_trio._errors import ConfigError, PayloadError
from rediq_trio.schedules.declare import make_task, read_times
from rediq_trio.spec.records import Due, Schedule, Tick
from rediq_trio.store.port import BATCH, Store
from rediq_trio.values.schedule import due_ticks

log = logging.getLogger("rediq_trio")

AT_ONCE = 100
"""Ticks of one schedule that fire in one step, at most."""
AT_ONCE_BYTES = 4 * 1024 * 1024
"""Bytes of payloads that one step carries, unless a single one is larger."""
AGAIN_MS = 10
"""When to look again after another one was faster."""


class Ticker:
    """Ticks schedules. Remembers which of them it could not read, to say so once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._reported: set[tuple[str, str, bytes]] = set()

    async def tick(self, queue: str) -> Due:
        """Fire what is due in a queue; tell when the next is."""
        agenda = await self._store.agenda(queue, due=BATCH)
        for name in agenda.unreadable:
            self._report(queue, name, b"", "it cannot be decoded")
        waits = [agenda.next_in_ms]
        for schedule in agenda.schedules:
            try:
                following, ticks = _due(schedule, agenda.now_ms)
            except (ConfigError, PayloadError) as error:
                self._report(queue, schedule.name, schedule.when, str(error))
            else:
                fired = await self._fire(queue, schedule, ticks, following)
                waits.append(AGAIN_MS if not fired else _left(following, agenda.now_ms))
        return Due(0, min((wait for wait in waits if wait is not None), default=None))

    async def _fire(
        self, queue: str, schedule: Schedule, ticks: Sequence[Tick], next_ms: int | None
    ) -> bool:
        made = await self._store.tick(
            queue,
            name=schedule.name,
            expected_ms=schedule.next_ms,
            revision=schedule.revision,
            ticks=ticks,
            next_ms=next_ms or 0,
        )
        return made is not None

    def _report(self, queue: str, name: str, when: bytes, why: str) -> None:
        if (queue, name, when) not in self._reported:
            self._reported.add((queue, name, when))
            log.warning("schedule %s of queue %s does not tick here: %s", name, queue, why)


def _due(schedule: Schedule, now: int) -> tuple[int | None, list[Tick]]:
    """Give the tick to expect next, and those that fire now."""
    size = max(1, len(schedule.template.envelope))
    most = max(1, min(AT_ONCE, AT_ONCE_BYTES // size))
    due = due_ticks(read_times(schedule), schedule.next_ms, now, limit=most)
    return due.next_ms, [Tick(at, make_task(schedule, at)) for at in due.ticks]


def _left(next_ms: int | None, now: int) -> int | None:
    return None if next_ms is None else max(0, next_ms - now)
