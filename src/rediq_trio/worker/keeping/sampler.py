"""The sampler: when a queue's numbers are sampled for its series, and what this worker has seen of it.

All workers sample a queue; whoever is first in a step does it. A queue in which nothing has changed is
left alone, and an idle one is not looked at. So the store cannot tell a quiet time from one in which
nobody looked: each worker tells it for how long the queue may have changed without being seen by it.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
import trio

from rediq_trio.spec.history.samples import NEVER_SEEN_MS, SAMPLE_STEP_MS
from rediq_trio.spec.messages import Due
from rediq_trio.store.broadcast import Signal, SignalKind
from rediq_trio.store.port import Store
from rediq_trio.values.chance import randrange

SAMPLE_EVERY = SAMPLE_STEP_MS / 1000
"""Seconds between two looks at a queue that is not idle."""
FIRST_SAMPLE_AFTER = 15.0
"""Seconds after its start for which a worker leaves a queue to others, who may have watched it before."""
SPREAD_MS = 1000
"""Milliseconds over which the calls of several workers are spread after the end of a step."""


@attrs.define(eq=False)
class Sampler:
    """Samples one queue."""

    store: Store
    queue: str
    begin_chunk: Callable[[str], object] = lambda _queue: None
    """Called with the queue when a sample is the first of a chunk."""
    _known: int = -1
    """The step of the last sample that an answer named."""
    _looked_at: float | None = None
    """When the queue was last looked at, on Trio's clock."""
    _at_rest: bool = False
    """Whether nothing could change since then without a signal."""
    _signalled_at: float | None = None
    """When the first signal since then came."""

    def handle_signal(self, signal: Signal) -> None:
        """Note that the queue may have changed."""
        if signal.kind is SignalKind.RESYNC:
            self._at_rest = False  # signals may have been lost
        if self._signalled_at is None:
            self._signalled_at = trio.current_time()

    async def step(self) -> Due:
        """Sample the queue if that is due."""
        asked_at = trio.current_time()
        unseen_ms = self._unseen_ms(asked_at)
        self._signalled_at = None
        sampled = await self.store.sample(self.queue, known=self._known, unseen_ms=unseen_ms)
        self._known = sampled.step
        self._looked_at, self._at_rest = asked_at, sampled.next_in_ms is None
        if sampled.begins:
            self.begin_chunk(self.queue)
        if sampled.next_in_ms is None:
            return Due(0, None)
        return Due(0, sampled.next_in_ms + randrange(SPREAD_MS))

    def _unseen_ms(self, now: float) -> int:
        if self._looked_at is None:
            return NEVER_SEEN_MS
        since = self._looked_at
        if self._at_rest:
            since = now if self._signalled_at is None else self._signalled_at
        return round((now - since) * 1000)
