"""The rule by which a queue loses statistics, when those of all queues together take too much.

What nobody can read any more goes first: an idle queue keeps it until it is used again. Then goes the
coarsest, the oldest of it first: 10 minutes of series, 5 minutes of types, minutes, and 10 seconds up to the
chunk in progress.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType

import attrs

from rediq_trio.spec.history.samples import CHUNKS_KEPT, STEPS_PER_CHUNK, Sample, step_ms
from rediq_trio.spec.history.type_counts import (
    NO_TYPES,
    TYPE_STEP_BYTES,
    TYPES_STEP_MS,
    TYPES_STEPS,
    step_size,
)
from rediq_trio.spec.records import QueueState

CHUNK_RANKS = (3, 2, 0)
"""In which order chunks of each level are removed."""
TYPES_RANK = 1
"""In which order steps of types are removed."""
SAMPLE_HEAD_BYTES, SAMPLE_NUMBER_BYTES = 3, 4
"""What a stored sample takes, and each of its numbers that is not 0."""


@attrs.frozen
class _Part:
    """A chunk of the series, or a step of the types."""

    rank: int
    number: int
    size: int
    is_old: bool
    """Nobody can read it any more."""


def trim(queue: QueueState, now: int, *, shed: int) -> tuple[QueueState, int]:
    """Remove parts of the statistics, at least `shed` bytes of them if there are as many.

    The answer is how many bytes of chunks and steps were removed.
    """
    gone, size = set[tuple[int, int]](), 0
    parts = sorted(_parts(queue, now), key=lambda one: (not one.is_old, one.rank, one.number))
    for part in parts:
        if part.is_old or size < shed:
            gone.add((part.rank, part.number))
            size += part.size
    chunks = {
        key: samples
        for key, samples in queue.series.chunks.items()
        if (CHUNK_RANKS[key[0]], key[1]) not in gone
    }
    ended = {at: cells for at, cells in queue.types.ended.items() if (TYPES_RANK, at) not in gone}
    series = attrs.evolve(queue.series, chunks=MappingProxyType(chunks))
    types = attrs.evolve(queue.types, ended=MappingProxyType(ended))
    if types.step < now // TYPES_STEP_MS - TYPES_STEPS:
        types = NO_TYPES
    return attrs.evolve(queue, series=series, types=types), size


def _parts(queue: QueueState, now: int) -> Iterator[_Part]:
    """Yield all that may be removed."""
    for (level, number), samples in queue.series.chunks.items():
        here = -(-now // step_ms(level)) // STEPS_PER_CHUNK
        if level or number < here:
            is_old = number < here - CHUNKS_KEPT[level]
            yield _Part(CHUNK_RANKS[level], number, _chunk_size(samples), is_old)
    for at, cells in queue.types.ended.items():
        is_old = at < now // TYPES_STEP_MS - TYPES_STEPS
        yield _Part(TYPES_RANK, at, step_size(cells), is_old)


def _chunk_size(samples: tuple[Sample, ...]) -> int:
    numbers = sum(sum(map(bool, one.numbers)) for one in samples)
    return TYPE_STEP_BYTES + SAMPLE_HEAD_BYTES * len(samples) + SAMPLE_NUMBER_BYTES * numbers
