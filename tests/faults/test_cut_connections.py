"""A worker and its client whose connections are killed again and again, faster than a task takes."""

from __future__ import annotations

import uuid
from collections import Counter

import trio

import rediq_trio as rediq
from rediq_trio import State
from tests.servers import Server, open_redis_store

COUNT = 140
KILLED_EVERY = 0.05
WITHIN = 120.0


async def test_while_connections_are_killed_twenty_times_a_second_each_task_runs_once(
    redis_server: Server,
) -> None:
    app = rediq.App()
    begun: Counter[int] = Counter()
    kills = 0

    @app.task("job", retention=3600)
    async def job(n: int) -> int:
        begun[n] += 1
        await trio.sleep(0.1)
        return n

    prefix = f"cut-{uuid.uuid4().hex[:8]}"
    options = {"key_prefix": prefix, "patience": WITHIN}
    async with (
        open_redis_store(redis_server) as other,
        rediq.serve(app, redis_server.url, lease=3.0, concurrency=10, **options),
        rediq.connect(redis_server.url, **options) as client,
        trio.open_nursery() as nursery,
    ):

        async def kill() -> None:
            nonlocal kills
            while True:
                await other.gateway.call(b"CLIENT", b"KILL", b"TYPE", b"normal", b"SKIPME", b"yes")
                kills += 1
                await trio.sleep(KILLED_EVERY)

        nursery.start_soon(kill)
        with trio.fail_after(WITHIN):
            handles = [await client.enqueue(job.task(n)) for n in range(COUNT)]
            results = [await handle.result() for handle in handles]
        nursery.cancel_scope.cancel()
    assert results == list(range(COUNT))
    assert begun == Counter(range(COUNT))
    assert kills > 10
    async with rediq.connect(redis_server.url, key_prefix=prefix) as client:
        queue = client.queue("default")
        assert (await queue.stats()).completed_total == COUNT
        assert {task.attempt for task in await queue.tasks(State.COMPLETED, limit=1000)} == {1}
        assert await queue.check() == []
