"""What only a store on a server has: bytes that can be damaged, scripts that can be forgotten."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest

from rediq_trio.spec.lifecycle import State
from rediq_trio.store.redis.connection.gateway import Gateway
from rediq_trio.store.redis.keys import Keys
from tests.conformance.bench import Bench, Clock, Q
from tests.opened import Opened
from tests.servers import Server, open_redis_store


@attrs.frozen
class Behind:
    """A workbench, and the way behind it to the server's keys."""

    bench: Bench
    gateway: Gateway
    keys: Keys

    async def raw(self, command: str, name: str, *args: Any) -> Any:
        """Send a command about one key of the queue."""
        return await self.gateway.call(command, self.keys.of(Q, (name,))[0], *args)

    async def contents(self) -> dict[bytes, bytes]:
        """Give all that the server holds, to see later whether anything was changed."""
        keys = sorted(await self.gateway.call("KEYS", "*"))
        return {key: await self.gateway.call("DUMP", key) for key in keys}

    async def upkeep(self, hours: int = 1) -> list[str]:
        """Do once what keepers and workers do, `hours` later; give the ids that were claimed."""
        store = self.bench.store
        self.bench.clock.advance(hours * 3_600_000)
        await store.expire(Q, limit=100)
        await store.promote(Q, limit=100)
        await store.reclaim(Q, limit=100)
        claimed = [lease.fence.id for lease in await self.bench.take(100)]
        await store.purge(Q, limit=100, dead_retention_ms=10**12, max_dead=100)
        return claimed

    async def died_of(self, task_id: str) -> str:
        record = await self.bench.record(task_id)
        assert record.state is State.DEAD
        return record.error


@asynccontextmanager
async def open_behind(server: Server) -> AsyncIterator[Behind]:
    clock = Clock()
    async with open_redis_store(server, clock=clock) as opened:
        yield Behind(Bench(opened.store, clock), opened.gateway, opened.keys)


@pytest.fixture
def behind(server: Server) -> Opened:
    """Give a workbench on each server, with the way behind it."""
    return Opened(lambda: open_behind(server))
