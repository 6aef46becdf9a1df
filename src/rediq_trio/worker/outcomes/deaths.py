"""What the log says of tasks that went to dead although no attempt of them failed.

A task that has expired, whose workers died under it too often, that cannot be read, or that needs one
which did not complete is moved to dead by a step of the store. The step answers it to its caller, a
keeper, a poller or a settler, so of many workers one logs it: one ERROR with the fields of `AttemptLog`.
The type is in the task's envelope, which the store does not read. So it is read here, in an actor of
its own: none of the callers waits for it.

Who reports failures elsewhere, as `rediq_trio.sentry` does, gets them too, also those of which the log
has only a count.

What dies because a client cancels, deletes or enqueues a task is logged by that client (`store.relay`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import attrs
import trio

from rediq_trio._errors import RediqError
from rediq_trio.handlers.app import App
from rediq_trio.observe.words import shown
from rediq_trio.spec.messages import Death
from rediq_trio.spec.records import Record
from rediq_trio.store.port import Store
from rediq_trio.tasks.task_info import UNREADABLE_TEXT
from rediq_trio.values.bounds import queue_of
from rediq_trio.worker.auto_reset_event import AutoResetEvent
from rediq_trio.worker.availability.log_limiter import LogLimiter
from rediq_trio.worker.outcomes.log import type_of
from rediq_trio.worker.outcomes.reported import report_death

DEATHS_READ_WITHIN = 2.0
"""Seconds that reading the type of a dead task may take; then it is logged without."""
_DEAD_TEXT = "task %s (%s), attempt %d: dead: %s"


@attrs.define(eq=False)
class DeathLog:
    """Logs the deaths that the store answered to one worker."""

    store: Store
    worker: str
    """The name of the worker."""
    limiter: LogLimiter
    app: App[Any] | None = None
    """The app whose reporters of failures are called with the deaths, too."""
    _unlogged: deque[tuple[str, Death]] = attrs.field(factory=deque[tuple[str, Death]])
    _added: AutoResetEvent = attrs.field(factory=AutoResetEvent)

    def add(self, queue: str, deaths: Sequence[Death]) -> None:
        """Log these deaths, in a moment."""
        self._unlogged.extend((queue, death) for death in deaths)
        self._added.set()

    async def run(self) -> None:
        """Log deaths until cancelled; then log what is left, without the types."""
        try:
            while True:
                await self._added.wait()
                while self._unlogged:
                    queue, death = self._unlogged[0]
                    # What is only counted needs no type.
                    needed = self.limiter.admits(_DEAD_TEXT) or self._reports
                    record = await self._read(queue, death) if needed else None
                    self._unlogged.popleft()
                    self._log(queue, death, record)
        finally:
            for queue, death in self._unlogged:
                self._log(queue, death, None)

    @property
    def _reports(self) -> bool:
        return self.app is not None and bool(self.app._failure_reporters)

    async def _read(self, queue: str, death: Death) -> Record | None:
        with trio.move_on_after(DEATHS_READ_WITHIN):
            try:
                (record,) = await self.store.get(queue, (death.id,), skip_newer=True)
            except RediqError:
                # The actors that work with the queue report that it is away or damaged.
                return None
            return record
        return None

    def _log(self, queue: str, death: Death, record: Record | None) -> None:
        type_name = UNREADABLE_TEXT if record is None else type_of(record.envelope)
        task_id = f"{queue}/{death.id}"
        fields = {
            "task_id": task_id,
            "type": type_name,
            "queue": queue_of(queue),
            "attempt": death.attempt,
            "worker": self.worker,
        }
        self.limiter.error(
            _DEAD_TEXT, task_id, shown(type_name), death.attempt, shown(death.reason), extra=fields
        )
        if self.app is not None:
            report_death(self.app, queue, death, record, self.worker)
