"""How a queue is sampled, and how its samples are read: see `spec.history.samples`, `lua/upkeep/sample.lua`."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from rediq_trio.spec.history.samples import (
    NO_SAMPLE,
    SERIES_COUNTS,
    SERIES_FORMAT,
    SERIES_NUMBERS,
    STEPS_PER_CHUNK,
    LastSample,
    QueueSeries,
    Sample,
    Sampled,
    SeriesRead,
)
from rediq_trio.store.redis.operation_codec import Now, ScriptCall
from rediq_trio.wire.packing import UNPACK_ERRORS, unpack

_SIZE = len(SERIES_NUMBERS)
_SAMPLE_HEAD = struct.Struct(">BH")
_NUMBER = struct.Struct(">I")


def sample(queue: str, now: Now, *, known: int, unseen_ms: int) -> ScriptCall[Sampled]:
    def read(reply: list[int]) -> Sampled:
        step, next_in = reply
        return Sampled(step, None if next_in < 0 else next_in)

    return ScriptCall((now, known, unseen_ms), read)


def read_series(level: int, reply: list[Any]) -> SeriesRead:
    now, raw_last, *rest = reply
    totals = tuple(rest[: len(SERIES_COUNTS)])
    chunks = rest[len(SERIES_COUNTS) :]
    last = _last(raw_last)
    if last is None:  # a newer version keeps them
        return SeriesRead(now, level, (), NO_SAMPLE, totals)
    found = (
        one
        for number, raw in zip(chunks[::2], chunks[1::2], strict=True)
        for one in reversed(_samples(number, raw))
    )
    return SeriesRead(now, level, tuple(found), last, totals)


def read_all(fields: Mapping[str, bytes]) -> QueueSeries:
    """Return all that is kept of a queue's series."""
    chunks: dict[tuple[int, int], tuple[Sample, ...]] = {}
    for field, raw in fields.items():
        level, _, number = field.partition(":")
        if number:
            chunks[int(level), int(number)] = _samples(int(number), raw)
    return QueueSeries(_last(fields.get("last", b"")) or NO_SAMPLE, MappingProxyType(chunks))


def _last(raw: bytes) -> LastSample | None:
    """Return the last sample; None if a newer version wrote it."""
    try:
        version, step, *numbers = unpack(raw, texts=False)
    except UNPACK_ERRORS:  # also for what is no array of these
        return NO_SAMPLE
    return LastSample(step, tuple(numbers)) if version == SERIES_FORMAT else None


def _samples(chunk: int, raw: bytes) -> tuple[Sample, ...]:
    return tuple(_each(chunk, raw))


def _each(chunk: int, raw: bytes) -> Iterator[Sample]:
    position = 0
    while position < len(raw):
        step, mask = _SAMPLE_HEAD.unpack_from(raw, position)
        position += _SAMPLE_HEAD.size
        numbers: list[int] = []
        for n in range(_SIZE):
            there = mask >> n & 1
            numbers.append(_NUMBER.unpack_from(raw, position)[0] if there else 0)
            position += _NUMBER.size * there
        yield Sample(chunk * STEPS_PER_CHUNK + step, tuple(numbers), mask >> _SIZE)
