"""The poller: claims what there is room for, and sleeps until there may be more.

It never polls busily: when the queues had less than it asked for, it waits for a
signal. `IDLE` bounds that wait, because signals are hints that can be lost.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping, Sequence

import attrs
import trio

from rediq_trio._errors import ConnectionLost
from rediq_trio.store.broadcast import Kind, Signal
from rediq_trio.store.port import BATCH, Store
from rediq_trio.worker.flow import Flow
from rediq_trio.worker.leases import Book, Held

IDLE = 5.0
"""Seconds after which an idle poller looks again without a signal."""
CLAIM_DEADLINE = 20.0
"""Seconds that a claim under way may take; longer than the gateway's own deadlines."""


@attrs.define(eq=False)
class Poller:
    """The poller's state. `begin_stop` ends it."""

    store: Store
    queues: Sequence[str] | Mapping[str, float]
    """In strict order, or with their weights."""
    worker: str
    lease: float
    book: Book
    flow: Flow
    waiting: Callable[[], int]
    """How many claimed tasks the executor has not started."""
    leases: trio.MemorySendChannel[list[Held]]
    places: Mapping[str, Sequence[str]] = attrs.field(factory=dict[str, Sequence[str]])
    """Where the tasks of a partitioned queue are."""
    last_look: float = 0.0
    """When it last got an answer, on Trio's clock."""
    _rounds: int = 0
    _claiming: trio.CancelScope = attrs.field(factory=lambda: trio.CancelScope(shield=True))

    async def run(self) -> None:
        """Claim until cancelled. What was claimed by then is handed over."""
        topics = [(place, "") for queue in self.queues for place in self.places.get(queue, (queue,))]
        with self.leases, self.store.listen(topics) as signals:
            while True:
                await self._wait_room()
                _forget(signals)
                try:
                    exhausted = await self._round()
                except ConnectionLost:
                    await trio.sleep(random.uniform(0.05, 0.5))
                    continue
                if exhausted:
                    await _wait_wake(signals)

    def limit_claim(self, seconds: float) -> None:
        """Give a claim under way no longer than that. What it claims beyond will lapse."""
        self._claiming.deadline = trio.current_time() + seconds

    def _free(self) -> int:
        return self.flow.capacity() - len(self.book)

    async def _wait_room(self) -> None:
        # Claiming in halves of what is claimed ahead keeps the batches large.
        while self._free() <= 0 or self.waiting() > self.flow.ahead() // 2:
            await self.book.room.park()

    async def _round(self) -> bool:
        """Claim from each queue in turn while there is room; say whether none has any left."""
        for queue in self._order():
            free = self._free()
            if free <= 0 or await self._claim(queue, min(free, BATCH)):
                return False
        return True

    def _order(self) -> list[str]:
        """Give the places to claim from: the partitions of a queue take turns in being first."""
        self._rounds += 1
        found: list[str] = []
        for queue in self._queue_order():
            places = self.places.get(queue, (queue,))
            first = self._rounds % len(places)
            found += (*places[first:], *places[:first])
        return found

    def _queue_order(self) -> list[str]:
        if not isinstance(self.queues, Mapping):
            return list(self.queues)
        # Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006: sorting
        # by u ** (1 / weight) draws without replacement in proportion to the weights.
        draw = {queue: random.random() ** (1 / weight) for queue, weight in self.queues.items()}
        return sorted(draw, key=draw.__getitem__, reverse=True)

    async def _claim(self, queue: str, limit: int) -> bool:
        """Claim; say whether the queue has more that could be claimed now."""
        more = False
        asked = trio.current_time()
        self._claiming = trio.CancelScope(shield=True, deadline=asked + CLAIM_DEADLINE)
        # Unshielded, a claim answered after the cancellation would hold its tasks until
        # the leases run out.
        with self._claiming:
            claimed = await self.store.claim(
                queue,
                limit=limit,
                lease_ms=round(self.lease * 1000),
                worker=self.worker,
                nonce=os.urandom(8),
            )
            self.last_look = trio.current_time()
            more = claimed.remaining > 0
            if claimed.leases:
                batch = [
                    self.book.add(queue, lease, asked=asked, length=self.lease)
                    for lease in claimed.leases
                ]
                self.leases.send_nowait(batch)
        await trio.lowlevel.checkpoint_if_cancelled()
        return more


def _forget(signals: trio.MemoryReceiveChannel[Signal]) -> None:
    try:
        while True:
            signals.receive_nowait()
    except trio.WouldBlock:
        pass


async def _wait_wake(signals: trio.MemoryReceiveChannel[Signal]) -> None:
    with trio.move_on_after(IDLE * random.uniform(0.8, 1.2)):
        while (await signals.receive()).kind not in (Kind.WAKE, Kind.RESYNC):
            pass
