"""Checks of a whole queue: its sizes and totals, its keys, and permits of keys with many tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs

from rediq_trio.spec.check.findings import Action, Repair, Target, TargetType, Violation, violation
from rediq_trio.spec.check.lane import LaneView
from rediq_trio.spec.lifecycle import WAITING, State
from rediq_trio.spec.records import Counters, QueueState, by_expiry, by_place


@attrs.frozen
class QueueTotals:
    """The sizes and totals of a queue."""

    records: int
    sizes: Mapping[State, int]
    expiring: int
    """How many tasks the index of tasks that expire lists."""
    seq: int
    """The last `seq` that a task got."""
    counters: Counters


@attrs.frozen
class KeyReport:
    """The keys under the queue's prefix that are wrong."""

    with_ttl: tuple[str, ...] = ()
    """Keys of the queue that carry a TTL."""
    unknown: tuple[str, ...] = ()
    """Keys that are not in `KEY_TABLE`."""
    wrong_type: tuple[str, ...] = ()
    """Keys that hold another type of value than they should, each with that type."""


def totals_of(queue: QueueState) -> QueueTotals:
    records = queue.records
    sizes = {state: size for state in State if (size := records.count(by_place, (state,)))}
    return QueueTotals(len(records), sizes, records.count(by_expiry), queue.seq, queue.counters)


def queue_violations(totals: QueueTotals) -> Iterator[Violation]:
    """Check that the sizes and totals of a queue add up."""
    listed = sum(totals.sizes.values())
    if totals.records != listed:
        yield Violation(2, "", f"{totals.records} records, {listed} listed")
    if totals.expiring > sum(totals.sizes.get(state, 0) for state in WAITING):
        yield Violation(8, "", f"{totals.expiring} tasks can expire, more than wait")
    enqueued, ever = totals.counters.enqueued, _ever(totals)
    if enqueued != ever:
        yield Violation(12, "", f"{enqueued} enqueued, {ever} are here, purged, deleted or batched")


def _ever(totals: QueueTotals) -> int:
    counters = totals.counters
    return totals.records + counters.purged + counters.deleted + counters.batched


def counter_violations(before: Counters, after: Counters) -> Iterator[Violation]:
    """Check that no total decreased."""
    for total, old in attrs.asdict(before).items():
        if getattr(after, total) < old:
            yield Violation(12, "", f"the total {total} went from {old} to {getattr(after, total)}")


def seq_violation(target: Target, seq: int, last: int) -> Violation:
    """Return the violation of a task whose `seq` is higher than the last one given."""
    return violation(7, target, f"has the `seq` {seq}, and {last} was the last given")


def permit_violations(view: LaneView, least: int, most: int) -> Iterator[Violation]:
    """Check permits against the least and the most active tasks that there can be."""
    if not least <= view.permits <= max(least, most):
        text = f"{view.permits} permits are out, from {least} to {most} tasks are active"
        yield violation(11, view.target, text)


def key_violations(report: KeyReport) -> Iterator[Violation]:
    for name in report.with_ttl:
        yield violation(2, _key(name), f"the key {name} has a TTL")
    for name in report.wrong_type:
        yield violation(2, _key(name), f"the key {name}, another type than that of its name")
    for name in report.unknown:
        yield violation(2, _key(name), f"the key {name} is none that a queue has")


def _key(name: str) -> Target:
    return Target(TargetType.QUEUE, name)


def key_repairs(report: KeyReport) -> Iterator[Repair]:
    for name in report.with_ttl:
        yield Repair(Action.PERSIST, _key(name), "a TTL", "no TTL",
                     "no key of a queue may go by itself")  # fmt: skip


def totals_repairs(totals: QueueTotals) -> Iterator[Repair]:
    """Return what can be repaired of a queue's totals, once its records and indexes agree."""
    enqueued, ever = totals.counters.enqueued, _ever(totals)
    if totals.records == sum(totals.sizes.values()) and enqueued != ever:
        yield Repair(Action.ENQUEUED, _key("enqueued"), f"{enqueued} enqueued", f"{ever}",
                     "it is what is here, and what has gone")  # fmt: skip


def seq_repair(target: Target, seq: int, last: int) -> Repair:
    """Return the repair of a queue that would give the same `seq` twice."""
    return Repair(Action.SEQ, target, f"the last `seq` given is {last}", f"{seq}",
                  "a task has it, and none is given twice")  # fmt: skip
