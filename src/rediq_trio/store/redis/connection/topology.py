"""Topology: which server has which keys. One class for each deployment of Redis.

Everything here runs on the gateway's loop. After an error that may mean that the topology has
changed, it is read again from the Sentinels, or from the nodes of the Cluster.
"""

from __future__ import annotations

import asyncio
import math
from binascii import crc_hqx
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

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
from rediq_trio.store.redis.connection.replies import reason_of
from rediq_trio.values.chance import randrange, uniform

SLOTS = 16_384
MASTER_REFRESH_INTERVAL = 2.0
"""Seconds between two queries of which server is the master, without any error."""
SLOTS_REFRESH_INTERVAL = 30.0
"""Seconds between refreshes of the Cluster's slot map; redirects correct it in between."""
LOOKUP_TIMEOUT = 2.0
"""Seconds that a Sentinel, or a node that is asked for the slot map, has to answer."""


class Topology:
    """Which server has which keys: here of one server, which never changes."""

    refresh_interval = math.inf
    """Seconds between two reads of the topology, without any error."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self._address = connector.address
        self._refresh_wanted = asyncio.Event()

    async def discover(self) -> Sequence[RedisNode]:
        """Read the topology; return the servers with data.

        Raises one of `CONNECT_ERRORS`, or `ConfigError`.
        """
        return self._address.nodes

    def node_of(self, key: bytes) -> RedisNode:
        """Return the server that has a key."""
        return self._address.nodes[0]

    async def connect(self, node: RedisNode) -> Connection:
        """Connect to a server that `node_of` returned; raise one of `CONNECT_ERRORS`."""
        return await self._connector.connect(node)

    async def connect_any(self) -> Connection:
        """Connect to a server that signals arrive at; raise one of `CONNECT_ERRORS`."""
        return await self._connector.connect(self._address.nodes[0])

    def refresh_soon(self) -> None:
        """Read the topology again soon."""
        self._refresh_wanted.set()

    async def run(self, changed: Callable[[], None]) -> None:
        """Read the topology again from time to time, and after `refresh_soon`.

        Calls `changed` after a change.
        """

    async def _wait_refresh(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self.refresh_interval):
                await self._refresh_wanted.wait()
        self._refresh_wanted.clear()

    async def _ask(self, node: RedisNode, *command: Any, sentinel: bool = False) -> Any:
        async with asyncio.timeout(LOOKUP_TIMEOUT):
            connection = await self._connector.connect(node, sentinel=sentinel)
        try:
            return await request(connection, *command, timeout=LOOKUP_TIMEOUT)
        finally:
            await disconnect(connection)


class Sentinels(Topology):
    """A master that Sentinels name: https://redis.io/docs/latest/develop/reference/sentinel-clients"""

    refresh_interval = MASTER_REFRESH_INTERVAL

    def __init__(self, connector: Connector) -> None:
        super().__init__(connector)
        self._sentinels = list(connector.address.nodes)
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
                query = (b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", self._address.service)
                found = await self._ask(sentinel, *query, sentinel=True)
            except CONNECT_ERRORS as error:
                if is_login_error(error):
                    raise
                causes.append(f"{sentinel}: {reason_of(error)}")
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


class Cluster(Topology):
    """Masters that share the slots: https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec"""

    refresh_interval = SLOTS_REFRESH_INTERVAL

    def __init__(self, connector: Connector) -> None:
        super().__init__(connector)
        self._nodes = list(connector.address.nodes)
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

    async def connect_any(self) -> Connection:
        # Any node will do. The choice is random, so a node that is down does not block the retry.
        return await self._connector.connect(self._nodes[randrange(len(self._nodes))])

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
        candidates.sort(key=lambda _: uniform(0, 1))
        for node in candidates:
            try:
                found = await self._ask(node, b"CLUSTER", b"SLOTS")
            except redis.exceptions.ResponseError as error:
                if "cluster support disabled" in str(error):
                    raise ConfigError(
                        f"{self._address}: {node} is no node of a Cluster; use redis://{node}"
                    ) from None
                causes.append(f"{node}: {reason_of(error)}")
            except CONNECT_ERRORS as error:
                if is_login_error(error):
                    raise
                causes.append(f"{node}: {reason_of(error)}")
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


def slot_of(key: bytes) -> int:
    """Return the hash slot of a key, 0 to 16,383.

    From the specification of the Cluster: CRC16 (XMODEM) of the text between the first `{` and
    the next `}`, or else of the whole key.
    """
    begin = key.find(b"{")
    if begin >= 0:
        end = key.find(b"}", begin + 1)
        if end > begin + 1:
            key = key[begin + 1 : end]
    return crc_hqx(key, 0) % SLOTS


_TOPOLOGIES = {Deployment.SENTINEL: Sentinels, Deployment.CLUSTER: Cluster}


def make_topology(connector: Connector) -> Topology:
    """Make the topology that fits an address."""
    return _TOPOLOGIES.get(connector.address.deployment, Topology)(connector)
