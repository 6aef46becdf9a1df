"""The worker: which actor runs in which nursery, and how they end.

    upkeep      heartbeat, progress flusher, keeper
      settling    settler
        executing   executor and the attempts
          intake      poller

The nesting is the order of the shutdown: each nursery ends after the one inside it, so a
lease is renewed until its outcome is written, and an outcome is written for every lease.
All of it is shielded. A cancellation from outside becomes a call of `stop_now`, because it
would otherwise end all nurseries at once, and outcomes would be lost.
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
from rediq_trio._nursery import CapturedError, innermost
from rediq_trio.client import Client
from rediq_trio.handlers.app import App
from rediq_trio.handlers.context import WorkerServices
from rediq_trio.settings import Settings
from rediq_trio.store.port import Store
from rediq_trio.tasks.partitions import PARTITION_COUNTS_FRESH, PartitionCounts, partitions_of
from rediq_trio.tasks.task_info import pack_worker_info
from rediq_trio.values.task import WorkerInfo
from rediq_trio.worker.attempt import Attempts
from rediq_trio.worker.executor import Executor
from rediq_trio.worker.health import HealthJudge
from rediq_trio.worker.heartbeat import Heartbeat
from rediq_trio.worker.keeping.keeper import Keeper
from rediq_trio.worker.leases import HeldLease, LeaseTable
from rediq_trio.worker.outcomes import AttemptOutcome
from rediq_trio.worker.poller import Poller
from rediq_trio.worker.prefetch import Prefetch
from rediq_trio.worker.progress import ProgressFlusher
from rediq_trio.worker.settler import OutcomeCounts, Settler
from rediq_trio.worker.watchdog import Watchdog

log = logging.getLogger("rediq_trio")

UNREGISTER_DEADLINE = 1.0
"""Seconds to remove the worker's record; it expires by itself otherwise."""


class Worker:
    """One worker. `run` runs it until `begin_stop` or `stop_now` is called."""

    def __init__(
        self, app: App, store: Store, settings: Settings, partition_counts: PartitionCounts
    ) -> None:
        self.settings = settings
        self._partition_counts = {queue: partition_counts.count(queue) for queue in settings.queues}
        self.store = store
        self.client = Client(store, max_payload=settings.max_payload)
        self.outcome_counts = OutcomeCounts()
        self.finished = trio.Event()
        """Set when nothing of the worker runs any more."""
        self.lease_table = LeaseTable()
        self._started_at = dt.datetime.now(dt.UTC)
        self._stopping = trio.Event()
        self._grace = trio.CancelScope()
        self._cleanup = trio.CancelScope()
        self._wire(app)

    def _wire(self, app: App) -> None:
        settings, store, lease_table = self.settings, self.store, self.lease_table
        ahead = None if settings.prefetch == "auto" else settings.prefetch
        prefetch = Prefetch(settings.concurrency, ahead)
        # In fact bounded: no more items can be sent than there are leases in the table.
        leases_in, leases_out = trio.open_memory_channel[list[HeldLease]](math.inf)
        outcomes_in, outcomes_out = trio.open_memory_channel[AttemptOutcome](math.inf)
        self.flusher = ProgressFlusher(store, settings.progress_interval)
        attempts = Attempts(
            app,
            WorkerServices(self.client, self.flusher.add, settings.cleanup_grace),
            settings.max_payload,
            trio.CapacityLimiter(settings.threads),
        )
        partitions = {
            queue: partitions_of(queue, count) for queue, count in self._partition_counts.items()
        }
        queues = tuple(partition for some in partitions.values() for partition in some)
        self.partitions = queues
        """The queues it serves, with their partitions."""
        self.executor = Executor(attempts, lease_table, prefetch, leases_out, outcomes_in)
        self.poller = Poller(
            store, settings.queues, settings.name, settings.lease, lease_table, prefetch,
            self.executor.waiting, leases_in, partitions,
        )  # fmt: skip
        self.settler = Settler(store, lease_table, self.flusher, outcomes_out, self.outcome_counts)
        self.heartbeat = Heartbeat(
            store,
            queues,
            lease_table,
            settings.name,
            settings.lease,
            settings.beat,
            self._pack_info,
        )
        rules = {name: each.rule for name, each in app.aggregators.items()}
        schedule_queues = tuple(
            sorted({declaration.queue for declaration in app.schedules} - {*queues})
        )
        self.keeper = Keeper(
            store, queues, settings.dead_retention, settings.max_dead, rules, schedule_queues,
            lease=settings.lease,
        )  # fmt: skip
        self.watchdog = Watchdog(settings.lease, settings.name)
        self.health_judge = HealthJudge(
            settings.lease, self.poller.liveness, self.heartbeat, self.settler.liveness, self.keeper.liveness,
            self.watchdog, self._stopping, self.finished,
        )  # fmt: skip

    def info(self) -> WorkerInfo:
        """Return what the worker's heartbeats say about it."""
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

    def _pack_info(self) -> bytes:
        return pack_worker_info(self.info())

    def begin_stop(self) -> None:
        """Begin a graceful stop: running handlers have `shutdown_grace` seconds."""
        if not self._stopping.is_set():
            self._stopping.set()
            self.lease_table.shutting_down = True
            # The deadlines of the other phases count from their start; this phase is running.
            self.poller.limit_claim(self.settings.cleanup_grace / 2)

    def stop_now(self) -> None:
        """Stop without grace: handlers are cancelled, and the worker ends within `cleanup_grace`."""
        self.begin_stop()
        self._grace.cancel()

    async def run(self) -> None:
        """Run until stopped. Raises `WorkerCrashed` when an actor has a bug."""
        try:
            # Ended by `begin_stop` or `stop_now`, which `serve` calls.
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
        with trio.move_on_after(UNREGISTER_DEADLINE):
            try:
                await self.store.unregister(self.settings.name)
            except ConnectionLost:
                pass  # its record expires by itself

    async def _watch_partitions(self) -> None:
        """Refresh the client's partition counts, which `enqueue_after` cannot wait for."""
        reported = self._partition_counts
        while True:
            try:
                await self.client._partition_counts.refresh()
            except ConnectionLost:
                pass
            else:
                found = {queue: self.client._partition_counts.count(queue) for queue in reported}
                for queue, count in found.items():
                    if count != reported[queue]:
                        log.warning(
                            "queue %s now has %d partitions, but this worker started with %d: restart it",
                            queue, count, self._partition_counts[queue],
                        )  # fmt: skip
                reported = found
            await trio.sleep(PARTITION_COUNTS_FRESH)

    async def _settling(self) -> None:
        crash = CapturedError()
        async with trio.open_nursery() as settling:
            settling.start_soon(self.settler.run)
            with crash:
                await self._executing()
            # After a crash too: outcomes of attempts that ended are settled.
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
        self.executor.release_unstarted()
        idle, settings = self.executor.idle, self.settings
        with self._grace:
            self._grace.deadline = trio.current_time() + settings.shutdown_grace
            await idle.wait()
        if not idle.is_set():
            self.executor.cancel_all()
            with trio.move_on_after(settings.cleanup_grace / 2):
                await idle.wait()
        if not idle.is_set():
            # Handlers that shield themselves for longer, and threads: their tasks are released
            # to other workers, and this one waits for the handlers to end.
            self.executor.release_running()
