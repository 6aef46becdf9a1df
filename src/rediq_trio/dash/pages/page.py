"""ScreenPage: a head, a table with a cursor, and what is below; one for each tab, and one for each thing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import attrs

from rediq_trio.client import Client
from rediq_trio.dash.changed import ShownNumbers
from rediq_trio.dash.seen import Seen
from rediq_trio.dash.text import Column, ScreenLine, TableRow
from rediq_trio.values.hiding import Hiding

T = TypeVar("T")
Orders = tuple[Callable[[T], Any], ...]
"""The keys of the orders that a table has."""


@attrs.frozen
class KeyAct:
    """What a key does on a page."""

    key: str
    """One character; a capital one destroys, and asks first."""
    label: str
    begin: Callable[[Seen], ScreenPage | None]
    """Does it; may return a page to show."""
    changes: bool = True
    """Whether it changes something in Redis."""


class ScreenPage:
    """What every page has; each of them overrides what is different."""

    name = ""
    """Its name, for the help."""
    columns: tuple[Column, ...] = ()
    filters_names = True
    """Whether a filter chooses among the rows by name, as it is typed."""
    sorts: tuple[str, ...] = ("",)
    """The orders of its rows, by name."""
    least_below = 0
    """How many lines below its table are shown before the table gets more."""
    counts_reads = False
    """Whether its numbers come from `read`, rather than from the view of the fleet."""

    def __init__(self) -> None:
        self.cursor = ""
        """The key of the row where the cursor is."""
        self.at = 0
        """The number of that row, for when it has gone."""
        self.was_moved = False
        """Whether a key was pressed here; until then the cursor is at the first row, whichever that is."""
        self.top = 0
        """The number of the first row that is shown."""
        self.filter = ""
        self.sort = 0
        self.chosen: set[str] = set()
        """The keys of the selected rows."""
        self.was_shown = False
        """Whether its data was read once."""
        self.reads = 0
        """How often its data was read."""
        self.numbers = ShownNumbers()
        self.missing = ""
        """Why its data could not be read."""

    async def read(self, client: Client, hide: Hiding) -> None:
        """Read what the view of the fleet does not have, with what `hide` hides replaced.

        May be cancelled at any point.
        """

    def head(self, seen: Seen, width: int) -> list[ScreenLine]:
        """Return the lines above the table."""
        return []

    def rows(self, seen: Seen) -> list[TableRow]:
        """Return all rows, in order."""
        return []

    def below(self, seen: Seen, width: int, room: int) -> list[ScreenLine]:
        """Return at most `room` lines for below the table."""
        return []

    def acts(self, seen: Seen) -> Sequence[KeyAct]:
        """Return what the keys of this page do, besides those of every page."""
        return ()

    def enter(self, seen: Seen) -> ScreenPage | None:
        """Return the page of what the cursor is on."""
        return None

    def sideways(self, step: int) -> bool:
        """Go to what is beside; return whether something else has to be read."""
        return False

    def set_filter(self, text: str) -> None:
        """Show only rows that fit; raise `ConfigError` for a text that cannot be read."""
        self.filter = text
        self.top = 0

    def sort_next(self) -> None:
        """Take the next order."""
        self.sort = (self.sort + 1) % len(self.sorts)

    def shown_rows(self, seen: Seen) -> list[TableRow]:
        """Return the rows that the filter leaves."""
        rows = self.rows(seen)
        if not self.filter or not self.filters_names:
            return rows
        wanted = self.filter.casefold()
        return [row for row in rows if any(wanted in cell.text.casefold() for cell in row.cells)]

    def here(self, rows: Sequence[TableRow]) -> str:
        """Return the key of the row where the cursor is; "" if there is none."""
        if not rows:
            return ""
        keys = [row.key for row in rows]
        if self.cursor in keys and (self.was_moved or self.at):
            self.at = keys.index(self.cursor)
        else:
            self.at = min(self.at, len(keys) - 1)
            self.cursor = keys[self.at]
        return self.cursor

    def move(self, rows: Sequence[TableRow], by: int) -> None:
        """Move the cursor down by so many rows."""
        if rows:
            self.here(rows)
            self.at = min(len(rows) - 1, max(0, self.at + by))
            self.cursor = rows[self.at].key

    def choose(self, rows: Sequence[TableRow]) -> None:
        """Select the row of the cursor, or no longer; and go to the next."""
        if key := self.here(rows):
            self.chosen ^= {key}
            self.move(rows, 1)

    def id_here(self, seen: Seen) -> str | None:
        """Return the name of what the cursor is on, for the clipboard."""
        return self.here(self.shown_rows(seen)) or None
