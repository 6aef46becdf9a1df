"""The heartbeat: renews the leases that the worker holds, and reads what became of them.

Only the answer to a renewal says that a task is cancelled or that its lease is lost; a
signal merely brings the renewal forward. When Redis cannot be reached, the local clock
decides: an attempt whose lease may be over is cancelled before another worker can start
the task.

Each queue is renewed by itself, all at the same time: one that is away costs the others nothing.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable, Sequence

import attrs
import trio

from rediq_trio._errors import ConnectionLost, StoreError
from rediq_trio.spec.messages import Verdict, WorkerOrder, WorkerRecord
from rediq_trio.store.broadcast import Signal, SignalKind
from rediq_trio.store.port import BATCH, Store
from rediq_trio.worker.availability.liveness import Liveness
from rediq_trio.worker.availability.outages import WORKER_RECORD, Outages
from rediq_trio.worker.leases import HeldLease, LeaseTable, Reason, margin


async def _receive_nothing(_orders: Sequence[WorkerOrder]) -> bool:
    return False


RECORD_BEATS = 4
"""Beats for which a worker's record counts without another heartbeat."""


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
    receive: Callable[[Sequence[WorkerOrder]], Awaitable[bool]] = _receive_nothing
    """Carries out orders to the worker; returns whether its record has to say so now."""
    received: Callable[[], tuple[str, ...]] = tuple
    """Returns the ids of the orders that it has received."""
    liveness: Liveness = attrs.field(factory=Liveness)
    outages: Outages = attrs.field(factory=Outages)
    last_beat: float = attrs.field(factory=trio.current_time)
    """When all leases were last renewed and the worker's record was written, on Trio's clock."""
    _unanswered: set[str] = attrs.field(factory=set)
    """Queues whose leases are being renewed, and `WORKER_RECORD` while that is being written."""
    _signalled: dict[str, dict[HeldLease, None]] = attrs.field(
        factory=dict[str, dict[HeldLease, None]]
    )
    """Leases that a signal named, for each queue of which such leases are being renewed."""
    _order_signalled: bool = False
    """Whether a signal named an order while the worker's record was being written."""

    async def run(self) -> None:
        """Beat until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._beat, nursery)
            nursery.start_soon(self._handle_signals, nursery)
            nursery.start_soon(self._watch_clock)

    async def _beat(self, nursery: trio.Nursery) -> None:
        while True:
            targets = {held.queue for held in self.lease_table if not held.over}
            for target in [*sorted(targets), WORKER_RECORD]:
                # One that an earlier beat still tries to reach goes on by itself.
                if target not in self._unanswered:
                    self._unanswered.add(target)
                    nursery.start_soon(self._repeat, target)
            self.liveness.rest(self.interval)
            await trio.sleep(self.interval)
            self.outages.limiter.log_counts()

    async def _repeat(self, target: str) -> None:
        """Renew the leases of one queue, or write the worker's record, until that is answered."""
        while True:
            self.liveness.begin_call(target)
            try:
                await (self._register() if target == WORKER_RECORD else self._renew_queue(target))
            except ConnectionLost as lost:
                self.outages.record_failure(target, lost)
                self.liveness.record_failure()
                self.liveness.end_call(target)
                await self.outages.wait_pause(target)
                continue
            except Exception as error:
                # The other queues go on; the next beat tries this one again.
                self.outages.stop(target, error)
            else:
                self.outages.record_answer(target)
                self.liveness.record_answer()
            break
        self.liveness.end_call(target)
        self._unanswered.discard(target)
        if not self._unanswered:
            self.last_beat = trio.current_time()

    async def _register(self) -> None:
        ttl_ms = round(self.interval * RECORD_BEATS * 1000)
        while True:
            self._order_signalled = False
            record = WorkerRecord(self.worker, self.pack_info(), ttl_ms, self.received())
            orders = await self.store.register(record)
            if not (await self.receive(orders) or self._order_signalled):
                return

    async def _renew_queue(self, queue: str) -> None:
        await self._renew(queue, [held for held in self.lease_table if held.queue == queue])

    async def _renew(self, queue: str, chosen: Iterable[HeldLease]) -> None:
        leases = [held for held in chosen if not held.over]
        for i in range(0, len(leases), BATCH):
            await self._renew_some(queue, leases[i : i + BATCH])

    async def _renew_some(self, queue: str, leases: Sequence[HeldLease]) -> None:
        asked_at = trio.current_time()
        fences = [held.fence for held in leases]
        try:
            verdicts = await self.store.renew(queue, fences, lease_ms=round(self.lease * 1000))
        except StoreError:
            if len(leases) == 1:
                raise
            # One damaged task does not cost the others their leases.
            await self._renew_halves(queue, leases)
            return
        for held, verdict in zip(leases, verdicts, strict=True):
            if verdict is Verdict.LOST:
                # One that was settled meanwhile is no longer in the lease table.
                if not held.settled and self.lease_table.get(*held.key) is held:
                    self._mark_lost(held)
            else:
                held.safe_until = asked_at + self.lease - margin(self.lease)
                if verdict is Verdict.CANCEL:
                    held.cancel(Reason.CANCELLED)

    async def _renew_halves(self, queue: str, leases: Sequence[HeldLease]) -> None:
        half, errors = len(leases) // 2, list[StoreError]()
        for part in (leases[:half], leases[half:]):
            try:
                await self._renew_some(queue, part)
            except StoreError as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def _mark_lost(self, held: HeldLease) -> None:
        """Cancel the attempt of a lease that is over, once."""
        held.mark_over()
        if held.settled:
            text = "task %s/%s: its lease is over and its outcome is not written yet; another worker may run it"
        else:
            text = "task %s/%s: its lease is lost, the attempt is cancelled"
        self.outages.limiter.warning(
            text, *held.key, extra={"queue": held.queue, "task_id": held.task_id}
        )
        held.cancel(Reason.LEASE_LOST)

    async def _handle_signals(self, nursery: trio.Nursery) -> None:
        with self.store.listen([(queue, "") for queue in self.queues]) as signals:
            while True:
                signal = await signals.receive()
                if signal.kind is SignalKind.ORDER and signal.id == self.worker:
                    self._register_now(nursery)
                    continue
                if not (affected := self._affected(signal)):
                    continue
                if (waiting := self._signalled.get(signal.queue)) is not None:
                    waiting |= dict.fromkeys(affected)
                else:
                    self._signalled[signal.queue] = dict.fromkeys(affected)
                    nursery.start_soon(self._renew_signalled, signal.queue)

    def _register_now(self, nursery: trio.Nursery) -> None:
        """Write the worker's record without waiting for the next beat, because of an order."""
        if WORKER_RECORD in self._unanswered:
            self._order_signalled = True
        else:
            self._unanswered.add(WORKER_RECORD)
            nursery.start_soon(self._repeat, WORKER_RECORD)

    async def _renew_signalled(self, queue: str) -> None:
        while leases := self._signalled[queue]:
            self._signalled[queue] = {}
            try:
                await self._renew(queue, leases)
            except ConnectionLost as lost:
                # The next beat renews them.
                self.outages.record_failure(queue, lost)
            except Exception as error:
                self.outages.stop(queue, error)
        del self._signalled[queue]

    def _affected(self, signal: Signal) -> Sequence[HeldLease]:
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
                if held.safe_until <= now and not held.over:
                    self._mark_lost(held)
            expiry = self.lease_table.next_expiry()
            # A new lease cannot expire earlier than this: it is safe for the lease less its margin.
            nap = self.lease / 4 if expiry == math.inf else min(self.lease / 4, expiry - now)
            await trio.sleep(max(0.001, nap))
