"""The wiring of a worker: which actor runs in which nursery, and how they end.

    upkeep      heartbeat, progress flusher, keeper
      settling    settler
        executing   executor and the attempts
          intake      poller

The nesting is the order of the shutdown: each ring ends when the one inside it
has, so a lease is renewed until its outcome is written, and an outcome is written
for every lease. All of it runs shielded: a cancellation from outside comes as
`hurry`, because it would otherwise hit every ring at once and outcomes with it.
"""

from __future__ import annotations

import datetime as dt
import logging
import math
import os
import socket
from importlib.metadata import version

import trio

from rediq_trio._errors import ConnectionLost, WorkerCrashed
from rediq_trio._nursery import Hold, innermost
from rediq_trio.client import Client
from rediq_trio.handlers.app import App
from rediq_trio.handlers.context import Desk
from rediq_trio.settings import Settings
from rediq_trio.store.port import Store
from rediq_trio.tasks.partitions import FRESH, Partitions, places_of
from rediq_trio.tasks.task_info import pack_worker
from rediq_trio.values.task import WorkerInfo
from rediq_trio.worker.attempt import Attempts
from rediq_trio.worker.executor import Executor
from rediq_trio.worker.flow import Flow
from rediq_trio.worker.health import Examiner
from rediq_trio.worker.heartbeat import Heartbeat
from rediq_trio.worker.keeping.keeper import Keeper
from rediq_trio.worker.leases import Book, Held
from rediq_trio.worker.outcomes import Outcome
from rediq_trio.worker.poller import Poller
from rediq_trio.worker.progress import ProgressFlusher
from rediq_trio.worker.settler import Settler, Tally
from rediq_trio.worker.watchdog import Watchdog

log = logging.getLogger("rediq_trio")

FAREWELL = 1.0
"""Seconds to tell the store that the worker is gone; it notices by itself otherwise."""


class Worker:
    """One worker. `run` is the whole of its life; `begin_stop` and `hurry` end it."""

    def __init__(
        self, app: App, store: Store, settings: Settings, partitions: Partitions
    ) -> None:
        self.settings = settings
        self._partitions = {queue: partitions.count(queue) for queue in settings.queues}
        self.store = store
        self.client = Client(store, max_payload=settings.max_payload)
        self.tally = Tally()
        self.finished = trio.Event()
        """Set when nothing of the worker runs any more."""
        self.book = Book()
        self._started_at = dt.datetime.now(dt.UTC)
        self._stopping = trio.Event()
        self._grace = trio.CancelScope()
        self._cleanup = trio.CancelScope()
        self._wire(app)

    def _wire(self, app: App) -> None:
        settings, store, book = self.settings, self.store, self.book
        prefetch = None if settings.prefetch == "auto" else settings.prefetch
        flow = Flow(settings.concurrency, prefetch)
        # Unbounded in name only: no more can be sent than there are leases in the book.
        leases_in, leases_out = trio.open_memory_channel[list[Held]](math.inf)
        outcomes_in, outcomes_out = trio.open_memory_channel[Outcome](math.inf)
        self.flusher = ProgressFlusher(store, settings.progress_interval)
        attempts = Attempts(
            app,
            Desk(self.client, self.flusher.note, settings.cleanup_grace),
            settings.max_payload,
            trio.CapacityLimiter(settings.threads),
        )
        places = {queue: places_of(queue, count) for queue, count in self._partitions.items()}
        queues = tuple(place for some in places.values() for place in some)
        self.places = queues
        """The queues it serves, with their partitions."""
        self.executor = Executor(attempts, book, flow, leases_out, outcomes_in)
        self.poller = Poller(
            store, settings.queues, settings.name, settings.lease, book, flow,
            self.executor.waiting, leases_in, places,
        )  # fmt: skip
        self.settler = Settler(store, book, self.flusher, outcomes_out, self.tally)
        self.heartbeat = Heartbeat(
            store, queues, book, settings.name, settings.lease, settings.beat, self._describe
        )
        rules = {name: each.rule for name, each in app.aggregators.items()}
        elsewhere = tuple(sorted({entry.queue for entry in app.schedules} - {*queues}))
        self.keeper = Keeper(
            store, queues, settings.dead_retention, settings.max_dead, rules, elsewhere,
            lease=settings.lease,
        )  # fmt: skip
        self.watchdog = Watchdog(settings.lease, settings.name)
        self.examiner = Examiner(
            settings.lease, self.poller.pace, self.heartbeat, self.settler.pace, self.keeper.pace,
            self.watchdog, self._stopping, self.finished,
        )  # fmt: skip

    def info(self) -> WorkerInfo:
        """Give what the worker says of itself in its heartbeats."""
        return WorkerInfo(
            id=self.settings.name,
            host=socket.gethostname(),
            pid=os.getpid(),
            queues=tuple(self.settings.queues),
            concurrency=self.settings.concurrency,
            running=self.executor.running(),
            started_at=self._started_at,
            last_heartbeat=dt.datetime.now(dt.UTC),
            version=version("rediq-trio"),
        )

    def _describe(self) -> bytes:
        return pack_worker(self.info())

    def begin_stop(self) -> None:
        """Stop in good order: running handlers have `shutdown_grace`."""
        if not self._stopping.is_set():
            self._stopping.set()
            self.book.shutting_down = True
            # The phases' deadlines count from their own beginnings; this one is running.
            self.poller.limit_claim(self.settings.cleanup_grace / 2)

    def hurry(self) -> None:
        """Stop now: handlers are cancelled, and all is over within `cleanup_grace`."""
        self.begin_stop()
        self._grace.cancel()

    async def run(self) -> None:
        """Work until stopped. Raises `WorkerCrashed` when an actor has a bug."""
        try:
            # Ends by `begin_stop` or `hurry`, which whoever runs the worker calls.
            with trio.CancelScope(shield=True), self.watchdog.watching():
                await self._upkeep()
        except BaseException as error:
            cause = innermost(error)
            if isinstance(cause, Exception):
                raise WorkerCrashed(f"{type(cause).__name__}: {cause}") from cause
            raise
        finally:
            self.finished.set()

    async def _upkeep(self) -> None:
        async with trio.open_nursery() as upkeep:
            upkeep.start_soon(self.heartbeat.run)
            upkeep.start_soon(self.flusher.run)
            upkeep.start_soon(self.keeper.run)
            upkeep.start_soon(self._watch_partitions)
            await self._settling()
            upkeep.cancel_scope.cancel()
        with trio.move_on_after(FAREWELL):
            try:
                await self.store.unregister(self.settings.name)
            except ConnectionLost:
                pass  # its record runs out by itself

    async def _watch_partitions(self) -> None:
        """Keep the client's numbers fresh, which `enqueue_after` cannot wait for."""
        told = self._partitions
        while True:
            try:
                await self.client._partitions.refresh()
            except ConnectionLost:
                pass
            else:
                found = {queue: self.client._partitions.count(queue) for queue in told}
                for queue, count in found.items():
                    if count != told[queue]:
                        log.warning(
                            "queue %s has %d partitions now, and this worker began with %d: restart it",
                            queue, count, self._partitions[queue],
                        )  # fmt: skip
                told = found
            await trio.sleep(FRESH)

    async def _settling(self) -> None:
        crash = Hold()
        async with trio.open_nursery() as settling:
            settling.start_soon(self.settler.run)
            with crash:
                await self._executing()
            # Behind a crash too: what has ended is settled.
            self.settler.limit(max(self.settings.cleanup_grace / 2, 0.5))
        if crash.error is not None:
            raise crash.error

    async def _executing(self) -> None:
        async with trio.open_nursery() as executing:
            executing.start_soon(self.executor.run)
            async with trio.open_nursery() as intake:
                intake.start_soon(self.poller.run)
                await self._stopping.wait()
                intake.cancel_scope.cancel()
            executing.start_soon(self._wind_down)

    async def _wind_down(self) -> None:
        self.executor.hand_back()
        idle, settings = self.executor.idle, self.settings
        with self._grace:
            self._grace.deadline = trio.current_time() + settings.shutdown_grace
            await idle.wait()
        if not idle.is_set():
            self.executor.cancel_all()
            with trio.move_on_after(settings.cleanup_grace / 2):
                await idle.wait()
        if not idle.is_set():
            # Handlers that shield themselves for longer, and threads: their tasks go
            # to other workers, and this one waits for them as it must.
            self.executor.abandon_all()
