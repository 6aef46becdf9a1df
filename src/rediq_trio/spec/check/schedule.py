"""A schedule, with the tick that it expects."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from rediq_trio.spec.check.findings import Action, Repair, Target, TargetType, Violation, violation
from rediq_trio.spec.messages import Schedule
from rediq_trio.spec.records import QueueState


@attrs.frozen
class ScheduleView:
    """A schedule."""

    target: Target
    schedule: Schedule | None
    has_schedule: bool
    tick_ms: int | None
    revision: int
    """The last revision that the queue gave to a schedule."""


def targets_of(queue: QueueState) -> Iterator[Target]:
    """Return the schedules of a queue of the specification."""
    return (Target(TargetType.SCHEDULE, name) for name in queue.schedules)


def view_of(queue: QueueState, _now: int, target: Target) -> ScheduleView:
    """Return the view of a schedule of the specification."""
    found = queue.schedules.get(target.name)
    tick = found.next_ms or None if found else None
    return ScheduleView(target, found, found is not None, tick, queue.revision)


def violations_of(view: ScheduleView) -> Iterator[Violation]:
    """Check that a schedule expects a tick that it may fire."""
    schedule, target, tick = view.schedule, view.target, view.tick_ms
    if schedule is None:
        if view.has_schedule:
            yield violation(9, target, "cannot be read")
        elif tick is not None:
            yield violation(9, target, f"expects the tick {tick} and does not exist")
        return
    if tick is not None and (schedule.paused or tick <= schedule.last_ms):
        why = "is paused" if schedule.paused else f"has fired that of {schedule.last_ms}"
        yield violation(9, target, f"expects the tick {tick} and {why}")
    if schedule.revision > view.revision:
        yield violation(9, target, f"has the revision {schedule.revision}, which was never given")


ACTIONS = frozenset({Action.SCHEDULE})
"""What a repair of a schedule can do."""


def repairs_of(view: ScheduleView) -> Iterator[Repair]:
    """Return what can be repaired of a schedule."""
    schedule, tick = view.schedule, view.tick_ms
    if view.has_schedule and schedule is None:
        return
    if tick is not None and (schedule is None or schedule.paused):
        why = "there is no such schedule" if schedule is None else "a paused schedule expects none"
        yield Repair(Action.SCHEDULE, view.target, f"the tick {tick}", "no tick", why)
    elif schedule is not None and schedule.revision > view.revision:
        yield Repair(Action.SCHEDULE, view.target, f"revision {view.revision} was the last",
                     f"{schedule.revision} was", "a revision is never given twice")  # fmt: skip
