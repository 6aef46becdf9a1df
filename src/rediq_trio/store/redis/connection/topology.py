"""Topology: which server has which keys. One class for each deployment of Redis.

Everything here runs on the gateway's loop. After an error that may mean that the topology has
changed, it is read again from the Sentinels, or from the nodes of the Cluster.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

import redis.exceptions
from redis.asyncio.connection import Connection

from rediq_trio._errors import ConfigError
from rediq_trio.store.redis.connection.address import Deployment, RedisNode
from rediq_trio.store.redis.connection.connection import (
    CONNECT_ERRORS,
    Connector,
    disconnect,
    is_login_error,
    reconnect_delay,
    request,
)
from rediq_trio.store.redis.connection.slots import SLOTS, slot_of

MASTER_REFRESH_INTERVAL = 2.0
"""Seconds between two queries of which server is the master, without any error."""
SLOTS_REFRESH_INTERVAL = 30.0
"""Seconds between refreshes of the Cluster's slot map; redirects correct it in between."""
LOOKUP_TIMEOUT = 2.0
"""Seconds that a Sentinel, or a node that is asked for the slot map, has to answer."""


class Topology(Protocol):
    """Which server has which keys."""

    async def discover(self) -> Sequence[RedisNode]:
        """Read the topology; return the servers with data.

        Raises one of `CONNECT_ERRORS`, or `ConfigError`.
        """
        ...

    def node_of(self, key: bytes) -> RedisNode:
        """Return the server that has a key."""
        ...

    async def connect(self, node: RedisNode) -> Connection:
        """Connect to a server that `node_of` returned; raise one of `CONNECT_ERRORS`."""
        ...

    async def connect_any(self) -> Connection:
        """Connect to a server that signals arrive at; raise one of `CONNECT_ERRORS`."""
        ...

    def refresh_soon(self) -> None:
        """Read the topology again soon."""
        ...

    async def run(self, changed: Callable[[], None]) -> None:
        """Read the topology again from time to time, and after `refresh_soon`.

        Calls `changed` after a change.
        """
        ...


class Standalone:
    """One server."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        address = connector.address
        self._node = address.nodes[0]

    async def discover(self) -> Sequence[RedisNode]:
        return (self._node,)

    def node_of(self, key: bytes) -> RedisNode:
        return self._node

    async def connect(self, node: RedisNode) -> Connection:
        return await self._connector.connect(node)

    async def connect_any(self) -> Connection:
        return await self._connector.connect(self._node)

    def refresh_soon(self) -> None:
        pass

    async def run(self, changed: Callable[[], None]) -> None:
        pass


class _Watched:
    """A topology that can change: waits for the time, or the request, to read it again."""

    def __init__(self, every: float) -> None:
        self._refresh_wanted = asyncio.Event()
        self._every = every

    def refresh_soon(self) -> None:
        self._refresh_wanted.set()

    async def _wait_refresh(self) -> None:
        try:
            async with asyncio.timeout(self._every):
                await self._refresh_wanted.wait()
        except TimeoutError:
            pass
        self._refresh_wanted.clear()


class Sentinels(_Watched):
    """A master that Sentinels name: https://redis.io/docs/latest/develop/reference/sentinel-clients"""

    def __init__(self, connector: Connector) -> None:
        super().__init__(MASTER_REFRESH_INTERVAL)
        self._connector = connector
        self._address = address = connector.address
        self._sentinels = list(address.nodes)
        self._master: RedisNode | None = None

    async def discover(self) -> Sequence[RedisNode]:
        await self._refresh()
        return (self.node_of(b""),)

    def node_of(self, key: bytes) -> RedisNode:
        # One pipeline for all keys: it connects to the server that is the master.
        return RedisNode()

    async def connect(self, node: RedisNode) -> Connection:
        await self._refresh()
        return await self.connect_any()

    async def connect_any(self) -> Connection:
        if self._master is None:
            await self._refresh()
        assert self._master is not None
        connection = await self._connector.connect(self._master)
        try:
            role, *_ = await request(connection, b"ROLE")
        except BaseException:
            await disconnect(connection)
            raise
        if role != b"master":
            await disconnect(connection)
            self.refresh_soon()
            raise redis.exceptions.ConnectionError(
                f"{self._master} is {role.decode()}, no master yet"
            )
        return connection

    async def run(self, changed: Callable[[], None]) -> None:
        while True:
            await self._wait_refresh()
            before = self._master
            try:
                await self._refresh()
            except (*CONNECT_ERRORS, ConfigError):
                await asyncio.sleep(reconnect_delay(3))
            if self._master != before:
                changed()

    async def _refresh(self) -> None:
        """Ask the Sentinels for the master, first the one that answered last time."""
        unknown = 0
        causes: list[str] = []
        for sentinel in list(self._sentinels):
            try:
                async with _temporary(
                    self._connector.connect(sentinel, sentinel=True)
                ) as connection:
                    found = await request(
                        connection, b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", self._address.service,
                        timeout=LOOKUP_TIMEOUT,
                    )  # fmt: skip
            except CONNECT_ERRORS as error:
                if is_login_error(error):
                    raise
                causes.append(f"{sentinel}: {error or type(error).__name__}")
                continue
            if found is None:
                unknown += 1
                continue
            self._sentinels.remove(sentinel)
            self._sentinels.insert(0, sentinel)
            self._master = RedisNode(found[0].decode(), int(found[1]))
            return
        if unknown == len(self._sentinels):
            raise ConfigError(
                f"{self._address}: its Sentinels know no service {self._address.service!r}"
            )
        raise redis.exceptions.ConnectionError("no Sentinel answers: " + "; ".join(causes))


class Cluster(_Watched):
    """Masters that share the slots: https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec"""

    def __init__(self, connector: Connector) -> None:
        super().__init__(SLOTS_REFRESH_INTERVAL)
        self._connector = connector
        self._address = address = connector.address
        self._nodes: list[RedisNode] = list(address.nodes)
        self._slot_owners: list[RedisNode | None] = [None] * SLOTS

    async def discover(self) -> Sequence[RedisNode]:
        await self._refresh()
        return self.masters()

    def masters(self) -> list[RedisNode]:
        """Return the nodes that have slots."""
        return list(dict.fromkeys(node for node in self._slot_owners if node is not None))

    def node_of(self, key: bytes) -> RedisNode:
        # A node without the slot redirects the command to the node that has it.
        return self._slot_owners[slot_of(key)] or self._nodes[0]

    def move_slot(self, slot: int, node: RedisNode) -> None:
        """Record where a slot is, as a redirect said; the rest of the map is read again soon."""
        self._slot_owners[slot] = node
        self.refresh_soon()

    async def connect(self, node: RedisNode) -> Connection:
        return await self._connector.connect(node)

    async def connect_any(self) -> Connection:
        # Any node will do. The choice is random, so a node that is down does not block the retry.
        return await self._connector.connect(random.choice(self._nodes))

    async def run(self, changed: Callable[[], None]) -> None:
        failures = 0
        while True:
            await self._wait_refresh()
            try:
                await self._refresh()
                failures = 0
            except (*CONNECT_ERRORS, ConfigError):
                failures += 1
                self.refresh_soon()
            changed()
            await asyncio.sleep(reconnect_delay(failures))

    async def _refresh(self) -> None:
        """Ask the nodes for the slot map, in random order, until one answers."""
        causes: list[str] = []
        candidates = [*dict.fromkeys([*self._nodes, *self._address.nodes])]
        random.shuffle(candidates)
        for node in candidates:
            try:
                async with _temporary(self._connector.connect(node)) as connection:
                    found = await request(connection, b"CLUSTER", b"SLOTS", timeout=LOOKUP_TIMEOUT)
            except redis.exceptions.ResponseError as error:
                if "cluster support disabled" in str(error):
                    raise ConfigError(
                        f"{self._address}: {node} is no node of a Cluster; use redis://{node}"
                    ) from None
                causes.append(f"{node}: {error}")
            except CONNECT_ERRORS as error:
                if is_login_error(error):
                    raise
                causes.append(f"{node}: {error or type(error).__name__}")
            else:
                if self._read_slots(found, node):
                    return
                causes.append(f"{node}: it knows no slots")
        raise redis.exceptions.ConnectionError(
            "no node returned the Cluster's slot map: " + "; ".join(causes)
        )

    def _read_slots(self, found: list[Any], source: RedisNode) -> bool:
        owners: list[RedisNode | None] = [None] * SLOTS
        known: dict[RedisNode, None] = {}
        for first, last, *servers in found:
            nodes = [
                RedisNode((host or b"").decode() or source.host, port) for host, port, *_ in servers
            ]
            known |= dict.fromkeys(nodes)
            owners[first : last + 1] = [nodes[0]] * (last + 1 - first)
        if not known:
            return False
        self._slot_owners, self._nodes = owners, list(known)
        return True


@asynccontextmanager
async def _temporary(connecting: Awaitable[Connection]) -> AsyncGenerator[Connection]:
    async with asyncio.timeout(LOOKUP_TIMEOUT):
        connection = await connecting
    try:
        yield connection
    finally:
        await disconnect(connection)


def make_topology(connector: Connector) -> Topology:
    """Make the topology that fits an address."""
    match connector.address.deployment:
        case Deployment.STANDALONE:
            return Standalone(connector)
        case Deployment.SENTINEL:
            return Sentinels(connector)
        case Deployment.CLUSTER:
            return Cluster(connector)
