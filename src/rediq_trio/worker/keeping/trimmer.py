"""The trimmer: keeps the statistics of all queues together within what they may take.

Whoever takes the first sample of a chunk notes the bytes of its queue. If all are too many, it removes some
of the queues that were longest not used: of a few queues, so that one step is short. The next step
goes on. An idle queue is never looked at, unless it is one of these.
"""

from __future__ import annotations

import logging

import attrs

from rediq_trio._errors import ConnectionLost, RediqError
from rediq_trio.spec.history.sizes import STATISTICS_BYTES
from rediq_trio.store.port import Store
from rediq_trio.worker.auto_reset_event import AutoResetEvent

log = logging.getLogger(__name__)


@attrs.define(eq=False)
class Trimmer:
    """Does so for the queues of one worker."""

    store: Store
    most: int = STATISTICS_BYTES
    _grown: dict[str, None] = attrs.field(factory=dict[str, None])
    """Queues whose bytes are to be noted."""
    _woken: AutoResetEvent = attrs.field(factory=AutoResetEvent)
    _refused: bool = False

    def add(self, queue: str) -> None:
        """Have the bytes of a queue noted."""
        self._grown[queue] = None
        self._woken.set()

    async def run(self) -> None:
        """Note and trim until cancelled."""
        while True:
            await self._woken.wait()
            while self._grown:
                queue = next(iter(self._grown))
                del self._grown[queue]
                try:
                    await self.keep_within(queue)
                except ConnectionLost:
                    continue  # the next chunk of the queue is soon begun
                except RediqError as error:
                    if not self._refused:
                        log.warning("the size of statistics cannot be noted: %s", error)
                    self._refused = True

    async def keep_within(self, queue: str) -> None:
        """Note the bytes of a queue, and trim those that are asked to lose some."""
        size = await self.store.series_bytes(queue)
        for one in await self.store.note_size(queue, size, last=True, most=self.most):
            try:
                gone = await self.store.trim(one.queue, shed=one.shed)
                left = await self.store.series_bytes(one.queue)
            except ConnectionLost:
                continue  # the queue may be on a node that is away
            # One that has nothing more to lose waits until all others were asked.
            await self.store.note_size(one.queue, left, last=gone < one.shed)
