"""serve(): run a worker inside a Trio program, for as long as a `with` block lasts."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Unpack

import attrs
import trio

from rediq_trio._errors import ConfigError, Unconfirmed
from rediq_trio._errors.nursery import unwrapped_errors
from rediq_trio.admin.queue import Queue
from rediq_trio.client import Client
from rediq_trio.handlers.app import App
from rediq_trio.schedules.declare import AppSchedules
from rediq_trio.settings import ServeOptions, Settings, settle_settings, warn_misspelt_variables
from rediq_trio.spec.records import PROPAGATED_AT_ONCE
from rediq_trio.store.call_meter import CallMeter
from rediq_trio.store.encrypted.keys import Encryption, resolve_encryption
from rediq_trio.store.encrypted.store import encrypt_store
from rediq_trio.store.opening import open_store
from rediq_trio.store.patient import with_patience
from rediq_trio.store.port import Store
from rediq_trio.store.redis.connection.timeouts import RESPONSE_TIMEOUT
from rediq_trio.store.redis.durability import Durability
from rediq_trio.store.retrying import until_answered
from rediq_trio.store.trio_context import trio_context
from rediq_trio.store.urls import default_url, server_of
from rediq_trio.tasks.partitions import PartitionCounts
from rediq_trio.values.task import WorkerInfo
from rediq_trio.worker.health import Health
from rediq_trio.worker.reporting.unserved import report_unserved
from rediq_trio.worker.worker import Worker

IDLE_CHECK_INTERVAL = 0.1
"""Seconds between two checks of the queues while `wait_idle` waits."""


@attrs.frozen(kw_only=True)
class ServerStats:
    """What this worker does and has done, by its own count."""

    running: int
    """Attempts that are running."""
    held: int
    """Leases that are claimed and not yet settled."""
    completed: int
    failed: int
    """Failed attempts, those to be retried included."""
    snoozed: int
    cancelled: int
    released: int
    """Tasks that were released unfinished."""
    stale: int
    """Outcomes that were rejected because their lease was over."""
    children_refused: int
    """Tasks of `enqueue_after` that were not enqueued, because their ids or unique keys were taken."""
    unconfirmed: int
    """Writes that were not confirmed as `durability` requires."""
    blocked: int
    """How often the event loop was blocked for longer than a third of the lease."""
    stuck: int
    """Attempts that run on although their timeout and `cleanup_grace` are over."""
    stuck_total: int
    """How many attempts were stuck so far."""


class Server:
    """A running worker. Made by `serve`."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.client: Client = worker.client
        """A client on the worker's own connection."""
        self.metrics_port: int | None = None
        """The port that serves health and metrics; None without one."""

    def stats(self) -> ServerStats:
        """Return this worker's own numbers; for a queue's, use `client.queue(name).stats()`."""
        return ServerStats(
            running=self._worker.executor.running(),
            held=len(self._worker.lease_table),
            children_refused=self._worker.outcome_counts.children_refused,
            unconfirmed=self._worker.store.unconfirmed,
            blocked=self._worker.watchdog.count,
            stuck=self._worker.stuck.count,
            stuck_total=self._worker.stuck.total,
            **self._worker.outcome_counts.by_name(),
        )

    def health(self) -> Health:
        """Return the health of this worker, for probes. Never blocks; callable from any thread."""
        return self._worker.health_judge.judge()

    def info(self) -> WorkerInfo:
        """Return what the worker's heartbeats say about it."""
        return self._worker.info()

    async def stop(self) -> None:
        """Stop gracefully, as at the end of the `with` block, and wait until it has stopped.

        When cancelled, the stop continues. The client stays usable until the block is left.
        """
        self._worker.begin_stop()
        await self._worker.finished.wait()

    async def wait_stopped(self) -> None:
        """Wait until the worker has stopped, by `stop` or in a burst."""
        await self._worker.finished.wait()

    async def wait_idle(self) -> None:
        """Wait until its queues have no task that is pending, active or waiting for a retry.

        Scheduled, grouped and blocked tasks do not count. Messages to other queues are
        delivered by then.
        """
        while not await self._idle():
            await trio.sleep(IDLE_CHECK_INTERVAL)

    async def _idle(self) -> bool:
        # Twice: a message that was on its way at the first check has arrived at the second.
        idle = await self._has_no_work() and await self._has_no_messages()
        return idle and await self._has_no_work()

    async def _has_no_work(self) -> bool:
        if len(self._worker.lease_table):
            return False
        for name in self._worker.settings.queues:
            stats = await self.client.queue(name).stats()
            if stats.pending or stats.active or stats.retry:
                return False
        return True

    async def _has_no_messages(self) -> bool:
        """Return whether every dependent of an ended task has been notified."""
        store = self._worker.store
        for name in self._worker.partitions:
            notified = await store.unblock(name, limit=PROPAGATED_AT_ONCE)
            if notified.moved or notified.next_in_ms is not None:
                return False
            if await store.outbox(name, limit=1):
                return False
        return True

    async def _burst(self) -> None:
        await until_answered(self.wait_idle)  # the worker waits for Redis too, however long
        self._worker.begin_stop()


_WEB = ("hypercorn", "starlette", "prometheus_client")


@asynccontextmanager
async def _open_health_server(
    settings: Settings,
) -> AsyncGenerator[Callable[[Worker, trio.Nursery], int | None]]:
    """Open the health server, if one is configured; yield what attaches a worker and returns the port."""
    if settings.metrics_port is None:

        def attach(worker: Worker, nursery: trio.Nursery) -> None: ...

        yield attach
        return
    try:
        # Imported late, because it needs an extra.
        from rediq_trio.web.health_server import open_health_server
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in _WEB:
            raise
        raise ConfigError(
            f"metrics_port={settings.metrics_port}: needs the extra `web`: pip install 'rediq-trio[web]'"
        ) from error
    async with open_health_server(settings.metrics_address, settings.metrics_port) as health_server:
        yield health_server.attach


def _open(
    settings: Settings, where: str | Store, meter: CallMeter | None
) -> AbstractAsyncContextManager[Store]:
    return open_store(
        where,
        key_prefix=settings.key_prefix,
        allow_eviction=settings.allow_eviction,
        durability=Durability.of(settings.durability, settings.replicas),
        # At most a lease, so that a hanging connection is noticed before the lease is over.
        response_timeout=min(RESPONSE_TIMEOUT, max(1.0, settings.lease)),
        connect_patience=settings.connect_patience,
        meter=meter,
    )


async def _keep_histories(store: Store, settings: Settings) -> None:
    for name in settings.queues if settings.history else ():
        with suppress(Unconfirmed):  # the next start sets it again
            await Queue(store, name).keep_history(settings.history)


@trio_context(
    "start a worker with `rediq run`; to enqueue tasks, use rediq.asyncio.connect() from asyncio, "
    "rediq.connect_sync() from blocking code"
)
async def serve(
    app: App,
    url: str | Store | None = None,
    *,
    encryption: Encryption | None = None,
    **options: Unpack[ServeOptions],
) -> AsyncGenerator[Server]:
    """Run a worker for as long as the block lasts.

    `url` defaults to `REDIQ_URL`, else to the Redis on this machine; the options are those
    of `Settings`. `encryption` defaults to the keys in `REDIQ_ENCRYPTION_KEYS`, else to
    none. Leaving the block stops the worker gracefully: it claims no more tasks, running
    handlers have `shutdown_grace` seconds, then they are cancelled, and unfinished tasks are
    released without a charge. When the block or a scope around it is cancelled, the stop
    takes at most `cleanup_grace` seconds; no lease and no outcome is lost while Redis
    answers. The lifespans of the app are entered first and left last, which may take
    `cleanup_grace` seconds more.

    Raises `ConfigError` before anything is opened, `ConnectionLost` if the server cannot be
    reached within `connect_patience` seconds, and `WorkerCrashed` when an actor has a bug. An exception of the
    `with` block or of a lifespan is raised unchanged.
    """
    if not isinstance(app, App):
        raise ConfigError.of("app", app, "an App")
    settings = settle_settings(options)
    warn_misspelt_variables()
    encryption = resolve_encryption(encryption)
    app_schedules = AppSchedules.of(app.name, app.schedules, settings.max_payload)
    meter = None if settings.metrics_port is None else CallMeter()
    opened = _open(settings, default_url() if url is None else url, meter)
    async with (
        _open_health_server(settings) as attach,
        opened as clear,
        unwrapped_errors() as captured,
        trio.open_nursery() as nursery,
    ):
        store = encrypt_store(clear, encryption)
        await app_schedules.declare(store, settings.patience)
        counts = PartitionCounts(store, settings.patience)
        await counts.refresh_if_old()
        await _keep_histories(with_patience(store, settings.patience), settings)
        worker = Worker(app, store, settings, counts, app_schedules, meter, server_of(url))
        await report_unserved(app, worker.client, settings.queues)
        server = Server(worker)
        # Not `nursery.start`: when cancelled, it would wait for the worker, which waits for a stop.
        nursery.start_soon(worker.run)
        with captured:
            await worker.wait_started()
            server.metrics_port = attach(worker, nursery)
            if settings.burst:
                nursery.start_soon(server._burst)
            yield server
        if isinstance(captured.error, trio.Cancelled):
            worker.stop_now()
        worker.begin_stop()
        try:
            await worker.finished.wait()
        except trio.Cancelled:
            worker.stop_now()
            raise
        nursery.cancel_scope.cancel()
