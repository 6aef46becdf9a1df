"""Probes: find out when a queue that was away answers again, in the background.

A probe only reads, so it takes no task and needs no room. When it is answered, the poller claims
from the queue again, in its order; a queue that answers reads and refuses claims is soon away again.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import attrs
import trio

from rediq_trio._errors import ConnectionLost
from rediq_trio.store.port import Store
from rediq_trio.worker.availability.outages import Outages


@attrs.define(eq=False)
class Probes:
    """The queues of one poller that are away."""

    store: Store
    outages: Outages
    on_answer: Callable[[str], object]
    """Called with each queue that answers again."""
    away: set[str] = attrs.field(factory=set)
    """Queues from which nothing is claimed: they are probed, or a claim of theirs is under way."""
    _answered: dict[str, float] = attrs.field(factory=dict[str, float])
    """When the last probe of each queue was answered, on Trio's clock."""

    def answered_since_failure(self, queue: str) -> bool:
        """Return whether a probe was answered since a call of the queue last failed."""
        return self._answered.get(queue, -math.inf) >= self.outages.failed_at(queue)

    def start(self, queue: str, nursery: trio.Nursery, *, at_once: bool = False) -> None:
        """Probe a queue until it answers, unless it is away already; `at_once` without a first pause."""
        if queue not in self.away and queue not in self.outages.stopped:
            self.away.add(queue)
            nursery.start_soon(self._probe, queue, at_once)

    async def _probe(self, queue: str, at_once: bool) -> None:
        while queue not in self.outages.stopped:
            if not at_once:
                await self.outages.wait_pause(queue)
            at_once = False
            try:
                await self.store.limits(queue)
            except ConnectionLost as lost:
                self.outages.record_failure(queue, lost)
            except Exception as error:
                self.outages.stop(queue, error)
            else:
                self._answered[queue] = trio.current_time()
                self.away.discard(queue)
                self.on_answer(queue)
                return
