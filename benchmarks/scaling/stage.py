"""Where a part of the scaling bench plays: a server, and what it has measured."""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager

import attrs

from benchmarks.server import Bench

SLOW = 1_000
"""Microseconds from which on Redis notes a command that holds it up."""
NOTED = 10_000
"""Commands of which Redis keeps a note."""


@attrs.frozen
class Table:
    """Figures with a title. The first column says what they are of."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """Give the table as Markdown."""
        aligned = "| --- |" + " ---: |" * (len(self.columns) - 1)
        lines = [f"**{self.title}**\n", _row(self.columns), aligned, *map(_row, self.rows)]
        return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


@attrs.frozen
class Stage:
    """A server, and how much is wanted."""

    bench: Bench
    quick: bool = False
    """A tenth of it will do."""

    def some(self, many: int) -> int:
        """Give how many, or a tenth of them when it is to be quick."""
        return max(1, many // 10) if self.quick else many

    def say(self, line: str) -> None:
        """Tell on standard error how far it is."""
        if sys.stderr.isatty():
            print(f"\r\033[K{line[:100]}", end="", file=sys.stderr, flush=True)

    def empty(self) -> None:
        """Empty the server, and have it note what holds it up."""
        self.bench.raw.flushall()
        self.bench.raw.config_set("slowlog-log-slower-than", SLOW)
        self.bench.raw.config_set("slowlog-max-len", NOTED)

    def memory(self) -> float:
        """Give the MiB that Redis uses for what it holds."""
        return int(str(self.bench.info("memory")["used_memory"])) / 2**20

    @contextmanager
    def timed(self) -> Generator[Timed]:
        """Time a block; what it took is there behind it."""
        raw = self.bench.raw
        raw.slowlog_reset()
        used, begin = self.bench.cpu(), time.perf_counter()
        timed = Timed()
        yield timed
        timed.seconds = time.perf_counter() - begin
        timed.redis = self.bench.cpu() - used
        noted = [entry for entry in raw.slowlog_get(NOTED) if b"SLOWLOG" not in entry["command"]]
        timed.longest_ms = max((entry["duration"] / 1000 for entry in noted), default=0.0)


@attrs.define
class Timed:
    """What a block took."""

    seconds: float = 0.0
    redis: float = 0.0
    """Seconds of CPU that Redis used."""
    longest_ms: float = 0.0
    """The longest that one command held Redis up; 0 when it was shorter than a millisecond."""

    def cells(self, count: int) -> tuple[str, str, str, str]:
        """Give the cells of a row: seconds, items a second, Redis's CPU for each, the longest command."""
        each = self.redis / count * 1e6
        longest = number(self.longest_ms) if self.longest_ms else "< 1"
        return (
            number(self.seconds), number(count / (self.seconds or 1e-9)), number(each), longest
        )  # fmt: skip


COST = ("s", "/s", "Redis CPU us each", "longest command ms")
"""The columns of `Timed.cells`."""

Part = Callable[[Stage], Awaitable[list[Table]]]


def number(value: float) -> str:
    """Give a figure with as many digits as it is worth."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def share(values: Sequence[float], part: float) -> float:
    """Give the value that so large a part of sorted values does not exceed."""
    return values[min(len(values) - 1, int(len(values) * part))] if values else 0.0
