"""What commands print: a table of rich on a terminal, aligned lines elsewhere, JSON for programs."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import attrs

from rediq_trio.observe.as_json import to_json
from rediq_trio.observe.words import shown

if TYPE_CHECKING:
    from rich.console import Console

Row = Sequence[str]

RIGHT = frozenset({
    "pending", "active", "scheduled", "retry", "dead", "enqueued", "completed", "failed", "deaths",
    "running", "at once", "size", "max size", "attempt", "priority", "workers", "rate", "count",
})  # fmt: skip
"""Columns of numbers, by their heads."""
STYLES: Mapping[str, str] = {
    "dead": "red",
    "critical": "bold red",
    "warn": "yellow",
    "paused": "yellow",
    "completed": "green",
    "active": "cyan",
}
"""How a cell looks that says just this."""


@attrs.frozen
class Output:
    """Where a command prints. What it prints is JSON only, or meant for people only."""

    json: bool
    _console: Console | None

    def say(self, text: str = "") -> None:
        """Print a line for people."""
        if self.json:
            return
        if self._console is None:
            print(text)
        else:
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def note(self, text: str) -> None:
        """Print a line on standard error, in every form."""
        print(text, file=sys.stderr, flush=True)

    def flush(self) -> None:
        """Pass on what was printed, to a pipe too."""
        sys.stdout.flush()

    def object(self, value: Mapping[str, Any]) -> None:
        """Print one object for programs, on one line."""
        if self.json:
            print(to_json(value), flush=True)

    def fields(self, title: str, rows: Sequence[tuple[str, str]]) -> None:
        """Print names with their values."""
        if title:
            self.say(title)
        width = max((len(name) for name, _ in rows), default=0)
        for name, value in rows:
            self.say(f"  {name:<{width}}  {value}".rstrip())

    def table(self, heads: Row, rows: Sequence[Row]) -> None:
        """Print rows below their heads; the last column may be cut on a terminal."""
        if self.json or not rows:
            return
        if self._console is not None:
            self._rich(heads, rows)
            return
        widths = [max(len(row[n]) for row in (heads, *rows)) for n in range(len(heads))]
        for row in (heads, *rows):
            cells = (
                cell.rjust(width) if head in RIGHT else cell.ljust(width)
                for head, cell, width in zip(heads, row, widths, strict=True)
            )
            print("  ".join(cells).rstrip())

    def _rich(self, heads: Row, rows: Sequence[Row]) -> None:
        assert self._console is not None
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold")
        for n, head in enumerate(heads):
            last = n + 1 == len(heads)
            table.add_column(
                head, justify="right" if head in RIGHT else "left", no_wrap=not last,
                overflow="fold" if n == 0 or last else "ellipsis",
            )  # fmt: skip
        for row in rows:
            table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
        self._console.print(table)


def open_output(*, json: bool, color: bool) -> Output:
    """Return an output that fits standard output."""
    printed: object = sys.stdout
    if isinstance(printed, io.TextIOWrapper):
        printed.reconfigure(errors="backslashreplace")  # in a locale that has no "…"
    if not json and sys.stdout.isatty():
        with suppress(ImportError):
            from rich.console import Console

            plain = not color or bool(os.environ.get("NO_COLOR"))
            return Output(json, Console(highlight=False, no_color=plain, emoji=False))
    return Output(json, None)


def cell(value: object, most: int | None = None) -> str:
    """Return a value of a task, which is not trusted, as it may be printed; "-" for None or ""."""
    return "-" if value is None or value == "" else shown(str(value), most)
