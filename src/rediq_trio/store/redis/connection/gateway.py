"""The gateway: where callers, who are Trio tasks, meet the servers, which are reached by asyncio.

Callers never touch asyncio: they wait as Trio tasks, and one that is cancelled just stops
waiting, so no cancellation can tear a connection. What carries their calls is in `bridge`, the
one room that knows redis-py, asyncio and trio-asyncio:

- a line for each server: its pump sends what waits as one trip, and answers each caller;
- the ear: hears the signals, on a connection of its own;
- routes: who serves what, be it one server, the master that Sentinels name, or a Cluster's nodes.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any

import redis.exceptions
import trio
import trio_asyncio

from rediq_trio._errors import ConfigError, ConnectionLost
from rediq_trio._nursery import held_back
from rediq_trio.spec.operations import Confirm
from rediq_trio.store.broadcast import Signal, Topic
from rediq_trio.store.redis.connection.address import Address, Node, parse_address
from rediq_trio.store.redis.connection.calls import Call, Joint
from rediq_trio.store.redis.connection.confirming import Confirming
from rediq_trio.store.redis.connection.connection import (
    FAILED,
    Dialer,
    ReplyError,
    across,
    is_refusal,
)
from rediq_trio.store.redis.connection.pipeline import MAX_HOPS, PATIENCE, Line, Ways
from rediq_trio.store.redis.connection.subscriber import Ear
from rediq_trio.store.redis.connection.tls import unreachable
from rediq_trio.store.redis.connection.topology import Cluster, routes_of
from rediq_trio.store.redis.durability import Durability
from rediq_trio.store.redis.keys import Keys
from rediq_trio.store.redis.scripts import Script

__all__ = ["Gateway", "ReplyError", "open_gateway", "parse_address"]

TRIP_DEADLINE = 10.0
"""Seconds a trip may take before its connection is given up, unless told otherwise."""
READS = frozenset({
    b"HGET", b"HGETALL", b"HKEYS", b"HMGET", b"HSCAN", b"PTTL", b"SCAN", b"SMEMBERS", b"XRANGE",
    b"ZRANGE", b"ZSCAN",
})  # fmt: skip
"""The commands that `Gateway.read` takes."""
AGAIN = 0.05
"""Seconds until a call is sent again that a Cluster cannot serve at the moment."""


class Gateway:
    """The way to Redis. Made by `open_gateway`."""

    def __init__(
        self,
        address: Address,
        keys: Keys,
        durability: Durability | None = None,
        trip_deadline: float = TRIP_DEADLINE,
    ) -> None:
        self._address = address
        self._dialer = Dialer(address)
        self._routes = routes_of(self._dialer)
        self._ear = Ear(keys, self._routes.dial_any)
        self._confirming: Confirming | None = None
        if durability is not None and (command := durability.command):
            self._confirming = Confirming(durability, command)
        self._trip_deadline = trip_deadline
        self._lines: dict[Node, Line] = {}
        self._new_lines, self._arriving = trio.open_memory_channel[Line](math.inf)
        self._resting: set[Call] = set()
        self._ways = Ways(self._routes.dial, self._elsewhere, self._failed)
        self._switch = trio.CancelScope(shield=True)
        self.connected = trio.Event()
        """Set when the first connection is there."""
        self._closed = False
        self._nursery: trio.Nursery | None = None

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The servers that calls went to."""
        return tuple(self._lines)

    @property
    def unconfirmed(self) -> int:
        """Writes of the worker that were answered and not confirmed in time."""
        return self._confirming.unconfirmed if self._confirming else 0

    async def serve(self) -> None:
        """Connect, set `connected`, and run the actors until `close`."""
        # The shield ends with `close`. Until the gateway is connected, it lasts no longer
        # than the deadlines of its attempts.
        with self._switch:
            async with trio_asyncio.open_loop():  # pyright: ignore  (untyped)
                try:
                    async with trio.open_nursery() as nursery:
                        await self._begin()
                        nursery.start_soon(self._ear.run)
                        nursery.start_soon(across(self._routes.run), self._changed)
                        self.connected.set()
                        async for line in self._arriving:
                            nursery.start_soon(across(line.pump))
                finally:
                    self._end()
                    with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
                        # Without the shield, sockets would be left open when the loop is gone.
                        await across(self._dialer.hang_up)()

    async def _begin(self) -> None:
        try:
            nodes = await across(self._routes.begin)()
            for left, node in enumerate(nodes, start=1 - len(nodes)):
                line = self._line(node)
                try:
                    line.connection = await across(self._routes.dial)(node)
                except FAILED as error:
                    # A Cluster is there while some of it is.
                    connected = any(line.connection for line in self._lines.values())
                    if is_refusal(error) or not (left or connected):
                        raise
        except FAILED as error:
            if is_refusal(error):
                raise ConfigError(f"{self._address} refused the user or password: {error}") from None
            secure = self._address.secure
            raise unreachable(self._address.shown, error, secure=secure) from error

    def _end(self) -> None:
        self._closed = True
        for line in self._lines.values():
            line.refuse_all("the client is closed")
        for call in self._resting:
            call.refuse(ConnectionLost("the client is closed", sent=False))

    def close(self) -> None:
        """End the actors; calls that wait are refused."""
        self._switch.cancel()

    # --- the callers' side: Trio

    async def read(self, *command: Any, key: bytes | None = None) -> Any:
        """Send one command that only reads; as `call`. Raises `ValueError` for any other."""
        if command[0] not in READS:
            raise ValueError(f"{command[0]!r} is not known to only read: use write()")
        return await self.call(*command, key=key, confirm=Confirm.NO)

    async def write(self, *command: Any, confirm: Confirm) -> Any:
        """Send one command that writes; as `call`."""
        return await self.call(*command, confirm=confirm)

    async def call(self, *command: Any, key: bytes | None = None, confirm: Confirm = Confirm.NO) -> Any:
        """Send any command and give its reply. The store itself uses `read` and `write`.

        In a Cluster it goes to the node of `key`, or else of its first argument.
        Raises `ConnectionLost`, `ConfigError` (not permitted), `ReplyError`, or
        `Unconfirmed` when `confirm` says so. When cancelled, the command may or may
        not be carried out.
        """
        if key is None:
            key = command[1] if len(command) > 1 and isinstance(command[1], bytes) else b""
        return await self._wait(command, None, key, confirm)

    async def run(
        self,
        script: Script,
        keys: Sequence[bytes],
        args: Sequence[Any],
        confirm: Confirm,
        *,
        head: int = 0,
        items: int = 0,
    ) -> Any:
        """Run a script and give its reply; as `call`.

        One that does the same to each of its `items`, which come behind `head` arguments, may be
        sent as one with others that wait.
        """
        command = (b"EVALSHA", script.sha, len(keys), *keys, *args)
        joint = None
        if items:
            key = (script.name, keys[0], confirm, *args[:head])
            size = sum(len(arg) for arg in args[head:] if isinstance(arg, bytes))
            joint = Joint(key, len(command) - len(args) + head, items, size)
        return await self._wait(command, script, keys[0], confirm, joint=joint)

    async def call_each(self, *command: Any) -> dict[Node, Any]:
        """Send a command to every server with data, and give the replies; as `call`."""
        return {
            node: await self._wait(command, None, b"", Confirm.NO, node) for node in [*self._lines]
        }

    async def _wait(
        self,
        command: tuple[Any, ...],
        script: Script | None,
        key: bytes,
        confirm: Confirm,
        node: Node | None = None,
        joint: Joint | None = None,
    ) -> Any:
        if self._closed:
            raise ConnectionLost("the client is closed", sent=False)
        task = trio.lowlevel.current_task()
        if self._confirming is None:
            confirm = Confirm.NO
        call = Call(command, script, key, confirm, trio.current_time(), task, joint)
        self._line(node or self._routes.of(key)).put(call)

        def abort(_: object) -> trio.lowlevel.Abort:
            call.waiter = None
            return trio.lowlevel.Abort.SUCCEEDED

        return await trio.lowlevel.wait_task_rescheduled(abort)

    def listen(
        self, topics: Iterable[Topic]
    ) -> AbstractContextManager[trio.MemoryReceiveChannel[Signal]]:
        """Receive the signals of these topics while the block lasts."""
        return self._ear.listen(topics)

    def _line(self, node: Node) -> Line:
        line = self._lines.get(node)
        if line is None:
            shown = str(self._address) if node == Node() else f"{node} of {self._address}"
            line = Line(node, shown, self._ways, self._confirming, self._trip_deadline)
            self._lines[node] = line
            self._new_lines.send_nowait(line)
        return line

    # --- what the lines and routes call, on the loop

    def _failed(self, node: Node) -> None:
        self._routes.doubt()

    def _elsewhere(self, call: Call, error: redis.exceptions.ResponseError) -> bool:
        """Send a call where a node of the Cluster says; hold what none can serve just now."""
        routes = self._routes
        if not isinstance(routes, Cluster):
            return False
        call.hops += 1
        if isinstance(error, redis.exceptions.AskError):
            if call.hops > MAX_HOPS:
                message = f"{self._address}: its nodes send a command from one to the other"
                call.refuse(ConnectionLost(message, sent=False))
                return True
            node = Node(str(error.host), error.port)  # pyright: ignore  (untyped)
            if isinstance(error, redis.exceptions.MovedError):
                routes.learn(error.slot_id, node)
            else:
                call.asking = True
            self._line(node).put(call)
            return True
        passing = (redis.exceptions.TryAgainError, redis.exceptions.ClusterDownError)
        if isinstance(error, passing) and trio.current_time() - call.born < PATIENCE:
            routes.doubt()
            call.hops = 0
            self._resting.add(call)
            asyncio.get_running_loop().call_later(AGAIN, self._resume, call)
            return True
        return False

    def _resume(self, call: Call) -> None:
        self._resting.discard(call)
        if self._closed:
            call.refuse(ConnectionLost("the client is closed", sent=False))
        else:
            self._line(self._routes.of(call.key)).put(call)

    def _changed(self) -> None:
        """Lead the calls that wait to who serves now."""
        routes = self._routes
        if not isinstance(routes, Cluster):
            for line in self._lines.values():
                line.hang_up()
            self._ear.hang_up()
            return
        masters = routes.masters()
        for node, line in list(self._lines.items()):
            if node in masters:
                continue
            waiting = list(line.inbox)
            line.inbox.clear()
            for call in waiting:
                self._line(routes.of(call.key)).put(call)
            if not line.inbox:
                line.hang_up()


@asynccontextmanager
async def open_gateway(
    address: Address,
    keys: Keys,
    durability: Durability | None = None,
    trip_deadline: float = TRIP_DEADLINE,
) -> AsyncGenerator[Gateway]:
    """Connect and give a running gateway; close it behind the block.

    Raises `ConnectionLost` when the server cannot be reached and `ConfigError`
    when it refuses the user. An exception of the block leaves as it was raised.
    When the surrounding scope is cancelled the gateway serves on until the block
    is left: whoever cleans up in there still needs it.
    """
    async with held_back() as hold, trio.open_nursery() as nursery:
        gateway = Gateway(address, keys, durability, trip_deadline)
        # Not `nursery.start`: cancelled, it would wait for the gateway, which is shielded.
        nursery.start_soon(gateway.serve)
        with hold:
            await gateway.connected.wait()
            yield gateway
        gateway.close()
