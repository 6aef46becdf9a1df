"""The subscriber: subscribes to the queues' channels and passes signals on to listeners.

In a Cluster one connection is enough: a message published on one node reaches every node.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractContextManager, suppress
from typing import cast

import redis.exceptions
import trio
from redis.asyncio.connection import Connection

from rediq_trio._errors import RediqError
from rediq_trio.spec.ids import unpack_id
from rediq_trio.store.broadcast import Broadcast, Signal, SignalKind, Topic
from rediq_trio.store.redis.connection.connection import (
    CONNECT_ERRORS,
    abort,
    disconnect,
    read,
    reconnect_delay,
    send,
)
from rediq_trio.store.redis.connection.deadline import Deadline
from rediq_trio.store.redis.connection.event_loop import as_trio
from rediq_trio.store.redis.connection.replies import line_of, translate_error
from rediq_trio.store.redis.keys import Keys

PING_INTERVAL = 5.0
"""Seconds between pings on the subscriber's connection."""
RESUBSCRIBE_DELAY = 10.0
"""Seconds until a user without the permission to subscribe tries again."""
PONG_TIMEOUT = 10.0
"""Seconds that the answer to a ping may take."""

log = logging.getLogger("rediq_trio")


class Subscriber:
    """Receives signals on a connection of its own; `run` is its actor."""

    def __init__(self, keys: Keys, connect: Callable[[], Awaitable[Connection]]) -> None:
        self._keys = keys
        self._connect = connect
        self._broadcast = Broadcast()
        self._queues: set[str] = set()
        self._subscribed: set[str] = set()
        self._queues_added = asyncio.Event()
        self._connection: Connection | None = None

    def listen(
        self, topics: Iterable[Topic]
    ) -> AbstractContextManager[trio.MemoryReceiveChannel[Signal]]:
        """Receive the signals of these topics while the block lasts."""
        chosen = list(topics)
        new = {queue for queue, _ in chosen} - self._queues
        if new:
            self._queues |= new
            self._queues_added.set()
        return self._broadcast.listen(chosen, subscribed=self._subscribed)

    def reconnect(self) -> None:
        """Close the connection; the next one goes to the server that is right now."""
        if self._connection is not None:
            abort(self._connection)

    async def run(self) -> None:
        """Subscribe and publish signals, on one connection after the other, until cancelled."""
        failures = 0
        while True:
            self._subscribed.clear()
            if not self._queues:
                await as_trio(self._wait_queues)()
            try:
                connection = await as_trio(self._connect)()
            except CONNECT_ERRORS:
                failures += 1
                await trio.sleep(reconnect_delay(failures))
                continue
            refusal: RediqError | None = None
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(as_trio(self._subscribe), connection)
                    await as_trio(self._receive)(connection)
            except* redis.exceptions.NoPermissionError as refused:
                refusal = translate_error(line_of(refused.exceptions[0]))
            except* CONNECT_ERRORS:
                pass
            finally:
                subscribed = bool(self._subscribed)
                self._subscribed.clear()
                with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
                    # Without the shield a cancelled subscriber would leak its socket.
                    await as_trio(disconnect)(connection)
            # A server that takes the connection may still refuse to subscribe.
            failures = 0 if subscribed else failures + 1
            if refusal is None:
                await trio.sleep(reconnect_delay(failures) if failures else 0)
            else:
                log.error("no signals arrive, so everything is late: %s", refusal)
                await trio.sleep(RESUBSCRIBE_DELAY)

    async def _wait_queues(self) -> None:
        while not self._queues:
            self._queues_added.clear()
            await self._queues_added.wait()

    async def _subscribe(self, connection: Connection) -> None:
        asked: set[str] = set()
        while True:
            self._queues_added.clear()
            new = sorted(self._queues - asked)
            channels = [self._keys.channel(queue) for queue in new]
            await send(connection, ("SUBSCRIBE", *channels) if channels else ("PING",))
            asked.update(new)
            with suppress(TimeoutError):
                async with asyncio.timeout(PING_INTERVAL):
                    await self._queues_added.wait()

    async def _receive(self, connection: Connection) -> None:
        pong_deadline = Deadline(lambda: abort(connection))
        self._connection = connection
        try:
            while True:
                pong_deadline.set(PING_INTERVAL + PONG_TIMEOUT)
                self._dispatch(await read(connection))
        finally:
            self._connection = None
            pong_deadline.stop()

    def _dispatch(self, reply: object) -> None:
        kind, *rest = cast("list[bytes]", reply)
        if kind == b"subscribe":
            queue = self._keys.queue_of(rest[0].decode())
            self._subscribed.add(queue)
            self._broadcast.publish(Signal(queue, SignalKind.RESYNC))
        elif kind == b"message":
            self._broadcast.publish(_signal(self._keys.queue_of(rest[0].decode()), rest[1]))


def _signal(queue: str, message: bytes) -> Signal:
    kind, _, task_id = message.partition(b":")
    try:
        return Signal(queue, SignalKind(kind.decode()), unpack_id(task_id))
    except ValueError:
        # A newer version may send kinds that this one does not know: read the store.
        return Signal(queue, SignalKind.RESYNC)
