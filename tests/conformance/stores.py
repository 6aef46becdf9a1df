"""Our stores, as the conformance suite opens them. Not shipped."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from rediq_trio.spec.records import QueueState
from rediq_trio.store.memory import MemoryStore
from rediq_trio.store.port import Store
from tests.conformance.bench import Bench, Clock, Q
from tests.derived.state import derived_violations
from tests.servers import Server, open_redis_store


@asynccontextmanager
async def open_memory(clock: Callable[[], int]) -> AsyncIterator[Store]:
    """Open the specification as a store."""
    yield MemoryStore(clock=clock)


@asynccontextmanager
async def open_server_bench(server: Server) -> AsyncIterator[Bench]:
    """Open the workbench on a server, and check what the scripts keep there too."""
    clock = Clock()
    async with open_redis_store(server, clock=clock) as opened:

        async def find_derived_violations(found: QueueState, now: int) -> list[str]:
            return await derived_violations(opened, Q, found, now)

        bench = Bench(opened.store, clock, find_derived_violations)
        yield bench
        await bench.check()
