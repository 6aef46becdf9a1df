"""Scales: from values to pixels, with the lines of the grid in round numbers."""

from __future__ import annotations

from collections.abc import Callable
from math import floor, log10

import attrs

from rediq_trio.observe.words import count, duration, rate

APART = 22.0
"""Pixels between two lines of a grid, at least."""
_ROUND = (1.0, 2.0, 5.0)
_DURATIONS = (0.001, 0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 36_000.0, 864_000.0, 8_640_000.0)
"""Durations that are round in words."""


@attrs.frozen
class Scale:
    """A scale along y: pixels grow downwards."""

    y: Callable[[float], float]
    """Returns the pixel of a value."""
    lines: tuple[tuple[float, str], ...] = ()
    """The pixel of each line of the grid, and what is written beside it."""


def linear(peak: float, top: float, floor_at: float, said: Callable[[float], str]) -> Scale:
    """Return a scale from 0 at the pixel `floor_at` to `peak` at `top`, with up to four lines."""
    high = peak or 1.0

    def y(value: float) -> float:
        return floor_at - (floor_at - top) * min(max(value, 0.0), high) / high

    if not peak:
        return Scale(y)
    step = round_step(peak, max(1, int((floor_at - top) // APART)))
    values = [step * n for n in range(1, int(peak / step + 1e-9) + 1)]
    return Scale(y, tuple((y(value), said(value)) for value in values[:5]))


def round_step(peak: float, most: int) -> float:
    """Return the smallest of 1, 2 or 5 times a power of ten that fits `most` times into `peak` at most."""
    power = 10.0 ** floor(log10(peak / most))
    return next(
        (
            step
            for factor in (*_ROUND, 10.0)
            if (step := factor * power) * most >= peak * (1 - 1e-9)
        ),
        10 * power,
    )


def whole(peak: float, top: float, floor_at: float) -> Scale:
    """Return a linear scale of things that are counted: no line lies between two whole numbers."""
    found = linear(peak, top, floor_at, lambda value: count(round(value)))
    if peak >= 2 or not peak:
        return found
    return Scale(found.y, ((found.y(1.0), "1"),) if peak >= 1 else ())


def rates(peak: float, top: float, floor_at: float) -> Scale:
    """Return a linear scale of rates, round in the unit in which they are said: /s, /min or /h."""
    unit = 1.0 if peak >= 0.95 else 1 / 60 if peak * 60 >= 0.95 else 1 / 3600
    found = linear(peak / unit, top, floor_at, lambda value: rate(value * unit))
    return Scale(lambda value: found.y(value / unit), found.lines)


def durations(low: float, high: float, top: float, floor_at: float) -> Scale:
    """Return a logarithmic scale of durations from `low` to `high` seconds, both above 0."""
    first = max((each for each in _DURATIONS if each <= low), default=_DURATIONS[0])
    last = min((each for each in _DURATIONS if each >= high), default=max(high, _DURATIONS[-1]))
    if last / first < 100:
        first, last = first / 10, max(last, first * 10)
    reach = log10(last / first)

    def y(value: float) -> float:
        part = log10(min(max(value, first), last) / first) / reach
        return floor_at - (floor_at - top) * part

    lines: list[tuple[float, str]] = []
    for each in _DURATIONS:
        if first <= each <= last and (not lines or lines[-1][0] - y(each) >= APART):
            lines.append((y(each), duration(each)))
    return Scale(y, tuple(lines))
