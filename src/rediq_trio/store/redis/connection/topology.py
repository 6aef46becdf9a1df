"""Routes: which server a call goes to. One class for each way in which servers can stand.

All of it runs on the gateway's loop. A server that cannot be reached, or is the wrong one, is a
reason to ask again who serves what; those that know are asked in turn.
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
from rediq_trio.store.redis.connection.address import Kind, Node
from rediq_trio.store.redis.connection.connection import (
    FAILED,
    Dialer,
    ask,
    drop,
    is_refusal,
    pause,
)
from rediq_trio.store.redis.connection.slots import SLOTS, slot_of

WATCH_EVERY = 2.0
"""Seconds between two looks at who is the master, while all seems well."""
MAP_EVERY = 30.0
"""The same of a Cluster's map: there each node says who is to be asked instead."""
ASK_WITHIN = 2.0
"""Seconds that a Sentinel, or a node that is asked for the map, has to answer."""


class Routes(Protocol):
    """Who serves what."""

    async def begin(self) -> Sequence[Node]:
        """Find out; give the servers with data. Raises one of `FAILED`, or `ConfigError`."""
        ...

    def of(self, key: bytes) -> Node:
        """Give the server of a key."""
        ...

    async def dial(self, node: Node) -> Connection:
        """Connect to a server that `of` gave; raise one of `FAILED`."""
        ...

    async def dial_any(self) -> Connection:
        """Connect to a server where signals are heard; raise one of `FAILED`."""
        ...

    def doubt(self) -> None:
        """Ask again soon."""
        ...

    async def run(self, changed: Callable[[], None]) -> None:
        """Ask again when there is doubt, and now and then; call `changed` after a change."""
        ...


class Single:
    """One server."""

    def __init__(self, dialer: Dialer) -> None:
        self._dialer = dialer
        address = dialer.address
        self._node = address.nodes[0]

    async def begin(self) -> Sequence[Node]:
        return (self._node,)

    def of(self, key: bytes) -> Node:
        return self._node

    async def dial(self, node: Node) -> Connection:
        return await self._dialer.dial(node)

    async def dial_any(self) -> Connection:
        return await self._dialer.dial(self._node)

    def doubt(self) -> None:
        pass

    async def run(self, changed: Callable[[], None]) -> None:
        pass


class _Asked:
    """What Sentinels and a Cluster's nodes have in common: doubt, and a wait for it."""

    def __init__(self, every: float) -> None:
        self._doubts = asyncio.Event()
        self._every = every

    def doubt(self) -> None:
        self._doubts.set()

    async def _wait_doubt(self) -> None:
        try:
            async with asyncio.timeout(self._every):
                await self._doubts.wait()
        except TimeoutError:
            pass
        self._doubts.clear()


class Sentinels(_Asked):
    """A master that Sentinels name: https://redis.io/docs/latest/develop/reference/sentinel-clients"""

    def __init__(self, dialer: Dialer) -> None:
        super().__init__(WATCH_EVERY)
        self._dialer = dialer
        self._address = address = dialer.address
        self._sentinels = list(address.nodes)
        self._master: Node | None = None

    async def begin(self) -> Sequence[Node]:
        await self._look()
        return (self.of(b""),)

    def of(self, key: bytes) -> Node:
        # One line for all: it leads to whoever is the master.
        return Node()

    async def dial(self, node: Node) -> Connection:
        await self._look()
        return await self.dial_any()

    async def dial_any(self) -> Connection:
        if self._master is None:
            await self._look()
        assert self._master is not None
        connection = await self._dialer.dial(self._master)
        try:
            role, *_ = await ask(connection, b"ROLE")
        except BaseException:
            await drop(connection)
            raise
        if role != b"master":
            await drop(connection)
            self.doubt()
            raise redis.exceptions.ConnectionError(f"{self._master} is {role.decode()}, no master yet")
        return connection

    async def run(self, changed: Callable[[], None]) -> None:
        while True:
            await self._wait_doubt()
            before = self._master
            try:
                await self._look()
            except (*FAILED, ConfigError):
                await asyncio.sleep(pause(3))
            if self._master != before:
                changed()

    async def _look(self) -> None:
        """Ask the Sentinels for the master, the one that answered last time first."""
        unknown = 0
        causes: list[str] = []
        for sentinel in list(self._sentinels):
            try:
                async with _lent(self._dialer.dial(sentinel, sentinel=True)) as connection:
                    found = await ask(
                        connection, b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", self._address.service,
                        within=ASK_WITHIN,
                    )  # fmt: skip
            except FAILED as error:
                if is_refusal(error):
                    raise
                causes.append(f"{sentinel}: {error or type(error).__name__}")
                continue
            if found is None:
                unknown += 1
                continue
            self._sentinels.remove(sentinel)
            self._sentinels.insert(0, sentinel)
            self._master = Node(found[0].decode(), int(found[1]))
            return
        if unknown == len(self._sentinels):
            raise ConfigError(f"{self._address}: its Sentinels know no service {self._address.service!r}")
        raise redis.exceptions.ConnectionError("no Sentinel answers: " + "; ".join(causes))


class Cluster(_Asked):
    """Masters that share the slots: https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec"""

    def __init__(self, dialer: Dialer) -> None:
        super().__init__(MAP_EVERY)
        self._dialer = dialer
        self._address = address = dialer.address
        self._known: list[Node] = list(address.nodes)
        self._owners: list[Node | None] = [None] * SLOTS

    async def begin(self) -> Sequence[Node]:
        await self._look()
        return self.masters()

    def masters(self) -> list[Node]:
        """Give the nodes that have slots."""
        return list(dict.fromkeys(node for node in self._owners if node is not None))

    def of(self, key: bytes) -> Node:
        # Who has no slot, or not this one, says who has.
        return self._owners[slot_of(key)] or self._known[0]

    def learn(self, slot: int, node: Node) -> None:
        """Note what a node said of a slot."""
        self._owners[slot] = node
        self.doubt()

    async def dial(self, node: Node) -> Connection:
        return await self._dialer.dial(node)

    async def dial_any(self) -> Connection:
        # Any node will do; one that is down is not asked twice in a row.
        return await self._dialer.dial(random.choice(self._known))

    async def run(self, changed: Callable[[], None]) -> None:
        failures = 0
        while True:
            await self._wait_doubt()
            try:
                await self._look()
                failures = 0
            except (*FAILED, ConfigError):
                failures += 1
                self.doubt()
            changed()
            await asyncio.sleep(pause(failures))

    async def _look(self) -> None:
        """Ask for the map, the nodes in any order, until one tells."""
        causes: list[str] = []
        asked = [*dict.fromkeys([*self._known, *self._address.nodes])]
        random.shuffle(asked)
        for node in asked:
            try:
                async with _lent(self._dialer.dial(node)) as connection:
                    found = await ask(connection, b"CLUSTER", b"SLOTS", within=ASK_WITHIN)
            except redis.exceptions.ResponseError as error:
                if "cluster support disabled" in str(error):
                    raise ConfigError(
                        f"{self._address}: {node} is no node of a Cluster; use redis://{node}"
                    ) from None
                causes.append(f"{node}: {error}")
            except FAILED as error:
                if is_refusal(error):
                    raise
                causes.append(f"{node}: {error or type(error).__name__}")
            else:
                if self._read(found, node):
                    return
                causes.append(f"{node}: knows of no slots")
        raise redis.exceptions.ConnectionError("no node tells the Cluster's map: " + "; ".join(causes))

    def _read(self, found: list[Any], teller: Node) -> bool:
        owners: list[Node | None] = [None] * SLOTS
        known: dict[Node, None] = {}
        for first, last, *servers in found:
            nodes = [Node((host or b"").decode() or teller.host, port) for host, port, *_ in servers]
            known |= dict.fromkeys(nodes)
            owners[first : last + 1] = [nodes[0]] * (last + 1 - first)
        if not known:
            return False
        self._owners, self._known = owners, list(known)
        return True


@asynccontextmanager
async def _lent(dialled: Awaitable[Connection]) -> AsyncGenerator[Connection]:
    async with asyncio.timeout(ASK_WITHIN):
        connection = await dialled
    try:
        yield connection
    finally:
        await drop(connection)


def routes_of(dialer: Dialer) -> Routes:
    """Give the routes that fit an address."""
    match dialer.address.kind:
        case Kind.SINGLE:
            return Single(dialer)
        case Kind.SENTINEL:
            return Sentinels(dialer)
        case Kind.CLUSTER:
            return Cluster(dialer)
