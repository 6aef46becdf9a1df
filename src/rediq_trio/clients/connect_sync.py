"""connect_sync(): open a blocking client, for programs without an event loop of Trio."""

from __future__ import annotations

import threading
from functools import partial

from rediq_trio.client import connect
from rediq_trio.clients.sync_calls import SyncCalls, check_outside_trio, wait_interruptibly
from rediq_trio.clients.sync_client import SyncClient
from rediq_trio.clients.trio_thread import ThreadCall, TrioThread
from rediq_trio.store.encrypted.keys import Encryption
from rediq_trio.store.port import Store
from rediq_trio.store.redis.durability import Level
from rediq_trio.values.bounds import MAX_PAYLOAD, Duration
from rediq_trio.values.telemetry.port import SendingApp, Telemetry


def connect_sync(
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
) -> SyncClient:
    """Open a blocking client, which is closed by `with`, by `close()` or at the program's exit.

    The arguments and the errors are those of `connect`. The client may be used from any number
    of threads, and beside an asyncio loop. It belongs to the process that opened it: after a
    fork, the child opens its own. Inside Trio it raises `ConfigError`: use `connect`.
    """
    check_outside_trio()
    opened = partial(
        connect,
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
    open_or_failed = threading.Lock()
    open_or_failed.acquire()
    opening = ThreadCall(lambda _: open_or_failed.release())
    closed = ThreadCall(lambda _: None)
    thread = TrioThread(opened, opening, closed, "rediq.connect_sync()")
    try:
        wait_interruptibly(lambda: None, opening, open_or_failed, lambda _: thread.stop())
    except BaseException:
        thread.stop()  # it may have been opened when the interrupt came
        raise
    return SyncClient(SyncCalls(thread, closed), opening.outcome())
