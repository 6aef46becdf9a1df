"""The signals of the store in memory: what the scripts publish of a step, by comparing both queues."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rediq_trio.spec.groups import groups_due_sooner
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.records import QueueState, Record
from rediq_trio.store.broadcast import Signal, SignalKind

_Changed = tuple[str, Record | None, Record | None]
"""The id of a task, and its record before and after a step."""


def signals_of(queue: str, before: QueueState, after: QueueState) -> Iterator[Signal]:
    """Yield what Redis would publish of a step."""
    woken, later = before.paused and not after.paused, False
    changed = list(before.records.differences(after.records))
    for task_id, old, new in changed:
        if new is None:
            continue
        moved = old is None or old.state is not new.state
        woken = woken or (moved and new.state is State.PENDING)
        if new.state in (State.SCHEDULED, State.RETRY):
            later = later or moved or (old is not None and new.run_ms < old.run_ms)
        if old is not None and new.cancel and not old.cancel:
            yield Signal(queue, SignalKind.CANCEL, task_id)
        if new.has_waiters and moved and new.terminal:
            yield Signal(queue, SignalKind.DONE, task_id)
        if new.has_waiters and old is not None and new.progress != old.progress:
            yield Signal(queue, SignalKind.PROGRESS, task_id)
    woken = woken or before.limits != after.limits or _frees_slot(after, changed)
    if after.outbox[-1:] != before.outbox[-1:] or len(after.endings) > len(before.endings):
        yield Signal(queue, SignalKind.MAIL)
    for group in groups_due_sooner(before, after):
        yield Signal(queue, SignalKind.GROUP, group)
    if woken:
        yield Signal(queue, SignalKind.WAKE)
    if later:
        yield Signal(queue, SignalKind.DUE)
    if _schedules_changed(before, after):
        yield Signal(queue, SignalKind.TICK)
    for task_id, old, new in changed:
        if old is not None and old.has_waiters and new is None:
            yield Signal(queue, SignalKind.DONE, task_id)


def _frees_slot(after: QueueState, changed: Iterable[_Changed]) -> bool:
    # Whether a task is no longer active, so that another one may start under a limit.
    if not any(limit.concurrency for limit in after.limits.values()):
        return False
    was_active = [new for _, old, new in changed if old is not None and old.state is State.ACTIVE]
    return any(new is None or new.state is not State.ACTIVE for new in was_active)


def _schedules_changed(before: QueueState, after: QueueState) -> bool:
    # Whether a schedule was added, resumed or changed.
    known = before.schedules
    return after.schedules is not known and any(
        new.next_ms
        and ((old := known.get(name)) is None or old.paused or old.revision != new.revision)
        for name, new in after.schedules.items()
    )
