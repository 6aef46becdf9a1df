"""What the test kit costs, and what it finds, beside the figures that it is to reach.

    python -m benchmarks.testkit                       every part, some thousand fleets: not for a busy machine
    python -m benchmarks.testkit --quick               few seeds of everything, two minutes
    python -m benchmarks.testkit --only task,crash     these parts

Figures of CPU are those of one process; what is short is the median of 5 runs. A figure that misses its
bound says `no`, and the exit status is 1. Tables go to standard output as Markdown.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import logging
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import attrs
import trio

from benchmarks.operate.rows import Row, table
from benchmarks.testkit import campaigns, costs

PARTS: Mapping[str, Callable[[bool], list[Row]]] = {
    "task": costs.one_task,
    "crash": costs.crash,
    "hours": costs.hours,
    "memory": costs.memory_store,
    "determinism": campaigns.determinism,
    "campaign": campaigns.campaign,
    "planted": campaigns.planted,
    "alarms": campaigns.alarms,
}
"""What measures the rows of the table, by name; each is told whether it is to be quick."""
TITLE = "What the test kit costs, and what it finds"


def main(arguments: list[str]) -> int:
    """Measure and print; return 1 if a bound is missed."""
    chosen = _parser().parse_args(arguments)
    logging.getLogger("rediq_trio").setLevel(logging.CRITICAL)  # what breaks is broken on purpose
    facts = _machine() | {"command": " ".join(["python -m benchmarks.testkit", *arguments])}
    print("\n".join(f"- {name}: {fact}" for name, fact in facts.items()), flush=True)
    found: dict[str, list[Row]] = {}
    for name in chosen.only:
        began = time.perf_counter()
        found[name] = PARTS[name](chosen.quick)
        print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    rows = [row for part in found.values() for row in part]
    shown = table(TITLE, rows)
    print("\n" + shown.markdown(), flush=True)
    missed = [row.what for row in rows if row.met is False]
    print(f"\nmissed: {'; '.join(missed) or 'nothing'}", flush=True)
    if chosen.json is not None:
        kept = {name: [attrs.asdict(row) for row in part] for name, part in found.items()}
        figures = {"machine": facts, "parts": {"testkit": [attrs.asdict(shown)]}, "rows": kept}
        chosen.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 1 if missed else 0


def _parser() -> argparse.ArgumentParser:
    def parts(text: str) -> list[str]:
        given = [part.strip() for part in text.split(",")]
        for part in given:
            if part not in PARTS:
                raise argparse.ArgumentTypeError(f"{part!r} is none of {', '.join(PARTS)}")
        return given

    parser = argparse.ArgumentParser(prog="python -m benchmarks.testkit")
    parser.add_argument(
        "--only", type=parts, default=[*PARTS], metavar="PART,PART", help=", ".join(PARTS)
    )
    parser.add_argument("--quick", action="store_true", help="few seeds of everything")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    return parser


def _machine() -> dict[str, str]:
    return {
        "date": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "trio": trio.__version__,
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
