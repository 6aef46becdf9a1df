"""AttemptTimes: how long tasks waited for their attempts, and how long these ran, for the metrics.

By queue, type and outcome. The number of series is bounded: queues are those of the worker, outcomes
are few, and of types the first `TYPES_MAX` are kept apart. A type is the name of a handler, never
a text that only a task has.
"""

from __future__ import annotations

import attrs

from rediq_trio.spec import messages
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


@attrs.frozen(eq=False)
class Times:
    """How long some attempts waited and ran."""

    wait: Histogram = attrs.field(factory=Histogram)
    """From the instant at which the task was due to the start of the attempt."""
    run: Histogram = attrs.field(factory=Histogram)
    """From the start of the attempt to its end."""


@attrs.define(eq=False)
class AttemptTimes:
    """The times of one worker's attempts. Its event loop adds to them, any thread may read them."""

    times: dict[TimesKey, Times] = attrs.field(factory=dict[TimesKey, Times])
    _types: set[str] = attrs.field(factory=set[str])
    _of_attempts: dict[tuple[str, str, _Kind], Times] = attrs.field(
        factory=dict[tuple[str, str, _Kind], Times]
    )
    """The same by partition, type and outcome, so that the names are made once only."""

    def add(self, held: HeldLease, outcome: AttemptOutcome, now: float) -> None:
        """Count an attempt that ended at `now`, on Trio's clock."""
        written = outcome.written
        kind: _Kind = LOST if written is None else type(written)
        if kind is messages.Failed and held.ended_by_time():
            kind = TIMED_OUT
        key = (held.queue, held.type, kind)
        times = self._of_attempts.get(key) or self._open(key)
        waited = held.started + held.clock_offset - held.lease.run_ms / 1000
        # Both clocks are read a moment apart, so a task that did not wait may seem to have waited less.
        times.wait.add(max(0.0, waited), held.trace_id)
        times.run.add(now - held.started, held.trace_id)

    def _open(self, key: tuple[str, str, _Kind]) -> Times:
        partition, type_name, kind = key
        outcome = kind if isinstance(kind, str) else counted_as(kind)
        if type_name and type_name not in self._types:
            if len(self._types) < TYPES_MAX:
                self._types.add(type_name)
            else:
                type_name = ""
        series = TimesKey(queue_of(partition), type_name or OTHER_TYPES, outcome)
        self._of_attempts[key] = found = self.times.setdefault(series, Times())
        return found

    def forget(self, queue: str) -> None:
        """Forget the attempts of a queue that is gone."""
        for series in [key for key in self.times if key.queue == queue]:
            del self.times[series]
        for key in [key for key in self._of_attempts if queue_of(key[0]) == queue]:
            del self._of_attempts[key]
