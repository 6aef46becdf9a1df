"""Small drawings beside numbers: sparklines, slots, bars against a target, shares."""

from __future__ import annotations

from collections.abc import Sequence
from math import log10

from markupsafe import Markup

from rediq_trio.observe.words import count
from rediq_trio.web.drawing import svg

CELLS_MAX = 48
"""Slots that are drawn as a cell each."""
ROW_MAX = 24
"""Cells in a row."""
BULLET_LOW, BULLET_HIGH = 0.01, 1000.0
"""Seconds at the ends of a bar against a target."""


def spark(
    values: Sequence[float | None],
    ink: str = "plain",
    *,
    width: float = 96,
    height: float = 20,
    bars: bool = False,
    label: str = "",
) -> Markup:
    """Draw values to their own scale, the newest at the right: a line, or bars for events.

    None is a value that is not known: the line is broken there.
    """  # fmt: skip
    known = [value for value in values if value is not None]
    top = max(known, default=0.0) or 1.0
    kind = f"spark {ink}"
    if bars:
        return svg.picture(kind, width, height, _spark_bars(values, top, width, height), label)
    count_of = max(1, len(values) - 1)
    runs: list[list[svg.LinePoint]] = [[]]
    for n, value in enumerate(values):
        if value is None:
            runs.append([])
            continue
        runs[-1].append((n * (width - 4) / count_of, height - 3 - (height - 6) * value / top))
    drawn: list[str] = []
    for run in (some for some in runs if some):
        drawn.append(svg.fill(svg.ground(run, height)))
        drawn.append(svg.stroke(run))
    if values and values[-1] is not None:
        x, y = runs[-1][-1]
        drawn.append(f'<circle cx="{svg.number(x)}" cy="{svg.number(y)}" r="2"/>')
    return svg.picture(kind, width, height, drawn, label)


def _spark_bars(
    values: Sequence[float | None], top: float, width: float, height: float
) -> list[str]:
    step = width / max(1, len(values))
    drawn: list[str] = []
    for n, value in enumerate(values):
        if value:
            tall = max(1.0, (height - 2) * value / top)
            drawn.append(svg.rect(n * step, height - tall, max(step - 1, 1), tall))
    y, known = svg.number(height - 0.5), [n for n, value in enumerate(values) if value is not None]
    line = "".join(f"M{svg.number(n * step)} {y}h{svg.number(step)}" for n in known)
    if len(known) == len(values):
        line = f"M0 {y}H{svg.number(width)}"
    drawn.append(f'<path class="base" d="{line}"/>')
    return drawn


def slots(
    used: int, total: int, *, ahead: int = 0, ink: str = "active", width: float = 120
) -> Markup:
    """Draw slots: a cell each up to 48, above that a bar. `ahead` are claimed and have not begun."""
    label = f"{count(used)} of {count(total)} slots in use"
    if ahead:
        label += f", {count(ahead)} claimed ahead"
    if not 0 < total <= CELLS_MAX:
        wide = width * min(1.0, used / max(total, 1))
        bar = [svg.rect(0, 2, width, 8, 'class="trough"'), svg.rect(0, 2, wide, 8)]
        return svg.picture(f"slots {ink}", width, 12, bar, label)
    rows = 1 if total <= ROW_MAX else 2
    in_row = -(-total // rows)
    cell, tall = width / in_row, 12 / rows
    drawn: list[str] = []
    for n in range(total):
        look = "" if n < used else 'fill-opacity=".4"' if n < used + ahead else 'class="free"'
        x, y = n % in_row * cell + 0.5, n // in_row * tall + 0.5
        drawn.append(svg.rect(x, y, cell - 1.5, tall - 1.5, look))
    return svg.picture(f"slots {ink}", width, 12, drawn, label)


def bullet(value: float, goal: float | None, *, width: float = 104) -> Markup:
    """Draw a duration against its target on a logarithmic scale: over it amber, over twice red."""
    ink = "plain" if not goal or value <= goal else "retry" if value <= 2 * goal else "dead"

    def x(seconds: float) -> float:
        reach = log10(BULLET_HIGH / BULLET_LOW)
        inside = min(max(seconds, BULLET_LOW), BULLET_HIGH)
        return width * log10(inside / BULLET_LOW) / reach

    drawn = [svg.rect(0, 5, width, 4, 'class="trough"'), svg.rect(0, 4, max(1.0, x(value)), 6)]
    if goal:
        drawn.append(f'<path class="ref" d="M{svg.number(x(goal))} 1V13"/>')
    return svg.picture(f"bullet {ink}", width, 14, drawn)


def share(part: float, whole: float, *, ink: str = "active", width: float = 80) -> Markup:
    """Draw how much of a whole is taken."""
    wide = width * min(1.0, max(0.0, part) / whole) if whole else 0.0
    drawn = [svg.rect(0, 0, width, 8, 'class="trough"'), svg.rect(0, 0, wide, 8)]
    return svg.picture(f"slots {ink}", width, 8, drawn)

