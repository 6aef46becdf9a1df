"""The table of checks, with one row for each type of target except the queue itself.

To add a type of target, add a module with its row here, and a row in `store.redis.check.codec`, which
reads views from a server. A missing row is an error at import.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Protocol, TypeVar, runtime_checkable

from rediq_trio.spec.check import (
    dependency,
    group,
    lane,
    member,
    message,
    partitions,
    schedule,
    task,
    totals,
    unique,
)
from rediq_trio.spec.check.dependency import DependencyView
from rediq_trio.spec.check.findings import Action, Repair, Target, TargetType, Violation
from rediq_trio.spec.check.group import GroupView
from rediq_trio.spec.check.lane import LaneView
from rediq_trio.spec.check.member import MemberView
from rediq_trio.spec.check.message import MessageView
from rediq_trio.spec.check.schedule import ScheduleView
from rediq_trio.spec.check.task import TaskView
from rediq_trio.spec.check.unique import UniqueKeyView
from rediq_trio.spec.records import QueueState

View = (
    TaskView | MemberView | DependencyView | LaneView | UniqueKeyView | GroupView | ScheduleView
    | MessageView
)  # fmt: skip
V = TypeVar("V")


@runtime_checkable
class TargetCheck(Protocol[V]):
    """How the targets of one type are checked. Its module has these members."""

    @property
    def ACTIONS(self) -> frozenset[Action]:
        """The actions that its repairs can take."""
        ...

    def targets_of(self, queue: QueueState, /) -> Iterator[Target]:
        """Return the targets in a queue of the specification."""
        ...

    def view_of(self, queue: QueueState, now: int, target: Target, /) -> V:
        """Return the view of a target in a queue of the specification, at an instant in ms."""
        ...

    def violations_of(self, view: V, /) -> Iterator[Violation]: ...

    def repairs_of(self, view: V, /) -> Iterator[Repair]: ...


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
if _partial := {t for t, check in CHECKS.items() if not isinstance(check, TargetCheck)}:
    raise RuntimeError(f"the modules of {', '.join(sorted(_partial))} lack a part of TargetCheck")
if _unmade := set(Action) - totals.ACTIONS.union(
    partitions.ACTIONS, *(check.ACTIONS for check in CHECKS.values())
):
    raise RuntimeError(
        f"no check of spec.check.table makes the repairs {', '.join(sorted(_unmade))}"
    )


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
    return CHECKS[view.target.type].violations_of(view)


def repairs_of(view: View) -> Iterator[Repair]:
    """Return the repairs for what a view shows."""
    return CHECKS[view.target.type].repairs_of(view)
