"""Runs seeds, by one process or by several, and adds up what was found."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

from rediq_trio.testing.fleets.fleet import FleetResult
from rediq_trio.testing.simulated.not_deterministic import USUAL_SUSPECTS, NotDeterministic
from rediq_trio.testing.simulated.processes import run_in_processes

RunSeed = Callable[[int], FleetResult]


class CampaignCounts:
    """What all runs together have found; `on_run` is called after each of them."""

    def __init__(self, on_run: Callable[[], object] | None = None) -> None:
        self._on_run = on_run
        self.runs = 0
        self.seconds = 0.0
        self.never_came = 0
        self.happened = Counter[str]()
        self.applied = Counter[str]()
        self.seen = Counter[str]()
        self.failed: int | None = None
        """The seed that has failed."""

    def add(self, result: FleetResult) -> None:
        """Add what one run has found."""
        self.merge(as_numbers(result))

    def merge(self, numbers: dict[str, Any]) -> None:
        """Add the numbers of a run."""
        self.runs += 1
        self.seconds += numbers["seconds"]
        self.never_came += numbers["never_came"]
        self.happened.update(numbers["happened"])
        self.applied.update(numbers["applied"])
        self.seen.update(numbers["seen"])
        if self._on_run is not None:
            self._on_run()


def as_numbers(result: FleetResult) -> dict[str, Any]:
    """Return what is added up of a run, as JSON can hold it."""
    return {
        "seconds": result.seconds,
        "never_came": len(result.never_came),
        "happened": dict(result.happened),
        "applied": dict(result.applied),
        "seen": dict(result.seen),
        "failed": result.violation is not None,
    }


def run_seeds(
    run: RunSeed, seeds: Sequence[int], jobs: int, found: CampaignCounts, until: float = math.inf
) -> int | None:
    """Run seeds until one fails; return the first that has failed, or None.

    No seed is begun after `until`, an instant of `time.monotonic`. An exception names its seed.
    """
    if jobs == 1 or len(seeds) == 1:
        for seed in seeds:
            if time.monotonic() >= until:
                break
            result = _run_named(run, seed)
            found.add(result)
            if result.violation is not None:
                found.failed = seed
                break
        return found.failed
    with closing(run_in_processes(lambda seed: _found(run, seed), seeds, jobs, until)) as results:
        for seed, numbers in results:
            if "error" in numbers:
                _run_named(run, seed)  # raises it here, as it is
                raise NotDeterministic(
                    f"seed {seed}: {numbers['error']}, and not when it was run again; {USUAL_SUSPECTS}"
                )
            found.merge(numbers)
            if numbers["failed"]:
                found.failed = seed
                break
    return found.failed


def _run_named(run: RunSeed, seed: int) -> FleetResult:
    try:
        return run(seed)
    except Exception as error:
        error.add_note(f"in the run of seed {seed}")
        raise


def _found(run: RunSeed, seed: int) -> dict[str, Any]:
    try:
        return as_numbers(run(seed))
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
