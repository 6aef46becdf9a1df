"""What a queue keeps of its series: its numbers every 10 seconds, every minute and every 10 minutes.

A sample belongs to the step at whose end it is taken. Its counts are what happened since the sample
before, its gauges are what there is at that instant. A longer step has the sum of the counts, and the
last of the gauges.

A step without a sample changed nothing. So that this differs from a step that nobody saw, each
sample has a predecessor in the step before it, or a mark: `SAMPLE_CARRIED` for one that repeats the gauges of
the last sample, however long ago that was, and `SAMPLE_GAP` for one before which nobody looked.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import attrs

SERIES_COUNTS = ("enqueued", "completed", "failed", "deaths")
"""What is counted, in the order of a sample's numbers."""
COUNTS_SIZE = len(SERIES_COUNTS)
SERIES_GAUGES = (
    "pending", "scheduled", "active", "retry", "blocked", "grouped", "dead", "oldest_s",
)  # fmt: skip
"""What is measured, after the counts: sizes, and when the oldest pending task was due, in seconds; 0
for none."""
SERIES_NUMBERS = (*SERIES_COUNTS, *SERIES_GAUGES)

SERIES_FORMAT = 1
"""The format of what is stored; a newer one is left alone."""
SAMPLE_STEP_MS = 10_000
"""The shortest step, in which a queue is sampled once at most."""
STEPS_OF = (1, 6, 60)
"""How many of the shortest steps a step of each level has: 10 s, 1 min, 10 min."""
STEPS_PER_CHUNK = 60
"""Steps that are stored together."""
CHUNKS_KEPT = (6, 24, 72)
"""Chunks of each level that are kept before the one in progress: 1 h, 24 h, 30 days."""
GAP_MS = 30_000
"""For how long a queue may change without being seen before that is a gap."""
BACK_STEPS = 6
"""Steps by which the clock may go back, and the next sample merely waits until it has caught up."""
SAMPLE_MAX = 2**32 - 1
"""The highest number of a sample; what is higher is kept as this."""
SAMPLE_GAP, SAMPLE_CARRIED = 1, 2
"""The marks of samples."""
NEVER_SEEN_MS = 2**40
"""How long a queue was not looked at, for a worker that never did."""


@attrs.frozen
class Sample:
    """What is kept of one step of a queue."""

    step: int
    """The number of the step: it ends at this times its length."""
    numbers: tuple[int, ...]
    """In the order of `SERIES_NUMBERS`."""
    mark: int = 0
    """`SAMPLE_GAP`, `SAMPLE_CARRIED` or 0."""


@attrs.frozen
class LastSample:
    """The last sample of a queue: its totals and gauges, exact."""

    step: int
    numbers: tuple[int, ...]


NO_SAMPLE = LastSample(-1, (0,) * len(SERIES_NUMBERS))


@attrs.frozen
class QueueSeries:
    """The series of a queue."""

    last: LastSample = NO_SAMPLE
    chunks: Mapping[tuple[int, int], tuple[Sample, ...]] = MappingProxyType({})
    """Level and number of a chunk -> its samples, the newest first."""


NO_SERIES = QueueSeries()


@attrs.frozen
class Sampled:
    """The answer to `sample`."""

    step: int
    """The step of the last sample; -1 for none."""
    next_in_ms: int | None
    """Milliseconds until the next sample may be taken; None if nothing has changed, and nothing will
    without a signal."""
    begins: bool = False
    """Whether this call took the first sample of a chunk of the shortest steps."""


@attrs.frozen
class SeriesRead:
    """Samples of one level of a queue, read at one instant."""

    now_ms: int
    level: int
    samples: tuple[Sample, ...]
    """The oldest first."""
    last: LastSample
    totals: tuple[int, ...]
    """The totals now, in the order of `SERIES_COUNTS`."""


def step_ms(level: int) -> int:
    """Return the length of a step of a level."""
    return STEPS_OF[level] * SAMPLE_STEP_MS


def span_ms(level: int) -> int:
    """Return how far back a level goes at least."""
    return CHUNKS_KEPT[level] * STEPS_PER_CHUNK * step_ms(level)
