"""A change of many tasks at once: how long it takes, and how soon it stops."""

from __future__ import annotations

import statistics
import time

import trio

import rediq_trio as rediq
from benchmarks.operate.filling import DEAD, MANY_DEAD, bury
from benchmarks.operate.rows import RUNS, Row
from benchmarks.scaling.stage import Stage, number

BEFORE_STOP = 0.3
"""Seconds after which it is stopped, to see how soon it is."""


async def retry(stage: Stage) -> list[Row]:
    """Retry dead tasks by a filter, and stop that half-way."""
    many = stage.some(MANY_DEAD)
    await bury(stage, many)
    async with rediq.connect(stage.bench.url) as client:
        queue = client.queue(DEAD)
        stops = [await _stopped(queue) for _ in range(RUNS)]
        left = (await queue.stats()).dead
        selection = await queue.select("dead", type="noop")
        used, begin = stage.bench.cpu(), time.perf_counter()
        done = 0
        async for step in selection.retry():
            done = step.done
            stage.say(f"{done:,} of {left:,} retried")
        took, used = time.perf_counter() - begin, stage.bench.cpu() - used
    if done != left:
        raise SystemExit(f"{done} of {left} tasks were retried")
    # What the stopped ones have done is not done again.
    whole = took * many / max(1, left)
    return [
        Row(f"retry {many:,} dead by a filter", whole, "s", 20,
            note=f"{left:,} in {number(took)} s, Redis {number(used)} s"),
        Row("retry by a filter, until it has stopped", statistics.median(stops), "s", 1),
    ]  # fmt: skip


async def _stopped(queue: rediq.Queue) -> float:
    """Begin to retry, cancel, and return the seconds until it has ended."""
    selection = await queue.select("dead", type="noop")
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:

            async def change() -> None:
                async for _ in selection.retry():
                    pass

            nursery.start_soon(change)
            await trio.sleep(BEFORE_STOP)
            begin = time.perf_counter()
            scope.cancel()
    return time.perf_counter() - begin
