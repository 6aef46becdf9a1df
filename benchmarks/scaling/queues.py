"""A thousand queues on one worker: what they cost at rest, and what they do to latency and speed."""

from __future__ import annotations

import random
import time
from typing import Any

import trio

import rediq_trio as rediq
from benchmarks.scaling.stage import Stage, Table, number
from benchmarks.scaling.working import Working, working

MANY = 1_000
STARTS = 30.0
"""Seconds until each duty of a worker has been done once, and all is quiet."""
RESTS = 30.0
"""Seconds of rest that are measured."""
PROBES = 200
SPREAD = 20_000
"""Tasks that are drained, the same number from each queue."""


async def measure(stage: Stage) -> list[Table]:
    """Measure with one queue, and with many."""
    found = [await _with(stage, count) for count in (1, stage.some(MANY))]
    names = [name for name, _ in found[0]]
    columns = ("what", "1 queue", f"{stage.some(MANY):,} queues")
    rows = [(n, *(dict(some)[n] for some in found)) for n in names]
    return [Table("Queues on one worker with a concurrency of 100", columns, tuple(rows))]


async def _with(stage: Stage, count: int) -> list[tuple[str, str]]:
    stage.empty()
    names = [f"many{n}" for n in range(count)]
    with working(stage.bench.url, names) as worker:
        async with rediq.connect(stage.bench.url) as client:
            # So that all names are known, and every queue was in use.
            await client.enqueue_many([_noop(name) for name in names])
            await worker.until(count)
            stage.say(f"queues: {count:,} coming to rest")
            await trio.sleep(STARTS / (3 if stage.quick else 1))
            idle = await _rest(stage, worker, RESTS / (3 if stage.quick else 1))
            lags = await _probe(client, worker, names, count)
            drained = await _drain(stage, client, worker, names, count + PROBES)
            seen = worker.look()
    return [*idle, *lags, *drained, ("worker's memory, MiB", number(seen["rss"])),
            ("warnings", str(seen["warned"]))]  # fmt: skip


def _noop(queue: str, at: float = 0.0) -> rediq.Task[Any]:
    return rediq.Task("noop", {"at": at}, queue=queue, retention=0)


def _scripts(stage: Stage) -> tuple[int, int]:
    """Give how many scripts clients have sent, and how many commands were carried out in all."""
    stats = stage.bench.info("commandstats")
    calls = {name: int(found["calls"]) for name, found in stats.items()}  # type: ignore[index]
    return calls.get("cmdstat_evalsha", 0), sum(calls.values())


async def _rest(stage: Stage, worker: Working, seconds: float) -> list[tuple[str, str]]:
    worker.look()
    (scripts, every), cpu = _scripts(stage), stage.bench.cpu()
    await trio.sleep(seconds)
    after, used = _scripts(stage), stage.bench.cpu() - cpu
    seen = worker.look()
    return [
        ("idle: scripts a second", number((after[0] - scripts) / seconds)),
        (
            "idle: commands a second, with those inside scripts",
            number((after[1] - every) / seconds),
        ),
        ("idle: worker's CPU, %", number(seen["cpu"] * 100)),
        ("idle: Redis's CPU, %", number(used / seconds * 100)),
    ]


async def _probe(
    client: rediq.Client, worker: Working, names: list[str], done: int
) -> list[tuple[str, str]]:
    worker.look()
    chance = random.Random(7)
    for _ in range(PROBES):
        await trio.sleep(chance.uniform(0.02, 0.08))
        await client.enqueue(_noop(chance.choice(names), time.perf_counter()))
    seen = await worker.until(done + PROBES)
    return [
        ("idle to start, p50 ms", number(seen["p50"])),
        ("idle to start, p99 ms", number(seen["p99"])),
    ]


async def _drain(
    stage: Stage, client: rediq.Client, worker: Working, names: list[str], done: int
) -> list[tuple[str, str]]:
    each = max(1, stage.some(SPREAD) // len(names))
    for name in names:
        await client.queue(name).pause()
    await client.enqueue_many([_noop(name) for _ in range(each) for name in names])
    begin = time.perf_counter()
    for name in names:
        await client.queue(name).resume()
    total = each * len(names)
    await worker.until(done + total)
    return [
        ("drained /s, resumed one after another", number(total / (time.perf_counter() - begin)))
    ]
