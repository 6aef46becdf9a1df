"""The progress flusher: writes only the newest progress of each task, each queue by itself."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import trio

from rediq_trio._errors import ConnectionLost
from rediq_trio.handlers.running_attempt import RunningAttempt
from rediq_trio.spec.messages import Report
from rediq_trio.store.port import BATCH, Store
from rediq_trio.tasks.task_info import pack_progress
from rediq_trio.values.chance import wall
from rediq_trio.worker.auto_reset_event import AutoResetEvent
from rediq_trio.worker.availability.outages import Outages
from rediq_trio.worker.leases import HeldLease


@attrs.define(eq=False)
class _QueueReports:
    """The reports of the attempts in one queue."""

    newest: dict[RunningAttempt, bytes] = attrs.field(factory=dict[RunningAttempt, bytes])
    """The newest unwritten report of each running attempt."""
    writing: set[RunningAttempt] = attrs.field(factory=set)
    write_lock: trio.Lock = attrs.field(factory=trio.Lock)
    """Held while reports are being written, so that no outcome overtakes the task's last report."""


@attrs.define(eq=False)
class ProgressFlusher:
    """The newest unwritten progress of each running attempt."""

    store: Store
    interval: float
    """Seconds between two writes of one task's progress."""
    outages: Outages = attrs.field(factory=Outages)
    _queues: dict[str, _QueueReports] = attrs.field(factory=dict[str, _QueueReports])
    _report_added: AutoResetEvent = attrs.field(factory=AutoResetEvent)

    def add(self, attempt: RunningAttempt, percent: float, message: str | None) -> None:
        """Store a report until it is written or replaced by a newer one."""
        if not attempt.settled:
            attempt.percent = percent
            reports = self._queues.get(attempt.queue)
            if reports is None:
                reports = self._queues[attempt.queue] = _QueueReports()
            reports.newest[attempt] = pack_progress(percent, message, wall())
            self._report_added.set()

    async def run(self) -> None:
        """Write the reports, then sleep for the interval; until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                await self._report_added.wait()
                for queue, reports in self._queues.items():
                    # What is being written is followed by what comes meanwhile.
                    if reports.newest and not reports.write_lock.locked():
                        nursery.start_soon(self._flush_queue, queue, reports, list(reports.newest))
                await trio.sleep(self.interval)

    async def flush(self, attempts: Sequence[RunningAttempt]) -> None:
        """Write the newest progress of these attempts of one queue, if there is any unwritten.

        The settler calls it before it writes outcomes, so the last report is always
        written. Reports that cannot be written now are kept for the next time.
        """
        if attempts and (reports := self._queues.get(attempts[0].queue)) is not None:
            await self._flush_queue(attempts[0].queue, reports, attempts)

    async def _flush_queue(
        self, queue: str, reports: _QueueReports, attempts: Sequence[RunningAttempt]
    ) -> None:
        async with reports.write_lock:
            chosen = [
                (one, packed)
                for one in attempts
                if (packed := reports.newest.pop(one, None)) is not None
            ]
            reports.writing.update(one for one, _ in chosen)
            try:
                for i in range(0, len(chosen), BATCH):
                    await self._write(queue, reports, chosen[i : i + BATCH])
            finally:
                reports.writing.clear()
        if reports.newest:
            self._report_added.set()

    async def _write(
        self, queue: str, reports: _QueueReports, chosen: Sequence[tuple[RunningAttempt, bytes]]
    ) -> None:
        try:
            await self.store.report(
                queue, [Report(attempt.fence, packed) for attempt, packed in chosen]
            )
        except ConnectionLost as lost:
            self.outages.record_failure(queue, lost)
            for attempt, packed in chosen:
                reports.newest.setdefault(attempt, packed)
            await self.outages.wait_pause(queue)
        except Exception as error:
            self.outages.stop(queue, error)
        else:
            self.outages.record_answer(queue)

    def forget(self, held: HeldLease) -> None:
        """Drop the unwritten progress of a lease that is gone."""
        if self._queues and (reports := self._queues.get(held.queue)) is not None:
            reports.newest.pop(held, None)

    def unwritten(self, held: Sequence[HeldLease]) -> list[HeldLease]:
        """Return those of these leases of one queue whose newest progress is not in the store yet."""
        reports = self._queues.get(held[0].queue) if self._queues else None
        if reports is None or (not reports.newest and not reports.writing):
            return []
        return [one for one in held if one in reports.newest or one in reports.writing]
