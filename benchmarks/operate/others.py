"""The others: a process that enqueues task after task until its standard input closes, then prints the p99.

    python -m benchmarks.operate.others URL

It prints `ready` first, and the p99 of an enqueue in milliseconds last.
"""

from __future__ import annotations

import sys
import time

import trio

import rediq_trio as rediq
from benchmarks.scaling.stage import share

PAUSE = 0.005
"""Seconds between two of them."""


async def run(url: str) -> float:
    """Enqueue until standard input closes."""
    took: list[float] = []
    async with rediq.connect(url) as client, trio.open_nursery() as nursery:

        async def enqueue() -> None:
            while True:
                begin = time.perf_counter()
                await client.enqueue(rediq.Task("noop", {}, queue="others"))
                took.append((time.perf_counter() - begin) * 1000)
                await trio.sleep(PAUSE)

        await client.enqueue(rediq.Task("noop", {}, queue="others"))
        print("ready", flush=True)
        nursery.start_soon(enqueue)
        await trio.to_thread.run_sync(sys.stdin.read)
        nursery.cancel_scope.cancel()
    return share(sorted(took), 0.99)


if __name__ == "__main__":
    print(trio.run(run, sys.argv[1]), flush=True)
