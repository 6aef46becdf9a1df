"""The keeper: what time alone makes due. Any number may run at once, none is needed.

It promotes tasks whose time has come, reclaims lapsed leases, buries expired tasks,
goes on telling those that wait for others, carries messages to other queues, makes
batches of groups, ticks schedules, and purges finished tasks. Each answer tells when
the next is due, so it sleeps until then; the longest sleeps are bounded, because other
workers' leases and tasks come without a signal.

A queue that is empty, and in which no duty has anything to do, is at rest: nothing comes
to it without a signal. There it makes sure by one look now and then instead of by eight,
so that a thousand of them cost next to nothing.
"""

from __future__ import annotations

import math
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

import attrs
import trio

from rediq_trio._errors import ConnectionLost
from rediq_trio.spec.records import Due, GroupRule
from rediq_trio.store.broadcast import Signal, SignalKind
from rediq_trio.store.port import Store
from rediq_trio.store.relay import relay_some
from rediq_trio.worker.keeping.batcher import Batcher
from rediq_trio.worker.keeping.ticker import Ticker
from rediq_trio.worker.pace import Pace

LIMIT = 500
"""Tasks that one step moves at most."""
RECLAIM_EVERY = 4.0
"""Seconds: a lapsed lease is found within these."""
OTHERS_EVERY = 15.0
"""Seconds: the longest sleep of the other duties."""
TOLD_EVERY = 30.0
"""Seconds: the longest sleep of what a signal is sent for whenever there is something to do."""
REST_EVERY = 30.0
"""Seconds between looks at a queue that is at rest, at most; less if the lease is shorter."""
REST_LONGEST = 120.0
"""Seconds: the longest sleep of every duty in a queue that is at rest."""
AT_ONCE = 32
"""Queues that are tended at once."""


_HURRY = {
    SignalKind.DUE: ("promote",),
    SignalKind.MAIL: ("unblock", "relay"),
    SignalKind.GROUP: ("batch",),
    SignalKind.TICK: ("tick",),
    SignalKind.RESYNC: ("promote", "unblock", "relay", "batch", "tick"),
}
"""The duties that a signal makes due at once."""


@attrs.define(eq=False)
class _Duty:
    step: Callable[[], Awaitable[Due]]
    longest: float
    at: float = 0.0
    """On Trio's clock."""
    needed: bool = True
    """Whether it had anything to do, or will have, when it was last done."""

    def within(self, longest: float) -> None:
        """Let it be due no later than in so many seconds, or a little less."""
        self.at = min(self.at, trio.current_time() + longest * random.uniform(0.8, 1.0))


@attrs.define(eq=False)
class _Post:
    """The duties in one queue."""

    queue: str
    duties: Mapping[str, _Duty]
    rests: bool = False
    look_at: float = math.inf
    """When to look whether it is still empty, on Trio's clock; inf while it is not at rest."""
    at: float = 0.0
    """When there is something to do: kept, because a thousand are looked through again and again."""

    def reckon(self) -> None:
        """Keep when there is something to do, after any change."""
        self.at = min(self.look_at, min(duty.at for duty in self.duties.values()))

    def rest(self, every: float) -> None:
        """Put it to rest."""
        self.look_at = trio.current_time() + every * random.uniform(0.8, 1.0)
        if not self.rests:
            self.rests = True
            for duty in self.duties.values():
                duty.at = math.inf
                duty.within(REST_LONGEST)

    def wake(self) -> bool:
        """End its rest; say whether it was at rest."""
        rested, self.rests, self.look_at = self.rests, False, math.inf
        if rested:
            self.keep_up()
        return rested

    def keep_up(self) -> None:
        """Have each duty done again before the queue may be at rest."""
        for duty in self.duties.values():
            duty.needed = True
            duty.within(duty.longest)


@attrs.define(eq=False)
class Keeper:
    """The keeper's state: when each duty is due, per queue."""

    store: Store
    queues: Sequence[str]
    dead_retention: float
    max_dead: int
    rules: Mapping[str, GroupRule] = attrs.field(factory=dict[str, GroupRule])
    """When groups become batches: for each group, or prefix, that has an aggregator."""
    elsewhere: Sequence[str] = ()
    """Queues whose schedules it ticks, and no more."""
    lease: float = math.inf
    """The worker's own; others are taken to have no shorter ones."""
    pace: Pace = attrs.field(factory=Pace)
    _ticker: Ticker = attrs.field(init=False)
    _batchers: dict[str, Batcher] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._batchers = {q: Batcher(self.store, q, self.rules) for q in self.queues}
        self._ticker = Ticker(self.store)

    async def run(self) -> None:
        """Keep until cancelled."""
        posts = {queue: _Post(queue, self._duties(queue)) for queue in self.queues}
        posts |= {queue: _Post(queue, {"tick": self._ticking(queue)}) for queue in self.elsewhere}
        with self.store.listen([(queue, "") for queue in posts]) as signals:
            while True:
                if await self._tend_all(posts.values()):
                    nap = max(0.0, min(post.at for post in posts.values()) - trio.current_time())
                else:
                    nap = random.uniform(0.1, 0.5)
                self.pace.rest(nap)
                with trio.move_on_after(nap):
                    while not self._heed(await signals.receive(), posts):
                        pass
                    try:
                        while True:
                            self._heed(signals.receive_nowait(), posts)
                    except trio.WouldBlock:
                        pass  # all that has come is heeded in one round

    def _heed(self, signal: Signal, posts: Mapping[str, _Post]) -> bool:
        """Make due what a signal hurries; say whether there is anything."""
        if signal.queue in self._batchers:
            self._batchers[signal.queue].heed(signal)
        post = posts[signal.queue]
        woken = post.wake()
        hurried = post.duties.keys() & {*_HURRY.get(signal.kind, ())}
        for duty in hurried:
            post.duties[duty].at = 0.0
        post.reckon()
        return woken or bool(hurried)

    def _duties(self, queue: str) -> dict[str, _Duty]:
        store = self.store
        keep = {"dead_retention_ms": round(self.dead_retention * 1000), "max_dead": self.max_dead}
        return {
            "promote": _Duty(lambda: store.promote(queue, limit=LIMIT), OTHERS_EVERY),
            "reclaim": _Duty(lambda: store.reclaim(queue, limit=LIMIT), RECLAIM_EVERY),
            "expire": _Duty(lambda: store.expire(queue, limit=LIMIT), OTHERS_EVERY),
            "unblock": _Duty(lambda: store.unblock(queue, limit=LIMIT), TOLD_EVERY),
            "relay": _Duty(lambda: relay_some(store, queue, limit=LIMIT), TOLD_EVERY),
            "tick": self._ticking(queue),
            "batch": _Duty(self._batchers[queue].step, OTHERS_EVERY),
            "purge": _Duty(lambda: store.purge(queue, limit=LIMIT, **keep), OTHERS_EVERY),
        }

    def _ticking(self, queue: str) -> _Duty:
        return _Duty(lambda: self._ticker.tick(queue), TOLD_EVERY)

    async def _tend_all(self, posts: Iterable[_Post]) -> bool:
        """Do all that is due, in many queues at once; say whether the store answered."""
        now = trio.current_time()
        due = [post for post in posts if post.at <= now]
        waiting, answered = iter(due), True

        async def tend_some() -> None:
            nonlocal answered
            for post in waiting:
                try:
                    await self._tend(post)
                except ConnectionLost:
                    # Others may be on a node of a Cluster that answers.
                    self.pace.refuse()
                    answered = False
                finally:
                    post.reckon()

        if len(due) == 1:
            await tend_some()
        else:
            async with trio.open_nursery() as nursery:
                for _ in range(min(AT_ONCE, len(due))):
                    nursery.start_soon(tend_some)
        return answered

    async def _tend(self, post: _Post) -> None:
        """Do what is due in one queue."""
        if post.look_at <= trio.current_time():
            if await self._is_empty(post.queue):
                post.rest(self._rest_every)
            else:
                post.wake()
        for duty in post.duties.values():
            while duty.at <= trio.current_time():
                await self._do(duty, REST_LONGEST if post.rests else duty.longest)
        needed = any(duty.needed for duty in post.duties.values())
        if needed and post.rests:
            post.wake()
        elif not needed and not post.rests and post.queue in self._batchers:
            if await self._is_empty(post.queue):
                post.rest(self._rest_every)
            else:
                post.keep_up()

    async def _do(self, duty: _Duty, longest: float) -> None:
        self.pace.begin()
        due = await duty.step()
        self.pace.answer()
        duty.needed = due.moved > 0 or due.next_in_ms is not None
        # 1 ms more, so that the store's clock is past the instant, not at its edge.
        rest = math.inf if due.next_in_ms is None else (due.next_in_ms + 1) / 1000
        # A step that moved as many as it may leaves more that are due.
        duty.at = trio.current_time() + (0.0 if due.moved >= LIMIT else rest)
        duty.within(longest)

    @property
    def _rest_every(self) -> float:
        return max(RECLAIM_EVERY, min(REST_EVERY, self.lease))

    async def _is_empty(self, queue: str) -> bool:
        self.pace.begin()
        empty = not any((await self.store.stats(queue)).sizes.values())
        self.pace.answer()
        return empty
