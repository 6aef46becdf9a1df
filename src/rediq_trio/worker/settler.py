"""The settler: writes outcomes, in batches, until each is in Redis.

A task counts as done only then. While one batch of a queue is being written the next one
collects, so batches grow with the load. Each queue is written to by itself: one that is away
keeps no outcome of another from being written.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import attrs
import trio

from rediq_trio._errors import ConnectionLost, PayloadTooLarge
from rediq_trio.observe.words import shown
from rediq_trio.spec import messages
from rediq_trio.spec.settle import TRANSITION_OF
from rediq_trio.store.port import BATCH, Store
from rediq_trio.tasks.attempts import pack_detail
from rediq_trio.tasks.failure_kinds import FailureSample
from rediq_trio.values.observed.attempt import ErrorText
from rediq_trio.worker.availability.liveness import Liveness
from rediq_trio.worker.availability.outages import Outages
from rediq_trio.worker.leases import AttemptOutcome, HeldLease, LeaseTable, counted_as
from rediq_trio.worker.outcomes.detail import with_kind
from rediq_trio.worker.outcomes.observed import AttemptObserver
from rediq_trio.worker.progress import ProgressFlusher

log = logging.getLogger("rediq_trio")

OUTCOMES_AT_ONCE = 512
"""Maximum number of outcomes that are settled together."""
CHILDREN_NAMED = 10
"""Maximum number of tasks that a warning names."""


@attrs.define
class OutcomeCounts:
    """How many attempts of a worker ended in which way so far."""

    settled: Counter[type[messages.Outcome]] = attrs.field(factory=Counter)
    children_refused: int = 0
    """Tasks of `enqueue_after` that were not enqueued, as others have their ids or unique keys."""
    stale: int = 0
    """Outcomes that the store rejected, because the lease was over."""
    unsettled: int = 0
    """Outcomes given up at the end, because Redis was away; their leases expire."""

    def by_name(self) -> dict[str, int]:
        """Return the counts of settled and stale outcomes, as statistics and metrics name them."""
        named = ((counted_as(kind), kind) for kind in TRANSITION_OF)
        return {name: self.settled[kind] for name, kind in named} | {"stale": self.stale}


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
    outages: Outages = attrs.field(factory=Outages)
    alone: bool = False
    """Whether the worker serves one queue only: no other waits for it, so no task of its own does it."""
    report_deaths: Callable[[str, Sequence[messages.Death]], object] = lambda _queue, _deaths: None
    """Reports tasks of a queue that died because of one that they need."""
    observer: AttemptObserver | None = None
    """Reports to telemetry; None without any."""
    _stop_scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    _waiting: dict[str, list[_SettledItem]] = attrs.field(factory=dict[str, list[_SettledItem]])
    """Outcomes that wait for the batch before them, for each queue that is being written to."""

    async def run(self) -> None:
        """Settle outcomes until the channel is closed."""
        with self.outcomes, self._stop_scope:
            self.liveness.rest(math.inf)
            async with trio.open_nursery() as nursery:
                async for first in self.outcomes:
                    batch = [first]
                    try:
                        while len(batch) < OUTCOMES_AT_ONCE:
                            batch.append(self.outcomes.receive_nowait())
                    except (trio.WouldBlock, trio.EndOfChannel):
                        pass
                    await self._settle(batch, nursery)
        self.outcome_counts.unsettled += len(self.lease_table)

    def limit(self, seconds: float) -> None:
        """Stop settling after `seconds`; the leases of what is left expire."""
        self._stop_scope.deadline = trio.current_time() + seconds

    async def _settle(self, outcomes: Sequence[AttemptOutcome], nursery: trio.Nursery) -> None:
        batches: dict[str, list[_SettledItem]] = {}
        for outcome in outcomes:
            if outcome.written is None:
                self.outcome_counts.stale += 1
                self._drop(outcome.held)
            else:
                items = batches.setdefault(outcome.held.queue, [])
                items.append((outcome.held, outcome.written))
        for queue, items in batches.items():
            if (waiting := self._waiting.get(queue)) is not None:
                waiting += items
                continue
            self._waiting[queue] = items
            if self.alone:
                await self._settle_waiting(queue)
            else:
                nursery.start_soon(self._settle_waiting, queue)

    async def _settle_waiting(self, queue: str) -> None:
        while items := self._waiting[queue]:
            self._waiting[queue] = []
            unwritten = self.flusher.unwritten([held for held, _ in items])
            if unwritten:
                await self.flusher.flush(unwritten)
            for part in _split(items):
                await self._settle_part(queue, part)
        del self._waiting[queue]

    async def _settle_part(self, queue: str, part: Sequence[_SettledItem]) -> None:
        """Settle outcomes of one queue, of whatever kind, in one call; repeat it until it is answered."""
        observed = None if self.observer is None else self.observer.settling(queue, part)
        while True:
            self.liveness.begin_call(queue)
            try:
                # A settlement may be repeated: the store knows the token of the first.
                states = await self.store.settle(queue, [outcome for _, outcome in part])
                break
            except ConnectionLost as lost:
                self.outages.record_failure(queue, lost)
                self.liveness.record_failure()
                self.liveness.end_call(queue)
                # These leases leave room for other queues while this one is away.
                self.lease_table.announce_room()
                await self.outages.wait_pause(queue)
            except BaseException as error:
                if observed is not None:
                    observed.end(error)
                if isinstance(error, PayloadTooLarge):
                    await self._settle_too_large(queue, part, error)
                elif isinstance(error, Exception):
                    await self._settle_damaged(queue, part, error)
                else:
                    raise
                return
        if observed is not None:
            observed.end()
        self.liveness.record_answer()
        self.liveness.end_call(queue)
        self.outages.record_answer(queue)
        if states.deaths:
            self.report_deaths(queue, states.deaths)
        for (held, outcome), state in zip(part, states, strict=True):
            if state is None:
                self.outcome_counts.stale += 1
                held.mark_over()
                self.outages.limiter.warning(
                    "task %s/%s: its lease was over, the outcome was rejected", *held.key,
                    extra={"queue": held.queue, "task_id": held.task_id},
                )  # fmt: skip
            else:
                self.outcome_counts.settled[type(outcome)] += 1
                if isinstance(state, messages.PartlyCompleted):
                    self._report_refused(held, state.refused)
            self._drop(held)

    async def _settle_halves(self, queue: str, part: Sequence[_SettledItem]) -> bool:
        """Settle the halves of a call that the store will never take; False for one outcome."""
        self.liveness.end_call(queue)
        if half := len(part) // 2:
            await self._settle_part(queue, part[:half])
            await self._settle_part(queue, part[half:])
        return half > 0

    async def _settle_too_large(
        self, queue: str, part: Sequence[_SettledItem], error: PayloadTooLarge
    ) -> None:
        """Fail the task whose outcome the server refuses for its size, and settle the others.

        The lease of such a task would run out, and the next worker would do its work again, and fail
        in the same way.
        """
        if await self._settle_halves(queue, part):
            return
        ((held, outcome),) = part
        if isinstance(outcome, messages.Failed):  # its text is bounded: it is not what is too large
            await self._settle_damaged(queue, part, error)
            return
        text = f"PayloadTooLarge: its result and children: {error}"
        log.error(
            "task %s/%s: dead: %s", *held.key, shown(text),
            extra={"queue": held.queue, "task_id": held.task_id},
        )  # fmt: skip
        detail = pack_detail(ErrorText("PayloadTooLarge", text.partition(": ")[2]))
        failed = messages.Failed(held.fence, text, 0, final=True, detail=detail)
        sample = FailureSample(held.type, "PayloadTooLarge", text.partition(": ")[2], "")
        await self._settle_part(queue, [(held, with_kind(failed, sample))])

    async def _settle_damaged(
        self, queue: str, part: Sequence[_SettledItem], error: Exception
    ) -> None:
        """Settle what can be settled of a call that the store will never take; stop the queue."""
        self.outages.stop(queue, error)
        # One damaged task does not cost the others their outcomes.
        if await self._settle_halves(queue, part):
            return
        ((held, _),) = part
        self.outcome_counts.unsettled += 1
        self.outages.limiter.warning(
            "task %s/%s: its outcome cannot be written, and its lease runs out: %s", *held.key, error,
            extra={"queue": held.queue, "task_id": held.task_id},
        )  # fmt: skip
        self._drop(held)

    def _report_refused(self, held: HeldLease, refused: Sequence[str]) -> None:
        """Report the children of a completed task that were not enqueued."""
        reported: list[str] = []
        for local_id in refused:
            handle, expected = (held.child_handles or {}).get(local_id, (None, False))
            if handle is not None:
                handle.created = False
            if not expected:
                reported.append(local_id)
        if reported:
            self.outcome_counts.children_refused += len(reported)
            self.outages.limiter.warning(
                "task %s/%s completed, and enqueue_after did not enqueue %d of its tasks, as the id "
                "exists or its unique key is taken: %s",
                *held.key, len(reported), ", ".join(reported[:CHILDREN_NAMED]),
            )  # fmt: skip

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
