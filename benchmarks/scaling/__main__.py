"""The scaling bench, from the command line.

    python -m benchmarks.scaling                      every part, some half an hour
    python -m benchmarks.scaling --quick              a tenth of everything, some minutes
    python -m benchmarks.scaling --only queues,dead   these parts

Nothing fails because something is slow. Tables go to standard output as Markdown, how far it is to
standard error.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import attrs
import trio

from benchmarks.core import machine
from benchmarks.scaling import dead, delayed, lengths, payloads, queues, sleepers
from benchmarks.scaling.stage import Part, Stage, Table
from benchmarks.server import run_server

PARTS: Mapping[str, Part] = {
    "lengths": lengths.measure,
    "delayed": delayed.measure,
    "dead": dead.measure,
    "queues": queues.measure,
    "sleepers": sleepers.measure,
    "payloads": payloads.measure,
}
"""Each part by its name."""


def _parts(text: str) -> list[str]:
    chosen = [part.strip() for part in text.split(",")]
    for part in chosen:
        if part not in PARTS:
            raise argparse.ArgumentTypeError(f"{part!r} is none of {', '.join(PARTS)}")
    return chosen


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling")
    parser.add_argument(
        "--only", type=_parts, default=[*PARTS], metavar="PART,PART", help=", ".join(PARTS)
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--server", metavar="PATH", help="the redis-server to run")
    given = parser.parse_args()
    found: dict[str, list[Table]] = {}
    with run_server(given.server) as bench:
        facts = machine(bench) | {
            "command": shlex.join(["python", "-m", "benchmarks.scaling", *sys.argv[1:]])
        }
        print("\n".join(f"- {name}: {fact}" for name, fact in facts.items()), flush=True)
        for name in given.only:
            begin = time.perf_counter()
            print(f"{name} ...", file=sys.stderr, flush=True)
            found[name] = trio.run(PARTS[name], Stage(bench, given.quick))
            print(f"\r{name}: {time.perf_counter() - begin:.0f} s", file=sys.stderr, flush=True)
            print(f"\n## {name}\n\n" + "\n\n".join(t.markdown() for t in found[name]), flush=True)
    if given.json:
        parts = {name: [attrs.asdict(table) for table in tables] for name, tables in found.items()}
        given.json.write_text(json.dumps({"machine": facts, "parts": parts}, indent=2) + "\n")


if __name__ == "__main__":
    main()
