"""The poller: claims tasks while the worker has room, and sleeps until there may be more.

It never polls in a loop: when the queues had fewer tasks than it asked for, it waits for a
signal. Signals can be lost, so it also polls without one: each queue about every
`POLL_INTERVAL` seconds, less often when there are very many queues.

With up to `ALL_POLLED_MAX` queues, partitions included, each round polls all of them. With
more, it polls only those that sent a signal, had tasks left after the last claim, or are
due. The rounds are short, so the order of the queues stays strict.

In strict order a queue is polled when all before it are empty. With weights, the free
capacity of each round is split (`shares`), and what one queue does not use goes to the
others in the same round.
"""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import attrs
import trio

from rediq_trio.store.broadcast import Signal, SignalKind
from rediq_trio.store.port import Store
from rediq_trio.store.retrying import until_answered
from rediq_trio.wire.batch_envelope import size_of
from rediq_trio.worker.leases import HeldLease, LeaseTable
from rediq_trio.worker.liveness import Liveness
from rediq_trio.worker.prefetch import Prefetch
from rediq_trio.worker.shares import Shares

log = logging.getLogger("rediq_trio")

POLL_INTERVAL = 5.0
"""Seconds after which an idle poller polls again without a signal."""
ALL_POLLED_MAX = 16
"""Maximum number of queues, partitions included, that are all polled in each round."""
POLLS_PER_SECOND = 50
"""Target rate of polls without a signal, in queues per second. Each queue's interval is clamped
to [`POLL_INTERVAL`, `POLL_INTERVAL_MAX`]."""
POLL_INTERVAL_MAX = 20.0
"""Maximum seconds between two polls of a queue; a shorter lease lowers it."""
ROUND_INTERVAL_MIN = 0.5
"""Minimum seconds between two rounds without a signal, when polls are due at many instants."""
CLAIM_DEADLINE = 20.0
"""Seconds that a claim may take; longer than the deadlines of the connection."""


@attrs.define(eq=False)
class Poller:
    """The poller's state. `begin_stop` ends it."""

    store: Store
    queues: Sequence[str] | Mapping[str, float]
    """A sequence is strict order; a mapping has weights."""
    worker: str
    lease: float
    lease_table: LeaseTable
    prefetch: Prefetch
    waiting: Callable[[], int]
    """Returns how many claimed tasks the executor has not started."""
    leases: trio.MemorySendChannel[list[HeldLease]]
    partitions: Mapping[str, Sequence[str]] = attrs.field(factory=dict[str, Sequence[str]])
    """The partitions of each queue; a queue that is not named is its own only one."""
    liveness: Liveness = attrs.field(factory=Liveness)
    _shares: Shares | None = attrs.field(init=False)
    _ready: set[str] = attrs.field(factory=set)
    """Partitions that may have tasks."""
    _next_polls: dict[str, float] = attrs.field(factory=dict[str, float])
    """When to poll each partition without a signal, on Trio's clock."""
    _first_poll: float = 0.0
    _rounds: int = 0
    _newer_reported: set[str] = attrs.field(factory=set)
    """Queues whose next task is of a newer version and for which a warning was logged."""
    _claiming: trio.CancelScope = attrs.field(factory=lambda: trio.CancelScope(shield=True))

    def __attrs_post_init__(self) -> None:
        queues = self.queues
        self._shares = Shares(queues) if isinstance(queues, Mapping) and len(queues) > 1 else None
        self._next_polls = {
            partition: 0.0 for queue in queues for partition in self._partitions_of(queue)
        }

    async def run(self) -> None:
        """Claim until cancelled. Tasks that were claimed by then reach the executor."""
        topics = [(partition, "") for partition in self._next_polls]
        with self.leases, self.store.listen(topics) as signals:
            while True:
                if await until_answered(
                    partial(self._next_round, signals),
                    on_failure=lambda _: self.liveness.record_failure(),
                ):
                    longest = self._longest_wait()
                    self.liveness.sleep(longest)
                    await self._wait_signal(signals, longest)
                    self.liveness.wake()

    async def _next_round(self, signals: trio.MemoryReceiveChannel[Signal]) -> bool:
        await self._wait_room()
        self._handle_waiting_signals(signals)
        return await self._round()

    def limit_claim(self, seconds: float) -> None:
        """Limit the claim under way to `seconds`. Leases of a later answer expire."""
        self._claiming.deadline = trio.current_time() + seconds

    def _partitions_of(self, queue: str) -> Sequence[str]:
        return self.partitions.get(queue, (queue,))

    # --- which partitions may have tasks

    def _handle_signal(self, signal: Signal) -> bool:
        """Handle a signal; return whether there may be tasks."""
        if signal.kind not in (SignalKind.WAKE, SignalKind.RESYNC):
            return False
        self._ready.add(signal.queue)
        return True

    def _handle_waiting_signals(self, signals: trio.MemoryReceiveChannel[Signal]) -> None:
        try:
            while True:
                self._handle_signal(signals.receive_nowait())
        except trio.WouldBlock:
            pass

    def _add_due_polls(self) -> None:
        """Add the partitions whose poll is due to those that may have tasks."""
        now = trio.current_time()
        if len(self._next_polls) <= ALL_POLLED_MAX:
            self._ready.update(self._next_polls)
        elif self._first_poll <= now:
            self._ready.update(partition for partition, at in self._next_polls.items() if at <= now)
            self._first_poll = min(self._next_polls.values())

    def _record_poll(self, partition: str, more: bool) -> None:
        """Record that a partition was polled, and whether it has more tasks."""
        if not more:
            # A task that came since sent a signal, which is still unread.
            self._ready.discard(partition)
        every = max(
            POLL_INTERVAL,
            min(self.lease, POLL_INTERVAL_MAX, len(self._next_polls) / POLLS_PER_SECOND),
        )
        self._next_polls[partition] = at = trio.current_time() + every * random.uniform(0.5, 1.0)
        self._first_poll = min(self._first_poll, at)

    def _longest_wait(self) -> float:
        longest = POLL_INTERVAL * random.uniform(0.8, 1.2)
        if len(self._next_polls) <= ALL_POLLED_MAX:
            return longest
        self._first_poll = min(self._next_polls.values())
        return min(longest, max(ROUND_INTERVAL_MIN, self._first_poll - trio.current_time()))

    async def _wait_signal(
        self, signals: trio.MemoryReceiveChannel[Signal], longest: float
    ) -> None:
        with trio.move_on_after(longest):
            while not self._handle_signal(await signals.receive()):
                pass

    def _ready_queues(self) -> list[str]:
        """Return the queues to poll in this round, in their order."""
        ready = self._ready
        return [q for q in self.queues if not ready.isdisjoint(self._partitions_of(q))]

    # --- claiming

    def _free(self) -> int:
        return self.prefetch.capacity() - len(self.lease_table)

    async def _wait_room(self) -> None:
        # Waiting until half of the claimed-ahead tasks are started keeps the claims large.
        while self._is_full():
            self.liveness.sleep(POLL_INTERVAL, idle=True)
            # Bounded, so that the actor shows that it is alive and a lost wake-up costs little.
            with trio.move_on_after(POLL_INTERVAL):
                while self._is_full():
                    await self.lease_table.room.park()
            self.liveness.sleep(0.0, idle=True)

    def _is_full(self) -> bool:
        return self._free() <= 0 or self.waiting() > self.prefetch.ahead() // 2

    async def _round(self) -> bool:
        """Claim from the queues while there is room; return whether none has tasks left."""
        self._add_due_polls()
        if self._shares is not None:
            return await self._round_by_weight(self._shares)
        for queue in self._ready_queues():
            free = self._free()
            if free <= 0:
                return False
            _, more = await self._claim(queue, free)
            if more:
                # Start again from the first queue: a later one waits until all before it are empty.
                return False
        return True

    async def _round_by_weight(self, shares: Shares) -> bool:
        full = self._ready_queues()
        try:
            while full:
                free = self._free()
                if free <= 0:
                    return False
                for queue, part in shares.split(free, full).items():
                    count, more = await self._claim(queue, part)
                    shares.took(queue, count)
                    if not more:
                        full.remove(queue)
        finally:
            shares.even_out(full)
        return True

    async def _claim(self, queue: str, limit: int) -> tuple[int, bool]:
        """Claim from a queue, starting with another partition each time; returns as `_claim_from`."""
        partitions = self.partitions.get(queue)
        if partitions is None:
            return await self._claim_from(queue, limit)
        self._rounds += 1
        first = self._rounds % len(partitions)
        count, more = 0, False
        for partition in (*partitions[first:], *partitions[:first]):
            if partition not in self._ready:
                continue
            if count >= limit:
                return count, True
            some, left = await self._claim_from(partition, limit - count)
            count, more = count + some, more or left
        return count, more

    async def _claim_from(self, queue: str, limit: int) -> tuple[int, bool]:
        """Claim; return how many tasks came, and whether more could be claimed now."""
        count, more = 0, False
        asked_at = trio.current_time()
        self._claiming = trio.CancelScope(shield=True, deadline=asked_at + CLAIM_DEADLINE)
        # Without the shield, a claim answered after the cancellation would keep its tasks
        # leased until the leases expire.
        with self._claiming:
            claimed = await self.store.claim(
                queue,
                limit=min(limit, self.prefetch.claim_max()),
                lease_ms=round(self.lease * 1000),
                worker=self.worker,
                nonce=os.urandom(8),
            )
            self.liveness.record_answer()
            count, more = len(claimed.leases), claimed.remaining > 0
            self._record_poll(queue, more)
            if claimed.newer:
                self._report_newer(queue, claimed.newer)
            if claimed.leases:
                self.prefetch.record_claim([size_of(lease.envelope) for lease in claimed.leases])
                held = self.lease_table.add(
                    queue, claimed.leases, asked_at=asked_at, length=self.lease
                )
                self.leases.send_nowait(held)
        if self._claiming.cancelled_caught:
            self.liveness.record_failure()
        await trio.lowlevel.checkpoint_if_cancelled()
        return count, more

    def _report_newer(self, queue: str, layout: int) -> None:
        if queue not in self._newer_reported:
            self._newer_reported.add(queue)
            log.warning(
                "queue %s: a newer rediq-trio wrote its next task (format %d); this task and all after "
                "it are left to newer workers: upgrade this one", queue, layout,
            )  # fmt: skip
