"""Schedules in a queue: declared, ticked, paused, triggered, retracted.

When a schedule ticks is computed by whoever looks after it (`spec.schedule`), from the
store's time. Any number may do so at once: a tick is a compare-and-set on the tick that
is expected, so each makes its task once. The expected tick only moves past what has
fired, whatever the clocks and the redeclarations do.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from types import MappingProxyType

import attrs

from rediq_trio.spec.change import Change
from rediq_trio.spec.intake import Taken, enqueue_checked, enqueue_tick
from rediq_trio.spec.messages import Agenda, Answer, AnswerKind, NewTask, Schedule, Tick
from rediq_trio.spec.records import QueueState


def agenda(queue: QueueState, now: int, *, due: int = 0) -> tuple[QueueState, Agenda]:
    """Read the schedules, by name; or those due, `due` of them at most, the longest due first."""
    known = queue.schedules.values()
    later = [s.next_ms for s in known if s.next_ms > now]
    if due:
        late = [s for s in known if 0 < s.next_ms <= now]
        found = sorted(late, key=lambda s: (s.next_ms, s.name))[:due]
    else:
        found = sorted(known, key=lambda s: s.name)
    return queue, Agenda(now, tuple(found), min(later) - now if later else None)


def declare(queue: QueueState, now: int, *, schedule: Schedule) -> tuple[QueueState, bool]:
    """Add a schedule, or put it in the place of the one of its name; say whether that changed it.

    What it did so far stays, and a pause too. Its expected tick changes only when it
    ticks at other times than before.
    """
    old = queue.schedules.get(schedule.name)
    fresh = attrs.evolve(schedule, paused=False, last_ms=0, last_id="", revision=0)
    if old is not None:
        fresh = attrs.evolve(
            fresh,
            paused=old.paused,
            last_ms=old.last_ms,
            last_id=old.last_id,
            revision=old.revision,
            next_ms=old.next_ms if _same_times(fresh, old) else _expected(old, fresh.next_ms),
        )
        if fresh == old:
            return queue, False
        if _same_times(fresh, old) and fresh.template == old.template:
            return _with(queue, fresh), True  # whose it is has changed, not what it does
    revision = queue.revision + 1
    fresh = attrs.evolve(fresh, revision=revision)
    return attrs.evolve(_with(queue, fresh), revision=revision), True


def _same_times(one: Schedule, two: Schedule) -> bool:
    return (one.when, one.overlap_skip) == (two.when, two.overlap_skip)


def _expected(schedule: Schedule, next_ms: int) -> int:
    """Give the tick to expect of one that may be paused, and may have fired later ones."""
    if schedule.paused or not next_ms:
        return 0
    return max(next_ms, schedule.last_ms + 1)


def _with(queue: QueueState, *schedules: Schedule) -> QueueState:
    known = {**queue.schedules, **{s.name: s for s in schedules}}
    return attrs.evolve(queue, schedules=MappingProxyType(known))


def retract(
    queue: QueueState, now: int, *, names: Collection[str]
) -> tuple[QueueState, tuple[str, ...]]:
    """Remove schedules; give the names of those that were there, sorted."""
    gone = tuple(sorted({*names} & queue.schedules.keys()))
    left = {name: s for name, s in queue.schedules.items() if name not in gone}
    return attrs.evolve(queue, schedules=MappingProxyType(left)), gone


def retract_others(
    queue: QueueState, now: int, *, owner: str, names: Collection[str]
) -> tuple[QueueState, tuple[str, ...]]:
    """Remove what an owner declared and does not name any more, unless it is to be kept."""
    others = [
        s.name
        for s in queue.schedules.values()
        if s.owner == owner and not s.keep and s.name not in names
    ]
    return retract(queue, now, names=others)


def suspend(queue: QueueState, now: int, *, name: str) -> tuple[QueueState, bool]:
    """Let a schedule tick no more until `reinstate`; say whether there is one."""
    schedule = queue.schedules.get(name)
    if schedule is None:
        return queue, False
    return _with(queue, attrs.evolve(schedule, paused=True, next_ms=0)), True


def reinstate(queue: QueueState, now: int, *, name: str, next_ms: int) -> tuple[QueueState, bool]:
    """Let a paused schedule tick again, from `next_ms` on; say whether there is one."""
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
    """Make the tasks of ticks that are due, oldest first, and expect `next_ms` (0: none) from now on.

    Gives how many tasks were made; None, and changes nothing, when the schedule is not
    the one that was read, or the ticks are not due, in order and new.
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
    if not 0 < expected_ms <= now or (next_ms and next_ms <= max(expected_ms, *instants, 0)):
        return False
    last = expected_ms - 1
    for at in instants:
        if not last < at <= now:
            return False
        last = at
    return True


def _runs(change: Change, task_id: str) -> bool:
    record = change.records.get(task_id)
    return record is not None and not record.terminal


def _made(answer: Taken, task: NewTask) -> str:
    """Give the id of the task that came in, or took another's place; '' when none did."""
    if isinstance(answer, Answer):
        return answer.ref if answer.kind is AnswerKind.REPLACED else ""
    return "" if answer is None else task.id


def trigger(
    queue: QueueState, now: int, *, name: str, task: NewTask
) -> tuple[QueueState, tuple[Taken, ...]]:
    """Make one task of a schedule now, whatever ticks it expects; unless an enqueue would be refused.

    The answer is that of an enqueue; empty when there is no such schedule.
    """
    schedule = queue.schedules.get(name)
    if schedule is None:
        return queue, ()
    change = Change(queue, now)
    answer = enqueue_checked(change, task)
    if task_id := _made(answer, task):
        schedule = attrs.evolve(schedule, last_id=task_id)
    return _with(change.done(), schedule), (answer,)
