"""Whether a figure grows: the Theil-Sen slope, and between which slopes it certainly is.

The median of the slopes of all pairs does not care for outliers (Theil 1950, Sen 1968). Its
confidence interval is between the pairs' slopes at ranks that follow from the variance of
Kendall's S, without ties, `n (n - 1) (2 n + 5) / 18`.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from itertools import combinations

import attrs

Z = 2.576
"""Of a confidence of 99 %, on both sides."""
LEAST = 8
"""Points that a trend needs."""


@attrs.frozen
class Trend:
    """How a figure moves, per minute."""

    slope: float
    low: float
    high: float
    rise: float
    """Of the line, over all of the time."""


def trend(points: Sequence[tuple[float, float]]) -> Trend:
    """Fit a line to points, each of seconds and a value; raise `ValueError` for too few."""
    if len(points) < LEAST:
        raise ValueError(f"{len(points)} points, and a trend needs {LEAST}")
    slopes = sorted(
        (after[1] - before[1]) / (after[0] - before[0]) * 60
        for before, after in combinations(points, 2)
    )
    count, n = len(slopes), len(points)
    width = Z * math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    low = slopes[max(0, math.floor((count - width) / 2))]
    high = slopes[min(count - 1, math.ceil((count + width) / 2))]
    slope = statistics.median(slopes)
    return Trend(slope, low, high, slope * (points[-1][0] - points[0][0]) / 60)
