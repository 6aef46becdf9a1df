"""Moving a task to another queue, in one step of its own."""

from __future__ import annotations

import attrs

from rediq_trio.spec.carried import BatchEnvelope
from rediq_trio.spec.change import Change
from rediq_trio.spec.lifecycle import State, Transition
from rediq_trio.spec.messages import InState, MailKind, NewTask, Obstacle, Requeued, Version
from rediq_trio.spec.operate import is_still
from rediq_trio.spec.records import QueueState, Record

_REQUEUED = (State.SCHEDULED, State.PENDING, State.RETRY, State.DEAD, State.CANCELLED)


def requeue(
    queue: QueueState,
    now: int,
    task_id: str,
    *,
    seen: Version,
    task: NewTask,
    still: InState | None = None,
) -> tuple[QueueState, Requeued]:
    """Remove a task, and send one of its payload and options to another queue, in one step.

    `task` names that queue among its relations, and has an id that is new, so that nothing can
    keep it out there. One that waits is due when this one was, and expires when this one did.
    Nothing happens if the task is not as its caller has `seen` it, or if anything of its queue
    depends on it. One that is not `still` as it was is answered for as if it did not exist.
    """
    record = queue.records.get(task_id)
    if record is None or not is_still(record, still):
        return queue, Requeued()
    if (obstacle := obstacle_of(record, seen)) is not None:
        return queue, Requeued(record.state, obstacle)
    change = Change(queue, now)
    timed = record.state in (State.SCHEDULED, State.RETRY)
    sent = attrs.evolve(
        task,
        run_at_ms=record.run_ms if timed else 0,
        expires_at_ms=0 if record.terminal else record.expires_ms,
        relations=attrs.evolve(task.relations, queue=""),
    )
    change.send(task.relations.queue, MailKind.TASK, task=sent)
    change.remove(Transition.REQUEUE, record)
    change.count("deleted")
    return change.done(), Requeued(record.state)


def obstacle_of(record: Record, seen: Version) -> Obstacle | None:
    """Return what keeps a task in its queue; None for nothing."""
    if record.state not in _REQUEUED:
        return Obstacle.STATE
    if record.version != seen or isinstance(record.envelope, BatchEnvelope):
        return Obstacle.CHANGED
    if record.unique:
        return Obstacle.UNIQUE_KEY
    if record.group:
        return Obstacle.GROUP
    if record.has_dependents and not record.terminal:
        return Obstacle.DEPENDENTS
    if record.has_waiters and not record.terminal:
        return Obstacle.WAITERS
    return Obstacle.KEPT if record.waits or record.inputs or record.has_steps else None
