"""Queue statistics, read in the worker's loop for requests that arrive in another.

However many requests there are, the queues are read at most once in `STATS_MAX_AGE` seconds, and
once at a time. While the worker's loop is blocked, or Redis is away, a request gets no statistics
rather than old ones. Each queue is read by itself: one that is away leaves out only its own.

A queue that had tasks, and of which nothing is left, not even how many were enqueued, is gone: it was
removed. It is left out until tasks are enqueued there again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence

import attrs
import trio

from rediq_trio._errors import ConnectionLost
from rediq_trio.client import Client
from rediq_trio.values.task import QueueStats
from rediq_trio.worker.auto_reset_event import AutoResetEvent
from rediq_trio.worker.availability.log_limiter import LogLimiter

log = logging.getLogger("rediq_trio.web")

STATS_MAX_AGE = 1.0
"""Seconds for which statistics that were read are returned to further requests."""
STATS_READ_TIMEOUT = 2.0
"""Seconds that reading the statistics of all queues may take."""
QUEUES_READ_AT_ONCE = 32
"""Queues whose statistics are read at the same time."""
STATS_WAIT_MAX = 2.0
"""Seconds that a request waits for the worker's loop."""

StatsByQueue = Mapping[str, QueueStats]


@attrs.define(eq=False)
class StatsReader:
    """Reads the statistics in the loop in which it is made, the worker's, for one other loop."""

    client: Client
    queues: Sequence[str]
    forget: Callable[[str], None] | None = None
    """Is called with each queue that is found to be gone."""
    _seen: set[str] = attrs.field(factory=set)
    """Queues in which tasks were enqueued, those that are gone since included."""
    _limiter: LogLimiter = attrs.field(factory=lambda: LogLimiter(log))
    _wanted: AutoResetEvent = attrs.field(factory=AutoResetEvent)
    _token: trio.lowlevel.TrioToken = attrs.field(factory=trio.lowlevel.current_trio_token)
    _unread: set[str] = attrs.field(factory=set)
    """Queues that could not be read the last time."""
    _stats: StatsByQueue | None = None
    _read_at: float = -float("inf")
    """When they were delivered, by the clock of the loop that requests them."""
    _delivered: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot)
    _requester: trio.lowlevel.TrioToken | None = None

    async def run(self) -> None:
        """Read the statistics after each request, until cancelled."""
        while True:
            await self._wanted.wait()
            stats = await self._read()
            assert self._requester is not None
            try:
                self._requester.run_sync_soon(self._deliver, stats)
            except trio.RunFinishedError:
                pass  # the health server is closed
            await trio.sleep(STATS_MAX_AGE)

    async def _read(self) -> StatsByQueue | None:
        """Read each queue by itself; return the statistics of those that answer, None without any."""
        found: dict[str, QueueStats] = {}

        async def read_some(names: Iterator[str]) -> None:
            for name in names:
                try:
                    found[name] = await self.client.queue(name).stats()
                except ConnectionLost:
                    pass  # the worker logs the outage
                except Exception as error:
                    self._limiter.warning(
                        "the statistics of queue %s cannot be read for the metrics: %s", name, error
                    )

        with trio.move_on_after(STATS_READ_TIMEOUT):
            if len(self.queues) == 1:
                await read_some(iter(self.queues))
            else:
                async with trio.open_nursery() as nursery:
                    # Those that hung the last time do not keep the others from being read.
                    names = iter(sorted(self.queues, key=self._unread.__contains__))
                    for _ in range(min(QUEUES_READ_AT_ONCE, len(self.queues))):
                        nursery.start_soon(read_some, names)
        self._unread = {*self.queues} - found.keys()
        if not found:
            return None
        return {name: found[name] for name in self.queues if self._is_there(name, found.get(name))}

    def _is_there(self, name: str, stats: QueueStats | None) -> bool:
        """Return whether the numbers of a queue were read, and the queue is not gone."""
        if stats is None:
            return False
        if stats.enqueued:
            self._seen.add(name)
        elif name in self._seen and self.forget is not None:
            self.forget(name)
        return stats.enqueued > 0 or name not in self._seen

    async def stats(self) -> StatsByQueue | None:
        """Return statistics of the last moments; None if they cannot be read now.

        Callable in another loop while the worker's loop runs, always in the same one.
        """
        if trio.current_time() - self._read_at > STATS_MAX_AGE:
            self._requester = trio.lowlevel.current_trio_token()
            self._token.run_sync_soon(self._wanted.set)
            with trio.move_on_after(STATS_WAIT_MAX + STATS_MAX_AGE) as waiting:
                await self._delivered.park()
            if waiting.cancelled_caught:
                return None
        return self._stats

    def _deliver(self, stats: StatsByQueue | None) -> None:
        self._stats, self._read_at = stats, trio.current_time()
        self._delivered.unpark_all()
