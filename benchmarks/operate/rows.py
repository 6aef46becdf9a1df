"""A figure beside the bound that the project set itself."""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable, Sequence

import attrs

from benchmarks.scaling.stage import Stage, Table, number

RUNS = 5
"""Runs of what can be repeated; the median counts."""
COLUMNS = ("what", "measured", "to reach", "measured / to reach", "met")


@attrs.frozen
class Row:
    """One figure. A `bound` of None, or a `value` of None, is not judged."""

    what: str
    value: float | None
    unit: str
    bound: float | None = None
    least: bool = False
    """The bound is the least that will do, not the most."""
    note: str = ""
    """Said in place of a value, or behind it."""

    @property
    def met(self) -> bool | None:
        """Whether the bound is kept; None if that is not judged."""
        if self.value is None or self.bound is None:
            return None
        return self.value >= self.bound if self.least else self.value <= self.bound

    def cells(self) -> tuple[str, ...]:
        """Return the cells of the row, in the order of `COLUMNS`."""
        if self.value is None:
            measured, ratio = self.note, ""
        else:
            measured = f"{number(self.value)} {self.unit}".rstrip()
            measured += f" ({self.note})" if self.note else ""
            ratio = number(self.value / self.bound) if self.bound else ""
        reach = ""
        if self.bound is not None:
            reach = f"{'>=' if self.least else '<='} {number(self.bound)} {self.unit}".rstrip()
        return self.what, measured, reach, ratio, {True: "yes", False: "no", None: ""}[self.met]


def table(title: str, rows: Sequence[Row]) -> Table:
    """Return rows as a table."""
    return Table(title, COLUMNS, tuple(row.cells() for row in rows))


@attrs.frozen
class Cost:
    """What a call took: medians of some runs."""

    wall_ms: float
    redis_ms: float
    """Milliseconds of CPU of the server, from `INFO commandstats`: without what sockets took."""


async def cost_of(stage: Stage, call: Callable[[], Awaitable[object]], runs: int = RUNS) -> Cost:
    """Return what a call takes."""
    walls: list[float] = []
    used: list[float] = []
    for _ in range(runs):
        stage.bench.raw.config_resetstat()
        begin = time.perf_counter()
        await call()
        walls.append((time.perf_counter() - begin) * 1000)
        used.append(inside_ms(stage))
    return Cost(statistics.median(walls), statistics.median(used))


OF_THE_BENCH = ("cmdstat_info", "cmdstat_config", "cmdstat_ping")
CALLERS = ("cmdstat_eval", "cmdstat_evalsha", "cmdstat_exec")
"""Commands whose time includes that of the commands that they call."""


def inside_ms(stage: Stage) -> float:
    """Return the milliseconds that Redis spent in commands since its statistics were reset.

    Those that scripts call are a part of the script's own time.
    """
    stats = stage.bench.info("commandstats")
    spent = {
        name: float(said["usec"])  # type: ignore[index]
        for name, said in stats.items()
        if not name.startswith(OF_THE_BENCH)
    }
    scripts = sum(spent.get(name, 0.0) for name in CALLERS)
    return (scripts or sum(spent.values())) / 1000
