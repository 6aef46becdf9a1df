"""The ground that a run stands on: the servers, the way to them, the processes, and what was measured."""

from __future__ import annotations

import random
import tempfile
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import attrs
import trio

import rediq_trio as rediq
from rediq_trio.store.embedded import find_server
from tests.chaos.fleet import Fleet
from tests.chaos.kinds import QUEUES
from tests.chaos.observe import Observer
from tests.chaos.proxy import Proxy, run_proxy
from tests.chaos.server import Redis, server_folder

LEASE = 3.0
SPARE = 5.0
"""Seconds beyond the lease in which work has to go on after a fault."""
LOOK = 0.05
"""Seconds between looks at the queues' totals."""
GIVE_UP = 60.0
"""Seconds after which work that has not gone on is no more waited for."""


@attrs.frozen
class Recovery:
    """How long it took until a task was settled after a fault had ended."""

    kind: str
    seconds: float


@attrs.define(eq=False)
class Ground:
    """Everything that a fault can touch."""

    folder: Path
    observer: Observer
    fleet: Fleet
    rng: random.Random
    url: str
    """As the driver reaches the servers: no fault of the network is in the way."""
    lease: float = LEASE
    away: float = 60.0
    """Seconds for which the server is away, when it is away for long."""
    redis: Redis | None = None
    proxy: Proxy | None = None
    service: Any = None
    """The Sentinel set or the Cluster."""
    recoveries: list[Recovery] = attrs.field(factory=list)
    faults: dict[str, int] = attrs.field(factory=dict)
    poison: int = 0
    total: int = 0
    """Tasks in the queues, as of the last look."""

    @property
    def pace(self) -> float:
        """By what the time that faults last is multiplied: a shorter lease makes for shorter faults."""
        return self.lease / LEASE

    async def measure(self, kind: str) -> None:
        """Wait until one more task is settled; note how long it took since now."""
        begun = trio.current_time()
        with trio.move_on_after(GIVE_UP):
            while True:
                try:
                    async with rediq.connect(self.url) as client:
                        await self._wait_settled(client)
                    break
                except rediq.ConnectionLost:
                    await trio.sleep(LOOK)
        self.recoveries.append(Recovery(kind, trio.current_time() - begun))

    async def _wait_settled(self, client: rediq.Client) -> None:
        before = await self._settled(client)
        while await self._settled(client) <= before:
            await trio.sleep(LOOK)

    async def _settled(self, client: rediq.Client) -> int:
        """Count the attempts that were settled so far."""
        stats = [await client.queue(name).stats() for name in QUEUES]
        self.total = sum(one.enqueued for one in stats)
        return sum(one.completed_total + one.failed_total for one in stats)


@contextmanager
def work_folder(keep: Path | None) -> Iterator[Path]:
    """Return a folder: a temporary one, unless one is named."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@asynccontextmanager
async def plain(folder: Path, seed: int, program: str | None) -> AsyncGenerator[Ground]:
    """Run on one server behind a proxy."""
    server = Redis(server_folder(), program or find_server())
    observer = Observer(folder, "driver")
    try:
        await server.start_able_to_jump()
        async with run_proxy(server.port) as proxy:
            fleet = Fleet(folder, f"redis://127.0.0.1:{proxy.port}", seed, observer)
            direct = f"redis://127.0.0.1:{server.port}"
            ground = Ground(folder, observer, fleet, random.Random(seed), direct)
            ground.redis, ground.proxy = server, proxy
            try:
                yield ground
            finally:
                fleet.end()
    finally:
        server.discard()
        observer.close()


@asynccontextmanager
async def several(
    folder: Path, seed: int, kind: str, program: str | None
) -> AsyncGenerator[Ground]:
    """Run on a Sentinel set or a Cluster, without a proxy."""
    # Late: the starters are the tests', which a plain run does without.
    from tests.clusters import cluster, sentinel_set

    start = sentinel_set if kind == "sentinel" else cluster
    name = program or "redis-7"
    with start(name, more=("--appendonly", "yes")) as service:
        observer = Observer(folder, "driver")
        fleet = Fleet(folder, service.url, seed, observer)
        ground = Ground(folder, observer, fleet, random.Random(seed), service.url)
        ground.service = service
        try:
            yield ground
        finally:
            fleet.end()
            observer.close()
