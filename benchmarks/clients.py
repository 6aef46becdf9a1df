"""How fast the three kinds of clients enqueue: `python -m benchmarks.clients`.

A Trio client with 100 callers, an asyncio client with 100 callers and a blocking client with 1 and
with 8 threads, each on the same server, which nothing else uses. A run measures each of them once,
one after another, so that a machine whose speed changes slows all of them down. Figures are
medians; the asyncio client is compared with the Trio client of the same run. Nothing fails.

    --tasks N       tasks of each measurement (20,000)
    --runs N        runs (5)
    --server PATH   the redis-server to run
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import threading
import time
from collections.abc import Callable

import attrs
import trio

import rediq_trio as rediq
from benchmarks.server import run_server
from rediq_trio import Task

CALLERS = 100
THREADS = 8
BLOCKING_FLOOR = 5_000
"""Tasks per second of a blocking client with 8 threads, at least."""
ASYNCIO_FLOOR = 0.8
"""The speed of an asyncio client, at least, as a part of the Trio client's."""

TASK = Task("none", {"order": 1, "customer": "a@example.com"})


@attrs.frozen
class Figure:
    """One measurement."""

    per_second: float
    cpu: float
    """Seconds of CPU of this process."""


class _Stopwatch:
    def __init__(self) -> None:
        self._begun, self._cpu = time.perf_counter(), time.process_time()

    def figure(self, tasks: int) -> Figure:
        elapsed = time.perf_counter() - self._begun
        return Figure(tasks / elapsed, time.process_time() - self._cpu)


def on_trio(url: str, tasks: int) -> Figure:
    """Measure a Trio client with 100 callers."""

    async def main() -> Figure:
        async with rediq.connect(url) as client:

            async def call() -> None:
                for _ in range(tasks // CALLERS):
                    await client.enqueue(TASK)

            await client.enqueue(TASK)
            watch = _Stopwatch()
            async with trio.open_nursery() as nursery:
                for _ in range(CALLERS):
                    nursery.start_soon(call)
            return watch.figure(tasks)

    return trio.run(main)


def on_asyncio(url: str, tasks: int) -> Figure:
    """Measure an asyncio client with 100 callers."""

    async def main() -> Figure:
        async with rediq.asyncio.connect(url) as client:

            async def call() -> None:
                for _ in range(tasks // CALLERS):
                    await client.enqueue(TASK)

            await client.enqueue(TASK)
            watch = _Stopwatch()
            await asyncio.gather(*(call() for _ in range(CALLERS)))
            return watch.figure(tasks)

    # The plain loop, also where trio-asyncio has been imported.
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(main())


def blocking(url: str, tasks: int, count: int) -> Figure:
    """Measure a blocking client with some threads."""
    with rediq.connect_sync(url) as client:

        def call() -> None:
            for _ in range(tasks // count):
                client.enqueue(TASK)

        client.enqueue(TASK)
        threads = [threading.Thread(target=call) for _ in range(count)]
        watch = _Stopwatch()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return watch.figure(tasks)


def main() -> None:
    """Print each figure as it is measured, then the medians."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.clients")
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--server")
    flags = parser.parse_args()
    kinds: dict[str, Callable[[str], Figure]] = {
        f"trio, {CALLERS} callers": lambda url: on_trio(url, flags.tasks),
        f"asyncio, {CALLERS} callers": lambda url: on_asyncio(url, flags.tasks),
        "blocking, 1 thread": lambda url: blocking(url, flags.tasks // 4, 1),
        f"blocking, {THREADS} threads": lambda url: blocking(url, flags.tasks, THREADS),
    }
    found: dict[str, list[Figure]] = {name: [] for name in kinds}
    print(f"load of the machine before: {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    with run_server(flags.server) as bench:
        for run in range(flags.runs):
            for name, measure in kinds.items():
                bench.raw.flushall()
                figure = measure(bench.url)
                found[name].append(figure)
                print(f"run {run + 1}  {name:22} {figure.per_second:9,.0f} tasks/s", flush=True)
    print(f"load of the machine after: {os.getloadavg()[0]:.1f}")
    for name, figures in found.items():
        rates = [figure.per_second for figure in figures]
        print(
            f"median {name:22} {statistics.median(rates):9,.0f} tasks/s"
            f" ({min(rates):,.0f} to {max(rates):,.0f})"
        )
    on, aside = list(found.values())[:2]
    for what, ratios in {
        "speed": [b.per_second / a.per_second for a, b in zip(on, aside, strict=True)],
        "CPU": [b.cpu / a.cpu for a, b in zip(on, aside, strict=True)],
    }.items():
        print(f"asyncio / trio, {what}: {statistics.median(ratios):.2f}", end="")
        print(f" ({ASYNCIO_FLOOR} at least)" if what == "speed" else "")
    threads = statistics.median(f.per_second for f in list(found.values())[-1])
    verdict = "ok" if threads >= BLOCKING_FLOOR else "below"
    print(f"blocking, {THREADS} threads: {verdict} ({BLOCKING_FLOOR:,} tasks/s at least)")


if __name__ == "__main__":
    main()
