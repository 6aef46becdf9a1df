"""The progress flusher: writes only the newest progress of each task."""

from __future__ import annotations

import time
from collections.abc import Iterable

import attrs
import trio

from rediq_trio._errors import ConnectionLost
from rediq_trio.handlers.running_attempt import RunningAttempt
from rediq_trio.spec.messages import Report
from rediq_trio.store.port import BATCH, Store
from rediq_trio.store.retrying import retry_pause
from rediq_trio.tasks.task_info import pack_progress
from rediq_trio.worker.auto_reset_event import AutoResetEvent
from rediq_trio.worker.leases import HeldLease


@attrs.define(eq=False)
class ProgressFlusher:
    """The newest unwritten progress of each running attempt."""

    store: Store
    interval: float
    """Seconds between two writes of one task's progress."""
    _newest: dict[RunningAttempt, bytes] = attrs.field(factory=dict)
    _writing: set[RunningAttempt] = attrs.field(factory=set)
    _write_lock: trio.Lock = attrs.field(factory=trio.Lock)
    """Held while reports are being written, so that no outcome overtakes the task's last report."""
    _report_added: AutoResetEvent = attrs.field(factory=AutoResetEvent)

    def add(self, attempt: RunningAttempt, percent: float, message: str | None) -> None:
        """Store a report until it is written or replaced by a newer one."""
        if not attempt.settled:
            self._newest[attempt] = pack_progress(percent, message, time.time())
            self._report_added.set()

    async def run(self) -> None:
        """Write the reports, then sleep for the interval; until cancelled."""
        while True:
            await self._report_added.wait()
            await self.flush(list(self._newest))
            await trio.sleep(self.interval)

    async def flush(self, attempts: Iterable[RunningAttempt]) -> None:
        """Write the newest progress of these attempts, if there is any unwritten.

        The settler calls it before it writes outcomes, so the last report is always
        written. Reports that cannot be written now are kept for the next time.
        """
        async with self._write_lock:
            by_queue: dict[str, list[tuple[RunningAttempt, bytes]]] = {}
            for one in attempts:
                if (packed := self._newest.pop(one, None)) is not None:
                    by_queue.setdefault(one.queue, []).append((one, packed))
                    self._writing.add(one)
            try:
                for queue, reports in by_queue.items():
                    for i in range(0, len(reports), BATCH):
                        await self._write(queue, reports[i : i + BATCH])
            finally:
                self._writing.clear()

    async def _write(self, queue: str, reports: list[tuple[RunningAttempt, bytes]]) -> None:
        try:
            await self.store.report(
                queue, [Report(attempt.fence, packed) for attempt, packed in reports]
            )
        except ConnectionLost:
            for attempt, packed in reports:
                self._newest.setdefault(attempt, packed)
            self._report_added.set()
            await trio.sleep(retry_pause())

    def forget(self, held: HeldLease) -> None:
        """Drop the unwritten progress of a lease that is gone."""
        self._newest.pop(held, None)

    def unwritten(self, held: Iterable[HeldLease]) -> list[HeldLease]:
        """Return those of these leases whose newest progress is not in the store yet."""
        if not self._newest and not self._writing:
            return []
        return [one for one in held if one in self._newest or one in self._writing]
