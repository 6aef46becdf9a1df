"""The progress flusher: writes the newest progress of each task, not every one."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable

import attrs
import trio

from rediq_trio._errors import ConnectionLost
from rediq_trio.spec.records import Report
from rediq_trio.store.port import BATCH, Store
from rediq_trio.tasks.task_info import pack_progress
from rediq_trio.worker.bell import Bell
from rediq_trio.worker.leases import Held


@attrs.define(eq=False)
class ProgressFlusher:
    """The newest unwritten progress per lease in hand."""

    store: Store
    interval: float
    """Seconds between two writes of one task's progress."""
    _newest: dict[Held, bytes] = attrs.field(factory=dict)
    _writing: set[Held] = attrs.field(factory=set)
    _turn: trio.Lock = attrs.field(factory=trio.Lock)
    """Held while reports are on their way, so that no outcome overtakes its task's last one."""
    _noted: Bell = attrs.field(factory=Bell)

    def note(self, held: Held, percent: float, message: str | None) -> None:
        """Keep a report until it is written or a newer one takes its place."""
        if not held.settled:
            self._newest[held] = pack_progress(percent, message, time.time())
            self._noted.ring()

    async def run(self) -> None:
        """Write what is noted, then rest for the interval; until cancelled."""
        while True:
            await self._noted.wait_rung()
            await self.flush(list(self._newest))
            await trio.sleep(self.interval)

    async def flush(self, held: Iterable[Held]) -> None:
        """Write the newest progress of these leases, if there is any unwritten.

        For the settler, before an outcome: the last one is always written. What
        cannot be written now is kept for the next time.
        """
        async with self._turn:
            by_queue: dict[str, list[tuple[Held, bytes]]] = {}
            for one in held:
                if (packed := self._newest.pop(one, None)) is not None:
                    by_queue.setdefault(one.queue, []).append((one, packed))
                    self._writing.add(one)
            try:
                for queue, reports in by_queue.items():
                    for i in range(0, len(reports), BATCH):
                        await self._write(queue, reports[i : i + BATCH])
            finally:
                self._writing.clear()

    async def _write(self, queue: str, reports: list[tuple[Held, bytes]]) -> None:
        try:
            await self.store.report(queue, [Report(h.fence, packed) for h, packed in reports])
        except ConnectionLost:
            for held, packed in reports:
                self._newest.setdefault(held, packed)
            self._noted.ring()
            await trio.sleep(random.uniform(0.05, 0.5))

    def forget(self, held: Held) -> None:
        """Drop what is unwritten of a lease that is gone."""
        self._newest.pop(held, None)

    def dirty(self, held: Iterable[Held]) -> list[Held]:
        """Give those of these leases whose newest progress is not in the store yet."""
        if not self._newest and not self._writing:
            return []
        return [one for one in held if one in self._newest or one in self._writing]
