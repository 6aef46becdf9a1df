"""The gateway: sends the calls of Trio tasks to Redis, which is reached through asyncio.

Callers never touch asyncio. They wait as Trio tasks, and a caller that is cancelled just stops
waiting, so no cancellation can break a connection. The folder of this module is the only one that
knows redis-py, asyncio and trio-asyncio. A gateway has:

- a pipeline for each server: sends all calls that wait in one round trip, and answers each caller;
- a subscriber: receives the signals, on a connection of its own;
- a topology: which server has which keys, be it one server, the master that Sentinels name, or
  the nodes of a Cluster.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import redis.exceptions
import trio

from rediq_trio._errors import ClientClosed, ConfigError, ConnectionLost
from rediq_trio._errors.nursery import unwrapped_errors
from rediq_trio.spec.operations import Confirm
from rediq_trio.store.redis.connection.address import Address, RedisNode, parse_address
from rediq_trio.store.redis.connection.calls import MergeInfo, PendingCall
from rediq_trio.store.redis.connection.confirmer import WriteConfirmer
from rediq_trio.store.redis.connection.connection import (
    CONNECT_ERRORS,
    Connector,
    is_login_error,
)
from rediq_trio.store.redis.connection.event_loop import as_trio, open_loop
from rediq_trio.store.redis.connection.pipeline import REDIRECTS_MAX, Pipeline
from rediq_trio.store.redis.connection.replies import reason_of
from rediq_trio.store.redis.connection.subscriber import Subscriber
from rediq_trio.store.redis.connection.timeouts import RESPONSE_TIMEOUT, UNSENT_WAIT_MAX
from rediq_trio.store.redis.connection.tls import connect_error
from rediq_trio.store.redis.connection.together import CallTogether, Together
from rediq_trio.store.redis.connection.topology import Cluster, make_topology
from rediq_trio.store.redis.durability import Durability
from rediq_trio.store.redis.keys import Keys
from rediq_trio.store.redis.scripts import Script

__all__ = ["Gateway", "open_gateway", "parse_address"]

READ_COMMANDS = frozenset({
    b"HEXISTS", b"HGET", b"HGETALL", b"HKEYS", b"HLEN", b"HMGET", b"HSCAN", b"PTTL", b"SCAN",
    b"SMEMBERS", b"TIME", b"XRANGE", b"XREVRANGE", b"ZCARD", b"ZCOUNT", b"ZRANGE",
    b"ZSCAN",
})  # fmt: skip
"""The commands that `Gateway.read` and `read_each` take."""
CLUSTER_RETRY_DELAY = 0.05
"""Seconds until a call is retried that the Cluster cannot serve at the moment."""


class Gateway:
    """Sends commands and scripts to Redis. Made by `open_gateway`."""

    def __init__(
        self,
        address: Address,
        keys: Keys,
        durability: Durability | None = None,
        response_timeout: float = RESPONSE_TIMEOUT,
    ) -> None:
        self._address = address
        self._connector = Connector(address)
        self._topology = make_topology(self._connector)
        self._subscriber = Subscriber(keys, self._topology.connect_any)
        self.listen = self._subscriber.listen
        self._confirmer: WriteConfirmer | None = None
        if durability is not None and (command := durability.command):
            self._confirmer = WriteConfirmer(durability, command)
        self._response_timeout = response_timeout
        self._pipelines: dict[RedisNode, Pipeline] = {}
        self._new_pipelines, self._pipelines_added = trio.open_memory_channel[Pipeline](math.inf)
        self._retrying: set[PendingCall] = set()
        self._scope = trio.CancelScope(shield=True)
        self.connected = trio.Event()
        """Set when the first connection is open."""
        self._closed = False

    @property
    def nodes(self) -> tuple[RedisNode, ...]:
        """The servers that calls were sent to."""
        return tuple(self._pipelines)

    @property
    def unconfirmed(self) -> int:
        """Writes of the worker that were answered, but not confirmed in time."""
        return self._confirmer.unconfirmed if self._confirmer else 0

    async def serve(self) -> None:
        """Connect, set `connected`, and run the actors until `close`."""
        # `close` ends the shield. Before the gateway is connected, the timeouts of its attempts
        # to connect bound the shield too.
        with self._scope:
            async with open_loop():
                try:
                    async with trio.open_nursery() as nursery:
                        await self._connect()
                        nursery.start_soon(self._subscriber.run)
                        nursery.start_soon(as_trio(self._topology.run), self._topology_changed)
                        self.connected.set()
                        async for pipeline in self._pipelines_added:
                            nursery.start_soon(as_trio(pipeline.run))
                finally:
                    self._refuse_waiting()
                    with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
                        # Without the shield, sockets would stay open after the end of the loop.
                        await as_trio(self._connector.close)()

    async def _connect(self) -> None:
        try:
            nodes = await as_trio(self._topology.discover)()
            for left, node in enumerate(nodes, start=1 - len(nodes)):
                pipeline = self._pipeline_to(node)
                try:
                    pipeline.connection = await as_trio(self._topology.connect)(node)
                except CONNECT_ERRORS as error:
                    # A Cluster is usable while some of its nodes are.
                    connected = any(pipeline.connection for pipeline in self._pipelines.values())
                    if is_login_error(error) or not (left or connected):
                        raise
        except CONNECT_ERRORS as error:
            if is_login_error(error):
                message = f"{self._address} refused the user or password: {reason_of(error)}"
                raise ConfigError(message) from None
            secure = self._address.secure
            raise connect_error(self._address.shown, error, secure=secure) from error

    def _refuse_waiting(self) -> None:
        self._closed = True
        for pipeline in self._pipelines.values():
            pipeline.refuse_all("the client is closed")
        for call in self._retrying:
            call.refuse(ClientClosed("rediq.connect()"))

    def close(self) -> None:
        """End the actors, and refuse the calls that wait."""
        self._scope.cancel()

    async def read(self, *command: Any, key: bytes | None = None) -> Any:
        """Send one command that only reads; as `call`. Raises `ValueError` for any other."""
        _check_reads(command)
        return await self.call(*command, key=key, confirm=Confirm.NO)

    async def read_each(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Send commands that only read, all at once; return the replies in order.

        The reply to a command that fails is its error. Otherwise like `read`.
        """
        for command in commands:
            _check_reads(command)
        self._check_open()
        if not commands:
            await trio.lowlevel.checkpoint()
            return []
        now = trio.current_time()
        together = Together([None] * len(commands), trio.lowlevel.current_task())
        for number, command in enumerate(commands):
            key = command[1] if len(command) > 1 else b""
            call = CallTogether(
                command, None, key, Confirm.NO, now, None, together=together, number=number
            )
            self._pipeline_to(self._topology.node_of(key)).put(call)

        def abort(_: object) -> trio.lowlevel.Abort:
            together.waiter = None
            return trio.lowlevel.Abort.SUCCEEDED

        replies: list[Any] = await trio.lowlevel.wait_task_rescheduled(abort)
        return replies

    async def write(self, *command: Any, confirm: Confirm) -> Any:
        """Send one command that writes; as `call`."""
        return await self.call(*command, confirm=confirm)

    async def call(
        self, *command: Any, key: bytes | None = None, confirm: Confirm = Confirm.NO
    ) -> Any:
        """Send any command and return its reply. The store itself uses `read` and `write`.

        In a Cluster the command goes to the node of `key`, by default its first argument.
        Raises `ConnectionLost`, `StoreError`, `PayloadTooLarge`, or `Unconfirmed` if `confirm` is
        `RAISE`. If the caller is cancelled, the command may or may not be executed.
        """
        if key is None:
            key = command[1] if len(command) > 1 and isinstance(command[1], bytes) else b""
        return await self._submit(command, None, key, confirm)

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
        """Run a script and return its reply; otherwise like `call`.

        A script that handles each of its `items`, which follow `head` arguments, in the same way
        may be merged with other calls that wait.
        """
        command = (b"EVALSHA", script.sha, len(keys), *keys, *args)
        merge = None
        if items:
            key = (script.name, keys[0], confirm, *args[:head])
            size = sum(len(arg) for arg in args[head:] if isinstance(arg, bytes))
            merge = MergeInfo(key, len(command) - len(args) + head, items, size)
        return await self._submit(command, script, keys[0], confirm, merge=merge)

    async def call_each(self, *command: Any) -> dict[RedisNode, Any]:
        """Send a command to every server with data, and return the replies; otherwise like `call`.

        Servers without a connection are left out while another has one.
        """
        pipelines = self._pipelines.items()
        connected = [node for node, pipeline in pipelines if pipeline.connection is not None]
        return {
            node: await self._submit(command, None, b"", Confirm.NO, node)
            for node in connected or [*self._pipelines]
        }

    async def _submit(
        self,
        command: tuple[Any, ...],
        script: Script | None,
        key: bytes,
        confirm: Confirm,
        node: RedisNode | None = None,
        merge: MergeInfo | None = None,
    ) -> Any:
        self._check_open()
        task = trio.lowlevel.current_task()
        if self._confirmer is None:
            confirm = Confirm.NO
        call = PendingCall(command, script, key, confirm, trio.current_time(), task, merge)
        self._pipeline_to(node or self._topology.node_of(key)).put(call)

        def abort(_: object) -> trio.lowlevel.Abort:
            call.waiter = None
            return trio.lowlevel.Abort.SUCCEEDED

        return await trio.lowlevel.wait_task_rescheduled(abort)

    def _check_open(self) -> None:
        if self._closed:
            raise ClientClosed("rediq.connect()")

    def _pipeline_to(self, node: RedisNode) -> Pipeline:
        pipeline = self._pipelines.get(node)
        if pipeline is None:
            shown = str(self._address) if node == RedisNode() else f"{node} of {self._address}"
            pipeline = Pipeline(
                node, shown, self._topology, self._redirect, self._confirmer, self._response_timeout
            )
            self._pipelines[node] = pipeline
            self._new_pipelines.send_nowait(pipeline)
        return pipeline

    def _redirect(self, call: PendingCall, error: redis.exceptions.ResponseError) -> bool:
        """Send a call where a node of the Cluster redirects it; retry later if none can serve it now.

        Return False for an error that is neither.
        """
        topology = self._topology
        if not isinstance(topology, Cluster):
            return False
        call.redirects += 1
        if isinstance(error, redis.exceptions.AskError):
            if call.redirects > REDIRECTS_MAX:
                message = f"{self._address}: its nodes redirect a command to one another"
                call.refuse(ConnectionLost(message, sent=False))
                return True
            node = RedisNode(str(error.host), error.port)  # pyright: ignore  (untyped)
            if isinstance(error, redis.exceptions.MovedError):
                topology.move_slot(error.slot_id, node)
            else:
                call.asking = True
            self._pipeline_to(node).put(call)
            return True
        temporary = (redis.exceptions.TryAgainError, redis.exceptions.ClusterDownError)
        if isinstance(error, temporary) and trio.current_time() - call.created_at < UNSENT_WAIT_MAX:
            topology.refresh_soon()
            call.redirects = 0
            self._retrying.add(call)
            asyncio.get_running_loop().call_later(CLUSTER_RETRY_DELAY, self._retry, call)
            return True
        return False

    def _retry(self, call: PendingCall) -> None:
        self._retrying.discard(call)
        if self._closed:
            call.refuse(ClientClosed("rediq.connect()"))
        else:
            self._pipeline_to(self._topology.node_of(call.key)).put(call)

    def _topology_changed(self) -> None:
        """Move the calls that wait to the servers that have their keys now."""
        topology = self._topology
        if not isinstance(topology, Cluster):
            for pipeline in self._pipelines.values():
                pipeline.reconnect()
            self._subscriber.reconnect()
            return
        masters = topology.masters()
        for node, pipeline in list(self._pipelines.items()):
            if node in masters:
                continue
            waiting = list(pipeline.inbox)
            pipeline.inbox.clear()
            for call in waiting:
                self._pipeline_to(topology.node_of(call.key)).put(call)
            if not pipeline.inbox:
                pipeline.reconnect()


def _check_reads(command: Sequence[Any]) -> None:
    if command[0] not in READ_COMMANDS:
        raise ValueError(f"{command[0]!r} is not known to only read: use write()")


@asynccontextmanager
async def open_gateway(
    address: Address,
    keys: Keys,
    durability: Durability | None = None,
    response_timeout: float = RESPONSE_TIMEOUT,
) -> AsyncGenerator[Gateway]:
    """Connect, yield a running gateway, and close it after the block.

    Raises `ConnectionLost` if the server cannot be reached and `ConfigError` if it refuses the
    user. An exception of the block leaves as it was raised. If the surrounding scope is
    cancelled, the gateway keeps running until the end of the block, because cleanup code in the
    block still needs it.
    """
    async with unwrapped_errors() as captured, trio.open_nursery() as nursery:
        gateway = Gateway(address, keys, durability, response_timeout)
        # Not `nursery.start`: cancelled, it would wait for the gateway, which is shielded.
        nursery.start_soon(gateway.serve)
        with captured:
            await gateway.connected.wait()
            yield gateway
        gateway.close()
