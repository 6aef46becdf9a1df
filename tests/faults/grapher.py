"""The app of the graph's test: short tasks that count their own beginnings in Redis."""

from __future__ import annotations

from typing import Any

import trio

import rediq_trio as rediq

app = rediq.App()

STARTS = b"starts"
"""A hash beside the queues: how often the handler of each task began."""


async def call(client: rediq.Client, *command: Any) -> Any:
    """Send a command of the test's own, over the library's connection."""
    return await client._store._gateway.call(*command)  # type: ignore[attr-defined]


@app.task("node", max_retry=0, max_crashes=1000, timeout=60)
async def node(seconds: float) -> int:
    """Work for a while, and give how many tasks had to end before."""
    task = rediq.current_task()
    await call(task.client, b"HINCRBY", STARTS, task.id, 1)
    before = await task.results()
    await trio.sleep(seconds)
    return 1 + max(before.values(), default=0)
