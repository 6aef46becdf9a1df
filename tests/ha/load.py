"""Work that goes on while servers fail: a worker, and a producer who repeats what was not answered."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import trio

import rediq_trio as rediq
from rediq_trio import ConnectionLost, DuplicateTask, Unconfirmed

LEASE = 3.0
SETTLED_WITHIN = 40.0


class Load:
    """What was asked for, and what came of it."""

    def __init__(self, client: rediq.Client, queues: Sequence[str]) -> None:
        self.client = client
        self.queues = queues
        self.acknowledged: list[str] = []
        self.unconfirmed: set[str] = set()
        self.starts: Counter[str] = Counter()
        self.producing = trio.CancelScope()
        self._number = 0

    async def produce(self, work: rediq.TaskType[[str], str], pause: float = 0.005) -> None:
        """Enqueue, one after the other, until `producing` is cancelled."""
        with self.producing:
            while True:
                await self.enqueue(work)
                await trio.sleep(pause)

    async def enqueue(self, work: rediq.TaskType[[str], str]) -> str:
        """Enqueue one task, as often as it takes, and give its id."""
        self._number += 1
        queue = self.queues[self._number % len(self.queues)]
        own = f"t{self._number}"
        task = work.options(queue=queue, id=own, retention=3600).task(own)
        while True:
            try:
                handle = await self.client.enqueue(task)
            except ConnectionLost:
                await trio.sleep(0.05)
            except Unconfirmed as short:
                self.unconfirmed.update(short.ids)
                await trio.sleep(0.05)
            except DuplicateTask as duplicate:
                return self._took(duplicate.existing_id)
            else:
                return self._took(handle.id)

    def _took(self, task_id: str) -> str:
        self.acknowledged.append(task_id)
        return task_id

    async def wait_progress(self, more: int = 20) -> None:
        """Wait until that many tasks more were acknowledged and started."""
        acknowledged, started = len(self.acknowledged), self.starts.total()
        with trio.fail_after(SETTLED_WITHIN):
            while (
                len(self.acknowledged) < acknowledged + more or self.starts.total() < started + more
            ):
                await trio.sleep(0.02)

    async def lost(self) -> list[str]:
        """Stop producing; give the acknowledged tasks that neither completed nor are there still.

        A task that Redis forgot counts as lost even if it ran before.
        """
        self.producing.cancel()
        with trio.fail_after(SETTLED_WITHIN):
            while not await self._drained():
                await trio.sleep(0.1)
        missing: list[str] = []
        for task_id in self.acknowledged:
            try:
                info = await self.client.task(task_id).info()
            except rediq.TaskNotFound:
                missing.append(task_id)
            else:
                assert info.state is rediq.State.COMPLETED, info
        return missing

    async def _drained(self) -> bool:
        for name in self.queues:
            try:
                stats = await self.client.queue(name).stats()
            except ConnectionLost:
                return False
            if stats.pending or stats.active or stats.retry or stats.scheduled:
                return False
        return True


@asynccontextmanager
async def under_load(
    url: str, queues: Sequence[str] = ("left", "right"), **options: object
) -> AsyncGenerator[Load]:
    """Serve and produce while the block lasts."""
    app = rediq.App()
    load: Load

    @app.task("work")
    async def work(own: str) -> str:
        load.starts[own] += 1
        return own

    async with rediq.serve(app, url, queues=list(queues), lease=LEASE, **options) as server:  # type: ignore[arg-type]
        load = Load(server.client, queues)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(load.produce, work)
            await load.wait_progress()
            yield load
            load.producing.cancel()
