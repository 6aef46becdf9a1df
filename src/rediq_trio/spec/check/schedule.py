"""A schedule, with the tick that it expects."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from rediq_trio.spec.check.findings import Action, Findings, Repairs, Target, TargetType
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
    return (Target(TargetType.SCHEDULE, name) for name in queue.schedules)


def view_of(queue: QueueState, _now: int, target: Target) -> ScheduleView:
    found = queue.schedules.get(target.name)
    tick = found.next_ms or None if found else None
    return ScheduleView(target, found, found is not None, tick, queue.revision)


def violations_of(view: ScheduleView) -> Findings:
    """Check that a schedule expects a tick that it may fire."""
    schedule, tick = view.schedule, view.tick_ms
    if schedule is None:
        if view.has_schedule:
            yield 9, "cannot be read"
        elif tick is not None:
            yield 9, f"expects the tick {tick} and does not exist"
        return
    if tick is not None and (schedule.paused or tick <= schedule.last_ms):
        why = "is paused" if schedule.paused else f"has fired that of {schedule.last_ms}"
        yield 9, f"expects the tick {tick} and {why}"
    if schedule.revision > view.revision:
        yield 9, f"has the revision {schedule.revision}, which was never given"


def repairs_of(view: ScheduleView) -> Repairs:
    schedule, tick = view.schedule, view.tick_ms
    if view.has_schedule and schedule is None:
        return
    if tick is not None and (schedule is None or schedule.paused):
        why = "there is no such schedule" if schedule is None else "a paused schedule expects none"
        yield Action.SCHEDULE, f"the tick {tick}", "no tick", why
    elif schedule is not None and schedule.revision > view.revision:
        before, after = f"revision {view.revision} was the last", f"{schedule.revision} was"
        yield Action.SCHEDULE, before, after, "a revision is never given twice"
