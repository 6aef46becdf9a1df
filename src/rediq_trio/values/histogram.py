"""Histogram: how often which values were seen, in buckets whose bounds never change."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

import attrs

from rediq_trio.values.chance import wall

DURATION_BOUNDS = (
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0,
    120.0, 300.0, 600.0, 900.0, 1200.0, 1800.0, 3600.0,
)  # fmt: skip
"""Upper bounds of the buckets of durations, in seconds, from 1 ms to 1 h."""
SIZE_BOUNDS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
"""Upper bounds of the buckets of numbers of items."""


@attrs.frozen
class Exemplar:
    """A value of a bucket that belongs to a trace."""

    trace_id: str
    value: float
    seen_at: float
    """When it was seen, in seconds of Unix time."""


@attrs.define(eq=False)
class Histogram:
    """Counts values. Added to by one thread; read by any, which may miss the last values."""

    bounds: Sequence[float] = DURATION_BOUNDS
    """The upper bounds of the buckets, which include them. A last bucket has no bound."""
    counts: list[int] = attrs.field(init=False)
    """How many values each bucket has, and no other."""
    total: float = 0.0
    """The sum of all values."""
    exemplars: dict[int, Exemplar] = attrs.field(factory=dict[int, Exemplar])
    """The last value of each bucket that belongs to a trace, by the index of the bucket."""

    def __attrs_post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def add(self, value: float, trace_id: str | None = None) -> None:
        """Count a value."""
        bucket = bisect_left(self.bounds, value)
        self.counts[bucket] += 1
        self.total += value
        if trace_id is not None:
            self.exemplars[bucket] = Exemplar(trace_id, value, wall())

    def plus(self, other: Histogram) -> Histogram:
        """Return the sum of two histograms with the same bounds; exemplars are those of the second."""
        found = Histogram(self.bounds, total=self.total + other.total)
        found.counts = [a + b for a, b in zip(self.counts[:], other.counts[:], strict=True)]
        found.exemplars = self.exemplars | other.exemplars
        return found

    def cumulative(self) -> list[int]:
        """Return how many values each bucket and those before it have; the last is the number of all."""
        # Copied at once, so that the numbers fit each other while another thread adds.
        return list(accumulate(self.counts[:]))
