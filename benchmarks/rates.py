"""How much of a rate is reached, and whether it is ever exceeded: `python -m benchmarks.rates`.

One worker process, on a server of the benchmark's own, has more work waiting than a rate allows to
start. The starts are read from the tasks afterwards, in milliseconds of the server's clock. `reached`
is the share of the rate from the first start on. `window` is the largest number of starts of one key
within any period, of as many as may: `count + burst - 1`.

    --seconds N     seconds for each rate (10)
    --json FILE     write the figures there too
    --server PATH   the redis-server to run
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import attrs
import trio

import rediq_trio as rediq
from benchmarks.core import machine
from benchmarks.measures import QUEUE, worker
from benchmarks.scaling.stage import Table
from benchmarks.server import Bench, run_server

PAGE = 1000
"""Tasks that are read at once."""
AHEAD = 1.1
"""Tasks enqueued, as a multiple of those that may start."""


@attrs.frozen
class Setting:
    """A rate, and how many limit keys have it."""

    rate: rediq.Rate
    keys: int = 1


@attrs.frozen
class Reached:
    """What was seen of a rate."""

    share: float
    fullest: int
    """The largest number of starts of one key in any period."""
    allowed: int
    redis: float
    """CPU seconds that Redis used per second."""
    worker: float
    """CPU seconds that the worker used per second."""


SETTINGS = (
    Setting(rediq.Rate(10)),
    Setting(rediq.Rate(100)),
    Setting(rediq.Rate(1000)),
    Setting(rediq.Rate(10), keys=100),
)
COLUMNS = ("rate", "reached", "window", "worker CPU", "Redis CPU")


def fullest(starts: Sequence[int], period_ms: int) -> int:
    """Return the largest number of starts within any period; the starts are sorted."""
    most = first = 0
    for last, at in enumerate(starts):
        while starts[first] <= at - period_ms:
            first += 1
        most = max(most, last - first + 1)
    return most


async def _fill(bench: Bench, setting: Setting, seconds: float) -> None:
    each = round(AHEAD * setting.rate.count * seconds / setting.rate.per) + setting.rate.burst
    tasks: list[rediq.Task[None]] = [
        rediq.Task(
            "noop", {"i": i}, queue=QUEUE, id=f"{key}.{i}", limit_key=f"{key}", retention=3600
        )
        for i in range(each)
        for key in range(setting.keys)
    ]
    async with rediq.connect(bench.url) as client:
        queue = client.queue(QUEUE)
        await queue.pause()
        await queue.limit(key="*", rate=setting.rate)
        await client.enqueue_many(tasks)


async def _resume(bench: Bench) -> None:
    """Let the worker claim, and return when a task has ended."""
    async with rediq.connect(bench.url) as client:
        queue = client.queue(QUEUE)
        await queue.resume()
        while not (await queue.stats()).completed_total:
            await trio.sleep(0.01)


async def _starts(bench: Bench) -> dict[str, list[int]]:
    """Return when the tasks of each limit key started, in ms, sorted."""
    found: defaultdict[str, list[int]] = defaultdict(list)
    async with rediq.connect(bench.url) as client:
        page: list[rediq.TaskInfo] = []
        while True:
            after = page[-1] if page else None
            page = await client.queue(QUEUE).tasks("completed", limit=PAGE, after=after)
            for info in page:
                assert info.started_at is not None
                key = info.id.partition(".")[0]
                found[key].append(round(info.started_at.timestamp() * 1000))
            if len(page) < PAGE:
                return {key: sorted(starts) for key, starts in found.items()}


def measure(bench: Bench, setting: Setting, seconds: float) -> Reached:
    """Let a worker run under a rate for some seconds."""
    bench.raw.flushall()
    trio.run(_fill, bench, setting, seconds)
    with worker(bench, "--listen") as child:
        used = bench.cpu()
        trio.run(_resume, bench)
        time.sleep(seconds)
        trio.run(_pause, bench)
        redis = bench.cpu() - used
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.close()
        said = json.loads(child.stdout.readline())
    starts = trio.run(_starts, bench)
    rate = setting.rate
    begin = min(each[0] for each in starts.values())
    counted = [at for each in starts.values() for at in each if at < begin + 1000 * seconds]
    return Reached(
        len(counted) / (rate.count * setting.keys * seconds / rate.per),
        max(fullest(each, rate.period_ms) for each in starts.values()),
        rate.count + rate.burst - 1,
        redis / seconds,
        said["cpu"] / seconds,
    )


async def _pause(bench: Bench) -> None:
    async with rediq.connect(bench.url) as client:
        await client.queue(QUEUE).pause()


def _row(setting: Setting, seen: Reached) -> tuple[str, ...]:
    rate = setting.rate
    name = f"{rate.count:,}/s" if rate.per == 1 else f"{rate.count:,} per {rate.per:g} s"
    if setting.keys > 1:
        name = f"{setting.keys} keys, {name} each"
    return (
        name, f"{seen.share:.1%}", f"{seen.fullest:,} of {seen.allowed:,}", f"{seen.worker:.0%}",
        f"{seen.redis:.0%}",
    )  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rates")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each rate (10)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--server", metavar="PATH", help="the redis-server to run")
    given = parser.parse_args()
    with run_server(given.server) as bench:
        facts = machine(bench) | {
            "command": shlex.join(["python", "-m", "benchmarks.rates", *sys.argv[1:]])
        }
        rows = [_row(one, measure(bench, one, given.seconds)) for one in SETTINGS]
    title = f"A rate of burst 1, with work waiting, for {given.seconds:g} s on one worker"
    table = Table(title, COLUMNS, tuple(rows))
    print(
        table.markdown() + "\n\n" + "\n".join(f"- {name}: {fact}" for name, fact in facts.items())
    )
    if given.json:
        found = {"machine": facts, "parts": {"rates": [attrs.asdict(table)]}}
        given.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
