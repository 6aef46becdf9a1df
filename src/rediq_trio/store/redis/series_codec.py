"""How a queue is sampled and its attempts are tallied, and how both are read: see `spec.history`."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, cast

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
from rediq_trio.spec.history.type_counts import (
    COUNTS,
    TYPES_FORMAT,
    WAITS_AT,
    KeptType,
    LastTally,
    QueueTypes,
    Tallied,
    TypeCounts,
    TypesRead,
)
from rediq_trio.store.redis.operation_codec import Now, ScriptCall
from rediq_trio.wire.packing import UNPACK_ERRORS, pack_for_lua, text_of, unpack

_SIZE = len(SERIES_NUMBERS)
_SAMPLE_HEAD = struct.Struct(">BH")
_NUMBER = struct.Struct(">I")


def sample(queue: str, now: Now, *, known: int, unseen_ms: int) -> ScriptCall[Sampled]:
    def read(reply: list[int]) -> Sampled:
        step, next_in, *begins = reply
        return Sampled(step, None if next_in < 0 else next_in, begins == [1])

    return ScriptCall((now, known, unseen_ms), read)


def trim(queue: str, now: Now, *, shed: int) -> ScriptCall[int]:
    return ScriptCall((now, shed), int)


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


_TALLY = struct.Struct(">II")


def tally(
    queue: str, now: Now, *, worker: bytes, number: int, counts: Mapping[str, TypeCounts]
) -> ScriptCall[Tallied]:
    def read(reply: list[int]) -> Tallied:
        return Tallied(*map(bool, reply))

    args: list[Any] = [now, worker, number]
    for name, some in counts.items():
        args += name, pack_for_lua([part for pair in enumerate(some) if pair[1] for part in pair])
    return ScriptCall(args, read)


def read_types(reply: list[Any]) -> TypesRead:
    now, following, head, kept, current, *rest = reply
    cells, steps = rest[: 2 * current], rest[2 * current :]
    fields = {f"o{index}": raw for index, raw in zip(cells[::2], cells[1::2], strict=True)}
    fields |= {f"s{step}": raw for step, raw in zip(steps[::2], steps[1::2], strict=True)}
    return TypesRead(now, _read({b"head": head, b"kept": kept}, fields), following)


def read_all_types(fields: Mapping[bytes, bytes]) -> QueueTypes:
    """Return all that is kept of a queue's attempts by type."""
    named = {name.decode("latin-1"): raw for name, raw in fields.items()}
    found = _read(fields, named)
    tallies = {
        name[1:]: LastTally(*_TALLY.unpack(raw))
        for name, raw in fields.items()
        if name.startswith(b"w")
    }
    return QueueTypes(found.step, found.kept, found.current, found.ended, MappingProxyType(tallies))


def _read(named: Mapping[bytes, bytes], fields: Mapping[str, bytes]) -> QueueTypes:
    head, kept = _array(named.get(b"head", b"")), _array(named.get(b"kept", b""))
    step = head[1] if head and head[0] == TYPES_FORMAT else -1
    current = {int(f[1:]): _counts(raw) for f, raw in fields.items() if f.startswith("o")}
    ended = {
        int(f[1:]): MappingProxyType(dict(_cells(raw)))
        for f, raw in fields.items()
        if f.startswith("s")
    }
    types = tuple(
        KeptType(text_of(name), since, weight)
        for name, since, weight in zip(kept[::3], kept[1::3], kept[2::3], strict=True)
    )
    return QueueTypes(step, types, MappingProxyType(current), MappingProxyType(ended))


def _array(raw: bytes) -> Sequence[Any]:
    try:
        found: object = unpack(raw, texts=False)
    except UNPACK_ERRORS:
        return ()
    return cast("list[Any]", found) if isinstance(found, list) else ()


def _counts(raw: bytes) -> TypeCounts:
    counts, pairs = [0] * COUNTS, unpack(raw, texts=False)
    for at, count in zip(pairs[::2], pairs[1::2], strict=True):
        counts[at] = count
    return tuple(counts)


def _cells(raw: bytes) -> Iterator[tuple[int, TypeCounts]]:
    position = 0
    while position < len(raw):
        index, outcomes = raw[position : position + 2]
        position += 2
        counts = [0] * COUNTS
        for at in range(WAITS_AT):
            if outcomes >> at & 1:
                counts[at] = int.from_bytes(raw[position : position + 3], "big")
                position += 3
        for _ in ("waits", "runs"):
            first, size = raw[position : position + 2]
            position += 2 + size
            counts[first : first + size] = raw[position - size : position]
        yield index, tuple(counts)
