"""The invariants of a queue of the specification, and of a step between two.

Checks of a single part of a queue are in the module of its type, and work on a live queue too. This
module has the checks that need a whole queue, or the queues before and after a step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

from rediq_trio.spec.check.findings import Target, TargetType, Violation, violation
from rediq_trio.spec.check.table import targets_of, view_of, violations_of
from rediq_trio.spec.check.task import task_target
from rediq_trio.spec.check.totals import (
    counter_violations,
    queue_violations,
    seq_violation,
    totals_of,
)
from rediq_trio.spec.lifecycle import WAITING, State
from rediq_trio.spec.order.lanes import limit_of
from rediq_trio.spec.records import NO_LIMIT, QueueState, Record

AT_THE_END = 2**53
"""An instant, in ms, that is later than any that a queue waits for."""


def violations(queue: QueueState) -> list[Violation]:
    """Check a whole queue of the specification, independent of the time."""
    found = list(queue_violations(totals_of(queue)))
    for target in targets_of(queue):
        found += violations_of(view_of(queue, AT_THE_END, target))
    found += (
        seq_violation(task_target(record.id), record.seq, queue.seq)
        for record in queue.records.values()
        if record.seq > queue.seq
    )
    return [*found, *_empty_links(queue), *_mail_order(queue)]


def _empty_links(queue: QueueState) -> Iterator[Violation]:
    for name, links in (("edges", queue.edges), ("needs", queue.needs)):
        for task_id in (task_id for task_id, others in links.items() if not others):
            yield violation(2, task_target(task_id), f"is in `{name}` with no other task")


def _mail_order(queue: QueueState) -> Iterator[Violation]:
    if any(one.seq >= two.seq for one, two in pairwise(queue.outbox)):
        yield Violation(2, "", "messages are out of order")


def step_violations(before: QueueState, after: QueueState) -> Iterator[Violation]:
    """Check that a step changed only what it may."""
    for task_id, old in before.records.items():
        if (new := after.records.get(task_id)) is not None:
            yield from record_violations(before, after, old, new)
    yield from start_violations(before, after)
    yield from tick_violations(before, after)
    yield from counter_violations(before.counters, after.counters)


def record_violations(
    before: QueueState, after: QueueState, old: Record, new: Record
) -> Iterator[Violation]:
    """Check that a step changed of one task only what it may."""
    if _is_succeeded(before, after, old, new):
        return
    target = task_target(new.id)
    if new.deliveries < old.deliveries or (new.deliveries > old.deliveries) != (
        new.state is State.ACTIVE and new.nonce != old.nonce
    ):
        text = f"{old.deliveries} to {new.deliveries} deliveries, {old.state} to {new.state}"
        yield violation(4, target, text)
    revived = old.state is not State.COMPLETED and new.state in WAITING
    if old.terminal and new.state is not old.state and not revived:
        yield violation(5, target, f"{old.state} to {new.state}")
    if new.state is State.ACTIVE and old.state is not State.ACTIVE and before.paused:
        yield violation(8, target, "claimed while the queue was paused")


def _is_succeeded(before: QueueState, after: QueueState, old: Record, new: Record) -> bool:
    """Return whether a running task completed in this step, and a new one has its id."""
    if old.state is not State.ACTIVE or new.deliveries or new.attempt or new.nonce:
        return False
    totals = ("completed", "purged", "enqueued")
    return all(getattr(after.counters, n) > getattr(before.counters, n) for n in totals)


def order_violations(
    queue: QueueState, claimed: Iterable[Record], left: Iterable[Record]
) -> Iterator[Violation]:
    """Check that a claim skipped no ready task; `claimed` and `left` are the tasks before the claim.

    The order applies among the tasks of one limit key, and between keys without limits in a queue
    that is not fair.
    """
    last: dict[str, int] = {}
    for record in claimed:
        last[record.limit_key] = max(last.get(record.limit_key, 0), record.score)
    for record in left:
        free = not queue.fair and limit_of(queue, record.limit_key) == NO_LIMIT
        at = max(last.values(), default=0) if free else last.get(record.limit_key, 0)
        if record.score < at:
            yield violation(
                7, task_target(record.id), f"passed over at {record.score}, {at} was claimed"
            )


def tick_violations(before: QueueState, after: QueueState) -> Iterator[Violation]:
    """Check that no tick can enqueue a second task: the last and the expected tick only grow."""
    for name, new in after.schedules.items():
        old, target = before.schedules.get(name), Target(TargetType.SCHEDULE, name)
        if old is None:
            continue
        if new.last_ms < old.last_ms or (new.last_ms > old.last_ms and new.last_ms < old.next_ms):
            yield violation(9, target, f"fired {new.last_ms} after {old.last_ms}")
        if new.last_ms != old.last_ms and not old.next_ms:
            yield violation(9, target, "expected no tick, and fired")


def start_violations(before: QueueState, after: QueueState) -> Iterator[Violation]:
    """Check that no claim exceeded a limit of concurrency."""
    for key in {"", *(r.limit_key for r in after.records.values())}:
        limit = limit_of(after, key)
        was, now = _running(before, key), _running(after, key)
        if limit.concurrency and now > was and now > limit.concurrency:
            yield Violation(11, "", f"{now} tasks run under {key!r}, {limit.concurrency} may")


def _running(queue: QueueState, key: str) -> int:
    active = (r for r in queue.records.values() if r.state is State.ACTIVE)
    return sum(not key or r.limit_key == key for r in active)
