"""The poller: claims what there is room for, and sleeps until there may be more.

It never polls busily: when the queues had less than it asked for, it waits for a
signal. It looks again without one, because signals are hints that can be lost: at
every queue each `IDLE` seconds or so, at very many of them less often.

With more than `FEW` queues it asks those only that may have tasks: that had more than
it claimed, of which a signal said so, or whose look is due. Few are asked in each round,
which makes the order among them strict without regard to how long a signal takes.

In strict order a queue has its turn when all before it are empty. With weights, the
free capacity of each round is split (`shares`), and what one queue does not use goes
to the others in the same round.
"""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Callable, Mapping, Sequence

import attrs
import trio

from rediq_trio._errors import ConnectionLost
from rediq_trio.store.broadcast import Signal, SignalKind
from rediq_trio.store.port import Store
from rediq_trio.worker.flow import Flow
from rediq_trio.worker.leases import Book, Held
from rediq_trio.worker.pace import Pace
from rediq_trio.worker.shares import Shares

log = logging.getLogger("rediq_trio")

IDLE = 5.0
"""Seconds after which an idle poller looks again without a signal."""
FEW = 16
"""Queues, with their partitions, that are all asked in each round."""
LOOKS = 50
"""Queues a second that it looks at without a signal, about; `IDLE` and `RAREST` bound it."""
RAREST = 20.0
"""Seconds between two looks at a queue at most; less than a lease, if that is shorter."""
NAP = 0.5
"""Seconds between two rounds without a signal at least, where many looks are due at many instants."""
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
    pace: Pace = attrs.field(factory=Pace)
    _shares: Shares | None = attrs.field(init=False)
    _ready: set[str] = attrs.field(factory=set)
    """Places that may have tasks."""
    _looks: dict[str, float] = attrs.field(factory=dict[str, float])
    """When to look at each place without a signal, on Trio's clock."""
    _next_look: float = 0.0
    _rounds: int = 0
    _outgrown: set[str] = attrs.field(factory=set)
    """Queues of which it was said that a newer version's task is next."""
    _claiming: trio.CancelScope = attrs.field(factory=lambda: trio.CancelScope(shield=True))

    def __attrs_post_init__(self) -> None:
        queues = self.queues
        self._shares = Shares(queues) if isinstance(queues, Mapping) and len(queues) > 1 else None
        self._looks = {place: 0.0 for queue in queues for place in self._places(queue)}

    async def run(self) -> None:
        """Claim until cancelled. What was claimed by then is handed over."""
        topics = [(place, "") for place in self._looks]
        with self.leases, self.store.listen(topics) as signals:
            while True:
                await self._wait_room()
                self._heed_all(signals)
                try:
                    exhausted = await self._round()
                except ConnectionLost:
                    self.pace.refuse()
                    await trio.sleep(random.uniform(0.05, 0.5))
                    continue
                if exhausted:
                    longest = self._longest_wait()
                    self.pace.rest(longest)
                    await self._wait_wake(signals, longest)
                    self.pace.begin()

    def limit_claim(self, seconds: float) -> None:
        """Give a claim under way no longer than that. What it claims beyond will lapse."""
        self._claiming.deadline = trio.current_time() + seconds

    def _places(self, queue: str) -> Sequence[str]:
        return self.places.get(queue, (queue,))

    # --- which places may have tasks

    def _heed(self, signal: Signal) -> bool:
        """Take note of a signal; say whether there may be tasks."""
        if signal.kind not in (SignalKind.WAKE, SignalKind.RESYNC):
            return False
        self._ready.add(signal.queue)
        return True

    def _heed_all(self, signals: trio.MemoryReceiveChannel[Signal]) -> None:
        try:
            while True:
                self._heed(signals.receive_nowait())
        except trio.WouldBlock:
            pass

    def _look_again(self) -> None:
        """Take in the places whose look is due."""
        now = trio.current_time()
        if len(self._looks) <= FEW:
            self._ready.update(self._looks)
        elif self._next_look <= now:
            self._ready.update(place for place, at in self._looks.items() if at <= now)
            self._next_look = min(self._looks.values())

    def _looked(self, place: str, more: bool) -> None:
        """Note what a place answered."""
        if not more:
            # What came since has told so by a signal, which is still unread.
            self._ready.discard(place)
        every = max(IDLE, min(self.lease, RAREST, len(self._looks) / LOOKS))
        self._looks[place] = at = trio.current_time() + every * random.uniform(0.5, 1.0)
        self._next_look = min(self._next_look, at)

    def _longest_wait(self) -> float:
        longest = IDLE * random.uniform(0.8, 1.2)
        if len(self._looks) <= FEW:
            return longest
        self._next_look = min(self._looks.values())
        return min(longest, max(NAP, self._next_look - trio.current_time()))

    async def _wait_wake(
        self, signals: trio.MemoryReceiveChannel[Signal], longest: float
    ) -> None:
        with trio.move_on_after(longest):
            while not self._heed(await signals.receive()):
                pass

    def _asked(self) -> list[str]:
        """Give the queues that are asked in this round, in their order."""
        ready = self._ready
        return [q for q in self.queues if not ready.isdisjoint(self._places(q))]

    # --- claiming

    def _free(self) -> int:
        return self.flow.capacity() - len(self.book)

    async def _wait_room(self) -> None:
        # Claiming in halves of what is claimed ahead keeps the batches large.
        while self._is_full():
            self.pace.rest(IDLE, content=True)
            # It looks by itself, so that it shows it is alive, and a wake-up that was lost costs little.
            with trio.move_on_after(IDLE):
                while self._is_full():
                    await self.book.room.park()
            self.pace.rest(0.0, content=True)

    def _is_full(self) -> bool:
        return self._free() <= 0 or self.waiting() > self.flow.ahead() // 2

    async def _round(self) -> bool:
        """Claim from the queues while there is room; say whether none has any left."""
        self._look_again()
        if self._shares is not None:
            return await self._round_by_weight(self._shares)
        for queue in self._asked():
            free = self._free()
            if free <= 0:
                return False
            _, more = await self._claim(queue, free)
            if more:
                # Back to the first: what is behind has its turn when all before it are empty.
                return False
        return True

    async def _round_by_weight(self, shares: Shares) -> bool:
        full = self._asked()
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
        """Claim from a queue, whose partitions take turns in being first; as `_claim_from`."""
        places = self.places.get(queue)
        if places is None:
            return await self._claim_from(queue, limit)
        self._rounds += 1
        first = self._rounds % len(places)
        count, more = 0, False
        for place in (*places[first:], *places[:first]):
            if place not in self._ready:
                continue
            if count >= limit:
                return count, True
            some, left = await self._claim_from(place, limit - count)
            count, more = count + some, more or left
        return count, more

    async def _claim_from(self, queue: str, limit: int) -> tuple[int, bool]:
        """Claim; say how many came, and whether the queue has more that could be claimed now."""
        count, more = 0, False
        asked = trio.current_time()
        self._claiming = trio.CancelScope(shield=True, deadline=asked + CLAIM_DEADLINE)
        # Unshielded, a claim answered after the cancellation would hold its tasks until
        # the leases run out.
        with self._claiming:
            claimed = await self.store.claim(
                queue,
                limit=min(limit, self.flow.at_once()),
                lease_ms=round(self.lease * 1000),
                worker=self.worker,
                nonce=os.urandom(8),
            )
            self.pace.answer()
            count, more = len(claimed.leases), claimed.remaining > 0
            self._looked(queue, more)
            if claimed.newer:
                self._leave_to_newer(queue, claimed.newer)
            if claimed.leases:
                self.flow.claimed([len(lease.envelope) for lease in claimed.leases])
                held = self.book.add(queue, claimed.leases, asked=asked, length=self.lease)
                self.leases.send_nowait(held)
        if self._claiming.cancelled_caught:
            self.pace.refuse()
        await trio.lowlevel.checkpoint_if_cancelled()
        return count, more

    def _leave_to_newer(self, queue: str, layout: int) -> None:
        if queue not in self._outgrown:
            self._outgrown.add(queue)
            log.warning(
                "queue %s: a newer rediq-trio wrote its next task (layout %d); it and those behind "
                "it are left to newer workers: upgrade this one", queue, layout,
            )  # fmt: skip
