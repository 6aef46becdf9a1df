"""Clients for asyncio programs: `async with rediq.asyncio.connect(url) as client`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

from rediq_trio.client import connect as connect_trio
from rediq_trio.clients.asyncio_calls import ANOTHER, AsyncioCalls, AsyncioTaskSearch
from rediq_trio.clients.asyncio_client import (
    AsyncioClient,
    AsyncioDeadLetters,
    AsyncioQueue,
    AsyncioSchedules,
    AsyncioSelection,
    AsyncioTaskHandle,
    AsyncioWorkerHandle,
    AsyncioWorkflowHandle,
)
from rediq_trio.clients.trio_thread import TrioThread
from rediq_trio.store.encrypted.keys import Encryption
from rediq_trio.store.port import Store
from rediq_trio.store.redis.durability import Level
from rediq_trio.values.bounds import MAX_PAYLOAD, Duration
from rediq_trio.values.telemetry.port import SendingApp, Telemetry

__all__ = [
    "AsyncioClient",
    "AsyncioDeadLetters",
    "AsyncioQueue",
    "AsyncioSchedules",
    "AsyncioSelection",
    "AsyncioTaskHandle",
    "AsyncioTaskSearch",
    "AsyncioWorkerHandle",
    "AsyncioWorkflowHandle",
    "connect",
]


@asynccontextmanager
async def connect(
    url: str | Store | None = None,
    *,
    max_payload: int = MAX_PAYLOAD,
    key_prefix: str = "rediq",
    allow_eviction: bool = False,
    durability: Level = "memory",
    replicas: int | None = None,
    encryption: Encryption | None = None,
    patience: Duration | None = None,
    app: SendingApp | None = None,
    telemetry: Telemetry | None = None,
) -> AsyncGenerator[AsyncioClient]:
    """Open a client for asyncio for as long as the block lasts.

    The arguments and the errors are those of `rediq.connect`. When a task that awaits a call is
    cancelled, the call is cancelled first. The client belongs to the event loop and the process
    that opened it. Raises `ConfigError` where no asyncio loop runs.
    """
    calls = AsyncioCalls()
    opened = partial(
        connect_trio,
        url,
        max_payload=max_payload,
        key_prefix=key_prefix,
        allow_eviction=allow_eviction,
        durability=durability,
        replicas=replicas,
        encryption=encryption,
        patience=patience,
        app=app,
        telemetry=telemetry,
    )
    opening, closed = calls.new_call(), calls.new_call()
    calls.thread = thread = TrioThread(opened, opening, closed, ANOTHER)
    try:
        await calls.wait(opening, lambda _: thread.stop())
        yield AsyncioClient(calls, opening.outcome())
    finally:
        thread.stop()
        if not thread.forked():
            await calls.wait(closed, lambda _: None)
            closed.outcome()
