"""The settler: writes outcomes, in batches, until each is in Redis.

A task counts as done only then. While one batch is being written the next one collects,
so batches grow with the load. All queues of a batch are written to at the same time, so
that they share a round trip.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TypeVar, assert_never

import attrs
import trio

from rediq_trio.spec.queue import Settled
from rediq_trio.spec.records import Completion, Deferral, Failure, Fence
from rediq_trio.store.port import BATCH, Store
from rediq_trio.store.retrying import until_answered
from rediq_trio.worker.leases import HeldLease, LeaseTable
from rediq_trio.worker.liveness import Liveness
from rediq_trio.worker.outcomes import (
    Cancelled,
    Failed,
    Interrupted,
    Lost,
    Outcome,
    Snoozed,
    Succeeded,
)
from rediq_trio.worker.progress import ProgressFlusher

log = logging.getLogger("rediq_trio")

T = TypeVar("T")

OUTCOMES_AT_ONCE = 512
"""Maximum number of outcomes that are settled together."""


@attrs.define
class OutcomeCounts:
    """How many attempts of a worker ended in which way so far."""

    completed: int = 0
    failed: int = 0
    snoozed: int = 0
    cancelled: int = 0
    released: int = 0
    stale: int = 0
    """Outcomes that the store rejected, because the lease was over."""
    unsettled: int = 0
    """Outcomes given up at the end, because Redis was away; their leases expire."""


@attrs.define(eq=False)
class _QueueOutcomes:
    """The outcomes of one queue by kind, each with the argument for the store."""

    completed: list[tuple[HeldLease, Completion]] = attrs.field(factory=list)
    failed: list[tuple[HeldLease, Failure]] = attrs.field(factory=list)
    snoozed: list[tuple[HeldLease, Deferral]] = attrs.field(factory=list)
    stopped: list[tuple[HeldLease, Fence]] = attrs.field(factory=list)
    released: list[tuple[HeldLease, Fence]] = attrs.field(factory=list)

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
    lease_table: LeaseTable
    flusher: ProgressFlusher
    outcomes: trio.MemoryReceiveChannel[Outcome]
    outcome_counts: OutcomeCounts
    liveness: Liveness = attrs.field(factory=Liveness)
    _stop_scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)

    async def run(self) -> None:
        """Settle outcomes until the channel is closed."""
        with self.outcomes, self._stop_scope:
            self.liveness.sleep(math.inf)
            async for first in self.outcomes:
                self.liveness.wake()
                batch = [first]
                try:
                    while len(batch) < OUTCOMES_AT_ONCE:
                        batch.append(self.outcomes.receive_nowait())
                except (trio.WouldBlock, trio.EndOfChannel):
                    pass
                await self._settle(batch)
                self.liveness.sleep(math.inf)
        self.outcome_counts.unsettled += len(self.lease_table)

    def limit(self, seconds: float) -> None:
        """Stop settling after `seconds`; the leases of what is left expire."""
        self._stop_scope.deadline = trio.current_time() + seconds

    async def _settle(self, outcomes: Sequence[Outcome]) -> None:
        unwritten = self.flusher.unwritten([outcome.held for outcome in outcomes])
        if unwritten:
            await self.flusher.flush(unwritten)
        batches: dict[str, _QueueOutcomes] = {}
        for outcome in outcomes:
            if isinstance(outcome, Lost):
                self.outcome_counts.stale += 1
                self._drop(outcome.held)
            else:
                batches.setdefault(outcome.held.queue, _QueueOutcomes()).add(outcome)
        if len(batches) == 1:
            await self._settle_queue(*batches.popitem())
            return
        async with trio.open_nursery() as nursery:
            for queue, batch in batches.items():
                nursery.start_soon(self._settle_queue, queue, batch)

    async def _settle_queue(self, queue: str, batch: _QueueOutcomes) -> None:
        store, outcome_counts = self.store, self.outcome_counts
        # `+= await ...` would lose what other queues count meanwhile.
        count = await self._write(queue, batch.completed, store.complete)
        outcome_counts.completed += count
        count = await self._write(queue, batch.failed, store.fail)
        outcome_counts.failed += count
        count = await self._write(queue, batch.snoozed, store.snooze)
        outcome_counts.snoozed += count
        count = await self._write(queue, batch.stopped, store.stop)
        outcome_counts.cancelled += count
        count = await self._write(queue, batch.released, store.release)
        outcome_counts.released += count

    async def _write(
        self,
        queue: str,
        items: Sequence[tuple[HeldLease, T]],
        settle: Callable[[str, Sequence[T]], Awaitable[Settled]],
    ) -> int:
        """Settle outcomes of one kind; return how many were accepted."""
        accepted = 0
        for part in _split(items):
            states = await self._settle_until_answered(queue, [item for _, item in part], settle)
            for (held, _), state in zip(part, states, strict=True):
                if state is None:
                    self.outcome_counts.stale += 1
                    log.warning("task %s/%s: its lease was over, the outcome was rejected", *held.key)
                else:
                    accepted += 1
                self._drop(held)
        return accepted

    async def _settle_until_answered(
        self,
        queue: str,
        items: Sequence[T],
        settle: Callable[[str, Sequence[T]], Awaitable[Settled]],
    ) -> Settled:
        # A settlement may be repeated: the store knows the token of the first.
        answer = await until_answered(
            lambda: settle(queue, items), on_failure=lambda _: self.liveness.record_failure()
        )
        self.liveness.record_answer()
        return answer

    def _drop(self, held: HeldLease) -> None:
        self.flusher.forget(held)
        self.lease_table.drop(held)


def _split(items: Sequence[tuple[HeldLease, T]]) -> Iterator[list[tuple[HeldLease, T]]]:
    """Split outcomes into calls: each task counts, and so does each task that it enqueues."""
    if len(items) <= BATCH and not any(held.children for held, _ in items):
        if items:
            yield list(items)
        return
    part: list[tuple[HeldLease, T]] = []
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
