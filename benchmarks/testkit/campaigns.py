"""What campaigns find: alarms, what they reached, whether a seed is repeated, and planted bugs."""

from __future__ import annotations

import re
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from benchmarks.operate.rows import Row
from rediq_trio.testing import FaultKind, SimulationFailed, simulate
from rediq_trio.testing.fleets.oracles import ORACLES, words
from tests.python_mutants import compiled_copy
from tests.testing.determinism import compare
from tests.testing.fleets.storm import SECONDS, STORM, make
from tests.testing.planted import DIRECTED_TRIES, SEEDS, searched
from tests.testing.planted_bugs import BUGS

FIRST = 0
JOBS = 2
SHRUNK_IN = re.compile(r"shrunk in (\d+) runs")
QUICK_BUG = "a task is cancelled"
"""Words in the name of the bug that is looked for if it is to be quick."""


def determinism(quick: bool) -> list[Row]:
    """Play storms in four processes with two hash seeds, by this Python."""
    seeds, differing = 2 if quick else 200, 0.0
    note = f"{seeds} seeds in 4 processes with 2 hash seeds, Python {sys.version.split()[0]}"
    try:
        compare(FIRST, seeds, times=2)
    except AssertionError as error:
        differing, note = 1.0, f"{note}: {error}"[:300]
    return [Row("processes that played a storm differently", differing, "", 0, note=note)]


def campaign(quick: bool) -> list[Row]:
    """Run the campaign of our own worker, and count alarms and what was reached."""
    seeds, began = (4 if quick else 2_000), time.monotonic()
    try:
        report = simulate(
            make, STORM, seed=FIRST, seeds=seeds, hours=SECONDS / 3600, jobs=JOBS, keep=None
        )
    except SimulationFailed as failure:
        note = f"seed {failure.seed}: {failure.violation}"[:300]
        return [Row(f"false alarms in {seeds:,} seeds", 1, "", 0, note=note)]
    minutes, simulated = (time.monotonic() - began) / 60, report.seconds / 3600
    missed = [kind.value for kind in FaultKind if not report.happened.get(kind.value)]
    unasked = [words(oracle) for oracle in ORACLES if not report.applied.get(words(oracle))]
    # A few seeds reach neither all hours nor all faults, so these are judged in a whole run only.
    whole = not quick
    return [
        Row(f"false alarms in {seeds:,} seeds", 0, "", 0),
        Row("simulated hours of the campaign", simulated, "h", 100 if whole else None, least=True),
        Row(f"minutes of the campaign, {JOBS} processes", minutes, "min", 10 if whole else None),
        Row("kinds of faults that never took effect", len(missed), "", 0 if whole else None,
            note=", ".join(missed)),
        Row("promises that never applied", len(unasked), "", 0 if whole else None,
            note=", ".join(unasked)),
    ]  # fmt: skip


def alarms(quick: bool) -> list[Row]:
    """Run more seeds, other ones: with those of the campaign they are 5,000."""
    seeds = 2 if quick else 3_000
    note = ""
    try:
        simulate(
            make, STORM, seed=10**6, seeds=seeds, hours=SECONDS / 3600, jobs=JOBS, shrink=False,
            keep=None,
        )  # fmt: skip
    except SimulationFailed as failure:
        note = f"seed {failure.seed}: {failure.violation}"[:300]
    return [Row(f"false alarms in {seeds:,} more seeds", 1 if note else 0, "", 0, note=note)]


def planted(quick: bool) -> list[Row]:
    """Plant bugs, and count the plans that it takes to find each, and what is left after shrinking."""
    bugs = [bug for bug in BUGS if not quick or QUICK_BUG in bug.name]
    rows, tried, parts, runs = list[Row](), list[int](), list[int](), list[int]()
    options = ["--seeds", str(SEEDS), "--shrink"]
    with compiled_copy() as base, ThreadPoolExecutor(JOBS) as pool:
        for found in pool.map(lambda bug: searched(bug, base, options), bugs):
            name, directed, random = found["bug"], found["directed"], found["random"]
            tried.append(SEEDS + 1 if random is None else random["plans"])
            note = "not found" if random is None else ""
            rows.append(Row(f"seeds until found: {name}", tried[-1], "", SEEDS, note=note))
            # No plan of those that are directed at it found it: one more than there are.
            plans = DIRECTED_TRIES + 1 if directed is None else directed["plans"]
            note = "not found" if directed is None else ""
            rows.append(Row(f"directed plans: {name}", plans, "", DIRECTED_TRIES, note=note))
            if shrunk := found.get("shrunk"):
                parts.append(shrunk["parts"])
                runs += [int(number) for number in SHRUNK_IN.findall(shrunk["text"])]
    return [
        *rows,
        Row("seeds until found, median", statistics.median(tried), "", 20),
        Row("parts that are left after shrinking, most", max(parts) if parts else None, "", 6,
            note="nothing was found"[: 0 if parts else None]),
        Row("runs of shrinking, most", max(runs) if runs else None, "", 150,
            note="nothing was shrunk"[: 0 if runs else None]),
    ]  # fmt: skip
