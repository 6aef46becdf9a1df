"""CPU of what users call: a test with one task, `crash_everywhere`, simulated hours, the memory store."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import trio

import rediq_trio as rediq
from benchmarks.operate.rows import Row
from rediq_trio.testing import Simulation, Trial, crash_everywhere, simulate
from tests.testing.fleets.storm import SECONDS, STORM, make

BANK = Path(__file__).resolve().parents[2] / "docs" / "examples" / "bank"
RUNS = 5
"""Runs of what is short; the median counts. One more goes before them, uncounted."""
SERVERS = 10
QUICK = 10
"""By how much less there is of what takes long."""
TASKS = 10_000


def cpu_of(call: Callable[[], object]) -> float:
    """Return the seconds of CPU of this process that a call takes: the median of some."""
    call()
    spent = list[float]()
    for _ in range(RUNS):
        began = time.process_time()
        call()
        spent.append(time.process_time() - began)
    return statistics.median(spent)


def one_task(quick: bool) -> list[Row]:
    """Measure a test with one task, from the opening of its simulation to the end."""
    app = rediq.App("one")

    @app.task("add")
    async def add(a: int, b: int) -> int:
        await trio.sleep(0.1)
        return a + b

    def test() -> None:
        with Simulation(app) as sim:
            assert sim.enqueue(add.task(1, 2)).result() == 3

    return [Row("a test of rediq_sim with one task, CPU", cpu_of(test) * 1000, "ms", 20)]


def crash(quick: bool) -> list[Row]:
    """Measure `crash_everywhere` on the bank of the documentation."""
    sys.path.insert(0, str(BANK))
    try:
        bank_of: Any = __import__("bank").Bank
        make_app: Any = __import__("transfers").make_app
    finally:
        sys.path.remove(str(BANK))

    def trial() -> Trial:
        bank = bank_of()
        app = make_app(bank)
        return Trial(app, app.handler("bank:transfer").task(10), lambda: (bank.balance, bank.moved))

    found = crash_everywhere(trial)
    assert found.bad, "the bug of the bank is found"
    spent = cpu_of(lambda: crash_everywhere(trial))
    note = f"{len(found.points)} interruptions, {len(found.bad)} bad"
    return [Row("crash_everywhere on the bank, CPU", spent, "s", 0.5, note=note)]


def hours(quick: bool) -> list[Row]:
    """Measure how much time a second of CPU simulates, of a fleet with 10 servers in storms."""
    seeds = 2 if quick else 20
    began = time.process_time()
    report = simulate(
        make, STORM, seed=0, seeds=seeds, servers=SERVERS, hours=SECONDS / 3600, keep=None
    )
    spent = time.process_time() - began
    name = f"simulated hours a second of CPU, {SERVERS} servers"
    return [Row(name, report.seconds / 3600 / spent, "h/s", 0.1, least=True, note=f"{seeds} seeds")]


def memory_store(quick: bool) -> list[Row]:
    """Measure tasks that are enqueued one by one in memory."""
    tasks = TASKS // QUICK if quick else TASKS

    async def enqueue() -> None:
        async with rediq.connect(rediq.MemoryStore()) as client:
            for n in range(tasks):
                await client.enqueue(rediq.Task("any", {"n": n}))

    began = time.process_time()
    trio.run(enqueue)
    spent = time.process_time() - began
    bound = 4 * tasks / TASKS
    return [Row(f"{tasks:,} tasks enqueued one by one in memory, CPU", spent, "s", bound)]
