"""Lines of the screen: spans of text with a role, cut and filled to the cells of a terminal.

Every text on the screen passes `TextSpan`, which writes control characters as escapes: so nothing that a
task carries is obeyed by the terminal, wherever it is shown.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import attrs
from rich.cells import cell_len, set_cell_size

from rediq_trio.observe.words import count, shown

STEPS = "▁▂▃▄▅▆▇█"
EIGHTHS = " ▏▎▍▌▋▊▉█"
BAR_CELLS = 10


@attrs.frozen
class TextSpan:
    """Text in one style."""

    text: str = attrs.field(converter=shown)
    """One line; control characters become escapes."""
    role: str = ""
    """What it means, as `palette` knows it; "" for plain text."""
    number: str = ""
    """Names the number that it is, on its page; "" for what is none, or always moves, like an age."""
    changed: bool = False
    """Whether the number is another one than in the view before."""

    @property
    def cells(self) -> int:
        """How many columns of a terminal it takes."""
        return cell_len(self.text)


ScreenLine = tuple[TextSpan, ...]
"""One line of the screen."""


def line(*parts: TextSpan | str) -> ScreenLine:
    """Return a line of spans; a plain text is a span without a role."""
    return tuple(part if isinstance(part, TextSpan) else TextSpan(part) for part in parts)


def width_of(spans: Iterable[TextSpan]) -> int:
    """Return how many columns a line takes."""
    return sum(span.cells for span in spans)


def cut(text: str, cells: int) -> str:
    """Return text of at most so many columns; what is longer ends with an ellipsis."""
    text = shown(text)
    if cell_len(text) <= cells:
        return text
    return set_cell_size(text, max(0, cells - 1)).rstrip() + "…" if cells else ""


def tail(text: str, cells: int) -> str:
    """Return the end of a text, of at most so many columns; what is longer begins with an ellipsis."""
    text = shown(text)
    if cell_len(text) <= cells:
        return text
    while cell_len(text) >= max(1, cells):
        text = text[1:]
    return f"…{text}"


def fitted(spans: ScreenLine, cells: int) -> ScreenLine:
    """Return a line of exactly so many columns: cut with an ellipsis, or filled with spaces."""
    room, found = cells, list[TextSpan]()
    for span in spans:
        text = cut(span.text, room)
        if text:
            found.append(attrs.evolve(span, text=text))
            room -= found[-1].cells
        if text != span.text:
            break
    if room > 0:
        found.append(TextSpan(" " * room))
    return tuple(found)


def apart(left: ScreenLine, right: ScreenLine, cells: int) -> ScreenLine:
    """Return two texts at both ends of a line; the left one is cut where there is no room."""
    room = cells - width_of(right)
    if room < 2:
        return fitted(left, cells)
    return (*fitted(left, room), *right)


def under(base: Sequence[ScreenLine], box: Sequence[ScreenLine], cells: int) -> list[ScreenLine]:
    """Return lines with a box drawn over the middle of them."""
    wide = max(map(width_of, box), default=0)
    top, left = max(0, (len(base) - len(box)) // 2), max(0, (cells - wide) // 2)
    made = list(base)
    for n, each in enumerate(box[: len(base) - top], top):
        whole = fitted(base[n], cells)
        made[n] = (*between(whole, 0, left), *each, *between(whole, left + wide, cells))
    return made


def between(spans: ScreenLine, first: int, last: int) -> ScreenLine:
    """Return the columns from `first` to before `last`; half of a wide character is a space."""
    found, at = list[TextSpan](), 0
    for span in spans:
        text = ""
        for character in span.text:
            wide = cell_len(character)
            if at >= first and at + wide <= last:
                text += character
            else:
                text += " " * max(0, min(at + wide, last) - max(at, first))
            at += wide
        if text:
            found.append(attrs.evolve(span, text=text))
    return tuple(found)


def sparkline(numbers: Sequence[float], cells: int) -> str:
    """Return the last numbers as steps of eight heights, each line to its own scale.

    More numbers than columns are averaged; fewer stand at the right.
    """
    values = averaged(numbers, cells)
    most = max(values, default=0)
    marks = "".join(STEPS[_step(value, most)] for value in values)
    return marks.rjust(cells)


def _step(value: float, most: float) -> int:
    return 0 if most <= 0 else min(7, int(max(0.0, value) / most * 7.999))


def averaged(numbers: Sequence[float], cells: int) -> list[float]:
    """Return at most `cells` numbers, each the mean of those that it stands for."""
    if len(numbers) <= cells:
        return list(numbers)
    edges = [len(numbers) * n // cells for n in range(cells + 1)]
    return [sum(numbers[first:last]) / (last - first) for first, last in itertools.pairwise(edges)]


def short(number: int, cells: int) -> str:
    """Return a number that fits: "1,204", and "1,204 k" or "1.2 M" where that is too wide."""
    text = count(number)
    for unit, each in (("k", 1_000), ("M", 1_000_000), ("G", 1_000_000_000)):
        if len(text) <= cells:
            break
        text = f"{number / each:,.0f} {unit}"
    return text


def bar(share: float, cells: int = BAR_CELLS) -> str:
    """Return a share of 1 as a bar, to an eighth of a column."""
    eighths = round(min(1.0, max(0.0, share)) * cells * 8)
    whole, rest = divmod(eighths, 8)
    drawn = "█" * whole + (EIGHTHS[rest] if rest else "")
    return drawn.ljust(cells, "░")


@attrs.frozen
class Column:
    """A column of a table."""

    head: str
    cells: int = 0
    """How wide it is; 0 for what the others leave."""
    right: bool = False
    since: int = 0
    """The width of the screen from which it is shown."""
    counts: bool = False
    """Whether its cells are numbers that are bold for one view when they change."""


@attrs.frozen
class TableRow:
    """A row of a table."""

    key: str
    """Names what it is about: a queue, a full id."""
    cells: tuple[TextSpan, ...]
    """One for each column."""
    mark: TextSpan = TextSpan(" ")
    """One column before the first cell."""


def shown_columns(columns: Sequence[Column], cells: int) -> list[tuple[int, Column, int]]:
    """Return the columns that a screen has room for: the number of each, and how wide it is."""
    chosen = [(n, each) for n, each in enumerate(columns) if each.since <= cells]
    fixed = sum(each.cells for _, each in chosen) + len(chosen) - 1 + 3
    free = [each for _, each in chosen if not each.cells]
    left = max(8 * len(free), cells - 1 - fixed)
    share = left // len(free) if free else 0
    return [(n, each, each.cells or share) for n, each in chosen]


def heads(columns: Sequence[Column], cells: int) -> ScreenLine:
    """Return the line above a table."""
    texts = [
        (each.head.rjust if each.right else each.head.ljust)(wide)[:wide]
        for _, each, wide in shown_columns(columns, cells)
    ]
    return (TextSpan("   " + " ".join(texts), "faint"),)


def table_row(
    row: TableRow, columns: Sequence[Column], cells: int, *, here: bool, chosen: bool
) -> ScreenLine:
    """Return a row of a table; `here` is the cursor's, `chosen` one that was selected."""
    spans = [
        TextSpan("▌" if here else " ", "bar"),
        TextSpan("×", "chosen") if chosen else row.mark,
        TextSpan(" "),
    ]
    for place, (n, column, wide) in enumerate(shown_columns(columns, cells)):
        text = cut(row.cells[n].text, wide)
        room = " " * (wide - cell_len(text))
        filled = room + text if column.right else text + room
        number = f"{column.head} of {row.key}" if column.counts else ""
        spans.append(
            attrs.evolve(row.cells[n], text=" " * bool(place) + filled, number=number)
        )
    return fitted(tuple(spans), cells)
