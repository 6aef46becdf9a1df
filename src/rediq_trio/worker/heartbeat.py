"""The heartbeat: keeps the leases in hand alive, and hears what became of them.

Whether a task is to be cancelled, or its lease is lost, is read from the answer to
a renewal only; a signal merely brings the renewal forward. When Redis cannot be
reached, the local clock decides: an attempt whose lease may be over is cancelled
before another worker can have started it.
"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable, Iterable, Sequence

import attrs
import trio

from rediq_trio._errors import ConnectionLost
from rediq_trio.spec.records import Verdict, WorkerRecord
from rediq_trio.store.broadcast import Signal, SignalKind
from rediq_trio.store.port import BATCH, Store
from rediq_trio.worker.leases import Book, Held, Reason, margin
from rediq_trio.worker.pace import Pace

log = logging.getLogger("rediq_trio")


@attrs.define(eq=False)
class Heartbeat:
    """The heartbeat's state."""

    store: Store
    queues: Sequence[str]
    book: Book
    worker: str
    lease: float
    interval: float
    """Seconds between beats."""
    describe: Callable[[], bytes]
    """What the worker says of itself."""
    pace: Pace = attrs.field(factory=Pace)
    last_beat: float = attrs.field(factory=trio.current_time)
    """When all leases in hand were last renewed and the worker's record written, on Trio's clock."""

    async def run(self) -> None:
        """Beat until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._beat)
            nursery.start_soon(self._hear)
            nursery.start_soon(self._watch_clock)

    async def _beat(self) -> None:
        while True:
            try:
                await self._renew(self.book)
                record = WorkerRecord(self.worker, self.describe(), round(self.interval * 4000))
                await self.store.register(record)
            except ConnectionLost:
                self.pace.refuse()
                await trio.sleep(min(self.interval, random.uniform(0.1, 0.5)))
            else:
                self.last_beat = trio.current_time()
                self.pace.answer()
                self.pace.rest(self.interval)
                await trio.sleep(self.interval)
                self.pace.begin()

    async def _renew(self, chosen: Iterable[Held]) -> None:
        by_queue: dict[str, list[Held]] = {}
        for held in chosen:
            if held.reason is not Reason.LEASE_LOST:
                by_queue.setdefault(held.queue, []).append(held)
        for queue, leases in by_queue.items():
            for i in range(0, len(leases), BATCH):
                await self._renew_some(queue, leases[i : i + BATCH])

    async def _renew_some(self, queue: str, leases: Sequence[Held]) -> None:
        asked = trio.current_time()
        fences = [held.fence for held in leases]
        verdicts = await self.store.renew(queue, fences, lease_ms=round(self.lease * 1000))
        for held, verdict in zip(leases, verdicts, strict=True):
            if verdict is Verdict.LOST:
                # One whose outcome was settled meanwhile is no longer in the book.
                if not held.settled and self.book.get(*held.key) is held:
                    self._lose(held)
            else:
                held.good_until = asked + self.lease - margin(self.lease)
                if verdict is Verdict.CANCEL:
                    held.cancel(Reason.CANCELLED)

    def _lose(self, held: Held) -> None:
        log.warning("task %s/%s: its lease is lost, the attempt is cancelled", *held.key)
        held.cancel(Reason.LEASE_LOST)

    async def _hear(self) -> None:
        with self.store.listen([(queue, "") for queue in self.queues]) as signals:
            while True:
                signal = await signals.receive()
                if concerned := list(self._concerned(signal)):
                    try:
                        await self._renew(concerned)
                    except ConnectionLost:
                        pass  # the next beat tells

    def _concerned(self, signal: Signal) -> Iterable[Held]:
        if signal.kind is SignalKind.CANCEL:
            held = self.book.get(signal.queue, signal.id)
            return () if held is None else (held,)
        if signal.kind in (SignalKind.FLUSH, SignalKind.RESYNC):
            return [held for held in self.book if held.queue == signal.queue]
        return ()

    async def _watch_clock(self) -> None:
        while True:
            now = trio.current_time()
            for held in self.book:
                if held.good_until <= now and held.reason is not Reason.LEASE_LOST:
                    self._lose(held)
            lapse = self.book.next_lapse()
            # New leases are good for a whole lease, less the margin.
            nap = self.lease / 4 if lapse == math.inf else min(self.lease / 4, lapse - now)
            await trio.sleep(max(0.001, nap))
