"""The keeper: what time alone makes due. Any number may run at once, none is needed.

It promotes tasks whose time has come, reclaims lapsed leases, buries expired tasks,
goes on telling those that wait for others, carries messages to other queues, makes
batches of groups, ticks schedules, and purges finished tasks. Each answer tells when
the next is due, so it sleeps until then; the longest sleeps are bounded, because other
workers' leases and tasks come without a signal.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence

import attrs
import trio

from rediq_trio._errors import ConnectionLost
from rediq_trio.spec.records import Due, Rule
from rediq_trio.store.broadcast import Kind, Signal
from rediq_trio.store.port import Store
from rediq_trio.store.relay import relay_some
from rediq_trio.worker.batcher import Batcher
from rediq_trio.worker.pace import Pace
from rediq_trio.worker.ticker import Ticker

LIMIT = 500
"""Tasks that one step moves at most."""
RECLAIM_EVERY = 4.0
"""Seconds: a lapsed lease is found within these."""
OTHERS_EVERY = 15.0
"""Seconds: the longest sleep of the other duties."""
TOLD_EVERY = 30.0
"""Seconds: the longest sleep of what a signal is sent for whenever there is something to do."""


_HURRY = {
    Kind.DUE: ("promote",),
    Kind.MAIL: ("unblock", "relay"),
    Kind.GROUP: ("batch",),
    Kind.TICK: ("tick",),
    Kind.RESYNC: ("promote", "unblock", "relay", "batch", "tick"),
}
"""The duties that a signal makes due at once."""


@attrs.define(eq=False)
class _Duty:
    step: Callable[[], Awaitable[Due]]
    longest: float
    at: float = 0.0
    """On Trio's clock."""


@attrs.define(eq=False)
class Keeper:
    """The keeper's state: when each duty is due, per queue."""

    store: Store
    queues: Sequence[str]
    dead_retention: float
    max_dead: int
    rules: Mapping[str, Rule] = attrs.field(factory=dict[str, Rule])
    """When groups become batches: for each group, or prefix, that has an aggregator."""
    elsewhere: Sequence[str] = ()
    """Queues whose schedules it ticks, and no more."""
    pace: Pace = attrs.field(factory=Pace)
    _ticker: Ticker = attrs.field(init=False)
    _batchers: dict[str, Batcher] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._batchers = {q: Batcher(self.store, q, self.rules) for q in self.queues}
        self._ticker = Ticker(self.store)

    async def run(self) -> None:
        """Keep until cancelled."""
        duties = {queue: self._duties(queue) for queue in self.queues}
        duties |= {queue: {"tick": self._ticking(queue)} for queue in self.elsewhere}
        with self.store.listen([(queue, "") for queue in duties]) as signals:
            while True:
                try:
                    nap = await self._tend([d for of in duties.values() for d in of.values()])
                except ConnectionLost:
                    self.pace.refuse()
                    nap = random.uniform(0.1, 0.5)
                self.pace.rest(nap)
                with trio.move_on_after(nap):
                    while not self._heed(await signals.receive(), duties):
                        pass
                    try:
                        while True:
                            self._heed(signals.receive_nowait(), duties)
                    except trio.WouldBlock:
                        pass  # all that has come is heeded in one round

    def _heed(self, signal: Signal, duties: Mapping[str, Mapping[str, _Duty]]) -> bool:
        """Make due what a signal hurries; say whether there is anything."""
        if signal.queue in self._batchers:
            self._batchers[signal.queue].heed(signal)
        of = duties[signal.queue]
        hurried = of.keys() & {*_HURRY.get(signal.kind, ())}
        for duty in hurried:
            of[duty].at = 0.0
        return bool(hurried)

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

    async def _tend(self, duties: Sequence[_Duty]) -> float:
        """Do what is due; give the seconds until something will be."""
        for duty in duties:
            while duty.at <= trio.current_time():
                self.pace.begin()
                due = await duty.step()
                self.pace.answer()
                # 1 ms more, so that the store's clock is past the instant, not at its edge.
                rest = duty.longest if due.next_in_ms is None else (due.next_in_ms + 1) / 1000
                # A step that moved as many as it may leaves more that are due.
                rest = 0.0 if due.moved >= LIMIT else rest
                spread = duty.longest * random.uniform(0.8, 1.0)
                duty.at = trio.current_time() + min(rest, spread)
                if rest:
                    break
        return max(0.0, min(duty.at for duty in duties) - trio.current_time())

