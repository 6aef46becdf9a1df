"""How the attempts of a queue went in each step of five minutes, by type: what charts are drawn of."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from types import MappingProxyType

import attrs

from rediq_trio.admin.series import OTHER, percentiles
from rediq_trio.client import Client
from rediq_trio.spec.history.type_counts import (
    NO_COUNTS,
    RUNS_AT,
    TYPE_OUTCOMES,
    TYPES_STEP_MS,
    WAITS_AT,
    QueueTypes,
    TypeCounts,
    as_counts,
)
from rediq_trio.tasks.for_each import call_each
from rediq_trio.tasks.instants import instant
from rediq_trio.values.observed.types import Percentiles

TYPES_STEP = dt.timedelta(milliseconds=TYPES_STEP_MS)
WAITS_OVER = dt.timedelta(minutes=10)
"""The time over which it is said of a queue how long 95 of 100 attempts had waited."""
_JUDGED_AT = tuple(TYPE_OUTCOMES.index(name) for name in ("completed", "failed", "timed_out"))
_FAILED_AT = tuple(TYPE_OUTCOMES.index(name) for name in ("failed", "timed_out"))


@attrs.frozen
class AttemptCounts:
    """The attempts that ended in some time, as a sum that can be added to others."""

    counts: TypeCounts = NO_COUNTS

    def plus(self, other: AttemptCounts) -> AttemptCounts:
        """Return the sum of both."""
        added = zip(self.counts, other.counts, strict=True)
        return AttemptCounts(tuple(a + b for a, b in added))

    @property
    def ended(self) -> int:
        """Attempts that ended, in any way."""
        return sum(self.counts[:WAITS_AT])

    @property
    def failed(self) -> int:
        """Attempts that failed or were timed out."""
        return sum(self.counts[n] for n in _FAILED_AT)

    @property
    def failure_rate(self) -> float | None:
        """The share of those that completed or failed which failed, 0 to 1; None without any."""
        judged = sum(self.counts[n] for n in _JUDGED_AT)
        return self.failed / judged if judged else None

    @property
    def wait(self) -> Percentiles | None:
        """How long they had waited for their start, seconds; None without attempts."""
        return percentiles(self.counts[WAITS_AT:RUNS_AT])

    @property
    def run(self) -> Percentiles | None:
        """How long they ran, seconds; None without attempts."""
        return percentiles(self.counts[RUNS_AT:])


NO_ATTEMPTS = AttemptCounts()


def total(several: Iterable[AttemptCounts]) -> AttemptCounts:
    """Return the sum of all."""
    found = NO_ATTEMPTS
    for each in several:
        found = found.plus(each)
    return found


@attrs.frozen
class TypeSteps:
    """The attempts of a queue by type, in steps of five minutes."""

    at: dt.datetime
    """When it was read, by the store's clock."""
    types: Mapping[str, Mapping[dt.datetime, AttemptCounts]] = MappingProxyType({})
    """Type -> beginning of a step -> its attempts. A step without attempts is left out."""

    def steps(self) -> dict[dt.datetime, AttemptCounts]:
        """Return the attempts of all types together, by step."""
        found: dict[dt.datetime, AttemptCounts] = {}
        for each in self.types.values():
            for since, counts in each.items():
                found[since] = found.get(since, NO_ATTEMPTS).plus(counts)
        return dict(sorted(found.items()))

    def lately(self, span: dt.timedelta) -> AttemptCounts:
        """Return the attempts of all types whose step is not over, or was for less than `span`."""
        first = self.at - span - TYPES_STEP
        return total(each for since, each in self.steps().items() if since > first)

    def followed_by(self, newer: TypeSteps, span: dt.timedelta) -> TypeSteps:
        """Return these steps with those of a later reading in place of the last ones, of `span` in all.

        The later reading must begin before this one ends.
        """
        first = min((since for each in newer.types.values() for since in each), default=None)
        oldest = newer.at - span - TYPES_STEP
        types: dict[str, Mapping[dt.datetime, AttemptCounts]] = {}
        for name in (*self.types, *(each for each in newer.types if each not in self.types)):
            older = {
                since: counts
                for since, counts in self.types.get(name, {}).items()
                if since > oldest and (first is None or since < first)
            }
            types[name] = MappingProxyType({**older, **newer.types.get(name, {})})
        return TypeSteps(newer.at, MappingProxyType(types))


async def read_type_steps(client: Client, name: str, since: dt.timedelta) -> TypeSteps:
    """Read the attempts of a queue by type and step; `since` is how long ago that begins, up to 24 h.

    The numbers of a partitioned queue are sums. Raises `ConnectionLost`.
    """
    store = client._patient_store
    partitions = await client.queue(name)._reader.partitions()
    since_ms = -round(since.total_seconds() * 1000)
    instants: list[int] = []
    found: dict[str, dict[dt.datetime, AttemptCounts]] = {}

    async def read(partition: str) -> None:
        following = since_ms
        while following:
            part = await store.types(partition, since_ms=following)
            instants.append(part.now_ms)
            _add(found, part.types)
            following = part.following_ms

    await call_each(partitions, read)
    return TypeSteps(instant(min(instants)), MappingProxyType(found))


def _add(found: dict[str, dict[dt.datetime, AttemptCounts]], types: QueueTypes) -> None:
    for index, counts in types.current.items():
        _put(found, types, types.step, index, counts)
    for step, cells in types.ended.items():
        for index, codes in cells.items():
            _put(found, types, step, index, as_counts(codes))


def _put(
    found: dict[str, dict[dt.datetime, AttemptCounts]],
    types: QueueTypes,
    step: int,
    index: int,
    counts: TypeCounts,
) -> None:
    own = 0 < index <= len(types.kept) and step >= types.kept[index - 1].since
    steps = found.setdefault(types.kept[index - 1].name if own else OTHER, {})
    since = instant(step * TYPES_STEP_MS)
    steps[since] = steps.get(since, NO_ATTEMPTS).plus(AttemptCounts(counts))
