"""The settler: writes outcomes, in batches, until each is in Redis.

A task counts as done only then. While one batch is being written the next one collects,
so batches grow with the load. All queues of a batch are written to at the same time, so
that they share a round trip.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Iterator, Sequence

import attrs
import trio

from rediq_trio.spec import messages
from rediq_trio.spec.settle import TRANSITION_OF
from rediq_trio.store.port import BATCH, Store
from rediq_trio.store.retrying import until_answered
from rediq_trio.worker.leases import HeldLease, LeaseTable
from rediq_trio.worker.liveness import Liveness
from rediq_trio.worker.outcomes import AttemptOutcome
from rediq_trio.worker.progress import ProgressFlusher

log = logging.getLogger("rediq_trio")

OUTCOMES_AT_ONCE = 512
"""Maximum number of outcomes that are settled together."""


_COUNTED_AS: dict[type[messages.Outcome], str] = {messages.Stopped: "cancelled"}
"""What a count is named, where that is not the name of the outcome."""


@attrs.define
class OutcomeCounts:
    """How many attempts of a worker ended in which way so far."""

    settled: Counter[type[messages.Outcome]] = attrs.field(factory=Counter)
    stale: int = 0
    """Outcomes that the store rejected, because the lease was over."""
    unsettled: int = 0
    """Outcomes given up at the end, because Redis was away; their leases expire."""

    def by_name(self) -> dict[str, int]:
        """Return the counts of settled and stale outcomes, as statistics and metrics name them."""
        counts = {
            _COUNTED_AS.get(kind, kind.__name__.lower()): self.settled[kind]
            for kind in TRANSITION_OF
        }
        return counts | {"stale": self.stale}


_SettledItem = tuple[HeldLease, messages.Outcome]
"""A lease and the outcome that the store is to write of it."""


@attrs.define(eq=False)
class Settler:
    """The settler's state."""

    store: Store
    lease_table: LeaseTable
    flusher: ProgressFlusher
    outcomes: trio.MemoryReceiveChannel[AttemptOutcome]
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

    async def _settle(self, outcomes: Sequence[AttemptOutcome]) -> None:
        unwritten = self.flusher.unwritten([outcome.held for outcome in outcomes])
        if unwritten:
            await self.flusher.flush(unwritten)
        batches: dict[str, list[_SettledItem]] = {}
        for outcome in outcomes:
            if outcome.written is None:
                self.outcome_counts.stale += 1
                self._drop(outcome.held)
            else:
                items = batches.setdefault(outcome.held.queue, [])
                items.append((outcome.held, outcome.written))
        if len(batches) == 1:
            await self._settle_queue(*batches.popitem())
            return
        async with trio.open_nursery() as nursery:
            for queue, items in batches.items():
                nursery.start_soon(self._settle_queue, queue, items)

    async def _settle_queue(self, queue: str, items: Sequence[_SettledItem]) -> None:
        """Settle the outcomes of one queue, of whatever kind, in one call."""
        for part in _split(items):
            states = await self._settle_until_answered(queue, [outcome for _, outcome in part])
            for (held, outcome), state in zip(part, states, strict=True):
                if state is None:
                    self.outcome_counts.stale += 1
                    log.warning(
                        "task %s/%s: its lease was over, the outcome was rejected", *held.key
                    )
                else:
                    self.outcome_counts.settled[type(outcome)] += 1
                self._drop(held)

    async def _settle_until_answered(
        self, queue: str, outcomes: Sequence[messages.Outcome]
    ) -> messages.Settled:
        # A settlement may be repeated: the store knows the token of the first.
        answer = await until_answered(
            lambda: self.store.settle(queue, outcomes),
            on_failure=lambda _: self.liveness.record_failure(),
        )
        self.liveness.record_answer()
        return answer

    def _drop(self, held: HeldLease) -> None:
        self.flusher.forget(held)
        self.lease_table.drop(held)


def _split(items: Sequence[_SettledItem]) -> Iterator[list[_SettledItem]]:
    """Split what one call would carry: each task counts, and each that it enqueues."""
    if len(items) <= BATCH and not any(held.children for held, _ in items):
        if items:
            yield list(items)
        return
    part: list[_SettledItem] = []
    size = 0
    for held, item in items:
        weight = 1 + (len(item.children) if isinstance(item, messages.Completed) else 0)
        if part and size + weight > BATCH:
            yield part
            part, size = [], 0
        part.append((held, item))
        size += weight
    if part:
        yield part
