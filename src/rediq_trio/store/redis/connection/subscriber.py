"""The ear: subscribes to the queues' channels and hands signals to listeners.

In a Cluster one connection hears all: what a node publishes comes to every node.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractContextManager
from typing import cast

import redis.exceptions
import trio
from redis.asyncio.connection import Connection

from rediq_trio._errors import RediqError
from rediq_trio.spec.ids import unpack_id
from rediq_trio.store.broadcast import Broadcast, Kind, Signal, Topic
from rediq_trio.store.redis.connection.connection import (
    FAILED,
    abort,
    across,
    drop,
    pause,
    read,
    send,
    translated,
)
from rediq_trio.store.redis.connection.deadline import Deadline
from rediq_trio.store.redis.keys import Keys

EAR_PING = 5.0
"""Seconds between pings on a connection that otherwise only listens."""
DEAF_PAUSE = 10.0
"""Seconds before a user who may not subscribe tries again."""
SILENCE = 10.0
"""Seconds that a ping's answer may take."""


log = logging.getLogger("rediq_trio")


class Ear:
    """Listens on a connection of its own; `run` is its actor."""

    def __init__(self, keys: Keys, dial: Callable[[], Awaitable[Connection]]) -> None:
        self._keys = keys
        self._dial = dial
        self._broadcast = Broadcast()
        self._wanted: set[str] = set()
        self._heard: set[str] = set()
        self._more_wanted = asyncio.Event()
        self._connection: Connection | None = None

    def listen(
        self, topics: Iterable[Topic]
    ) -> AbstractContextManager[trio.MemoryReceiveChannel[Signal]]:
        """Receive the signals of these topics while the block lasts."""
        chosen = list(topics)
        new = {queue for queue, _ in chosen} - self._wanted
        if new:
            self._wanted |= new
            self._more_wanted.set()
        return self._broadcast.listen(chosen, heard=self._heard)

    def hang_up(self) -> None:
        """Give the connection up; the next one leads to who serves now."""
        if self._connection is not None:
            abort(self._connection)

    async def run(self) -> None:
        """Subscribe and hand out signals, from one connection to the next, until cancelled."""
        failures = 0
        while True:
            self._heard.clear()
            if not self._wanted:
                await across(self._wait_wanted)()
            try:
                connection = await across(self._dial)()
            except FAILED:
                failures += 1
                await trio.sleep(pause(failures))
                continue
            failures = 0
            deaf: RediqError | None = None
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(across(self._subscribe), connection)
                    await across(self._hear)(connection)
            except* redis.exceptions.NoPermissionError as refused:
                deaf = translated(refused.exceptions[0])  # type: ignore[arg-type]
            except* FAILED:
                pass
            finally:
                self._heard.clear()
                with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
                    # Without the shield a cancelled ear would leak its socket.
                    await across(drop)(connection)
            if deaf is not None:
                log.error("no signal can be heard, and everything comes late: %s", deaf)
                await trio.sleep(DEAF_PAUSE)

    async def _wait_wanted(self) -> None:
        while not self._wanted:
            self._more_wanted.clear()
            await self._more_wanted.wait()

    async def _subscribe(self, connection: Connection) -> None:
        asked: set[str] = set()
        while True:
            self._more_wanted.clear()
            new = sorted(self._wanted - asked)
            channels = [self._keys.channel(queue) for queue in new]
            await send(connection, ("SUBSCRIBE", *channels) if channels else ("PING",))
            asked.update(new)
            try:
                async with asyncio.timeout(EAR_PING):
                    await self._more_wanted.wait()
            except TimeoutError:
                pass

    async def _hear(self, connection: Connection) -> None:
        silence = Deadline(lambda: abort(connection))
        self._connection = connection
        try:
            while True:
                silence.set(EAR_PING + SILENCE)
                self._hand_out(await read(connection, math.inf))
        finally:
            self._connection = None
            silence.stop()

    def _hand_out(self, reply: object) -> None:
        kind, *rest = cast("list[bytes]", reply)
        if kind == b"subscribe":
            queue = self._keys.queue_of(rest[0].decode())
            self._heard.add(queue)
            self._broadcast.publish(Signal(queue, Kind.RESYNC))
        elif kind == b"message":
            self._broadcast.publish(_signal(self._keys.queue_of(rest[0].decode()), rest[1]))


def _signal(queue: str, message: bytes) -> Signal:
    kind, _, task_id = message.partition(b":")
    try:
        return Signal(queue, Kind(kind.decode()), unpack_id(task_id))
    except ValueError:
        # A newer version may say what this one does not know: look at the truth.
        return Signal(queue, Kind.RESYNC)
