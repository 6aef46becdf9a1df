"""The series of a queue, as points at equal steps, and its attempts by type.

Which level answers a question follows from how far back it goes.

A step without a sample has the gauges of the one before, and nothing happened in it. The numbers of
partitions are sums; a step that is in a gap of one of them has no point.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from itertools import pairwise

import attrs

from rediq_trio._errors import ConfigError
from rediq_trio.spec.history.samples import (
    COUNTS_SIZE,
    GAP_MS,
    SAMPLE_CARRIED,
    SAMPLE_GAP,
    SAMPLE_STEP_MS,
    SERIES_COUNTS,
    SERIES_NUMBERS,
    STEPS_OF,
    SeriesRead,
    span_ms,
    step_ms,
)
from rediq_trio.spec.history.type_counts import (
    NO_COUNTS,
    RUNS_AT,
    TYPE_OUTCOMES,
    TYPES_STEP_MS,
    TYPES_STEPS,
    WAITS_AT,
    QueueTypes,
    TypeCounts,
    TypesRead,
    as_counts,
)
from rediq_trio.store.port import Store
from rediq_trio.tasks.for_each import call_each
from rediq_trio.tasks.instants import instant
from rediq_trio.values.chance import wall
from rediq_trio.values.histogram import DURATION_BOUNDS
from rediq_trio.values.observed.series import Series, SeriesGap, SeriesPoint
from rediq_trio.values.observed.types import Percentiles, TypeStats

SERIES_MAX = dt.timedelta(days=30)
"""How far back series go."""
_OLDEST = SERIES_NUMBERS.index("oldest_s")
_ZEROS = (0,) * COUNTS_SIZE


async def read_series(
    store: Store,
    partitions: Sequence[str],
    since: dt.timedelta | dt.datetime,
    until: dt.datetime | None,
) -> Series:
    """Read the series of a queue; see `Queue.series`."""
    since_ms, until_ms = _since_ms(since), _until_ms(until)
    now_ms = round(wall() * 1000)
    age = -since_ms if since_ms <= 0 else now_ms - since_ms
    if until_ms and until_ms <= (since_ms if since_ms > 0 else now_ms + since_ms):
        raise ConfigError.of("until", until, "later than since")
    level = next((n for n in range(len(STEPS_OF)) if age <= span_ms(n)), len(STEPS_OF) - 1)

    async def read(partition: str) -> SeriesRead:
        return await store.series(partition, level=level, since_ms=since_ms, until_ms=until_ms)

    return make_series(level, await call_each(partitions, read), since_ms, until_ms)


def _since_ms(since: object) -> int:
    match since:
        case dt.timedelta() if dt.timedelta() < since <= SERIES_MAX:
            return -max(1, round(since.total_seconds() * 1000))
        case dt.datetime(tzinfo=zone) if zone is not None and 1970 < since.year < 9999:
            return max(1, round(since.timestamp() * 1000))
        case _:
            expected = "a timedelta above 0 and up to 30 days, or an aware datetime"
            raise ConfigError.of("since", since, expected)


def _until_ms(until: object) -> int:
    match until:
        case None:
            return 0
        case dt.datetime(tzinfo=zone) if zone is not None and 1970 < until.year < 9999:
            return max(1, round(until.timestamp() * 1000))
        case _:
            raise ConfigError.of("until", until, "an aware datetime, or None")


def make_series(level: int, reads: Sequence[SeriesRead], since_ms: int, until_ms: int) -> Series:
    """Return the sum of the samples of a queue's partitions."""
    now, length = min(one.now_ms for one in reads), step_ms(level)
    start = max(since_ms if since_ms > 0 else now + since_ms, now - span_ms(level))
    steps = range(-(-start // length), min(until_ms or now, now) // length + 1)
    found = [_Expanded.of(one, steps) for one in reads]
    points: list[SeriesPoint] = []
    for n, step in enumerate(steps):
        at = step * length
        rows = [row for one in found if (row := one.rows[n]) is not None]
        if len(rows) == len(found):
            points.append(_point(at, rows))
    gaps = sorted((gap for one in found for gap in one.gaps), key=lambda gap: gap.since)
    return Series(step=length / 1000, points=tuple(points), gaps=tuple(gaps))


def _point(at: int, rows: Sequence[tuple[int, ...]]) -> SeriesPoint:
    sums = dict(zip(SERIES_NUMBERS, map(sum, zip(*rows, strict=True)), strict=True))
    oldest = min((row[_OLDEST] for row in rows if row[_OLDEST]), default=0)
    del sums["oldest_s"]
    age = max(0.0, at / 1000 - oldest) if oldest else 0.0
    return SeriesPoint(at=instant(at), oldest_pending_age=age, **sums)


@attrs.define
class _Expanded:
    """The samples of one partition, as a row for each step."""

    length: int
    steps: range
    rows: list[tuple[int, ...] | None]
    """None within a gap."""
    gaps: list[SeriesGap]

    @classmethod
    def of(cls, read: SeriesRead, steps: range) -> _Expanded:
        expanded = cls(step_ms(read.level), steps, [None] * len(steps), [])
        expanded._fill(read)
        return expanded

    def _fill(self, read: SeriesRead) -> None:
        """Walk through the samples: what is between two of them is like the first, or a gap."""
        end = self.steps.stop
        reached = self.steps.start
        if not read.samples:  # none since the last one, or they were removed
            reached = max(reached, -(-read.last.step // STEPS_OF[read.level]) + 1)
        gauges = self._before(read)
        for sample in read.samples:
            if sample.step >= self.steps.start:
                counts, is_gap = sample.numbers[:COUNTS_SIZE], sample.mark == SAMPLE_GAP
                self._put(reached, min(sample.step, end), None if is_gap else gauges)
                if is_gap and reached <= end:
                    self._add_gap(reached - 1, min(sample.step, end - 1), counts)
                if sample.step < end:
                    taken = (*(_ZEROS if is_gap else counts), *sample.numbers[COUNTS_SIZE:])
                    self.rows[sample.step - self.steps.start] = taken
                reached = sample.step + 1
            gauges = sample.numbers[COUNTS_SIZE:]
        missed = tuple(
            max(0, new - old) for new, old in zip(read.totals, read.last.numbers, strict=False)
        )
        unseen = read.now_ms - read.last.step * SAMPLE_STEP_MS > GAP_MS
        if unseen and any(missed):  # nobody samples the queue now
            since = max(reached, -(-read.last.step // STEPS_OF[read.level]) + 1)
            self._put(reached, min(since, end), gauges)
            if since <= end:
                self._add_gap(since - 1, end - 1, missed)
        else:
            self._put(reached, end, gauges)

    def _before(self, read: SeriesRead) -> tuple[int, ...] | None:
        """Return the gauges before the first sample that was read; None if they are not known."""
        if not read.samples:
            return read.last.numbers[COUNTS_SIZE:]
        first = read.samples[0]
        return first.numbers[COUNTS_SIZE:] if first.mark == SAMPLE_CARRIED else None

    def _put(self, start: int, stop: int, gauges: tuple[int, ...] | None) -> None:
        row = None if gauges is None else (*_ZEROS, *gauges)
        for step in range(start, stop):
            self.rows[step - self.steps.start] = row

    def _add_gap(self, since: int, until: int, counts: Sequence[int]) -> None:
        named = dict(zip(SERIES_COUNTS, counts, strict=True))
        self.gaps.append(
            SeriesGap(
                since=instant(since * self.length), until=instant(until * self.length), **named
            )
        )


TYPES_MAX_AGE = dt.timedelta(hours=24)
"""How far back statistics by type go."""
OTHER = "(other)"
_EDGES = (0.0, *DURATION_BOUNDS)


async def read_types(
    store: Store, partitions: Sequence[str], since: dt.timedelta | dt.datetime
) -> tuple[TypeStats, ...]:
    """Read the statistics of a queue by type; see `Queue.types`."""
    since_ms = _types_since_ms(since)

    async def read(partition: str) -> list[TypesRead]:
        found = [await store.types(partition, since_ms=since_ms)]
        while following := found[-1].following_ms:
            found.append(await store.types(partition, since_ms=following))
        return found

    return make_types(await call_each(partitions, read), since_ms)


def _types_since_ms(since: object) -> int:
    match since:
        case dt.timedelta() if dt.timedelta() < since <= TYPES_MAX_AGE:
            return -max(1, round(since.total_seconds() * 1000))
        case dt.datetime(tzinfo=zone) if zone is not None and 1970 < since.year < 9999:
            return max(1, round(since.timestamp() * 1000))
        case _:
            expected = "a timedelta above 0 and up to 24 hours, or an aware datetime"
            raise ConfigError.of("since", since, expected)


def make_types(reads: Sequence[Sequence[TypesRead]], since_ms: int) -> tuple[TypeStats, ...]:
    """Return the sums of what was read of a queue's partitions, the busiest type first."""
    totals: dict[str, TypeCounts] = {}
    for read in (each for some in reads for each in some):
        for name, counts in _named(read.types):
            before = totals.get(name, NO_COUNTS)
            totals[name] = tuple(a + b for a, b in zip(before, counts, strict=True))
    now = min(some[0].now_ms for some in reads)
    wanted = since_ms if since_ms > 0 else now + since_ms
    first = max(wanted // TYPES_STEP_MS, now // TYPES_STEP_MS - TYPES_STEPS)
    since, until = instant(min(first * TYPES_STEP_MS, now)), instant(now)
    made = (_stats(name, counts, since, until) for name, counts in totals.items() if any(counts))
    return tuple(sorted(made, key=lambda one: (-one.attempts, one.type)))


def _named(types: QueueTypes) -> Iterator[tuple[str, TypeCounts]]:
    """Yield the counts of each step with the type that their index stood for."""
    for index, counts in types.current.items():
        yield _name(types, types.step, index), counts
    for step, cells in types.ended.items():
        for index, codes in cells.items():
            yield _name(types, step, index), as_counts(codes)


def _name(types: QueueTypes, step: int, index: int) -> str:
    if not 0 < index <= len(types.kept) or step < types.kept[index - 1].since:
        return OTHER
    return types.kept[index - 1].name


def _stats(name: str, counts: TypeCounts, since: dt.datetime, until: dt.datetime) -> TypeStats:
    outcomes = dict(zip(TYPE_OUTCOMES, counts, strict=False))
    return TypeStats(
        type=name, since=since, until=until, **outcomes,
        wait=percentiles(counts[WAITS_AT:RUNS_AT]), run=percentiles(counts[RUNS_AT:]),
    )  # fmt: skip


def percentiles(buckets: Sequence[int]) -> Percentiles | None:
    """Return the percentiles of a histogram; None if it is empty."""
    if not any(buckets):
        return None
    return Percentiles(
        p50=_quantile(buckets, 0.5), p95=_quantile(buckets, 0.95), p99=_quantile(buckets, 0.99)
    )


def _quantile(buckets: Sequence[int], share: float) -> float:
    """Return the value below which a share lies, as if the values of a bucket lay evenly in it."""
    rank, before = share * sum(buckets), 0
    for (low, high), count in zip(pairwise(_EDGES), buckets, strict=False):
        if count and before + count >= rank:
            return low + (high - low) * (rank - before) / count
        before += count
    return DURATION_BOUNDS[-1]
