"""The worker of the scaling bench, in a process of its own.

    python -m benchmarks.scaling.worker URL --queues many0,many1 --concurrency 100

For each line on its standard input it says, as JSON, what it did since the last line that was empty:
any other is a peek, and begins nothing anew. It ends when the input closes.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import sys
import time

import attrs
import trio

import rediq_trio as rediq
from benchmarks.scaling.stage import share
from rediq_trio.cli.run import tune_garbage_collector

LOOK = 0.02
"""Seconds between looks at itself."""

app = rediq.App()
lags: list[float] = []
"""Milliseconds from the instant that a task names to its start."""


@app.task("noop")
async def noop(at: float = 0.0) -> None:
    if at:
        lags.append((time.perf_counter() - at) * 1000)


@app.task("nap")
async def nap(at: float, seconds: float) -> None:
    lags.append((time.perf_counter() - at) * 1000)
    await trio.sleep(seconds)


@app.task("take")
async def take(data: bytes) -> None:
    pass


class Warnings(logging.Handler):
    """Counts what the library warns of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


def resident() -> float:
    """Give this process's resident memory in MiB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 2**20


@attrs.define
class Watch:
    """The most that was seen: of memory in MiB; of how late the loop was, and how long Python's
    garbage collector held everything up, in ms."""

    memory: float = 0.0
    late: float = 0.0
    collected: float = 0.0
    _begun: float = 0.0

    def collecting(self, phase: str, info: dict[str, int]) -> None:
        """Hear of the garbage collector."""
        if phase == "start":
            self._begun = time.perf_counter()
        else:
            self.collected = max(self.collected, (time.perf_counter() - self._begun) * 1000)

    async def run(self) -> None:
        while True:
            self.memory = max(self.memory, resident())
            wanted = trio.current_time() + LOOK
            await trio.sleep(LOOK)
            self.late = max(self.late, (trio.current_time() - wanted) * 1000)


async def run(url: str, queues: list[str], concurrency: int, lease: float) -> None:
    warnings = Warnings()
    logging.getLogger("rediq_trio").addHandler(warnings)
    options = {"queues": queues, "concurrency": concurrency, "lease": lease, "shutdown_grace": 0}
    watch = Watch()
    gc.callbacks.append(watch.collecting)
    async with rediq.serve(app, url, **options) as server, trio.open_nursery() as nursery:  # type: ignore[arg-type]
        nursery.start_soon(watch.run)
        cpu, at = time.process_time(), time.perf_counter()
        print("ready", flush=True)
        while line := await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True):
            now, used, stats = time.perf_counter(), time.process_time(), server.stats()
            lags.sort()
            said = {
                "completed": stats.completed,
                "held": stats.held,
                "running": stats.running,
                "stale": stats.stale,
                "blocked": stats.blocked,
                "warned": len(warnings.said),
                "warning": warnings.said[-1] if warnings.said else "",
                "cpu": (used - cpu) / (now - at),
                "rss": resident(),
                "peak": watch.memory,
                "late": watch.late,
                "collected": watch.collected,
                "lags": len(lags),
                "p50": share(lags, 0.5),
                "p99": share(lags, 0.99),
                "most": share(lags, 1.0),
            }
            print(json.dumps(said), flush=True)
            if not line.strip():
                lags.clear()
                watch.memory = watch.late = watch.collected = 0.0
                cpu, at = time.process_time(), time.perf_counter()
        nursery.cancel_scope.cancel()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--queues", required=True)
    parser.add_argument("--concurrency", type=int, default=100)
    parser.add_argument("--lease", type=float, default=30.0)
    parser.add_argument("--collect-rarely", action="store_true", help="as rediq run does")
    given = parser.parse_args()
    if given.collect_rarely:
        tune_garbage_collector()
    trio.run(run, given.url, given.queues.split(","), given.concurrency, given.lease)


if __name__ == "__main__":
    main()
