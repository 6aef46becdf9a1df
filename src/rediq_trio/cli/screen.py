"""The output of the command line: bars and tables of rich on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from rich.console import Console

Advance = Callable[[int], None]
"""Sets a bar to the total that is done."""
Rows = Sequence[tuple[str, str]]

PLAIN_EVERY = 2.0
"""Seconds between two lines of a plain bar."""


@attrs.frozen
class PlainScreen:
    """Lines of text; nothing at all if it is quiet."""

    quiet: bool = False

    def say(self, text: str) -> None:
        """Show one line."""
        if not self.quiet:
            print(text, flush=True)

    @contextmanager
    def bars(self, totals: dict[str, int]) -> Generator[dict[str, Advance]]:
        """Show a bar for each name while the block lasts."""
        yield {name: _plain_bar(self, name, total) for name, total in totals.items()}

    def table(self, title: str, rows: Rows) -> None:
        """Show names with their values."""
        self.say(f"\n{title}")
        width = max((len(name) for name, _ in rows), default=0)
        for name, value in rows:
            self.say(f"  {name:<{width}}  {value}")


def _plain_bar(screen: PlainScreen, name: str, total: int) -> Advance:
    shown, at = -1, time.monotonic()

    def advance(done: int) -> None:
        nonlocal shown, at
        now = time.monotonic()
        if done != shown and (done >= total or now - at > PLAIN_EVERY):
            shown, at = done, now
            screen.say(f"{name}: {done:,} of {total:,}")

    return advance


@attrs.frozen
class RichScreen:
    """A terminal, with rich; the methods are those of `PlainScreen`."""

    _console: Console

    def say(self, text: str) -> None:
        self._console.print(text, markup=False)

    @contextmanager
    def bars(self, totals: dict[str, int]) -> Generator[dict[str, Advance]]:
        from rich import progress

        columns = (
            progress.TextColumn("  {task.description:<9}"),
            progress.BarColumn(bar_width=40),
            progress.MofNCompleteColumn(),
            progress.TaskProgressColumn(show_speed=True),
            progress.TimeElapsedColumn(),
        )
        with progress.Progress(*columns, console=self._console) as shown:

            def bar(name: str, total: int) -> Advance:
                task = shown.add_task(name, total=total)
                return lambda done: shown.update(task, completed=done)

            yield {name: bar(name, total) for name, total in totals.items()}

    def table(self, title: str, rows: Rows) -> None:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        shown = Table(box=box.SIMPLE, show_header=False, title=title, title_justify="left",
                      title_style="bold", pad_edge=True)  # fmt: skip
        shown.add_column(style="cyan", no_wrap=True)
        shown.add_column(overflow="fold")
        for name, value in rows:
            shown.add_row(name, Text(value))
        self._console.print(shown)


Screen = PlainScreen | RichScreen


def open_screen(*, quiet: bool = False, color: bool = True) -> Screen:
    """Return a screen that fits standard output."""
    if not quiet and sys.stdout.isatty():
        with suppress(ImportError):
            from rich.console import Console

            return RichScreen(Console(highlight=False, no_color=None if color else True))
    return PlainScreen(quiet)
