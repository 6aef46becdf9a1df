"""The whole screen as lines: the frame of every page, its table, and what lies over it.

Two lines above and two below are the same on each page. Pure: it reads the board, and changes only
where the table is scrolled to, and which numbers were shown.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from rediq_trio.dash.board import LEAST, Board
from rediq_trio.dash.pages.page import ScreenPage
from rediq_trio.dash.pages.queue_rows import ago, at_clock
from rediq_trio.dash.pages.tabs import TABS
from rediq_trio.dash.question import AskedQuestion
from rediq_trio.dash.text import (
    ScreenLine,
    TableRow,
    TextSpan,
    apart,
    cut,
    fitted,
    heads,
    line,
    table_row,
    tail,
    under,
)
from rediq_trio.observe.words import shown

KEYS_EVERYWHERE = (
    ("1 to 7", "tabs"), ("j k, arrows", "move"), ("h l", "the state beside"), ("Enter", "open"),
    ("Esc", "back"), ("/", "filter"), (":", "go to a queue, a worker or a task's id"),
    ("space", "select"), ("s", "sort"), ("y", "copy the id"), (".", "freeze, go on"),
    ("q", "leave, from the top"),
)  # fmt: skip
"""The keys of every page."""


@attrs.frozen
class DrawnScreen:
    """A drawn screen."""

    lines: tuple[ScreenLine, ...]
    cursor: int | None = None
    """The line of the cursor, which has a ground of its own."""
    rows_from: int = 0
    """The line of the first row of the table."""
    rows_to: int = 0
    """The line after the last one."""
    top: int = 0
    """The number of the first row that is shown."""
    tabs: tuple[tuple[int, int], ...] = ()
    """The first column of each tab, and the one after it."""
    stale: tuple[int, int] = (0, 0)
    """The first line of numbers that are not of now, and the one after them."""


def draw(board: Board, width: int, height: int) -> DrawnScreen:
    """Return the screen at a size; a line that says what size it needs, if it is too small."""
    if width < LEAST[0] or height < LEAST[1]:
        text = f"rediq dash needs {LEAST[0]} x {LEAST[1]}; this is {width} x {height}. q leaves"
        rest = [fitted(line(), width)] * max(0, height - 1)
        return DrawnScreen((fitted(line(text), width), *rest))
    board.height = height
    tabs, places = _tabs(board)
    rule = line(TextSpan("─" * width, "rule"))
    body, at = _body(board, width, height - 5)
    lines = [_top(board, width), tabs, rule, *body, rule, _foot(board, width)]
    if board.help:
        lines = under(lines, _boxed("Keys", _help(board), width), width)
    elif board.question is not None:
        lines = under(lines, _question(board.question, width), width)
    banner = 3 + int(board.away)
    return attrs.evolve(
        at,
        lines=tuple(fitted(each, width) for each in lines),
        tabs=places,
        stale=(banner, 3 + len(body)) if board.away else (0, 0),
    )


def _top(board: Board, width: int) -> ScreenLine:
    left = line(TextSpan(" rediq  ", "strong"))
    if board.environment:
        left += line(TextSpan(f"[{board.environment}]", "environment"), TextSpan("  "))
    left += line(TextSpan(board.where, "second"))
    if board.read_only:
        left += line(TextSpan("  read-only", "warning"))
    view = board.view
    if view is None:
        return apart(left, line(TextSpan("reading ", "faint")), width)
    if board.away:
        return apart(left, line(TextSpan(f"⊘ as of {at_clock(view.at)} ", "bad")), width)
    at = at_clock(view.at)
    state = (
        TextSpan(f"‖ frozen at {at}", "warning")
        if board.frozen
        else TextSpan(f"● live {at}", "good")
    )
    alerts = len(board.alerts)
    found = TextSpan(f"   ▲ {alerts} ", "bad") if alerts else TextSpan("   no alert ", "faint")
    return apart(left, line(state, found), width)


def _tabs(board: Board) -> tuple[ScreenLine, tuple[tuple[int, int], ...]]:
    spans, places, at = list[TextSpan](), list[tuple[int, int]](), 0
    for n, name in enumerate(TABS):
        here = n == board.tab
        text = f"[{n + 1} {name}]" if here else f" {n + 1} {name} "
        spans.append(TextSpan(text, "tab" if here else "second"))
        places.append((at, at + len(text)))
        at += len(text)
    return tuple(spans), tuple(places)


def _body(board: Board, width: int, room: int) -> tuple[list[ScreenLine], DrawnScreen]:
    page = board.page
    head = [*_banner(board), *page.head(board, width)]
    if page.missing and not board.away:
        head = [line(TextSpan(f" {page.missing}", "bad")), *head]
    head = head[: room - 4]
    rows = page.shown_rows(board)
    here = page.here(rows)
    titled = any(column.head for column in page.columns) and bool(rows)
    left = room - len(head) - int(titled)
    high = min(len(rows), max(3, left - page.least_below))
    if rows and not titled and page.least_below == 0 and not page.below(board, width, 2):
        high = min(len(rows), left)
    page.top = scrolled(page.top, page.at, high, len(rows))
    shown_rows = rows[page.top : page.top + high]
    table = [_row(page, row, width, here) for row in shown_rows]
    below = page.below(board, width, max(0, left - len(table)))
    body = [*head, *([heads(page.columns, width)] if titled else []), *table, *below]
    if not rows and page.filter and page.filters_names:
        body.append(
            line(TextSpan(f" Nothing fits the filter {page.filter}. Esc shows all", "second"))
        )
    body = body[:room]
    body += [line()] * (room - len(body))
    body = page.numbers.marked(body, page.reads if page.counts_reads else board.views)
    first = 3 + len(head) + int(titled)
    cursor = first + page.at - page.top if rows else None
    return body, DrawnScreen((), cursor, first, first + len(table), page.top)


def _row(page: ScreenPage, row: TableRow, width: int, here: str) -> ScreenLine:
    return table_row(row, page.columns, width, here=row.key == here, chosen=row.key in page.chosen)


def scrolled(top: int, at: int, high: int, total: int) -> int:
    """Return the first row to show, so that row `at` is seen and no room is left empty."""
    top = min(top, at)
    top = max(top, at - high + 1)
    return max(0, min(top, total - high))


def _banner(board: Board) -> list[ScreenLine]:
    view = board.view
    if view is None or view.away is None:
        return []
    since = "" if board.away_since is None else f" for {ago(board.away_since)}"
    return [line(TextSpan(f" ⊘ Redis has been away{since}: ", "bad"), TextSpan(view.away, "bad"))]


def _foot(board: Board, width: int) -> ScreenLine:
    if board.prompt is not None:
        title, last = TextSpan(f" {board.prompt.kind}: ", "strong"), TextSpan(" Enter, Esc ", "faint")
        typed = tail(f"{board.prompt.text}▏", width - title.cells - last.cells)
        return apart(line(title, typed), line(last), width)
    if board.question is not None and not board.said:
        keys = (
            "type the name, then Enter   Esc back" if board.question.named else "y yes   n, Esc no"
        )
        return line(TextSpan(f" {keys}", "second"))
    if board.said:
        return line(TextSpan(f" {board.said}", "bad" if board.refused else "strong"))
    if board.away:
        at = "" if board.view is None else f"numbers are of {at_clock(board.view.at)} UTC "
        return apart(line(" R try now   q leave"), line(TextSpan(at, "faint")), width)
    return _keys(board, width)


def _keys(board: Board, width: int) -> ScreenLine:
    page = board.page
    last = "q leave" if len(board.stacks[board.tab]) == 1 else "Esc back"
    acts = [
        f"{act.key} {act.label}"
        for act in page.acts(board)
        if not (act.changes and board.read_only)
    ]
    found = [
        "Enter open",
        "/ filter",
        *acts,
        "s sort",
        "space select",
        ": go to",
        "y copy id",
        ". freeze",
    ]
    tail = ["? keys", last]
    room = width - sum(len(text) + 2 for text in tail) - 2
    text = ""
    for each in found:
        if len(text) + len(each) + 2 > room:
            break
        text += f"{each}  "
    return line(TextSpan(f" {text}{'  '.join(tail)}", "second"))


def _help(board: Board) -> list[str]:
    page = board.page
    found = [f"{act.key:<12} {act.label}" for act in page.acts(board)]
    orders = f"s            sort: {', '.join(page.sorts)}" if len(page.sorts) > 1 else ""
    common = [f"{key:<12} {what}" for key, what in KEYS_EVERYWHERE if key != "s" or not orders]
    return [
        f"On this page ({page.name})",
        *found,
        *([orders] if orders else []),
        "",
        "Everywhere",
        *common,
    ]


def _question(question: AskedQuestion, width: int) -> list[ScreenLine]:
    texts = list(question.lines)
    if question.named:
        texts += ["", f"Type the queue's name, {shown(question.named, 40)}:  {question.typed}▏"]
    texts += [
        "",
        f"[ {question.button} ]   " + ("Enter   Esc no" if question.named else "y yes   n, Esc no"),
    ]
    return _boxed(question.title, ["", *texts], width)


def _boxed(title: str, texts: Sequence[str], width: int) -> list[ScreenLine]:
    spans = [
        TextSpan(cut(title, width - 8), "strong"),
        *(TextSpan(cut(text, width - 8), "box") for text in texts),
    ]
    wide = max(max(span.cells for span in spans), 40)
    found = [line(TextSpan(f"╭{'─' * (wide + 2)}╮", "box"))]
    for span in spans:
        room = TextSpan(" " * (wide - span.cells), "box")
        found.append(line(TextSpan("│ ", "box"), span, room, TextSpan(" │", "box")))
    return [*found, line(TextSpan(f"╰{'─' * (wide + 2)}╯", "box"))]
