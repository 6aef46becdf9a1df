"""The table of checks, with one row for each type of target except the queue itself.

To add a type of target, add a module with its row here, and a row in `store.redis.check.codec`, which
reads views from a server. A missing row is an error at import.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Protocol, TypeVar, runtime_checkable

from rediq_trio.spec.check import dependency, group, lane, member, message, schedule, task, unique
from rediq_trio.spec.check.findings import (
    Findings,
    Repair,
    Repairs,
    Target,
    TargetType,
    Violation,
    violation,
)
from rediq_trio.spec.records import QueueState

View = (
    task.RecordView | member.MemberView | dependency.DependencyView | lane.LaneView
    | unique.UniqueKeyView | group.GroupView | schedule.ScheduleView | message.MessageView
)  # fmt: skip
V = TypeVar("V")


@runtime_checkable
class TargetCheck(Protocol[V]):
    """How the targets of one type are checked. Its module has these members."""

    def targets_of(self, queue: QueueState, /) -> Iterator[Target]:
        """Return the targets in a queue of the specification."""
        ...

    def view_of(self, queue: QueueState, now: int, target: Target, /) -> V:
        """Return the view of a target in a queue of the specification, at an instant in ms."""
        ...

    def violations_of(self, view: V, /) -> Findings: ...

    def repairs_of(self, view: V, /) -> Repairs: ...


CHECKS: Mapping[TargetType, TargetCheck[Any]] = MappingProxyType(
    {
        TargetType.TASK: task,
        TargetType.MEMBER: member,
        TargetType.DEPENDENCY: dependency,
        TargetType.LANE: lane,
        TargetType.UNIQUE: unique,
        TargetType.GROUP: group,
        TargetType.SCHEDULE: schedule,
        TargetType.MESSAGE: message,
        TargetType.ENDING: message,
        TargetType.SENDER: message,
    }
)
"""The check of each type of target; `totals` checks the whole queue."""

if _missing := set(TargetType) - {TargetType.QUEUE} - CHECKS.keys():
    raise RuntimeError(f"spec.check.table has no row for {', '.join(sorted(_missing))}")


def targets_of(queue: QueueState) -> list[Target]:
    """Return all targets in a queue of the specification, each once."""
    checks = dict.fromkeys(CHECKS.values())
    return list(dict.fromkeys(target for check in checks for target in check.targets_of(queue)))


def view_of(queue: QueueState, now: int, target: Target) -> View:
    """Return the view of a target in a queue of the specification, at an instant in ms."""
    view: View = CHECKS[target.type].view_of(queue, now, target)
    return view


def violations_of(view: View) -> Iterator[Violation]:
    """Return the violations that a view shows."""
    for invariant, detail in CHECKS[view.target.type].violations_of(view):
        yield violation(invariant, view.target, detail)


def repairs_of(view: View) -> Iterator[Repair]:
    """Return the repairs for what a view shows."""
    for what, before, after, why in CHECKS[view.target.type].repairs_of(view):
        yield Repair(what, view.target, before, after, why)
