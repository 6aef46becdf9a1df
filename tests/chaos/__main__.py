"""The fault bench, from the command line.

python -m tests.chaos --minutes 3                  a fresh seed, which is printed
python -m tests.chaos --minutes 20 --seed 7        the faults of seed 7, in their order
python -m tests.chaos --minutes 1 --faults redis-crash,kill-worker
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path

import trio

from rediq_trio import ConfigError
from tests.chaos.run import Plan, Report, run


def parse(arguments: list[str] | None = None) -> tuple[Plan, Path | None]:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description="Work through faults; lose nothing."
    )
    parser.add_argument("--minutes", type=float, default=3.0, help="how long faults come (3)")
    parser.add_argument("--seed", type=int, help="of work and faults (a fresh one)")
    parser.add_argument("--tasks", type=int, help="end when so many tasks are there")
    parser.add_argument("--rate", type=float, default=260.0, help="tasks enqueued a second (260)")
    parser.add_argument("--workers", type=int, default=4, help="worker processes (4)")
    parser.add_argument("--server", choices=("plain", "sentinel", "cluster"), default="plain")
    parser.add_argument("--program", help="the redis-server to run (the embedded one)")
    parser.add_argument(
        "--durability", choices=("memory", "replicated", "fsynced"), default="memory"
    )
    parser.add_argument("--faults", help="a,b,c: only these")
    parser.add_argument(
        "--viewer",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="look at the queues meanwhile, and judge what was seen (yes, with a plain server)",
    )
    parser.add_argument("--keep", type=Path, help="keep the observations in that folder")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there too")
    given = parser.parse_args(arguments)
    plan = Plan(
        seed=secrets.randbelow(2**31) if given.seed is None else given.seed,
        seconds=given.minutes * 60,
        rate=given.rate,
        tasks=given.tasks,
        workers=given.workers,
        server=given.server,
        program=given.program,
        durability=given.durability,
        faults=tuple(given.faults.split(",")) if given.faults else None,
        keep=given.keep,
        viewer=given.viewer,
    )
    return plan, given.json


def show(report: Report) -> str:
    """Return the report as text."""
    longest = max(report.recoveries.items(), key=lambda one: one[1], default=("no fault", 0.0))
    lines = [
        f"seed {report.plan.seed}, {report.plan.server}, {report.seconds:.0f} s",
        f"tasks              {report.tasks:,}, {report.acknowledged:,} acknowledged",
        f"throughput         {report.tasks / max(report.seconds, 1e-9):,.0f} tasks/s",
        f"starts             {report.starts:,}, {report.duplicates:,} of them after the first of their task",
        f"faults             {sum(report.faults.values())}",
        *(f"  {count:4} {kind}" for kind, count in report.faults.items()),
        f"longest recovery   {longest[1]:.2f} s after {longest[0]} (allowed: {report.allowed:g} s)",
    ]
    if report.judged:
        lines.append(report.judged)
    lines += [f"VIOLATED: {text}" for text in report.violations]
    lines.append("verdict            " + ("every promise kept" if report.passed else "BROKEN"))
    return "\n".join(lines)


def progress() -> Callable[[str], None]:
    """Return a function that shows progress: one changing line on a terminal, else plain lines."""
    try:
        from rich.console import Console
    except ImportError:
        console = None
    else:
        console = Console(stderr=True)
    if console is not None and console.is_terminal:
        status = console.status("starting")
        status.start()
        return status.update
    begun = time.monotonic()
    return lambda text: print(
        f"{time.monotonic() - begun:6.0f} s  {text}", file=sys.stderr, flush=True
    )


def main() -> int:
    """Run, and return the exit status: 1 when a promise was broken."""
    plan, where = parse()
    print(f"python -m tests.chaos --minutes {plan.seconds / 60:g} --seed {plan.seed}", flush=True)
    try:
        report = trio.run(run, plan, progress())
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    print(show(report))
    if where is not None:
        where.write_text(json.dumps(report.as_data(), indent=2) + "\n", "utf-8")
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())
