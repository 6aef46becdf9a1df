"""How fast a queue has moved in the last minute, from its series."""

from __future__ import annotations

from rediq_trio.spec.history.samples import (
    GAP_MS,
    SAMPLE_GAP,
    SAMPLE_STEP_MS,
    SERIES_COUNTS,
    SeriesRead,
)

_RECENT_STEPS = 60_000 // SAMPLE_STEP_MS
RATE_SINCE_MS = -60_000 - SAMPLE_STEP_MS
"""What to read of a series, as its `since_ms`."""
_ENDED_COUNTS = (SERIES_COUNTS.index("completed"), SERIES_COUNTS.index("failed"))


def recent_rate(read: SeriesRead) -> float | None:
    """Return how many attempts ended per second in the last minute; None if nobody has looked."""
    begin = read.now_ms // SAMPLE_STEP_MS - _RECENT_STEPS
    recent = [one for one in read.samples if one.step > begin]
    unseen = [read.totals[n] - read.last.numbers[n] for n in _ENDED_COUNTS]
    since_ms = read.now_ms - read.last.step * SAMPLE_STEP_MS
    if read.last.step < 0 or min(unseen) < 0 or (any(unseen) and since_ms > GAP_MS):
        return None
    if any(one.mark == SAMPLE_GAP for one in recent):
        return None
    ended = sum(unseen) + sum(one.numbers[n] for one in recent for n in _ENDED_COUNTS)
    return ended * 1000 / (read.now_ms - begin * SAMPLE_STEP_MS)
