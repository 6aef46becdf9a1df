"""Counts: the queues' numbers, read in the worker's loop for requests that come in another.

However many ask, the queues are read at most once in `FRESH` seconds, one reading at
a time. When the loop is blocked, or Redis is away, a request gets none rather than
old ones.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import attrs
import trio

from rediq_trio._errors import RediqError
from rediq_trio.client import Client
from rediq_trio.values.task import QueueStats
from rediq_trio.worker.bell import Bell

log = logging.getLogger("rediq_trio.web")

FRESH = 1.0
"""Seconds for which the queues' numbers are good enough for every request."""
READ_WITHIN = 5.0
"""Seconds that reading the numbers of all queues may take."""
WAIT = 2.0
"""Seconds that a request waits for the worker's loop to read them."""

Counts = Mapping[str, QueueStats]


@attrs.define(eq=False)
class Reader:
    """Reads in the loop that it is made in, which serves the queues."""

    client: Client
    queues: Sequence[str]
    _wanted: Bell = attrs.field(factory=Bell)
    _asking: set[Asker] = attrs.field(factory=set)
    _token: trio.lowlevel.TrioToken = attrs.field(factory=trio.lowlevel.current_trio_token)

    async def run(self) -> None:
        """Read whenever someone asks, until cancelled."""
        while True:
            await self._wanted.wait_rung()
            asking, self._asking = self._asking, set()
            counts = await self._read()
            for asker in asking:
                asker.tell(counts)
            await trio.sleep(FRESH)

    async def _read(self) -> Counts | None:
        with trio.move_on_after(READ_WITHIN):
            try:
                return {name: await self.client.queue(name).stats() for name in self.queues}
            except RediqError as error:
                log.warning("the queues' numbers cannot be read for the metrics: %s", error)
        return None

    def ask(self, asker: Asker) -> None:
        """Have the queues read. Callable from any thread while the loop runs."""
        self._token.run_sync_soon(self._take, asker)

    def _take(self, asker: Asker) -> None:
        self._asking.add(asker)
        self._wanted.ring()


@attrs.define(eq=False)
class Asker:
    """Asks a reader from another loop, the one that it is made in."""

    reader: Reader
    _token: trio.lowlevel.TrioToken = attrs.field(factory=trio.lowlevel.current_trio_token)
    _counts: Counts | None = None
    _read_at: float = -float("inf")
    _told: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot)

    async def counts(self) -> Counts | None:
        """Give numbers not older than a moment; None when they cannot be had now."""
        if trio.current_time() - self._read_at > FRESH:
            self.reader.ask(self)
            with trio.move_on_after(WAIT + FRESH) as waiting:
                await self._told.park()
            if waiting.cancelled_caught:
                return None
        return self._counts

    def tell(self, counts: Counts | None) -> None:
        """Hand over what was read; called in the reader's loop."""
        try:
            self._token.run_sync_soon(self._take, counts)
        except trio.RunFinishedError:
            pass  # who asked has gone: the door is closed

    def _take(self, counts: Counts | None) -> None:
        self._counts, self._read_at = counts, trio.current_time()
        self._told.unpark_all()
