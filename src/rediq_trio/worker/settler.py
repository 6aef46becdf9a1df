"""The settler: writes outcomes, in batches, until each is in Redis.

Nothing counts as done before. While one batch is on its way the next collects, so
outcomes are settled as soon as the gateway is free, and batches grow with the load. All
queues of a batch are written to at once, so that many of them share a round trip.
"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TypeVar, assert_never

import attrs
import trio

from rediq_trio._errors import ConnectionLost
from rediq_trio.spec.queue import Settled
from rediq_trio.spec.records import Completion, Deferral, Failure, Fence
from rediq_trio.store.port import BATCH, Store
from rediq_trio.worker.leases import Book, Held
from rediq_trio.worker.outcomes import (
    Cancelled,
    Failed,
    Interrupted,
    Lost,
    Outcome,
    Snoozed,
    Succeeded,
)
from rediq_trio.worker.pace import Pace
from rediq_trio.worker.progress import ProgressFlusher

log = logging.getLogger("rediq_trio")

T = TypeVar("T")

MOST = 512
"""Outcomes that are settled together at most."""


@attrs.define
class Tally:
    """What a worker did so far."""

    completed: int = 0
    failed: int = 0
    snoozed: int = 0
    cancelled: int = 0
    released: int = 0
    stale: int = 0
    """Outcomes refused, because the lease was over."""
    unsettled: int = 0
    """Outcomes given up at the end, because Redis was away; their leases lapse."""


@attrs.define(eq=False)
class _Batch:
    """The outcomes of one queue by kind, each with what the store is to be told."""

    completed: list[tuple[Held, Completion]] = attrs.field(factory=list)
    failed: list[tuple[Held, Failure]] = attrs.field(factory=list)
    snoozed: list[tuple[Held, Deferral]] = attrs.field(factory=list)
    stopped: list[tuple[Held, Fence]] = attrs.field(factory=list)
    released: list[tuple[Held, Fence]] = attrs.field(factory=list)

    def add(self, outcome: Outcome) -> None:
        held = outcome.held
        fence = held.fence
        match outcome:
            case Succeeded():
                children = tuple(held.children)
                self.completed.append((held, Completion(fence, outcome.result, children)))
            case Failed():
                delay = round(outcome.delay * 1000)
                failure = Failure(fence, outcome.error, delay, outcome.final)
                self.failed.append((held, failure))
            case Snoozed():
                self.snoozed.append((held, Deferral(fence, round(outcome.delay * 1000))))
            case Cancelled():
                self.stopped.append((held, fence))
            case Interrupted():
                self.released.append((held, fence))
            case Lost():
                pass
            case _:
                assert_never(outcome)


@attrs.define(eq=False)
class Settler:
    """The settler's state."""

    store: Store
    book: Book
    flusher: ProgressFlusher
    outcomes: trio.MemoryReceiveChannel[Outcome]
    tally: Tally
    pace: Pace = attrs.field(factory=Pace)
    _patience: trio.CancelScope = attrs.field(factory=trio.CancelScope)

    async def run(self) -> None:
        """Settle what comes until no more does."""
        with self.outcomes, self._patience:
            self.pace.rest(math.inf)
            async for first in self.outcomes:
                self.pace.begin()
                batch = [first]
                try:
                    while len(batch) < MOST:
                        batch.append(self.outcomes.receive_nowait())
                except (trio.WouldBlock, trio.EndOfChannel):
                    pass
                await self._settle(batch)
                self.pace.rest(math.inf)
        self.tally.unsettled += len(self.book)

    def limit(self, seconds: float) -> None:
        """Give up what cannot be settled within that time: the leases will lapse."""
        self._patience.deadline = trio.current_time() + seconds

    async def _settle(self, outcomes: Sequence[Outcome]) -> None:
        dirty = self.flusher.dirty([outcome.held for outcome in outcomes])
        if dirty:
            await self.flusher.flush(dirty)
        batches: dict[str, _Batch] = {}
        for outcome in outcomes:
            if isinstance(outcome, Lost):
                self.tally.stale += 1
                self._drop(outcome.held)
            else:
                batches.setdefault(outcome.held.queue, _Batch()).add(outcome)
        if len(batches) == 1:
            await self._settle_queue(*batches.popitem())
            return
        async with trio.open_nursery() as nursery:
            for queue, batch in batches.items():
                nursery.start_soon(self._settle_queue, queue, batch)

    async def _settle_queue(self, queue: str, batch: _Batch) -> None:
        store, tally = self.store, self.tally
        # `+=` behind an await of its own would lose what other queues count meanwhile.
        count = await self._write(queue, batch.completed, store.complete)
        tally.completed += count
        count = await self._write(queue, batch.failed, store.fail)
        tally.failed += count
        count = await self._write(queue, batch.snoozed, store.snooze)
        tally.snoozed += count
        count = await self._write(queue, batch.stopped, store.stop)
        tally.cancelled += count
        count = await self._write(queue, batch.released, store.release)
        tally.released += count

    async def _write(
        self,
        queue: str,
        items: Sequence[tuple[Held, T]],
        settle: Callable[[str, Sequence[T]], Awaitable[Settled]],
    ) -> int:
        """Settle outcomes of one kind; give how many were accepted."""
        accepted = 0
        for part in _parts(items):
            states = await self._insist(queue, [item for _, item in part], settle)
            for (held, _), state in zip(part, states, strict=True):
                if state is None:
                    self.tally.stale += 1
                    log.warning("task %s/%s: its lease was over, the outcome was refused", *held.key)
                else:
                    accepted += 1
                self._drop(held)
        return accepted

    async def _insist(
        self,
        queue: str,
        items: Sequence[T],
        settle: Callable[[str, Sequence[T]], Awaitable[Settled]],
    ) -> Settled:
        # A settlement may be repeated: the store knows the token of the first.
        while True:
            try:
                answer = await settle(queue, items)
            except ConnectionLost:
                self.pace.refuse()
                await trio.sleep(random.uniform(0.05, 0.5))
            else:
                self.pace.answer()
                return answer

    def _drop(self, held: Held) -> None:
        self.flusher.forget(held)
        self.book.drop(held)


def _parts(items: Sequence[tuple[Held, T]]) -> Iterator[list[tuple[Held, T]]]:
    """Split what one call would carry: each task counts, and each that it enqueues."""
    if len(items) <= BATCH and not any(held.children for held, _ in items):
        if items:
            yield list(items)
        return
    part: list[tuple[Held, T]] = []
    size = 0
    for held, item in items:
        weight = 1 + (len(item.children) if isinstance(item, Completion) else 0)
        if part and size + weight > BATCH:
            yield part
            part, size = [], 0
        part.append((held, item))
        size += weight
    if part:
        yield part
