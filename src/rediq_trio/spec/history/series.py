"""The rules of series: when a queue is sampled, how steps become longer ones, and what is a gap.

Any number of workers sample a queue. The first in a step does it, and only if a number has changed.
Each says how long the queue may have changed without being seen by it, and which sample it knows: what
happened while nobody looked, or in samples that a failover lost, belongs to no step.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import attrs

from rediq_trio.spec.history.samples import (
    BACK_STEPS,
    CHUNKS_KEPT,
    COUNTS_SIZE,
    GAP_MS,
    SAMPLE_CARRIED,
    SAMPLE_GAP,
    SAMPLE_MAX,
    SAMPLE_STEP_MS,
    STEPS_OF,
    STEPS_PER_CHUNK,
    LastSample,
    QueueSeries,
    Sample,
    Sampled,
    SeriesRead,
    step_ms,
)
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.order.lanes import oldest_due_ms
from rediq_trio.spec.records import QueueState, by_place

_SIZES = (
    State.PENDING, State.SCHEDULED, State.ACTIVE, State.RETRY, State.BLOCKED, State.GROUPED, State.DEAD,
)  # fmt: skip

_MOVING = (State.PENDING, State.ACTIVE)

_Chunks = dict[tuple[int, int], tuple[Sample, ...]]


def sample(
    queue: QueueState, now: int, *, known: int, unseen_ms: int
) -> tuple[QueueState, Sampled]:
    """Sample the queue, unless it was sampled in this step, or nothing has changed.

    `known` is the step of the last sample that the worker knows, -1 for none; `unseen_ms` is for how
    long the queue may have changed without being seen by it.
    """
    step, last = now // SAMPLE_STEP_MS, queue.series.last
    if last.step - BACK_STEPS <= step <= last.step:
        return queue, Sampled(last.step, (last.step + 1) * SAMPLE_STEP_MS - now)
    numbers = _numbers(queue)
    next_in = (step + 1) * SAMPLE_STEP_MS - now
    if numbers == last.numbers and step > last.step:
        moving = any(queue.records.count(by_place, (state,)) for state in _MOVING)
        return queue, Sampled(last.step, next_in if moving else None)
    went_back = step < last.step
    unseen = min(unseen_ms, now - last.step * SAMPLE_STEP_MS)
    is_gap = (
        went_back
        or last.step < known
        or unseen > GAP_MS
        or any(new < old for new, old in zip(numbers[:COUNTS_SIZE], last.numbers, strict=False))
    )
    counts = (
        max(0, new - old) for new, old in zip(numbers[:COUNTS_SIZE], last.numbers, strict=False)
    )
    chunks = dict(queue.series.chunks)
    begins = (0, step // STEPS_PER_CHUNK) not in chunks
    taken = tuple(min(n, SAMPLE_MAX) for n in (*counts, *numbers[COUNTS_SIZE:]))
    for level, length in enumerate(STEPS_OF):
        here, before = -(-step // length), -(-last.step // length)
        if went_back:
            _forget_after(chunks, level, here)
        if not is_gap and before < here - 1:
            zeros = (0,) * COUNTS_SIZE
            carried = (*zeros, *(min(n, SAMPLE_MAX) for n in last.numbers[COUNTS_SIZE:]))
            _put(chunks, level, Sample(here - 1, carried, SAMPLE_CARRIED))
        _put(chunks, level, Sample(here, taken, SAMPLE_GAP if is_gap else 0))
    series = QueueSeries(LastSample(step, numbers), MappingProxyType(chunks))
    return attrs.evolve(queue, series=series), Sampled(step, next_in, begins)


def _numbers(queue: QueueState) -> tuple[int, ...]:
    totals = queue.counters
    return (
        totals.enqueued, totals.completed, totals.failed, totals.dead,
        *(queue.records.count(by_place, (state,)) for state in _SIZES),
        (oldest_due_ms(queue) or 0) // 1000,
    )  # fmt: skip


def _put(chunks: _Chunks, level: int, new: Sample) -> None:
    """Add a sample, or add it to the one of its step."""
    chunk = new.step // STEPS_PER_CHUNK
    samples = chunks.get((level, chunk), ())
    if not samples:
        for key in [key for key in chunks if key[0] == level]:
            if key[1] < chunk - CHUNKS_KEPT[level]:
                del chunks[key]
    elif samples[0].step == new.step:
        old, *_ = samples
        both = zip(old.numbers[:COUNTS_SIZE], new.numbers, strict=False)
        sums = (min(a + b, SAMPLE_MAX) for a, b in both)
        new = Sample(new.step, (*sums, *new.numbers[COUNTS_SIZE:]), new.mark or old.mark)
        samples = samples[1:]
    chunks[level, chunk] = (new, *samples)


def _forget_after(chunks: _Chunks, level: int, step: int) -> None:
    """Remove the samples of steps that are still to come, by a clock that went back."""
    for key in [key for key in chunks if key[0] == level]:
        left = tuple(one for one in chunks[key] if one.step <= step)
        if left:
            chunks[key] = left
        else:
            del chunks[key]


def read_series(
    queue: QueueState, now: int, *, level: int, since_ms: int, until_ms: int
) -> SeriesRead:
    """Read the samples of one level, with those that are stored together with them.

    `since_ms` is an instant, or, if it is not above 0, counted from now; `until_ms` 0 is now.
    """
    length = step_ms(level) * STEPS_PER_CHUNK
    end = min(until_ms or now, now)
    last = -(-end // step_ms(level)) // STEPS_PER_CHUNK
    first = max(last - CHUNKS_KEPT[level], (since_ms if since_ms > 0 else now + since_ms) // length)
    found = _between(queue.series.chunks, level, first, last)
    counters = queue.counters
    totals = (counters.enqueued, counters.completed, counters.failed, counters.dead)
    return SeriesRead(now, level, found, queue.series.last, totals)


def _between(
    chunks: Mapping[tuple[int, int], tuple[Sample, ...]], level: int, first: int, last: int
) -> tuple[Sample, ...]:
    numbers = range(first, last + 1)
    return tuple(one for n in numbers for one in reversed(chunks.get((level, n), ())))
