"""The command of a benchmark that has parts: which of them run, on which server, and where figures go."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import trio

from benchmarks.core import machine
from benchmarks.scaling.stage import Stage
from benchmarks.server import run_server

F = TypeVar("F")


def run_parts(
    module: str,
    parts: Mapping[str, Callable[[Stage], Awaitable[F]]],
    figures: Callable[[Mapping[str, F]], Mapping[str, Any]],
    *,
    each: Callable[[str, F], None] = lambda _name, _found: None,
) -> dict[str, F]:
    """Run the parts that the command line chooses, and return what each found.

    `each` is called as soon as a part has ended. What `figures` makes of all goes to the file of
    `--json`, after the facts of the machine.
    """
    given = _parser(module, [*parts]).parse_args()
    found: dict[str, F] = {}
    with run_server(given.server) as bench:
        facts = machine(bench) | {"command": shlex.join(["python", "-m", module, *sys.argv[1:]])}
        print("\n".join(f"- {name}: {fact}" for name, fact in facts.items()), flush=True)
        for name in given.only:
            begin = time.perf_counter()
            print(f"{name} ...", file=sys.stderr, flush=True)
            found[name] = trio.run(parts[name], Stage(bench, given.quick))
            print(f"\r{name}: {time.perf_counter() - begin:.0f} s", file=sys.stderr, flush=True)
            each(name, found[name])
    if given.json:
        given.json.write_text(json.dumps({"machine": facts, **figures(found)}, indent=2) + "\n")
    return found


def _parser(module: str, names: list[str]) -> argparse.ArgumentParser:
    def chosen(text: str) -> list[str]:
        given = [part.strip() for part in text.split(",")]
        for part in given:
            if part not in names:
                raise argparse.ArgumentTypeError(f"{part!r} is none of {', '.join(names)}")
        return given

    parser = argparse.ArgumentParser(prog=f"python -m {module}")
    parser.add_argument(
        "--only", type=chosen, default=names, metavar="PART,PART", help=", ".join(names)
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--server", metavar="PATH", help="the redis-server to run")
    return parser
