"""Queue statistics, read in the worker's loop for requests that arrive in another.

However many requests there are, the queues are read at most once in `STATS_MAX_AGE` seconds, and
once at a time. While the worker's loop is blocked, or Redis is away, a request gets no statistics
rather than old ones.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import attrs
import trio

from rediq_trio._errors import RediqError
from rediq_trio.client import Client
from rediq_trio.values.task import QueueStats
from rediq_trio.worker.auto_reset_event import AutoResetEvent

log = logging.getLogger("rediq_trio.web")

STATS_MAX_AGE = 1.0
"""Seconds for which statistics that were read are returned to further requests."""
STATS_READ_TIMEOUT = 5.0
"""Seconds that reading the statistics of all queues may take."""
STATS_WAIT_MAX = 2.0
"""Seconds that a request waits for the worker's loop."""

StatsByQueue = Mapping[str, QueueStats]


@attrs.define(eq=False)
class StatsReader:
    """Reads the statistics in the loop in which it is made, the worker's."""

    client: Client
    queues: Sequence[str]
    _wanted: AutoResetEvent = attrs.field(factory=AutoResetEvent)
    _requesters: set[StatsRequester] = attrs.field(factory=set)
    _token: trio.lowlevel.TrioToken = attrs.field(factory=trio.lowlevel.current_trio_token)

    async def run(self) -> None:
        """Read the statistics after each request, until cancelled."""
        while True:
            await self._wanted.wait()
            requesters, self._requesters = self._requesters, set()
            stats = await self._read()
            for requester in requesters:
                requester.deliver(stats)
            await trio.sleep(STATS_MAX_AGE)

    async def _read(self) -> StatsByQueue | None:
        with trio.move_on_after(STATS_READ_TIMEOUT):
            try:
                return {name: await self.client.queue(name).stats() for name in self.queues}
            except RediqError as error:
                log.warning("the queues' statistics cannot be read for the metrics: %s", error)
        return None

    def request(self, requester: StatsRequester) -> None:
        """Request a read of the queues. Callable from any thread while the loop runs."""
        self._token.run_sync_soon(self._receive, requester)

    def _receive(self, requester: StatsRequester) -> None:
        self._requesters.add(requester)
        self._wanted.set()


@attrs.define(eq=False)
class StatsRequester:
    """Requests statistics from another loop, the one in which it is made."""

    reader: StatsReader
    _token: trio.lowlevel.TrioToken = attrs.field(factory=trio.lowlevel.current_trio_token)
    _stats: StatsByQueue | None = None
    _read_at: float = -float("inf")
    _delivered: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot)

    async def stats(self) -> StatsByQueue | None:
        """Return statistics of the last moments; None if they cannot be read now."""
        if trio.current_time() - self._read_at > STATS_MAX_AGE:
            self.reader.request(self)
            with trio.move_on_after(STATS_WAIT_MAX + STATS_MAX_AGE) as waiting:
                await self._delivered.park()
            if waiting.cancelled_caught:
                return None
        return self._stats

    def deliver(self, stats: StatsByQueue | None) -> None:
        """Receive what was read; called in the reader's loop."""
        try:
            self._token.run_sync_soon(self._receive, stats)
        except trio.RunFinishedError:
            pass  # the health server is closed

    def _receive(self, stats: StatsByQueue | None) -> None:
        self._stats, self._read_at = stats, trio.current_time()
        self._delivered.unpark_all()
