"""Payloads of three sizes: how fast they go in and out, and what memory they take meanwhile."""

from __future__ import annotations

import time
from typing import Any

import rediq_trio as rediq
from benchmarks.scaling.stage import Stage, Table, number
from benchmarks.scaling.working import working

QUEUE = "bytes"
SIZES = ((100, 50_000), (10_000, 20_000), (500_000, 1_000))
"""Bytes, and how many tasks with so many."""
AT_ONCE = 16 * 1024 * 1024
"""Bytes that one `enqueue_many` brings."""


async def measure(stage: Stage) -> list[Table]:
    """Enqueue and drain tasks of each size."""
    rows = [await _of(stage, size, stage.some(count)) for size, count in SIZES]
    columns = ("bytes", "tasks", "enqueued /s", "MB/s", "Redis bytes each", "drained /s", "MB/s",
               "worker idle MiB", "worker most MiB", "Redis most MiB")  # fmt: skip
    return [Table("Payloads, on one worker with a concurrency of 100", columns, tuple(rows))]


async def _of(stage: Stage, size: int, count: int) -> tuple[str, ...]:
    stage.empty()
    stage.bench.raw.config_resetstat()
    async with rediq.connect(stage.bench.url) as client:
        queue = client.queue(QUEUE)
        await queue.pause()
        held = stage.memory()
        by = max(1, min(1000, AT_ONCE // size))
        begin = time.perf_counter()
        for start in range(0, count, by):
            await client.enqueue_many([_task(size) for _ in range(min(by, count - start))])
            stage.say(f"payloads: {size:,} bytes: {start:,} of {count:,}")
        enqueued = count / (time.perf_counter() - begin)
        each = (stage.memory() - held) * 2**20 / count
        with working(stage.bench.url, [QUEUE]) as worker:
            idle = worker.look()["rss"]
            begin = time.perf_counter()
            await queue.resume()
            seen = await worker.until(count)
            drained = count / (time.perf_counter() - begin)
    peak = int(str(stage.bench.info("memory")["used_memory_peak"])) / 2**20
    return (
        f"{size:,}", f"{count:,}", number(enqueued), number(enqueued * size / 1e6), number(each),
        number(drained), number(drained * size / 1e6), number(idle), number(seen["peak"]), number(peak),
    )  # fmt: skip


def _task(size: int) -> rediq.Task[Any]:
    return rediq.Task("take", {"data": b"x" * size}, queue=QUEUE, retention=0)
