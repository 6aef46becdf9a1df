"""Schedules of a queue: declare, tick, pause, trigger and retract them.

Workers compute when a schedule ticks, from the store's time (`values.schedule`). Any number of them
may do so at once: a tick is a compare-and-set on the expected tick, so each tick enqueues its task
once. The expected tick is always later than all ticks that have fired, whatever happens to clocks
and declarations.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise

import attrs

from rediq_trio.spec.change import Change
from rediq_trio.spec.intake import TaskAnswer, enqueue_checked, enqueue_tick
from rediq_trio.spec.messages import Agenda, Answer, AnswerKind, NewTask, Schedule, Tick
from rediq_trio.spec.records import QueueState


def agenda(queue: QueueState, now: int, *, due: int = 0) -> tuple[QueueState, Agenda]:
    """Read all schedules by name; or, with `due`, at most so many due ones, the longest due first."""
    known = queue.schedules.values()
    later = [s.next_ms for s in known if s.next_ms > now]
    if due:
        late = [s for s in known if 0 < s.next_ms <= now]
        found = sorted(late, key=lambda s: (s.next_ms, s.name))[:due]
    else:
        found = sorted(known, key=lambda s: s.name)
    return queue, Agenda(now, tuple(found), min(later) - now if later else None)


def declare(queue: QueueState, now: int, *, schedule: Schedule) -> tuple[QueueState, bool]:
    """Add a schedule, or replace the one of its name; return whether that changed anything.

    A replaced schedule stays paused if it was, and keeps its last tick and task. Its expected tick
    changes only if its times do.
    """
    old = queue.schedules.get(schedule.name)
    fresh = attrs.evolve(schedule, paused=False, last_ms=0, last_id="", revision=0)
    if old is not None:
        kept = {name: getattr(old, name) for name in ("paused", "last_ms", "last_id", "revision")}
        next_ms = old.next_ms if _same_times(fresh, old) else _expected(old, fresh.next_ms)
        fresh = attrs.evolve(fresh, next_ms=next_ms, **kept)
        if fresh == old:
            return queue, False
        if _same_times(fresh, old) and fresh.template == old.template:
            return _with(queue, fresh), True  # its owner has changed, not what it does
    revision = queue.revision + 1
    fresh = attrs.evolve(fresh, revision=revision)
    return attrs.evolve(_with(queue, fresh), revision=revision), True


def _same_times(one: Schedule, two: Schedule) -> bool:
    return (one.when, one.overlap_skip) == (two.when, two.overlap_skip)


def _expected(schedule: Schedule, next_ms: int) -> int:
    """Return the tick to expect: 0 for a paused schedule, and never one before its last tick."""
    if schedule.paused or not next_ms:
        return 0
    return max(next_ms, schedule.last_ms + 1)


def _with(queue: QueueState, schedule: Schedule) -> QueueState:
    return attrs.evolve(queue, schedules={**queue.schedules, schedule.name: schedule})


def retract(
    queue: QueueState, now: int, *, names: Collection[str]
) -> tuple[QueueState, tuple[str, ...]]:
    """Remove schedules; return the sorted names of those that existed."""
    gone = tuple(sorted({*names} & queue.schedules.keys()))
    left = {name: s for name, s in queue.schedules.items() if name not in gone}
    return attrs.evolve(queue, schedules=left), gone


def retract_others(
    queue: QueueState, now: int, *, owner: str, names: Collection[str]
) -> tuple[QueueState, tuple[str, ...]]:
    """Remove the schedules that an owner no longer declares, unless they are to be kept."""
    others = [
        s.name
        for s in queue.schedules.values()
        if s.owner == owner and not s.keep and s.name not in names
    ]
    return retract(queue, now, names=others)


def suspend(queue: QueueState, now: int, *, name: str) -> tuple[QueueState, bool]:
    """Pause a schedule until `reinstate`; return whether it exists."""
    schedule = queue.schedules.get(name)
    if schedule is None:
        return queue, False
    return _with(queue, attrs.evolve(schedule, paused=True, next_ms=0)), True


def reinstate(queue: QueueState, now: int, *, name: str, next_ms: int) -> tuple[QueueState, bool]:
    """Resume a paused schedule, from the tick `next_ms` on; return whether it exists."""
    schedule = queue.schedules.get(name)
    if schedule is None:
        return queue, False
    if schedule.paused:
        schedule = attrs.evolve(schedule, paused=False)
        schedule = attrs.evolve(schedule, next_ms=_expected(schedule, next_ms))
    return _with(queue, schedule), True


def tick(
    queue: QueueState,
    now: int,
    *,
    name: str,
    expected_ms: int,
    revision: int,
    ticks: Sequence[Tick],
    next_ms: int,
) -> tuple[QueueState, int | None]:
    """Enqueue the tasks of due ticks, oldest first, and expect the tick `next_ms` next (0: none).

    Return how many tasks came in. Return None, and change nothing, if the schedule has changed since
    it was read, or if a tick is not due, not in order, or not new.
    """
    schedule = queue.schedules.get(name)
    if schedule is None or (schedule.next_ms, schedule.revision) != (expected_ms, revision):
        return queue, None
    if not _due(now, expected_ms, [each.at_ms for each in ticks], next_ms):
        return queue, None
    change, made = Change(queue, now), 0
    for each in ticks:
        if schedule.overlap_skip and _runs(change, schedule.last_id):
            continue
        if task_id := _made(enqueue_tick(change, each.task), each.task):
            schedule = attrs.evolve(schedule, last_id=task_id, last_ms=each.at_ms)
            made += 1
    return _with(change.done(), attrs.evolve(schedule, next_ms=next_ms)), made


def _due(now: int, expected_ms: int, instants: Sequence[int], next_ms: int) -> bool:
    if not 0 < expected_ms <= now or 0 < next_ms <= max(expected_ms, *instants, 0):
        return False
    return all(last < at <= now for last, at in pairwise([expected_ms - 1, *instants]))


def _runs(change: Change, task_id: str) -> bool:
    record = change.records.get(task_id)
    return record is not None and not record.terminal


def _made(answer: TaskAnswer, task: NewTask) -> str:
    """Return the id of the task that an enqueue added or replaced; '' for neither."""
    if isinstance(answer, Answer):
        return answer.ref if answer.kind is AnswerKind.REPLACED else ""
    return "" if answer is None else task.id


def trigger(
    queue: QueueState, now: int, *, name: str, task: NewTask
) -> tuple[QueueState, tuple[TaskAnswer, ...]]:
    """Enqueue one task of a schedule now, whichever tick it expects.

    Return the answer of that enqueue; an empty tuple if there is no such schedule.
    """
    schedule = queue.schedules.get(name)
    if schedule is None:
        return queue, ()
    change = Change(queue, now)
    answer = enqueue_checked(change, task)
    if task_id := _made(answer, task):
        schedule = attrs.evolve(schedule, last_id=task_id)
    return _with(change.done(), schedule), (answer,)
