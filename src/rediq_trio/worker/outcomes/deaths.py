"""What the log says of tasks that went to dead although no attempt of them failed.

A task that has expired, whose workers died under it too often, or that cannot be read is moved to
dead by a step of the store. The step answers it to its caller, a keeper or a poller, so of many
workers one logs it: one ERROR with the fields of `AttemptLog`. The type is in the task's envelope,
which the store does not read. So it is read here, in an actor of its own: neither the keeper nor
the poller waits for it.

A task that died because of one that it needs is not logged: the death of that one was.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import attrs
import trio

from rediq_trio._errors import RediqError
from rediq_trio.observe.words import shown
from rediq_trio.spec.messages import Death
from rediq_trio.store.port import Store
from rediq_trio.tasks.task_info import UNREADABLE_TEXT
from rediq_trio.values.bounds import queue_of
from rediq_trio.worker.auto_reset_event import AutoResetEvent
from rediq_trio.worker.availability.log_limiter import LogLimiter
from rediq_trio.worker.outcomes.log import type_of

READ_WITHIN = 2.0
"""Seconds that reading the type of a dead task may take; then it is logged without."""
_DEAD_TEXT = "task %s (%s), attempt %d: dead: %s"


@attrs.define(eq=False)
class DeathLog:
    """Logs the deaths that the store answered to one worker."""

    store: Store
    worker: str
    """The name of the worker."""
    limiter: LogLimiter
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
                    admits = self.limiter.admits(_DEAD_TEXT)
                    type_name = await self._read_type(queue, death) if admits else ""
                    self._unlogged.popleft()
                    self._log(queue, death, type_name)
        finally:
            for queue, death in self._unlogged:
                self._log(queue, death, UNREADABLE_TEXT)

    async def _read_type(self, queue: str, death: Death) -> str:
        with trio.move_on_after(READ_WITHIN):
            try:
                (record,) = await self.store.get(queue, (death.id,), skip_newer=True)
            except RediqError:
                # The actors that work with the queue report that it is away or damaged.
                return UNREADABLE_TEXT
            if record is not None:
                return type_of(record.envelope)
        return UNREADABLE_TEXT

    def _log(self, queue: str, death: Death, type_name: str) -> None:
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
