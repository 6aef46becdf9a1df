"""The worker: which actor runs in which nursery, and how they end.

    lifespans   what the app's handlers share, if it has lifespans
      upkeep      heartbeat, progress flusher, keeper, declarer
        settling    settler
          executing   executor and the attempts
            intake      poller

The nesting is the order of the shutdown: each nursery ends after the one inside it, so a
lease is renewed until its outcome is written, and an outcome is written for every lease.
All of it is shielded. A cancellation from outside becomes a call of `stop_now`, because it
would otherwise end all nurseries at once, and outcomes would be lost.

Long, because all actors are made and ended here.
"""

from __future__ import annotations

import logging
import math

import trio

from rediq_trio._errors import ConnectionLost, WorkerCrashed
from rediq_trio._errors.nursery import CapturedError, innermost
from rediq_trio.client import Client
from rediq_trio.handlers.app import App
from rediq_trio.handlers.context import WorkerServices
from rediq_trio.handlers.lifespan_runner import LifespanRunner
from rediq_trio.handlers.results import ResultPacker
from rediq_trio.schedules.declare import AppSchedules
from rediq_trio.settings import Settings
from rediq_trio.store.call_meter import CallMeter
from rediq_trio.store.encrypted.store import encryption_of
from rediq_trio.store.port import Store
from rediq_trio.store.redis.durability import CONFIRM_WITHIN_MS
from rediq_trio.store.relay import RefusedChild
from rediq_trio.store.retrying import until_answered
from rediq_trio.tasks.partitions import PARTITION_COUNTS_FRESH, PartitionCounts, partitions_of
from rediq_trio.tasks.task_info import pack_worker_info, read_worker_infos
from rediq_trio.values.chance import entropy, utc_now
from rediq_trio.values.observed.workers import WorkerState
from rediq_trio.values.task import WorkerInfo
from rediq_trio.values.telemetry.port import sending_layers
from rediq_trio.values.telemetry.sending import ServerAddress, make_senders
from rediq_trio.worker.attempt import Attempts
from rediq_trio.worker.availability.outages import PARTITION_TABLE, WORKER_RECORD, Outages
from rediq_trio.worker.executor import Executor
from rediq_trio.worker.health import HealthJudge
from rediq_trio.worker.heartbeat import RECORD_BEATS, Heartbeat
from rediq_trio.worker.keeping.declarer import Declarer
from rediq_trio.worker.keeping.keeper import Keeper
from rediq_trio.worker.keeping.ticker import Ticker
from rediq_trio.worker.keeping.workflows import run_sweeper
from rediq_trio.worker.leases import AttemptOutcome, HeldLease, LeaseTable
from rediq_trio.worker.outcomes.deaths import DeathLog
from rediq_trio.worker.outcomes.log import AttemptLog
from rediq_trio.worker.outcomes.observed import AttemptObserver
from rediq_trio.worker.outcomes.stuck import StuckAttempts
from rediq_trio.worker.outcomes.unknown_types import UnknownTypes
from rediq_trio.worker.poller import Poller
from rediq_trio.worker.prefetch import Prefetch
from rediq_trio.worker.progress import ProgressFlusher
from rediq_trio.worker.reporting.attempt_times import AttemptTimes
from rediq_trio.worker.reporting.orders import OrderInbox
from rediq_trio.worker.reporting.record import RecordMaker
from rediq_trio.worker.reporting.stacks import stacks_of
from rediq_trio.worker.reporting.tallier import Tallier
from rediq_trio.worker.settler import OutcomeCounts, Settler
from rediq_trio.worker.watchdog import Watchdog

log = logging.getLogger("rediq_trio")

UNREGISTER_DEADLINE = 1.0
"""Seconds to remove the worker's record, which expires by itself otherwise, and to pass on the last counts."""
CONFIRMED_WRITE_MAX = 2.5 * CONFIRM_WITHIN_MS / 1000
"""Seconds that a write takes at most where replicas or the disk do not confirm any: it waits for the
confirmation of the writes before it, and for its own."""


class Worker:
    """One worker. `run` runs it until `begin_stop` or `stop_now` is called."""

    def __init__(
        self,
        app: App,
        store: Store,
        settings: Settings,
        partition_counts: PartitionCounts,
        app_schedules: AppSchedules,
        meter: CallMeter | None = None,
        server: ServerAddress | None = None,
    ) -> None:
        self.settings = settings
        self._app = app
        senders = make_senders(sending_layers(app, None), settings.name, server)
        observer: AttemptObserver | None = None
        if app.telemetry is not None:
            observer = AttemptObserver(app.telemetry, settings.name, server)
        self._app_schedules = app_schedules
        self._partition_counts = {queue: partition_counts.count(queue) for queue in settings.queues}
        self.store = store
        self.client = Client(
            store, max_payload=settings.max_payload, patience=settings.patience, senders=senders
        )
        self.outcome_counts = OutcomeCounts()
        self.meter = meter
        """The calls of its store, for the metrics; None if nobody asks for them."""
        self.times = AttemptTimes()
        """The times of its attempts, for the metrics and for what its queues keep by type."""
        self.started = trio.Event()
        """Set when the lifespans are entered, and its actors run."""
        self.finished = trio.Event()
        """Set when nothing of the worker runs any more."""
        self.lifespans = app._lifespans()
        self.lease_table = LeaseTable()
        self._record_id = f"{settings.name}#{entropy(4).hex()}"
        """The id of its record. Two workers that were given one name have a record each."""
        self._started_at = utc_now()
        self._stopping = trio.Event()
        self._grace = trio.CancelScope()
        self._shutdown_grace = settings.shutdown_grace
        self._cleanup_began = -math.inf
        self._wire()
        self.executor.times = self.times
        self.executor.attempts.observer = self.settler.observer = observer
        self.keeper.ticker = Ticker(store, senders)
        self.tallier = Tallier(store, self.times, settings.beat, self.outages)

    def _wire(self) -> None:
        app, settings, store, lease_table = self._app, self.settings, self.store, self.lease_table
        ahead = None if settings.prefetch == "auto" else settings.prefetch
        prefetch = Prefetch(settings.concurrency, ahead)
        # In fact bounded: no more items can be sent than there are leases in the table.
        leases_in, leases_out = trio.open_memory_channel[list[HeldLease]](math.inf)
        outcomes_in, outcomes_out = trio.open_memory_channel[AttemptOutcome](math.inf)
        self.outages = outages = Outages(lease_table.count)
        self.deaths = DeathLog(store, settings.name, outages.limiter, app)
        self.flusher = ProgressFlusher(store, settings.progress_interval, outages)
        self._services = WorkerServices(
            self.client, self.flusher.add, settings.cleanup_grace,
            ResultPacker(settings.result_bound), self.lifespans, settings.name,
        )  # fmt: skip
        attempts = Attempts(
            app, self._services, settings.max_payload,
            trio.CapacityLimiter(settings.threads), AttemptLog(settings.name),
            UnknownTypes(store, settings.unknown_type_patience)
            if settings.unknown_type_patience
            else None,
        )  # fmt: skip
        partitions = {
            queue: partitions_of(queue, count) for queue, count in self._partition_counts.items()
        }
        queues = tuple(partition for some in partitions.values() for partition in some)
        self.partitions = queues
        """The queues it serves, with their partitions."""
        self.executor = Executor(attempts, lease_table, prefetch, leases_out, outcomes_in, outages)
        self.poller = Poller(
            store, settings.queues, settings.name, settings.lease, lease_table, prefetch,
            self.executor.waiting, leases_in, partitions, outages=outages, report_deaths=self.deaths.add,
        )  # fmt: skip
        self.settler = Settler(
            store, lease_table, self.flusher, outcomes_out, self.outcome_counts, outages=outages,
            alone=len(queues) == 1, report_deaths=self.deaths.add,
        )  # fmt: skip
        orders = self._take_orders()
        self.heartbeat = Heartbeat(
            store, queues, lease_table, self._record_id, settings.lease, settings.beat,
            lambda: pack_worker_info(self.info()), orders.receive, orders.received_ids, outages=outages,
        )  # fmt: skip
        rules = {name: each.rule for name, each in app.aggregators.items()}
        schedule_queues = tuple(sorted({schedule.queue for schedule in app.schedules} - {*queues}))
        self.keeper = Keeper(
            store, queues, settings.dead_retention, settings.max_dead, rules, schedule_queues, settings.lease,
            outages=outages, report_refused=self._report_refused, report_deaths=self.deaths.add,
        )  # fmt: skip
        owner = (self._started_at, settings.name)
        self.declarer = Declarer(store, self._app_schedules, tuple(settings.queues), owner, outages)
        self.watchdog = Watchdog(settings.lease, settings.name)
        self.stuck = StuckAttempts(lease_table, settings.cleanup_grace, attempts.log)
        self.health_judge = HealthJudge(
            settings.lease, self.poller.liveness, self.heartbeat, self.settler.liveness, self.keeper.liveness,
            self.watchdog, self._stopping, self.finished, self.stuck, settings.concurrency, outages,
        )  # fmt: skip
        self._record_maker = RecordMaker(
            app, settings, self._record_id, self._started_at, self.executor, self.stuck, self.watchdog,
            self.health_judge, lambda: self.state, self.lost, encryption_of(store) is None, orders.shown,
        )  # fmt: skip

    def lost(self) -> tuple[int, int]:
        """Return how many leases it has lost so far, and how many of its writes were not confirmed."""
        return self.lease_table.lost, self.store.unconfirmed

    def _take_orders(self) -> OrderInbox:
        poller, executor, named = self.poller, self.executor, encryption_of(self.store) is None
        return OrderInbox(
            self.settings.name, poller.be_quiet, poller.go_on, self.begin_stop,
            lambda: stacks_of(executor.attempt_tasks(), named=named),
        )  # fmt: skip

    def info(self) -> WorkerInfo:
        """Return what the worker's heartbeats say about it."""
        return self._record_maker.info()

    @property
    def state(self) -> WorkerState:
        """What the worker is doing as a whole."""
        if self._stopping.is_set():
            return "stopping"
        if not self.started.is_set():
            return "starting"
        return "quiet" if self.poller.quiet else "working"

    async def wait_started(self) -> None:
        """Wait until the lifespans are entered and the actors run; without lifespans, do nothing."""
        if self.lifespans.ordered:
            await self.started.wait()

    def begin_stop(self, grace: float | None = None) -> None:
        """Begin a graceful stop: running handlers have `grace` seconds, by default `shutdown_grace`.

        A later call can shorten the grace, and cannot extend it.
        """
        grace = self.settings.shutdown_grace if grace is None else grace
        self._shutdown_grace = (
            min(self._shutdown_grace, grace) if self._stopping.is_set() else grace
        )
        self._grace.deadline = min(self._grace.deadline, trio.current_time() + grace)
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
        """Run until stopped. Raises `WorkerCrashed` when an actor has a bug, and errors of lifespans."""
        try:
            if self.lifespans.ordered:
                grace = self.settings.cleanup_grace
                runner = LifespanRunner(self.lifespans, grace, self.stop_now)
                await runner.run(self._run_actors)
            else:
                await self._run_actors()
        finally:
            self.finished.set()

    async def _run_actors(self) -> None:
        try:
            # Ended by `begin_stop` or `stop_now`, which `serve` calls.
            with trio.CancelScope(shield=True), self.watchdog.watching():
                self.started.set()
                await self._upkeep()
        except BaseException as error:
            cause = innermost(error)
            if isinstance(cause, Exception):
                raise WorkerCrashed(f"{type(cause).__name__}: {cause}") from cause
            raise

    async def _upkeep(self) -> None:
        async with trio.open_nursery() as upkeep:
            upkeep.start_soon(self.outages.run)
            upkeep.start_soon(self.deaths.run)
            upkeep.start_soon(self.heartbeat.run)
            upkeep.start_soon(self.flusher.run)
            upkeep.start_soon(self.tallier.run)
            upkeep.start_soon(self.keeper.run)
            upkeep.start_soon(run_sweeper, self.store)
            upkeep.start_soon(self.declarer.run)
            upkeep.start_soon(self._watch_partitions)
            upkeep.start_soon(self.stuck.run)
            upkeep.start_soon(self._report_namesakes)
            await self._settling()
            upkeep.cancel_scope.cancel()
        with trio.move_on_after(UNREGISTER_DEADLINE):
            async with trio.open_nursery() as last:
                last.start_soon(self.tallier.finish)
                last.start_soon(self._unregister)

    async def _unregister(self) -> None:
        try:
            await self.store.unregister(self._record_id)
        except ConnectionLost:
            pass  # its record expires by itself
        except Exception as error:
            self.outages.stop(WORKER_RECORD, error)

    def _report_refused(self, child: RefusedChild) -> None:
        """Count and log a task of `enqueue_after` that another queue refused."""
        self.outcome_counts.children_refused += not child.may_exist
        if handle := self._services.sent_children.get((child.parent, child.id)):
            handle.created = False
        child.log(self.outages.limiter.warning)

    async def _watch_partitions(self) -> None:
        """Refresh the client's partition counts, which `enqueue_after` cannot wait for."""
        reported = self._partition_counts
        while True:
            try:
                await self.client._partition_counts.refresh()
            except ConnectionLost:
                pass
            except Exception as error:
                self.outages.stop(PARTITION_TABLE, error)
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

    async def _report_namesakes(self) -> None:
        """Log a warning if another live worker has the same name."""
        mine = self.info()
        if mine.id.startswith(f"{mine.host}:{mine.pid}:"):
            return  # a default name, which is random
        # By then the record of a worker that was killed and started again has expired.
        await trio.sleep(self.settings.beat * (RECORD_BEATS + 1))
        try:
            records = await until_answered(self.store.workers)
        except Exception as error:
            self.outages.stop(WORKER_RECORD, error)
            return
        for other in read_worker_infos(records):
            if other.id == mine.id and other.started_at != mine.started_at:
                log.warning(
                    "worker %s: another live worker has this name, on host %s with pid %d; both are served, "
                    "but look the same in TaskInfo.worker and in the log: give each its own name",
                    mine.id, other.host, other.pid,
                )  # fmt: skip

    async def _settling(self) -> None:
        crash = CapturedError()
        async with trio.open_nursery() as settling:
            settling.start_soon(self.settler.run)
            with crash:
                await self._executing()
            # After a crash too: outcomes of attempts that ended are settled.
            self.settler.limit(self._settle_limit())
        if crash.error is not None:
            raise crash.error

    def _settle_limit(self) -> float:
        """Return how many seconds the last outcomes may take to be written."""
        settings = self.settings
        limit = max(settings.cleanup_grace / 2, 0.5)
        if settings.durability == "memory":
            return limit
        # Writes wait for the confirmation of those before them, so they use what handlers have left
        # of the grace.
        left = self._cleanup_began + settings.cleanup_grace - trio.current_time()
        return max(limit, min(left, CONFIRMED_WRITE_MAX))

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
            self._grace.deadline = trio.current_time() + self._shutdown_grace
            await idle.wait()
        self._cleanup_began = trio.current_time()
        if not idle.is_set():
            self.executor.cancel_all()
            with trio.move_on_after(settings.cleanup_grace / 2):
                await idle.wait()
        if not idle.is_set():
            # Handlers that shield themselves for longer, and threads: their tasks are released
            # to other workers, and this one waits for the handlers to end.
            self.executor.release_running()
