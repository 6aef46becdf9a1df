"""Queue statistics, read in the worker's loop for requests that arrive in another.

However many requests there are, the queues are read at most once in `STATS_MAX_AGE` seconds, and
once at a time. While the worker's loop is blocked, or Redis is away, a request gets no statistics
rather than old ones. Each queue is read by itself: one that is away leaves out only its own.

How many workers a queue needs is computed from its series, which change every 10 seconds, so it is read
once in `SCALING_MAX_AGE` seconds at most.

A queue that had tasks, and of which nothing is left, not even how many were enqueued, is gone: it was
removed. It is left out until tasks are enqueued there again.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial

import attrs
import trio

from rediq_trio._errors import ConnectionLost
from rediq_trio.client import Client
from rediq_trio.observe.scaling import QueueScaling, read_scaling
from rediq_trio.values.task import QueueStats, WorkerInfo
from rediq_trio.worker.auto_reset_event import AutoResetEvent
from rediq_trio.worker.availability.log_limiter import LogLimiter

log = logging.getLogger("rediq_trio.web")

STATS_MAX_AGE = 1.0
"""Seconds for which statistics that were read are returned to further requests."""
SCALING_MAX_AGE = 5.0
"""Seconds for which the numbers of workers that queues need are returned to further requests."""
STATS_READ_TIMEOUT = 2.0
"""Seconds that reading the numbers of all queues may take."""
QUEUES_READ_AT_ONCE = 32
"""Queues whose statistics are read at the same time."""
STATS_WAIT_MAX = 2.0
"""Seconds that a request waits for the worker's loop."""

StatsByQueue = Mapping[str, QueueStats]
ScalingByQueue = Mapping[str, QueueScaling]


@attrs.define(eq=False)
class _Reading:
    """One reading of all queues, which may end at any time with what was found by then."""

    client: Client
    limiter: LogLimiter
    stats: dict[str, QueueStats] = attrs.field(factory=dict[str, QueueStats])
    scaling: dict[str, QueueScaling] = attrs.field(factory=dict[str, QueueScaling])
    _workers: list[WorkerInfo] | None = None
    _workers_read: trio.Event = attrs.field(factory=trio.Event)
    _next: list[str] = attrs.field(factory=list[str])
    """Queues whose statistics were read, and whose needs were not."""

    async def read_workers(self) -> None:
        async def read() -> None:
            self._workers = await self.client.workers()

        await self._try("the workers", read)
        self._workers_read.set()

    async def read_some(self, names: Iterator[str], *, needs_too: bool) -> None:
        """Read the statistics of queues, then what those need whose statistics are read."""
        for name in names:
            await self._try(f"the statistics of queue {name}", partial(self._read_stats, name))
        if not needs_too:
            return
        await self._workers_read.wait()
        while self._next and self._workers is not None:
            name = self._next.pop()
            await self._try(f"the need of queue {name}", partial(self._read_need, name))

    async def _read_stats(self, name: str) -> None:
        self.stats[name] = await self.client.queue(name).stats()
        self._next.append(name)

    async def _read_need(self, name: str) -> None:
        workers = self._workers or []
        self.scaling[name] = await read_scaling(self.client, name, self.stats[name], workers)

    async def _try(self, what: str, read: Callable[[], Awaitable[None]]) -> None:
        try:
            await read()
        except ConnectionLost:
            pass  # the worker logs the outage
        except Exception as error:
            self.limiter.warning("%s cannot be read for the metrics: %s", what, error)


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
    _scaling_read: dict[str, QueueScaling] = attrs.field(factory=dict[str, QueueScaling])
    """What was read last; a queue that could not be read is missing."""
    _scaled_at: float = -float("inf")
    """When that was, by the clock of the worker's loop."""
    _scaling: ScalingByQueue = attrs.field(factory=dict[str, QueueScaling])
    """What was delivered with the statistics."""
    _read_at: float = -float("inf")
    """When they were delivered, by the clock of the loop that requests them."""
    _delivered: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot)
    _requester: trio.lowlevel.TrioToken | None = None

    async def run(self) -> None:
        """Read the statistics after each request, until cancelled."""
        while True:
            await self._wanted.wait()
            stats, scaling = await self._read()
            assert self._requester is not None
            try:
                self._requester.run_sync_soon(self._deliver, stats, scaling)
            except trio.RunFinishedError:
                pass  # the health server is closed
            await trio.sleep(STATS_MAX_AGE)

    async def _read(self) -> tuple[StatsByQueue | None, ScalingByQueue]:
        """Read each queue by itself; return the numbers of those that answer, None without any."""
        reading = _Reading(self.client, self._limiter)
        needs_too = trio.current_time() - self._scaled_at > SCALING_MAX_AGE
        with trio.move_on_after(STATS_READ_TIMEOUT):
            async with trio.open_nursery() as nursery:
                if needs_too:
                    nursery.start_soon(reading.read_workers)
                # Those that hung the last time do not keep the others from being read.
                names = iter(sorted(self.queues, key=self._unread.__contains__))
                for _ in range(min(QUEUES_READ_AT_ONCE, len(self.queues))):
                    nursery.start_soon(partial(reading.read_some, names, needs_too=needs_too))
        found = reading.stats
        self._unread = {*self.queues} - found.keys()
        if needs_too:
            self._scaling_read, self._scaled_at = reading.scaling, trio.current_time()
        if not found:
            return None, {}
        stats = {
            name: found[name] for name in self.queues if self._is_there(name, found.get(name))
        }
        return stats, {name: one for name, one in self._scaling_read.items() if name in stats}

    def _is_there(self, name: str, stats: QueueStats | None) -> bool:
        """Return whether the numbers of a queue were read, and the queue is not gone."""
        if stats is None:
            return False
        if stats.enqueued:
            self._seen.add(name)
        elif name in self._seen and self.forget is not None:
            self.forget(name)
        return stats.enqueued > 0 or name not in self._seen

    async def numbers(self) -> tuple[StatsByQueue | None, ScalingByQueue]:
        """Return statistics of the last moments, None if they cannot be read now, and what queues need.

        Callable in another loop while the worker's loop runs, always in the same one.
        """
        if trio.current_time() - self._read_at > STATS_MAX_AGE:
            self._requester = trio.lowlevel.current_trio_token()
            self._token.run_sync_soon(self._wanted.set)
            with trio.move_on_after(STATS_WAIT_MAX + STATS_MAX_AGE) as waiting:
                await self._delivered.park()
            if waiting.cancelled_caught:
                return None, {}
        return self._stats, self._scaling

    def _deliver(self, stats: StatsByQueue | None, scaling: ScalingByQueue) -> None:
        self._stats, self._scaling, self._read_at = stats, scaling, trio.current_time()
        self._delivered.unpark_all()
