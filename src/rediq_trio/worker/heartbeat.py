"""The heartbeat: renews the leases that the worker holds, and reads what became of them.

Only the answer to a renewal says that a task is cancelled or that its lease is lost; a
signal merely brings the renewal forward. When Redis cannot be reached, the local clock
decides: an attempt whose lease may be over is cancelled before another worker can start
the task.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Sequence

import attrs
import trio

from rediq_trio._errors import ConnectionLost
from rediq_trio.spec.messages import Verdict, WorkerRecord
from rediq_trio.store.broadcast import Signal, SignalKind
from rediq_trio.store.port import BATCH, Store
from rediq_trio.store.retrying import until_answered
from rediq_trio.worker.leases import HeldLease, LeaseTable, Reason, margin
from rediq_trio.worker.liveness import Liveness

log = logging.getLogger("rediq_trio")


@attrs.define(eq=False)
class Heartbeat:
    """The heartbeat's state."""

    store: Store
    queues: Sequence[str]
    lease_table: LeaseTable
    worker: str
    lease: float
    interval: float
    """Seconds between two beats."""
    pack_info: Callable[[], bytes]
    """Returns the worker's record: what `Client.workers` shows of it."""
    liveness: Liveness = attrs.field(factory=Liveness)
    last_beat: float = attrs.field(factory=trio.current_time)
    """When all leases were last renewed and the worker's record was written, on Trio's clock."""

    async def run(self) -> None:
        """Beat until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._beat)
            nursery.start_soon(self._handle_signals)
            nursery.start_soon(self._watch_clock)

    async def _beat(self) -> None:
        while True:
            await until_answered(
                self._renew_all,
                on_failure=lambda _: self.liveness.record_failure(),
                pause_max=self.interval,
            )
            self.last_beat = trio.current_time()
            self.liveness.record_answer()
            self.liveness.sleep(self.interval)
            await trio.sleep(self.interval)
            self.liveness.wake()

    async def _renew_all(self) -> None:
        await self._renew(self.lease_table)
        record = WorkerRecord(self.worker, self.pack_info(), round(self.interval * 4000))
        await self.store.register(record)

    async def _renew(self, chosen: Iterable[HeldLease]) -> None:
        by_queue: dict[str, list[HeldLease]] = {}
        for held in chosen:
            if held.reason is not Reason.LEASE_LOST:
                by_queue.setdefault(held.queue, []).append(held)
        for queue, leases in by_queue.items():
            for i in range(0, len(leases), BATCH):
                await self._renew_some(queue, leases[i : i + BATCH])

    async def _renew_some(self, queue: str, leases: Sequence[HeldLease]) -> None:
        asked_at = trio.current_time()
        fences = [held.fence for held in leases]
        verdicts = await self.store.renew(queue, fences, lease_ms=round(self.lease * 1000))
        for held, verdict in zip(leases, verdicts, strict=True):
            if verdict is Verdict.LOST:
                # One that was settled meanwhile is no longer in the lease table.
                if not held.settled and self.lease_table.get(*held.key) is held:
                    self._mark_lost(held)
            else:
                held.safe_until = asked_at + self.lease - margin(self.lease)
                if verdict is Verdict.CANCEL:
                    held.cancel(Reason.CANCELLED)

    def _mark_lost(self, held: HeldLease) -> None:
        log.warning("task %s/%s: its lease is lost, the attempt is cancelled", *held.key)
        held.cancel(Reason.LEASE_LOST)

    async def _handle_signals(self) -> None:
        with self.store.listen([(queue, "") for queue in self.queues]) as signals:
            while True:
                signal = await signals.receive()
                if affected := list(self._affected(signal)):
                    try:
                        await self._renew(affected)
                    except ConnectionLost:
                        pass  # the next beat renews them

    def _affected(self, signal: Signal) -> Iterable[HeldLease]:
        if signal.kind is SignalKind.CANCEL:
            held = self.lease_table.get(signal.queue, signal.id)
            return () if held is None else (held,)
        if signal.kind in (SignalKind.FLUSH, SignalKind.RESYNC):
            return [held for held in self.lease_table if held.queue == signal.queue]
        return ()

    async def _watch_clock(self) -> None:
        while True:
            now = trio.current_time()
            for held in self.lease_table:
                if held.safe_until <= now and held.reason is not Reason.LEASE_LOST:
                    self._mark_lost(held)
            expiry = self.lease_table.next_expiry()
            # A new lease cannot expire earlier than this: it is safe for the lease less its margin.
            nap = self.lease / 4 if expiry == math.inf else min(self.lease / 4, expiry - now)
            await trio.sleep(max(0.001, nap))
