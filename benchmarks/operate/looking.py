"""Reads of a person who looks: dead tasks, kinds of failure, a search, an overview."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import trio

import rediq_trio as rediq
from benchmarks.operate.filling import DEAD, MANY_DEAD, MANY_QUEUES, bury, queue_up, spread
from benchmarks.operate.rows import Row, cost_of, inside_ms
from benchmarks.scaling.stage import Stage, number

PAGE = 50
SEARCHED = 1_000_000
OTHERS_SECONDS = 10.0
"""Seconds for which the others are watched without a search."""


async def dead(stage: Stage) -> list[Row]:
    """Measure a page of the dead, and the kinds of their failures."""
    many = stage.some(MANY_DEAD)
    await bury(stage, many)
    async with rediq.connect(stage.bench.url) as client:
        queue = client.queue(DEAD)
        page = await cost_of(stage, lambda: queue.dead.list(limit=PAGE, newest=True))
        kinds = await cost_of(stage, queue.failures)
    return [
        Row(f"newest {PAGE} of {many:,} dead", page.wall_ms, "ms", 100,
            note=f"Redis {number(page.redis_ms)} ms"),
        Row(f"kinds of failure among {many:,} dead", kinds.wall_ms, "ms", 100,
            note=f"Redis {number(kinds.redis_ms)} ms"),
    ]  # fmt: skip


async def overview(stage: Stage) -> list[Row]:
    """Measure the numbers of many queues."""
    names = await spread(stage, stage.some(MANY_QUEUES))
    async with rediq.connect(stage.bench.url) as client:
        cost = await cost_of(stage, client.overview)
    what = f"overview of {len(names):,} queues"
    return [
        Row(f"{what}, in Redis", cost.redis_ms, "ms", 10),
        Row(f"{what}, in all", cost.wall_ms, "ms", 300),
    ]


async def search(stage: Stage) -> list[Row]:
    """Measure a search that finds nothing but the last of many tasks, and what others notice of it."""
    many = stage.some(SEARCHED)
    stage.empty()
    await queue_up(stage, "large", many)
    async with rediq.connect(stage.bench.url) as client:
        queue = client.queue("large")

        async def first() -> None:
            await anext(queue.find("pending", type="noop"))

        begun = await cost_of(stage, first)
        stage.bench.raw.config_resetstat()
        begin = time.perf_counter()
        found = [info async for info in queue.find("pending", type="rare")]
        took = time.perf_counter() - begin
        busy = inside_ms(stage) / 1000 / took * 100
        with _others(stage) as others:
            await trio.sleep(OTHERS_SECONDS / (5 if stage.quick else 1))
            alone = others()
        with _others(stage) as others:
            found += [info async for info in queue.find("pending", type="rare")]
            beside = others()
    if len(found) != 2:
        raise SystemExit(f"two searches found {len(found)} tasks instead of one each")
    return [
        Row(f"search in {many:,}: first matches", begun.wall_ms, "ms", 300),
        Row("search: Redis busy with a whole scan", busy, "%", 10, note=f"{number(took)} s"),
        Row("search: p99 of an enqueue of others, against without", beside / alone, "", 1.5,
            note=f"{beside:.2f} ms, {alone:.2f} ms"),
    ]  # fmt: skip


@contextmanager
def _others(stage: Stage) -> Iterator[Callable[[], float]]:
    """Run a process that enqueues while the block lasts; call what is yielded to end it."""
    child = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.operate.others", stage.bench.url],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        if child.stdout.readline() != "ready\n":
            raise SystemExit("the process of the others did not start")

        def end() -> float:
            assert child.stdin is not None
            assert child.stdout is not None
            child.stdin.close()
            return float(json.loads(child.stdout.readline()))

        yield end
    finally:
        child.stdin.close()
        child.wait(10)
        child.stdout.close()
