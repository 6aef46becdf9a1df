"""AttemptTimes: how long tasks waited for their attempts, and how long these ran.

Counted once, by partition, type and outcome, for the metrics and for what the queue keeps by type: the
one reads all, the other takes what is new. The number of the metrics' series is bounded: queues are
those of the worker, outcomes are few, and of types the first `TYPES_MAX` are kept apart. A type is the
name of a handler, never a text that only a task has.
"""

from __future__ import annotations

import attrs

from rediq_trio.spec import messages
from rediq_trio.spec.history.type_counts import (
    BUCKETS,
    COUNTS,
    TYPE_OUTCOMES,
    WAITS_AT,
    TypeCounts,
)
from rediq_trio.tasks.attempts import TIMED_OUT
from rediq_trio.values.bounds import queue_of
from rediq_trio.values.histogram import Histogram
from rediq_trio.worker.leases import AttemptOutcome, HeldLease, counted_as

TYPES_MAX = 200
"""Types whose attempts are counted apart."""
OTHER_TYPES = "(other)"
"""Stands for all types beyond `TYPES_MAX`, and for tasks whose type has no handler."""
LOST = "lost"
"""The outcome of an attempt whose lease was over before it ended: it is not settled."""

_Kind = type[messages.Outcome] | str


@attrs.frozen
class TimesKey:
    """What the attempts of one series have in common."""

    queue: str
    type: str
    outcome: str


@attrs.define(eq=False)
class Times:
    """How long some attempts waited and ran."""

    wait: Histogram = attrs.field(factory=Histogram)
    """From the instant at which the task was due to the start of the attempt."""
    run: Histogram = attrs.field(factory=Histogram)
    """From the start of the attempt to its end."""
    moved: bool = False
    """Whether attempts were counted since they were last taken."""
    _taken: tuple[int, ...] = (0,) * (2 * BUCKETS)
    """The counts of waiting and running that were taken."""

    def take(self) -> list[int]:
        """Return what was counted of waiting and running since the last call."""
        now = (*self.wait.counts, *self.run.counts)
        new = [count - taken for count, taken in zip(now, self._taken, strict=True)]
        self._taken, self.moved = now, False
        return new

    def plus(self, other: Times) -> Times:
        """Return the sum of both, which is counted no further."""
        return Times(self.wait.plus(other.wait), self.run.plus(other.run))


_AttemptKey = tuple[str, str, _Kind]
"""Partition, type and how the attempt ended."""


@attrs.define(eq=False)
class AttemptTimes:
    """The times of one worker's attempts. Its event loop adds to them, any thread may read them."""

    _types: dict[str, None] = attrs.field(factory=dict[str, None])
    """The types that have a series of their own in the metrics."""
    _of_attempts: dict[_AttemptKey, Times] = attrs.field(factory=dict[_AttemptKey, Times])
    _moved: dict[str, list[_AttemptKey]] = attrs.field(factory=dict[str, list[_AttemptKey]])
    """By partition, what was counted since it was last taken."""

    def add(self, held: HeldLease, outcome: AttemptOutcome, now: float) -> None:
        """Count an attempt that ended at `now`, on Trio's clock."""
        written = outcome.written
        kind: _Kind = LOST if written is None else type(written)
        if kind is messages.Failed and held.ended_by_time():
            kind = TIMED_OUT
        key = (held.queue, held.type, kind)
        times = self._of_attempts.get(key) or self._open(key)
        if not times.moved:
            times.moved = True
            self._moved.setdefault(held.queue, []).append(key)
        waited = held.started + held.clock_offset - held.lease.run_ms / 1000
        # Both clocks are read a moment apart, so a task that did not wait may seem to have waited less.
        times.wait.add(max(0.0, waited), held.trace_id)
        times.run.add(now - held.started, held.trace_id)

    def _open(self, key: _AttemptKey) -> Times:
        _, type_name, _ = key
        if type_name and len(self._types) < TYPES_MAX:
            self._types[type_name] = None
        self._of_attempts[key] = found = Times()
        return found

    def series(self) -> dict[TimesKey, Times]:
        """Return the times by queue, type and outcome, as metrics name them."""
        found: dict[TimesKey, Times] = {}
        # A copy, made at once: the event loop may add a series meanwhile.
        for (partition, type_name, kind), times in self._of_attempts.copy().items():
            shown = type_name if type_name in self._types else OTHER_TYPES
            key = TimesKey(queue_of(partition), shown, _outcome(kind))
            found[key] = found[key].plus(times) if key in found else times
        return found

    def moved(self) -> tuple[str, ...]:
        """Return the partitions of which attempts were counted since they were last taken."""
        return tuple(self._moved)

    def take(self, partition: str) -> dict[str, TypeCounts]:
        """Return what was counted of a partition since the last call, by type."""
        found: dict[str, list[int]] = {}
        for key in self._moved.pop(partition, ()):
            times = self._of_attempts.get(key)
            if times is None:  # forgotten meanwhile
                continue
            _, type_name, kind = key
            counts = found.setdefault(type_name, [0] * COUNTS)
            new = times.take()
            outcome = _outcome(kind).replace(" ", "_")
            at = _OUTCOME_AT.get(outcome, len(TYPE_OUTCOMES) - 1)
            counts[at] += sum(new[:BUCKETS])
            for place, count in enumerate(new, WAITS_AT):
                counts[place] += count
        return {name: tuple(counts) for name, counts in found.items()}

    def forget(self, queue: str) -> None:
        """Forget the attempts of a queue that is gone."""
        for key in [key for key in self._of_attempts if queue_of(key[0]) == queue]:
            del self._of_attempts[key]
            self._moved.pop(key[0], None)


_OUTCOME_AT = {name: place for place, name in enumerate(TYPE_OUTCOMES)}


def _outcome(kind: _Kind) -> str:
    return kind if isinstance(kind, str) else counted_as(kind)
