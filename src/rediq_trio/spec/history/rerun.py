"""Rerun: run one step of a history through the specification.

The task as it was before the step is put into a queue of its own, the rule of the transition is
called, and its result is compared with the entry. Such a queue has no other tasks, so `replay`
checks order, limits, unique keys and dependencies.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from rediq_trio.spec import rules as spec
from rediq_trio.spec.change import Change
from rediq_trio.spec.history.entry import Entry
from rediq_trio.spec.lifecycle import State, Transition
from rediq_trio.spec.messages import (
    Completed,
    Failed,
    Fence,
    NewTask,
    Relations,
    Snoozed,
    Until,
    Version,
)
from rediq_trio.spec.records import QueueState, Record
from rediq_trio.spec.settle import PLAIN_OUTCOMES

COMPARED = {
    "state": 1, "deliveries": 4, "attempt": 4, "crashes": 4, "snoozes": 4, "max_retry": 4,
    "max_crashes": 4, "priority": 7, "seq": 7, "run_ms": 8, "expires_ms": 8, "cancel": 3,
    "unique": 6, "owns_unique_key": 6, "limit_key": 11, "group": 10, "waits": 8, "run_on_dependency_failure": 8,
}  # fmt: skip
"""Compared field -> the number of the invariant that it is about."""
_OF_STATE = {
    Transition.CLAIM: 8,
    Transition.PROMOTE: 8,
    Transition.ENQUEUE: 8,
    Transition.UNBLOCK: 8,
    Transition.RECLAIM: 3,
}
_PLACEHOLDER = "?"
"""The id of a task that this one waits for, or that replaces it."""


def record_of(entry: Entry) -> Record | None:
    """Return the task after the step, or None if it was removed."""
    if entry.target is None:
        return None
    return Record(
        id=entry.id,
        envelope=b"",
        state=entry.target,
        retention_ms=0,
        created_ms=0,
        nonce=entry.nonce,
        worker=entry.worker,
        **{name: getattr(entry, name) for name in COMPARED if name != "state"},
    )


def differences(before: Record | None, entry: Entry, seq: int) -> Iterator[tuple[int, str]]:
    """Return the differences between a step and the specification, with the broken invariants.

    `seq` is the last one that a ready task got, as far as is known.
    """
    transition = Transition(entry.transition)
    expected = _run(transition, before, entry, seq)
    found = record_of(entry)
    if expected is None or found is None:
        if (expected is None) != (found is None):
            is_now, right = (each.state if each else "gone" for each in (found, expected))
            yield _OF_STATE.get(transition, 2), f"it is {is_now}, should be {right}"
        return
    for name, invariant in COMPARED.items():
        one, two = getattr(found, name), getattr(expected, name)
        if name == "seq" and not one and found.state in (State.SCHEDULED, State.BLOCKED):
            continue  # earlier versions gave a task none before it was ready
        if one != two:
            if name == "state":
                invariant = _OF_STATE.get(transition, invariant)
            yield invariant, f"{name} is {one}, should be {two}"


def _run(transition: Transition, before: Record | None, entry: Entry, seq: int) -> Record | None:
    """Return the task after the step according to the specification."""
    queue = QueueState(seq=max(seq, entry.seq - 1))
    if before is None:
        return _enqueue(transition, queue, entry)
    before = attrs.evolve(before, until=_until(transition, entry))
    queue = attrs.evolve(queue, records={entry.id: before}, needs={entry.id: frozenset()})
    if transition is Transition.UNBLOCK:
        return _unblock(queue, before, entry)
    if transition is Transition.BATCH:
        return None  # a member is part of another task now
    if transition is Transition.ENQUEUE:
        return _replace(queue, entry)
    return _step(transition, queue, before, entry).records.get(entry.id)


def _until(transition: Transition, entry: Entry) -> Until:
    """Return what ends the window of the unique key, as far as the step shows it."""
    if transition is Transition.CLAIM and not entry.owns_unique_key:
        return Until.STARTED
    by_time = entry.owns_unique_key is (transition is not Transition.REVIVE)
    return Until.EXPIRED if by_time else Until.DONE


def _task(entry: Entry, task_id: str, **relations: object) -> NewTask:
    rest = {
        "unique": entry.unique,
        "limit_key": entry.limit_key,
        "run_on_dependency_failure": entry.run_on_dependency_failure,
    }
    return NewTask(
        task_id,
        b"",
        priority=entry.priority,
        max_retry=entry.max_retry,
        max_crashes=entry.max_crashes,
        run_at_ms=entry.run_ms,
        expires_at_ms=entry.expires_ms,
        relations=Relations(**rest | relations),  # type: ignore[arg-type]
    )


def _enqueue(transition: Transition, queue: QueueState, entry: Entry) -> Record | None:
    now = entry.now_ms
    if transition is Transition.BATCH:
        task = NewTask(entry.id, b"", entry.priority, entry.max_retry, entry.max_crashes)
    else:
        needs_later = (_PLACEHOLDER,) if entry.waits else ()
        task = _task(entry, entry.id, needs_later=needs_later, group=entry.group)
    after, _ = spec.enqueue(queue, now, [task])
    record = after.records.get(entry.id)
    # One placeholder stands for all tasks that it waits for.
    return record and attrs.evolve(record, waits=entry.waits)


def _replace(queue: QueueState, entry: Entry) -> Record | None:
    change = Change(queue, entry.now_ms)
    change.lock(queue.records[entry.id], 0)
    task = _task(entry, _PLACEHOLDER, replace=True)
    after, _ = spec.enqueue(change.done(), entry.now_ms, [task])
    return after.records.get(entry.id)


def _unblock(queue: QueueState, before: Record, entry: Entry) -> Record | None:
    dies = entry.target is State.DEAD
    # Earlier notifications that left the task blocked made no entry.
    waiting = attrs.evolve(before, waits=entry.waits if dies else 1)
    queue = attrs.evolve(
        queue, records={entry.id: waiting}, needs={entry.id: frozenset({_PLACEHOLDER})}
    )
    change = Change(queue, entry.now_ms)
    change.resolve(entry.id, _PLACEHOLDER, State.DEAD if dies else State.COMPLETED, b"")
    return change.done().records.get(entry.id)


def _step(transition: Transition, queue: QueueState, before: Record, entry: Entry) -> QueueState:
    """Return the queue after a step that concerns its task alone."""
    now, fence = entry.now_ms, Fence(entry.id, before.deliveries, before.nonce)
    if plain := PLAIN_OUTCOMES.get(transition):
        return spec.settle(queue, now, [plain(fence)])[0]
    match transition:
        case Transition.COMPLETE:
            retained = attrs.evolve(before, retention_ms=int(entry.target is not None))
            queue = attrs.evolve(queue, records={entry.id: retained})
            return spec.settle(queue, now, [Completed(fence, b"")])[0]
        case Transition.FAIL:
            final = entry.target is State.DEAD and before.attempt <= before.max_retry
            delay = entry.run_ms - now if entry.target is State.RETRY else 0
            most = entry.max_retry if entry.max_retry != before.max_retry else None
            return spec.settle(queue, now, [Failed(fence, "", delay, final, most)])[0]
        case Transition.SNOOZE:
            return spec.settle(queue, now, [Snoozed(fence, entry.run_ms - now)])[0]
        case Transition.RECLAIM:
            lapsed = attrs.evolve(before, lease_ms=entry.till_ms)
            queue = attrs.evolve(queue, records={entry.id: lapsed})
            return spec.reclaim(queue, now, limit=1)[0]
        case Transition.CLAIM:
            lease_ms = entry.till_ms - now
            return spec.claim(
                queue, now, limit=1, lease_ms=lease_ms, worker=entry.worker, nonce=entry.nonce
            )[0]
        case Transition.PROMOTE:
            return spec.promote(queue, now, limit=1)[0]
        case Transition.EXPIRE:
            return spec.expire(queue, now, limit=1)[0]
        case Transition.CANCEL:
            return spec.cancel(queue, now, entry.id)[0]
        case Transition.RESCHEDULE:
            return spec.reschedule(queue, now, entry.id, run_at_ms=entry.run_ms)[0]
        case Transition.UPDATE:
            numbers = entry.priority, entry.max_retry, entry.max_crashes
            new = Version(b"", *numbers, before.retention_ms, entry.expires_ms)
            return spec.update(queue, now, entry.id, seen=before.version, new=new)[0]
        case Transition.REQUEUE:
            task = NewTask(_PLACEHOLDER, b"", relations=Relations(queue=_PLACEHOLDER))
            return spec.requeue(queue, now, entry.id, seen=before.version, task=task)[0]
        case Transition.REVIVE:
            return spec.revive(queue, now, [entry.id])[0]
        case Transition.DELETE:
            return spec.delete(queue, now, [entry.id])[0]
        case Transition.PURGE:
            # The entry does not say when the task ended.
            return spec.purge(queue, now, limit=1, dead_retention_ms=0, max_dead=0)[0]
        case _:
            return queue
