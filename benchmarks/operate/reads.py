"""Milliseconds inside Redis of each read that a viewer causes, where there is much of everything."""

from __future__ import annotations

import statistics

from benchmarks.operate.calls import VIEWED, fill
from benchmarks.operate.filling import MANY_QUEUES, spread
from benchmarks.operate.rows import RUNS, Row
from benchmarks.scaling.stage import Stage
from rediq_trio.store.opening import open_store

TASKS, GROUPS, LIMIT_KEYS = 1_000_000, 10_000, 10_000
TITLE = (
    f"The longest command of each read, in Redis, at {TASKS:,} tasks, {GROUPS:,} groups, "
    f"{LIMIT_KEYS:,} limit keys and {MANY_QUEUES:,} queues (a tenth with --quick)"
)


async def measure(stage: Stage) -> list[Row]:
    """Measure each read."""
    raw = stage.bench.raw
    await spread(stage, stage.some(MANY_QUEUES))
    rows: list[Row] = []
    async with open_store(stage.bench.url) as store:
        stage.say("reads: filling")
        world = await fill(
            store, stage.some(TASKS), groups=stage.some(GROUPS), limit_keys=stage.some(LIMIT_KEYS)
        )
        # All that it measures is noted, however short.
        raw.config_set("slowlog-log-slower-than", 0)
        for name, call in VIEWED.items():
            await call(world)
            longest: list[float] = []
            for _ in range(RUNS):
                raw.slowlog_reset()
                await call(world)
                noted = [one for one in raw.slowlog_get(1000) if b"SLOWLOG" not in one["command"]]
                longest.append(max((one["duration"] for one in noted), default=0) / 1000)
            rows.append(Row(f"`{name}`", statistics.median(longest), "ms", 1))
    return rows
