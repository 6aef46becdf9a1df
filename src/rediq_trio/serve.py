"""serve(): a worker inside a Trio program, for as long as a block lasts."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Unpack

import attrs
import trio

from rediq_trio._errors import ConfigError, Unconfirmed
from rediq_trio._nursery import held_back
from rediq_trio.admin.queue import Queue
from rediq_trio.client import Client
from rediq_trio.handlers.app import App
from rediq_trio.schedules.declare import Timetable
from rediq_trio.settings import ServeOptions, Settings, settle_settings
from rediq_trio.spec.records import PROPAGATED_AT_ONCE
from rediq_trio.store.encrypted.keys import Encryption, resolve_encryption
from rediq_trio.store.encrypted.store import encrypt_store
from rediq_trio.store.opening import open_store
from rediq_trio.store.port import Store
from rediq_trio.store.redis.connection.timeouts import RESPONSE_TIMEOUT
from rediq_trio.store.redis.durability import Durability
from rediq_trio.store.urls import default_url
from rediq_trio.tasks.partitions import Partitions
from rediq_trio.values.task import WorkerInfo
from rediq_trio.worker.health import Health
from rediq_trio.worker.worker import Worker

IDLE_LOOK = 0.1
"""Seconds between looks at the queues while someone waits for them to be empty."""


@attrs.frozen(kw_only=True)
class ServerStats:
    """What this worker does and did, by its own count."""

    running: int
    """Attempts that run now."""
    held: int
    """Leases in hand: claimed and not yet settled."""
    completed: int
    failed: int
    """Failed attempts, those to be retried included."""
    snoozed: int
    cancelled: int
    released: int
    """Tasks given back unfinished."""
    stale: int
    """Outcomes refused because their lease was over."""
    unconfirmed: int
    """Writes of this worker that were made, and not confirmed as `durability` asks for."""
    blocked: int
    """Times that the event loop stood still for longer than a third of the lease."""


class Server:
    """A running worker. Made by `serve`."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.client: Client = worker.client
        """A client on the worker's own connection."""
        self.metrics_port: int | None = None
        """The port at which it serves health and metrics; None when it does not."""

    def stats(self) -> ServerStats:
        """Give this worker's own numbers; the queues' are `client.queue(name).stats()`."""
        tally = self._worker.tally
        return ServerStats(
            running=self._worker.executor.running(),
            held=len(self._worker.book),
            completed=tally.completed,
            failed=tally.failed,
            snoozed=tally.snoozed,
            cancelled=tally.cancelled,
            released=tally.released,
            stale=tally.stale,
            unconfirmed=self._worker.store.unconfirmed,
            blocked=self._worker.watchdog.count,
        )

    def health(self) -> Health:
        """Judge how this worker is, for probes. Cheap, never blocks, callable from any thread."""
        return self._worker.examiner.examine()

    def info(self) -> WorkerInfo:
        """Give what the worker says of itself in its heartbeats."""
        return self._worker.info()

    async def stop(self) -> None:
        """Stop in good order, as at the end of the block, and wait for it.

        When cancelled, the stop goes on. The client stays usable until the block is left.
        """
        self._worker.begin_stop()
        await self._worker.finished.wait()

    async def wait_stopped(self) -> None:
        """Wait until the worker has stopped, by `stop` or in a burst."""
        await self._worker.finished.wait()

    async def wait_idle(self) -> None:
        """Wait until the queues it serves have no task that is ready, running or due for a retry.

        Tasks scheduled for later do not count, nor do those that wait in a group or for others.
        Messages to other queues have been carried.
        """
        while not await self._idle():
            await trio.sleep(IDLE_LOOK)

    async def _idle(self) -> bool:
        # Twice: what was on its way to a queue at the first look has come there at the second.
        return await self._quiet() and await self._carried() and await self._quiet()

    async def _quiet(self) -> bool:
        if len(self._worker.book):
            return False
        for name in self._worker.settings.queues:
            stats = await self.client.queue(name).stats()
            if stats.pending or stats.active or stats.retry:
                return False
        return True

    async def _carried(self) -> bool:
        """Say whether no end of a task has still to be told to those that wait for it."""
        store = self._worker.store
        for name in self._worker.places:
            told = await store.unblock(name, limit=PROPAGATED_AT_ONCE)
            if told.moved or told.next_in_ms is not None or await store.outbox(name, limit=1):
                return False
        return True

    async def _burst(self) -> None:
        await self.wait_idle()
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


def _open(settings: Settings, where: str | Store) -> AbstractAsyncContextManager[Store]:
    return open_store(
        where,
        key_prefix=settings.key_prefix,
        allow_eviction=settings.allow_eviction,
        durability=Durability.of(settings.durability, settings.replicas),
        # No longer than a lease: what hangs is noticed before it is over.
        response_timeout=min(RESPONSE_TIMEOUT, max(1.0, settings.lease)),
    )


async def _keep_histories(store: Store, settings: Settings) -> None:
    for name in settings.queues if settings.history else ():
        with suppress(Unconfirmed):  # the next start sets it again
            await Queue(store, name).keep_history(settings.history)


@asynccontextmanager
async def serve(
    app: App,
    url: str | Store | None = None,
    *,
    encryption: Encryption | None = None,
    **options: Unpack[ServeOptions],
) -> AsyncGenerator[Server]:
    """Run a worker for as long as the block lasts.

    `url` defaults to `REDIQ_URL`, else to the Redis on this machine; the options
    are those of `Settings`. `encryption` defaults to the keys in
    `REDIQ_ENCRYPTION_KEYS`, else to none. Leaving the block stops the worker in good order:
    it claims no more, running handlers have `shutdown_grace`, then they are
    cancelled, and what did not finish is given back uncharged. When the block or
    a scope around it is cancelled, that takes at most `cleanup_grace`; no lease
    and no outcome is left behind while Redis answers.

    Raises `ConfigError` before anything is opened, `ConnectionLost` when the
    server cannot be reached at the start, and `WorkerCrashed` when an actor has
    a bug. An exception of the block leaves as it was raised.
    """
    if not isinstance(app, App):
        raise ConfigError.of("app", app, "an App")
    settings = settle_settings(options)
    encryption = resolve_encryption(encryption)
    timetable = Timetable.of(app.name, app.schedules, settings.max_payload)
    where = default_url() if url is None else url
    opened = _open(settings, where)
    health_server = _open_health_server(settings)
    async with health_server as attach, opened as clear, held_back() as hold, trio.open_nursery() as nursery:
        store = encrypt_store(clear, encryption)
        await timetable.post(store, settings.queues)
        partitions = Partitions(store)
        await partitions.known()
        await _keep_histories(store, settings)
        worker = Worker(app, store, settings, partitions)
        server = Server(worker)
        server.metrics_port = attach(worker, nursery)
        # Not `nursery.start`: cancelled, it would wait for the worker, and the worker for a stop.
        nursery.start_soon(worker.run)
        if settings.burst:
            nursery.start_soon(server._burst)
        with hold:
            yield server
        if isinstance(hold.error, trio.Cancelled):
            worker.hurry()
        worker.begin_stop()
        try:
            await worker.finished.wait()
        except trio.Cancelled:
            worker.hurry()
            raise
        nursery.cancel_scope.cancel()
