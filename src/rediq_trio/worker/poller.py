"""The poller: claims tasks while the worker has room, and sleeps until there may be more.

It never polls in a loop: when the queues had fewer tasks than it asked for, it waits for a signal,
or for the instant at which a rate allows a start. Signals can be lost, so it also polls without
one: each queue about every `POLL_INTERVAL` seconds, less often when there are very many queues.

With up to `ALL_POLLED_MAX` queues, partitions included, each round polls all of them. With
more, it polls only those that sent a signal, had tasks left after the last claim, or are
due. The rounds are short, so the order of the queues stays strict.

In strict order a queue is polled when all before it are empty. With weights, the free
capacity of each round is split (`shares`), and what one queue does not use goes to the
others in the same round.

A queue that does not answer is *away*: it is skipped, and probed in the background until it
answers (`probes`). The order and the weights hold among the others.

Long, because all that decides what is claimed next is here.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import attrs
import trio

from rediq_trio._errors import ConnectionLost
from rediq_trio.spec.messages import Death, Lease
from rediq_trio.store.broadcast import Signal, SignalKind
from rediq_trio.store.port import Store
from rediq_trio.values.chance import entropy, uniform
from rediq_trio.wire.batch_envelope import size_of
from rediq_trio.worker.availability.liveness import Liveness
from rediq_trio.worker.availability.outages import Outages
from rediq_trio.worker.availability.probes import Probes
from rediq_trio.worker.availability.rate_waits import RateWaits
from rediq_trio.worker.leases import HeldLease, LeaseTable
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
CLAIM_PATIENCE = 1.0
"""Seconds for which the other queues wait for the answer to a claim; then it goes on in the background."""


@attrs.define(eq=False)
class _Claim:
    """A claim that is under way."""

    count: int = 0
    more: bool = False
    answered: trio.Event = attrs.field(factory=trio.Event)


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
    outages: Outages = attrs.field(factory=Outages)
    report_deaths: Callable[[str, Sequence[Death]], object] = lambda _queue, _deaths: None
    _probes: Probes = attrs.field(init=False)
    _shares: Shares | None = attrs.field(init=False)
    _ready: set[str] = attrs.field(factory=set)
    """Partitions that may have tasks."""
    _next_polls: dict[str, float] = attrs.field(factory=dict[str, float])
    """When to poll each partition without a signal, on Trio's clock."""
    _first_poll: float = 0.0
    _rate_waits: RateWaits = attrs.field(factory=RateWaits)
    _rounds: int = 0
    _newer_reported: set[str] = attrs.field(factory=set)
    """Queues whose next task is of a newer version and for which a warning was logged."""
    _claiming: dict[trio.CancelScope, None] = attrs.field(factory=dict[trio.CancelScope, None])
    """The scopes of the claims that are under way."""
    _answered: dict[str, float] = attrs.field(factory=dict[str, float])
    """When each partition last answered a claim, on Trio's clock."""
    _sleep: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    """The sleep of `run` after this round: none if a queue has answered again meanwhile."""
    quiet: bool = False
    """Whether nothing is claimed, because someone has ordered so; `go_on` ends it."""

    def __attrs_post_init__(self) -> None:
        queues = self.queues
        self._shares = Shares(queues) if isinstance(queues, Mapping) and len(queues) > 1 else None
        self._next_polls = {p: 0.0 for queue in queues for p in self._partitions_of(queue)}
        self._probes = Probes(self.store, self.outages, self._add_answering)

    async def run(self) -> None:
        """Claim until cancelled. Tasks that were claimed by then reach the executor."""
        topics = [(partition, "") for partition in self._next_polls]
        with self.leases, self.store.listen(topics) as signals:
            async with trio.open_nursery() as nursery:
                while True:
                    await self._wait_room()
                    with suppress(trio.WouldBlock):
                        while True:
                            self._handle_signal(signals.receive_nowait())
                    self._sleep = trio.CancelScope()
                    if await self._round(nursery):
                        longest = self._rate_waits.limit_sleep(self._longest_wait())
                        self.liveness.sleep(longest, idle=self.quiet)
                        self._sleep.deadline = trio.current_time() + longest
                        with self._sleep:
                            while not self._handle_signal(await signals.receive()):
                                pass
                        self.liveness.wake()

    def limit_claim(self, seconds: float) -> None:
        """Limit the claims under way to `seconds`. Leases of a later answer expire."""
        for scope in self._claiming:
            scope.deadline = trio.current_time() + seconds

    async def be_quiet(self) -> None:
        """Claim nothing from now on; wait up to `CLAIM_PATIENCE` s for claims that are under way."""
        self.quiet = True
        with trio.move_on_after(CLAIM_PATIENCE):
            while self._claiming:
                await trio.sleep(0.01)

    def go_on(self) -> None:
        """Claim again, from all queues at once."""
        self.quiet = False
        self._ready.update(self._next_polls)
        self._sleep.cancel()

    def _add_answering(self, partition: str) -> None:
        """Poll a partition that answers again."""
        self._ready.add(partition)
        self._sleep.cancel()

    def _partitions_of(self, queue: str) -> Sequence[str]:
        return self.partitions.get(queue, (queue,))

    def _handle_signal(self, signal: Signal) -> bool:
        """Handle a signal; return whether there may be tasks."""
        if signal.kind not in (SignalKind.WAKE, SignalKind.RESYNC):
            return False
        self._ready.add(signal.queue)
        return True

    def _add_due_polls(self) -> None:
        """Add the partitions whose poll is due to those that may have tasks."""
        now = trio.current_time()
        self._ready |= self._rate_waits.take_due()
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
        every = min(self.lease, POLL_INTERVAL_MAX, len(self._next_polls) / POLLS_PER_SECOND)
        every = max(POLL_INTERVAL, every)
        now = self._answered[partition] = trio.current_time()
        self._next_polls[partition] = at = now + every * uniform(0.5, 1.0)
        self._first_poll = min(self._first_poll, at)

    def _longest_wait(self) -> float:
        longest = POLL_INTERVAL * uniform(0.8, 1.2)
        if len(self._next_polls) <= ALL_POLLED_MAX:
            return longest
        self._first_poll = min(self._next_polls.values())
        return min(longest, max(ROUND_INTERVAL_MIN, self._first_poll - trio.current_time()))

    def _ready_queues(self) -> list[str]:
        """Return the queues to poll in this round, in their order."""
        ready = self._ready
        if away := self._probes.away:
            ready = ready - away
        return [q for q in self.queues if not ready.isdisjoint(self._partitions_of(q))]

    def _free(self) -> int:
        free = self.prefetch.capacity() + self.lease_table.slots.lending - len(self.lease_table)
        if self.outages.failing:
            # Ended attempts whose outcomes cannot be written occupy nothing that others need.
            free += self.lease_table.count_settled(self.outages.failing)
        return free

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

    async def _round(self, nursery: trio.Nursery) -> bool:
        """Claim from the queues while there is room; return whether none that answers has tasks left."""
        self._add_due_polls()
        if self.outages.failing or self.outages.stopped:
            # What the other actors found out counts here too.
            self._ready -= self.outages.stopped.keys()
            for partition in sorted(self.outages.failing & self._ready):
                if not self._probes.answered_since_failure(partition):
                    self._probes.start(partition, nursery)
        if self._shares is not None:
            return await self._round_by_weight(self._shares, nursery)
        for queue in self._ready_queues():
            free = self._free()
            if free <= 0:
                return False
            _, more = await self._claim(queue, free, nursery)
            if more:
                # Start again from the first queue: a later one waits until all before it are empty.
                return False
        return True

    async def _round_by_weight(self, shares: Shares, nursery: trio.Nursery) -> bool:
        full = self._ready_queues()
        # Room may become free as fast as it is used, and the queues that were empty wait for the end.
        left = self.prefetch.capacity()
        try:
            while full:
                free = min(left, self._free())
                if free <= 0:
                    return False
                for queue, part in shares.split(free, full).items():
                    count, more = await self._claim(queue, part, nursery)
                    left -= count
                    shares.took(queue, count)
                    if not more:
                        full.remove(queue)
        finally:
            shares.even_out(full)
        return True

    async def _claim(self, queue: str, limit: int, nursery: trio.Nursery) -> tuple[int, bool]:
        """Claim from a queue, starting with another partition each time.

        Returns how many tasks came, and whether more could be claimed now.
        """
        partitions = self._partitions_of(queue)
        self._rounds += 1
        first = self._rounds % len(partitions)
        count, more = 0, False
        for partition in (*partitions[first:], *partitions[:first]):
            if partition not in self._ready or partition in self._probes.away:
                continue
            if count >= limit:
                return count, True
            claim = _Claim()
            if len(self._next_polls) == 1:
                await self._claim_from(partition, limit, claim, nursery)
            else:
                await self._claim_patiently(partition, limit - count, claim, nursery)
            count, more = count + claim.count, more or claim.more
        return count, more

    async def _claim_patiently(
        self, queue: str, limit: int, claim: _Claim, nursery: trio.Nursery
    ) -> None:
        """Claim, but do not keep the other queues waiting for a slow answer."""
        asked_at = trio.current_time()
        nursery.start_soon(self._claim_from, queue, limit, claim, nursery)
        with trio.move_on_after(CLAIM_PATIENCE):
            await claim.answered.wait()
        if not claim.answered.is_set():
            # Until the answer comes. Others may be on the same node: they are probed, all at once.
            self._probes.away.add(queue)
            for partition in self._next_polls:
                if self._answered.get(partition, -math.inf) < asked_at:
                    self._probes.start(partition, nursery, at_once=True)

    async def _claim_from(
        self, queue: str, limit: int, claim: _Claim, nursery: trio.Nursery
    ) -> None:
        """Claim; a queue that does not answer is away until a probe is answered."""
        if self.quiet:
            # No checkpoint follows until the claim is sent.
            claim.answered.set()
            return
        try:
            claim.count, claim.more = await self._claim_now(queue, limit)
        except ConnectionLost as lost:
            self.liveness.record_failure()
            self.outages.record_failure(queue, lost)
            self._probes.away.discard(queue)
            self._probes.start(queue, nursery)
        except Exception as error:
            self.outages.stop(queue, error)
            self._ready.discard(queue)
        else:
            self.outages.record_answer(queue)
            if queue in self._probes.away:
                self._probes.away.discard(queue)
                self._add_answering(queue)
        finally:
            claim.answered.set()

    async def _claim_now(self, queue: str, limit: int) -> tuple[int, bool]:
        """Claim; return how many tasks came, and whether more could be claimed now."""
        leases: Sequence[Lease] = ()
        more, asked_at = False, trio.current_time()
        # Without the shield, tasks of an answer after the cancellation would stay leased.
        scope = trio.CancelScope(shield=True, deadline=asked_at + CLAIM_DEADLINE)
        self._claiming[scope] = None
        try:
            with scope:
                claimed = await self.store.claim(
                    queue,
                    limit=min(limit, self.prefetch.claim_max()),
                    lease_ms=round(self.lease * 1000),
                    worker=self.worker,
                    nonce=entropy(8),
                )
                self.liveness.record_answer()
                leases, more = claimed.leases, claimed.remaining > 0
                self._record_poll(queue, more)
                if claimed.deaths:
                    self.report_deaths(queue, claimed.deaths)
                self._rate_waits.record(queue, claimed.next_in_ms)
                if claimed.newer:
                    self._report_newer(queue, claimed.newer)
                if leases:
                    self.prefetch.record_claim([size_of(lease.envelope) for lease in leases])
                    held = self.lease_table.add(queue, leases, asked_at=asked_at, length=self.lease)
                    self.leases.send_nowait(held)
        finally:
            self._claiming.pop(scope, None)
        await trio.lowlevel.checkpoint_if_cancelled()
        if scope.cancelled_caught:
            raise ConnectionLost(f"a claim was not answered within {CLAIM_DEADLINE:.0f} s")
        return len(leases), more

    def _report_newer(self, queue: str, layout: int) -> None:
        if queue not in self._newer_reported:
            self._newer_reported.add(queue)
            log.warning(
                "queue %s: a newer rediq-trio wrote its next task (format %d); this task and all after "
                "it are left to newer workers: upgrade this one", queue, layout,
            )  # fmt: skip
