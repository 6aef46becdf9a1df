"""The library's speed on this machine: `python -m benchmarks.core`.

Each figure is the median of several runs, measured until Redis has settled the last
task. Floors are shown beside; they are what the project asks of itself on a machine
with two cores. Nothing fails because something is slow.

    --quick         fewer tasks, 3 runs, a shorter look at the idle worker
    --runs N        runs per figure (5)
    --json FILE     write the figures there too
    --server PATH   the redis-server to run
    --unix          over a unix socket instead of loopback
    --only WORD     only the measures whose name has this word
"""

from __future__ import annotations

import argparse
import datetime as dt
import itertools
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import attrs
import trio

from benchmarks import measures
from benchmarks.measures import Figure
from benchmarks.server import Bench, run_server

PACKAGES = ("rediq-trio", "trio", "trio-asyncio", "redis", "hiredis", "msgpack")


@attrs.frozen
class Measure:
    """One row of the table."""

    name: str
    unit: str
    run: Callable[[], Figure]
    floor: float | None = None
    most: bool = False
    """The floor is a ceiling: less is better."""
    once: bool = False
    """One run tells enough."""


@attrs.frozen
class Row:
    """A measured row."""

    name: str
    unit: str
    median: float
    low: float
    high: float
    floor: float | None
    verdict: str
    notes: dict[str, float]


def machine(bench: Bench) -> dict[str, str]:
    """Describe where the figures come from."""
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return {
        "date": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": f"{_cpu()}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "server": f"{Path(bench.program).name} {bench.version} at {bench.url.partition('://')[0]}",
        "packages": packages,
    }


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def plan(bench: Bench, quick: bool, concurrency: int) -> list[Measure]:
    """Say what is measured."""
    drained = 10_000 if quick else 30_000
    seconds = 10.0 if quick else 20.0
    series: list[list[float]] = []

    def times(share: float) -> Callable[[], Figure]:
        # The first row to ask for a series measures it; the others read the same ones.
        taken = itertools.count()

        def take() -> Figure:
            number = next(taken)
            if number == len(series):
                series.append(measures.latency(bench, 100 if quick else 300))
            values = series[number]
            return Figure(values[min(len(values) - 1, int(len(values) * share))])

        return take

    def drain(retention: float) -> Callable[[], Figure]:
        return lambda: measures.drain(bench, drained, retention=retention, concurrency=concurrency)

    def run(measure: Callable[..., Any], *args: Any) -> Callable[[], Figure]:
        return lambda: trio.run(measure, bench, *args)

    return [
        Measure("PING, one by one", "/s", run(measures.ping_singly, 4_000)),
        Measure("enqueue, one by one", "/s", run(measures.enqueue_singly, 2_000)),
        Measure("enqueue, 100 callers", "/s", run(measures.enqueue_together, 10_000)),
        Measure(
            "enqueue, 100 callers of 2 clients", "/s",
            run(partial(measures.enqueue_together, clients=2), 10_000),
        ),
        Measure("enqueue_many by 1,000", "/s", run(measures.enqueue_in_bulk, 50_000), floor=50_000),
        Measure(
            "enqueue_many by 1,000, 2 callers", "/s",
            run(partial(measures.enqueue_in_bulk, callers=2), 50_000),
        ),
        Measure("drain, results off", "/s", drain(0.0), floor=10_000),
        Measure("drain, results on", "/s", drain(3600.0)),
        Measure("idle to start, p50", "ms", times(0.50), floor=2.5, most=True),
        Measure("idle to start, p95", "ms", times(0.95)),
        Measure("idle to start, p99", "ms", times(0.99)),
        Measure(
            "idle worker", "commands/s", lambda: measures.idle_commands(bench, seconds),
            floor=3, most=True, once=True,
        ),
        *(
            Measure(
                f"queued task of {count:,}, 100-byte payload", "bytes",
                run(measures.bytes_per_task, count), floor=400, most=True, once=True,
            )
            for count in (10_000, 16_000, 50_000)
        ),
    ]  # fmt: skip


def measured(measure: Measure, runs: int) -> Row:
    """Run one measure and sum it up."""
    figures: list[Figure] = []
    count = 1 if measure.once else runs
    for number in range(1, count + 1):
        _show(f"{measure.name}: run {number} of {count}")
        figures.append(measure.run())
    values = [figure.value for figure in figures]
    median = statistics.median(values)
    verdict = ""
    if measure.floor is not None:
        good = median <= measure.floor if measure.most else median >= measure.floor
        verdict = "ok" if good else "below"
    notes = {
        name: statistics.median([figure.notes[name] for figure in figures])
        for name in figures[0].notes
    }
    return Row(
        measure.name, measure.unit, median, min(values), max(values), measure.floor, verdict, notes
    )


def _show(line: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)
    else:
        print(line, file=sys.stderr, flush=True)


def number(value: float) -> str:
    """Give a figure with as many digits as it is worth."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"


def table(rows: list[Row], measures_: list[Measure]) -> str:
    """Give the rows as a Markdown table."""
    most = {measure.name: measure.most for measure in measures_}
    lines = [
        "| measure | unit | median | min | max | floor | | seen beside |",
        "| --- | --- | ---: | ---: | ---: | ---: | --- | --- |",
    ]
    for row in rows:
        floor = "" if row.floor is None else f"{'<=' if most[row.name] else '>='} {row.floor:,g}"
        notes = ", ".join(f"{name.replace('_', ' ')} {number(v)}" for name, v in row.notes.items())
        figures = " | ".join(number(value) for value in (row.median, row.low, row.high))
        lines.append(f"| {row.name} | {row.unit} | {figures} | {floor} | {row.verdict} | {notes} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.core")
    parser.add_argument("--quick", action="store_true", help="fewer tasks, 3 runs")
    parser.add_argument("--runs", type=int, help="runs per figure (5)")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    parser.add_argument("--server", metavar="PATH", help="the redis-server to run")
    parser.add_argument("--unix", action="store_true", help="over a unix socket")
    parser.add_argument(
        "--only", metavar="WORD", default="", help="measures whose name has this word"
    )
    parser.add_argument("--concurrency", type=int, default=100, help="of the draining worker (100)")
    given = parser.parse_args()
    runs = given.runs or (3 if given.quick else 5)
    with run_server(given.server, unix=given.unix) as bench:
        facts = machine(bench)
        for name, fact in facts.items():
            print(f"{name:9} {fact}")
        chosen = [m for m in plan(bench, given.quick, given.concurrency) if given.only in m.name]
        rows = [measured(measure, runs) for measure in chosen]
    _show("")
    print(f"\nmedians of {runs} runs, to the last settlement\n\n{table(rows, chosen)}")
    if given.json:
        data = {"machine": facts, "runs": runs, "rows": [attrs.asdict(row) for row in rows]}
        Path(given.json).write_text(json.dumps(data, indent=2) + "\n")


if __name__ == "__main__":
    main()
