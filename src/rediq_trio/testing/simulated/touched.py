"""The invariants of what one step has changed, in time that does not grow with the queue.

A step that breaks an invariant is found at once, for every step is checked. What needs a look at all
tasks, such as the limits of a key, is checked by `violations` only.
"""

from __future__ import annotations

from collections.abc import Iterator

from rediq_trio.spec.check.findings import Target, TargetType, Violation
from rediq_trio.spec.check.table import view_of, violations_of
from rediq_trio.spec.check.task import task_target
from rediq_trio.spec.check.totals import (
    counter_violations,
    queue_violations,
    seq_violation,
    totals_of,
)
from rediq_trio.spec.records import QueueState
from rediq_trio.testing.judge.invariants import AT_THE_END, record_violations, tick_violations


def touched_violations(before: QueueState, after: QueueState) -> Iterator[Violation]:
    """Check the tasks and unique keys that a step has changed, and the totals of the queue."""
    for task_id, old, new in before.records.differences(after.records):
        if new is None:
            continue
        if old is not None:
            yield from record_violations(before, after, old, new)
        target = task_target(task_id)
        yield from violations_of(view_of(after, AT_THE_END, target))
        if new.seq > after.seq:
            yield seq_violation(target, new.seq, after.seq)
    for key, _, lock in before.locks.differences(after.locks):
        if lock is not None:
            yield from violations_of(view_of(after, AT_THE_END, Target(TargetType.UNIQUE, key)))
    if before.schedules is not after.schedules:
        yield from tick_violations(before, after)
    if before.records is not after.records or before.counters is not after.counters:
        yield from queue_violations(totals_of(after))
        yield from counter_violations(before.counters, after.counters)
