"""Plant bugs in the worker, and count the plans that it takes to find each.

    python -m tests.testing.planted [--only WORD ...] [--seeds N] [--jobs N] [--shrink]

For each bug: a directed plan, with the noise of up to `DIRECTED_TRIES` seeds, then random plans of up to
`--seeds` seeds. Each runs in a process that imports a copy of the library with the bug in it. Prints a
table; exits with 1 if a bug is not found in both ways.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.python_mutants import compiled_copy, mutated_copy
from tests.python_mutations import PythonMutant
from tests.testing.fleets.storm import SECONDS, SETTINGS, STORM, make
from tests.testing.planted_bugs import BUGS, DIRECTED, PlantedBug, shuffled

DIRECTED_TRIES = 5
SEEDS = 300
DEADLINE = 3600.0
"""Seconds that the search for one bug may take."""


def mutant_of(bug: PlantedBug) -> PythonMutant:
    """Return the bug as the tool for mutants of the Python takes it."""
    return PythonMutant(bug.name, bug.path, "a promise", bug.old, bug.new, ())


def search(bug: PlantedBug, seeds: int, *, shrink: bool) -> dict[str, Any]:
    """Search for a bug that is planted in this process; return what was found."""
    from rediq_trio.testing.fleets.scenario import draw_plan

    directed, random = DIRECTED[bug.name], range(seeds)
    found: dict[str, Any] = {"bug": bug.name}
    began = time.process_time()
    found["directed"] = _first(lambda n: shuffled(directed, n), range(DIRECTED_TRIES))
    found["random"] = _first(lambda n: draw_plan(STORM, n, servers=3, seconds=SECONDS), random)
    found["cpu"] = round(time.process_time() - began, 1)
    if shrink and found["random"] is not None:
        found["shrunk"] = _shrunk(found["random"]["seed"])
    return found


def _first(plan_of: Callable[[int], Any], seeds: range) -> dict[str, Any] | None:
    from rediq_trio.testing.fleets.fleet import run_plan

    for tried, seed in enumerate(seeds, 1):
        violation = run_plan(make(), plan_of(seed), SETTINGS).violation
        if violation is not None:
            return {"seed": seed, "plans": tried, "violation": str(violation)}
    return None


def _shrunk(seed: int) -> dict[str, Any]:
    from rediq_trio.testing.fleets.campaign import Campaign
    from rediq_trio.testing.fleets.scenario import draw_plan

    plan = draw_plan(STORM, seed, servers=3, seconds=SECONDS)
    failure = Campaign(make, SETTINGS).fail(plan, shrink=True, keep=None)
    return {"parts": failure.small.size, "plan": str(failure.small), "text": str(failure)}


def searched(bug: PlantedBug, base: Path, options: list[str]) -> dict[str, Any]:
    """Search for a bug in a process of its own."""
    root = Path(__file__).resolve().parents[2]
    with mutated_copy(base, mutant_of(bug)) as source:
        path = os.pathsep.join([str(source), str(root)])
        done = subprocess.run(
            [sys.executable, "-m", "tests.testing.planted", "--planted", bug.name, *options],
            cwd=root, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True,
            timeout=DEADLINE, check=False,
        )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{bug.name}: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def lines(found: dict[str, Any]) -> Iterator[str]:
    """Return what to print about one bug."""
    ways = []
    for way in ("directed", "random"):
        one = found[way]
        ways.append(f"{way} {'not found' if one is None else one['plans']}")
    if shrunk := found.get("shrunk"):
        ways.append(f"shrunk to {shrunk['parts']} parts")
    yield f"{found['bug']:56} {', '.join(ways)}; {found['cpu']} CPU s"
    for way in ("directed", "random"):
        if found[way] is not None:
            yield f"    {way}: {found[way]['violation']}"
    if shrunk:
        yield from (f"    {line}" for line in shrunk["plan"].splitlines())


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.testing.planted", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="WORD", help="bugs with one of these in their name")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--shrink", action="store_true", help="shrink what random plans find")
    parser.add_argument("--planted", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.planted is not None:
        logging.disable(logging.CRITICAL)
        (bug,) = (bug for bug in BUGS if bug.name == chosen.planted)
        print(json.dumps(search(bug, chosen.seeds, shrink=chosen.shrink)))
        return 0
    bugs = [bug for bug in BUGS if not chosen.only or any(word in bug.name for word in chosen.only)]
    options = ["--seeds", str(chosen.seeds), *(["--shrink"] if chosen.shrink else [])]
    missed = 0
    with compiled_copy() as base, ThreadPoolExecutor(chosen.jobs) as pool:
        for found in pool.map(lambda bug: searched(bug, base, options), bugs):
            print("\n".join(lines(found)), flush=True)
            missed += found["directed"] is None or (chosen.seeds > 0 and found["random"] is None)
    print(f"{len(bugs)} bugs, {missed} not found in both ways")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
