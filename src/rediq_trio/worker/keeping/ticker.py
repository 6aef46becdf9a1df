"""The ticker: makes the tasks of a queue's schedules whose ticks are due.

Any number of tickers may tick the same queue: the store lets the first one win each tick,
and the others read again. Ticks are computed from the store's clock, never from a worker's.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import attrs

from rediq_trio._errors import ConfigError, PayloadError
from rediq_trio.observe.words import shown
from rediq_trio.schedules.declare import (
    make_scheduled_task,
    read_recurrence,
    scheduled_to_send,
    with_metadata,
)
from rediq_trio.spec.messages import Due, Schedule, Tick
from rediq_trio.store.port import BATCH, Store
from rediq_trio.values.schedule import due_ticks
from rediq_trio.values.telemetry.sending import OpenSending, Senders

log = logging.getLogger("rediq_trio")

TICKS_PER_STEP = 100
"""Maximum number of ticks of one schedule that fire in one step."""
TICK_BYTES_PER_STEP = 4 * 1024 * 1024
"""Maximum bytes of payloads that one step carries, unless a single one is larger."""
_MIDDLEWARE = b"middleware"
LOST_TICK_RETRY_MS = 10
"""Milliseconds after which a schedule is read again when another ticker was faster."""


class Ticker:
    """Ticks schedules. Logs each schedule that it cannot read once."""

    def __init__(self, store: Store, senders: Senders | None = None) -> None:
        self._store = store
        self._senders = senders
        self._reported: set[tuple[str, str, bytes]] = set()

    async def tick(self, queue: str) -> Due:
        """Fire the ticks that are due in a queue; return when the next one is."""
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
                waits.append(LOST_TICK_RETRY_MS if not fired else _left(following, agenda.now_ms))
        return Due(0, min((wait for wait in waits if wait is not None), default=None))

    async def _fire(
        self, queue: str, schedule: Schedule, ticks: Sequence[Tick], next_ms: int | None
    ) -> bool:
        opened = (
            None if self._senders is None else self._begin(self._senders, queue, schedule, ticks)
        )
        if opened is not None:
            ticks = [
                attrs.evolve(tick, task=with_metadata(tick.task, sent.metadata))
                for tick, sent in zip(ticks, opened.sending.tasks, strict=True)
            ]
        try:
            made = await self._store.tick(
                queue,
                name=schedule.name,
                expected_ms=schedule.next_ms,
                revision=schedule.revision,
                ticks=ticks,
                next_ms=next_ms or 0,
            )
        except BaseException as error:
            if opened is not None:
                self._end(opened, queue, schedule, error)
            raise
        if opened is not None:
            opened.sending.dropped = made is None
            self._end(opened, queue, schedule, None)
        return made is not None

    def _begin(
        self, senders: Senders, queue: str, schedule: Schedule, ticks: Sequence[Tick]
    ) -> OpenSending | None:
        """Enter the middleware; None if it fails, or if there is no tick to fire."""
        if not ticks:
            return None
        try:
            tasks = [scheduled_to_send(queue, tick.task) for tick in ticks]
            return senders.begin("tick", tasks, schedule.name)
        except Exception as error:
            # A schedule goes on, whatever becomes of what is added to its tasks.
            self._report_middleware(queue, schedule, error)
            return None

    def _end(
        self, opened: OpenSending, queue: str, schedule: Schedule, error: BaseException | None
    ) -> None:
        try:
            opened.end(error)
        except Exception as raised:
            if raised is not error:
                self._report_middleware(queue, schedule, raised)

    def _report_middleware(self, queue: str, schedule: Schedule, error: Exception) -> None:
        if (queue, schedule.name, _MIDDLEWARE) not in self._reported:
            self._reported.add((queue, schedule.name, _MIDDLEWARE))
            log.warning(
                "schedule %s of queue %s: middleware of `sending` failed, and the tasks of its ticks "
                "are enqueued without it: %s: %s",
                schedule.name, queue, type(error).__name__, shown(str(error)),
            )  # fmt: skip

    def _report(self, queue: str, name: str, when: bytes, why: str) -> None:
        if (queue, name, when) not in self._reported:
            self._reported.add((queue, name, when))
            log.warning("schedule %s of queue %s does not tick here: %s", name, queue, why)


def _due(schedule: Schedule, now: int) -> tuple[int | None, list[Tick]]:
    """Return the next expected tick, and the ticks that fire now."""
    size = max(1, len(schedule.template.envelope))
    most = max(1, min(TICKS_PER_STEP, TICK_BYTES_PER_STEP // size))
    due = due_ticks(read_recurrence(schedule), schedule.next_ms, now, limit=most)
    return due.next_ms, [Tick(at, make_scheduled_task(schedule, at)) for at in due.ticks]


def _left(next_ms: int | None, now: int) -> int | None:
    return None if next_ms is None else max(0, next_ms - now)
