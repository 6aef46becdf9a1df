"""Runs seeds, by one process or by several, and adds up what was found."""

from __future__ import annotations

import json
import multiprocessing
from collections import Counter
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from rediq_trio._errors import RediqError
from rediq_trio.testing.fleets.fleet import FleetResult

RunSeed = Callable[[int], FleetResult]


class CampaignCounts:
    """What all runs together have found."""

    def __init__(self) -> None:
        self.runs = 0
        self.seconds = 0.0
        self.never_came = 0
        self.happened = Counter[str]()
        self.applied = Counter[str]()
        self.seen = Counter[str]()

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


def run_seeds(run: RunSeed, seeds: Sequence[int], jobs: int, found: CampaignCounts) -> int | None:
    """Run seeds until one fails; return the lowest that has failed, or None."""
    if jobs == 1 or len(seeds) == 1:
        for seed in seeds:
            result = run(seed)
            found.add(result)
            if result.violation is not None:
                return seed
        return None
    return _run_in_processes(run, seeds, min(jobs, len(seeds)), found)


def _run_in_processes(run: RunSeed, seeds: Sequence[int], jobs: int, found: CampaignCounts) -> int | None:
    # Forked, so that the scenario and the checks need not be sent; what comes back is JSON.
    context = multiprocessing.get_context("fork")
    ends: dict[Any, Any] = {}  # processes by the end of a pipe, whose type differs by version
    for job in range(jobs):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(run, seeds[job::jobs], theirs), daemon=True)
        process.start()
        theirs.close()
        ends[ours] = process
    processes = list(ends.values())
    failed: int | None = None
    try:
        while ends:
            for end in wait(list(ends)):
                assert isinstance(end, Connection)
                try:
                    numbers = json.loads(end.recv_bytes())
                except EOFError:
                    ends.pop(end).join()
                    continue
                if "error" in numbers:
                    raise RediqError(f"seed {numbers['seed']}: {numbers['error']}")
                found.merge(numbers)
                if numbers["failed"]:
                    failed = numbers["seed"] if failed is None else min(failed, numbers["seed"])
            if failed is not None:
                break
    finally:
        for process in processes:
            process.kill()
            process.join()
    return failed


def _work(run: RunSeed, seeds: Sequence[int], end: Connection) -> None:
    for seed in seeds:
        try:
            numbers = as_numbers(run(seed))
        except Exception as error:
            numbers = {"error": f"{type(error).__name__}: {error}"}
        end.send_bytes(json.dumps({**numbers, "seed": seed}).encode())
        if "error" in numbers:
            return
