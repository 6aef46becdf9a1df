"""Ten thousand sleeping tasks on one worker, under a steady load.

Each second a thousand more are enqueued, and as many end. No lease may be lost, and a task is to
start soon after it was enqueued.
"""

from __future__ import annotations

import time
from typing import Any

import trio

import rediq_trio as rediq
from benchmarks.scaling.stage import Stage, Table, number
from benchmarks.scaling.working import working

QUEUE = "sleepers"
RATE = 1_000
"""Tasks a second."""
SLEEPS = 10.0
"""Seconds that each sleeps: so there are ten times the rate of them at once."""
STEADY = 30.0
"""Seconds that are measured, once there are as many as there will be."""
EVERY = 0.05
"""Seconds between two calls of `enqueue_many`."""
WANTED = 50.0
"""Milliseconds within which 99 of 100 are to start."""


async def measure(stage: Stage) -> list[Table]:
    """Keep many tasks asleep, with Python's garbage collector as it is, and as `rediq run` sets it."""
    rate = stage.some(RATE)
    found = [await _sleep(stage, rate, *flags) for flags in ((), ("--collect-rarely",))]
    rows = [(name, *(dict(some)[name] for some in found)) for name, _ in found[0]]
    title = (
        f"{int(rate * SLEEPS):,} tasks asleep on one worker, {rate:,} started a second, lease 30 s"
    )
    return [Table(title, ("what", "in a program of one's own", "under rediq run"), tuple(rows))]


async def _sleep(stage: Stage, rate: int, *flags: str) -> list[tuple[str, str]]:
    most = int(rate * SLEEPS)
    stage.empty()
    # A little more than sleep at once, so that what waits is no slot but the worker.
    room = most + most // 10 + 50
    with working(stage.bench.url, [QUEUE], "--concurrency", str(room), *flags) as worker:
        async with rediq.connect(stage.bench.url) as client:
            sent = await _load(stage, client, rate, SLEEPS + 2)
            worker.look()
            cpu, begin = stage.bench.cpu(), time.perf_counter()
            sent += await _load(stage, client, rate, STEADY / (3 if stage.quick else 1))
            seen = worker.look()
            redis = (stage.bench.cpu() - cpu) / (time.perf_counter() - begin)
            last = await worker.until(sent)
    verdict = "ok" if seen["p99"] <= WANTED else "late"
    return [
        ("asleep at once", number(seen["running"])),
        ("enqueued to started, p50 ms", number(seen["p50"])),
        (f"enqueued to started, p99 ms (wanted: {WANTED:g})", f"{number(seen['p99'])} {verdict}"),
        ("enqueued to started, most ms", number(seen["most"])),
        ("worker's loop late, most ms", number(seen["late"])),
        ("Python's garbage collector at once, most ms", number(seen["collected"])),
        ("outcomes refused, their lease lost", number(last["stale"])),
        ("warnings", f"{last['warned']} {last['warning'][:60]}".strip()),
        ("worker's CPU, %", number(seen["cpu"] * 100)),
        ("Redis's CPU, %", number(redis * 100)),
        ("worker's memory, MiB", number(seen["rss"])),
    ]


async def _load(stage: Stage, client: rediq.Client, rate: int, seconds: float) -> int:
    begin, sent = trio.current_time(), 0
    while (gone := trio.current_time() - begin) < seconds:
        # By the clock: a call that took long is made up for.
        due = int(gone * rate) - sent
        if due > 0:
            await client.enqueue_many([_nap() for _ in range(due)])
            sent += due
        stage.say(f"sleepers: {gone:.0f} of {seconds:.0f} s")
        await trio.sleep(EVERY)
    return sent


def _nap() -> rediq.Task[Any]:
    payload = {"at": time.perf_counter(), "seconds": SLEEPS}
    return rediq.Task("nap", payload, queue=QUEUE, retention=0)
