"""How tasks are added: by an enqueue, by a completion, by a tick, or from another queue, and how one
leaves for another queue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from rediq_trio.spec.carried import BatchEnvelope
from rediq_trio.spec.change import Change
from rediq_trio.spec.ids import split_ref
from rediq_trio.spec.lifecycle import State, Transition
from rediq_trio.spec.messages import (
    Answer,
    AnswerKind,
    InState,
    Mail,
    MailKind,
    NewTask,
    Obstacle,
    Received,
    Requeued,
    Version,
)
from rediq_trio.spec.records import QueueState, Record, by_place
from rediq_trio.spec.stored_format import ASKS_AGAIN

TaskAnswer = State | Answer | None


def enqueue(
    queue: QueueState,
    now: int,
    tasks: Sequence[NewTask],
    *,
    atomic: bool = False,
    step: bool = False,
) -> tuple[QueueState, tuple[TaskAnswer, ...]]:
    """Add each task whose id is new; None stands for one that exists already.

    With `atomic` it is all or nothing: a task that is rejected, or exists, keeps the others out.
    Then no task replaces the holder of its unique key. With `step`, a task without room, or
    without a task that it needs, keeps the others out. With either, each may need those before it.
    """
    change = Change(queue, now)
    if not (atomic or step):
        answers = tuple(enqueue_checked(change, task) for task in tasks)
        return change.done(), answers
    preceding = _Preceding()
    rejections: list[Answer | None] = []
    for task in tasks:
        rejections.append(rejection := _rejection(change, task, preceding))
        if atomic or rejection is None:
            preceding.add(task, now)
    refused = [r for r in rejections if r and (atomic or r.kind in _REFUSALS)]
    if refused:
        withheld = Answer(AnswerKind.WITHHELD)
        return queue, tuple(
            withheld if r is None or r not in refused else _answer_of(r) for r in rejections
        )
    answers = tuple(_insert_new(change, task) for task in tasks)
    return change.done(), answers


def _insert_new(change: Change, task: NewTask) -> TaskAnswer:
    exists = not task.relations.queue and task.id in change.records
    return None if exists else _insert(change, task)


_REFUSALS = (AnswerKind.FULL, AnswerKind.MISSING)
"""What keeps the other tasks of a step out. A task with a taken id or key does not: it is there."""


@attrs.define
class _Preceding:
    """The tasks that precede one in an atomic enqueue."""

    ids: dict[str, bool] = attrs.field(factory=dict)
    """Task id -> whether a later task of the same request may depend on it."""
    keys: dict[str, str] = attrs.field(factory=dict)
    pending: int = 0

    def add(self, task: NewTask, now: int) -> None:
        if task.relations.queue:
            return
        self.ids[task.id] = not task.relations.group
        if task.relations.unique:
            self.keys.setdefault(task.relations.unique, task.id)
        self.pending += _comes_pending(task, now)


_EXISTS = Answer(AnswerKind.WITHHELD, "exists")


def _answer_of(rejection: Answer) -> Answer | None:
    return None if rejection is _EXISTS else rejection


def enqueue_checked(change: Change, task: NewTask) -> TaskAnswer:
    """Add a task of a caller, unless it is rejected."""
    if (rejection := _rejection(change, task)) is not None:
        return _answer_of(rejection)
    return _insert(change, task)


def enqueue_promised(change: Change, task: NewTask) -> bool:
    """Add a task whose enqueue was already promised; return False if that changed nothing.

    Only a task with its id, or a holder of its unique key, rejects it. The dependents of a task
    that is rejected for its key, or that replaces another, are notified that it is gone.
    """
    if not task.relations.queue and task.id in change.records:
        for dependent in task.relations.dependents:
            change.subscribe(task.id, dependent)
        return False
    answer = _insert(change, task)
    if isinstance(answer, Answer) and answer.kind is not AnswerKind.SENT:
        for dependent in task.relations.dependents:
            change.notify_dependent(task.id, dependent, None, b"")
    return not (isinstance(answer, Answer) and answer.kind is AnswerKind.TAKEN)


def enqueue_tick(change: Change, task: NewTask) -> TaskAnswer:
    """Add a task of a schedule; only a holder of its unique key, or of its id, rejects it."""
    return _insert_new(change, task)


def _rejection(change: Change, task: NewTask, preceding: _Preceding | None = None) -> Answer | None:
    relations, queue = task.relations, change.queue
    if relations.queue:
        return None
    if task.id in change.records or (preceding and task.id in preceding.ids):
        return _EXISTS
    if relations.unique:
        holder = change.holder(relations.unique)
        if holder is None and preceding:
            holder = preceding.keys.get(relations.unique)
        if holder is not None:
            replaces = preceding is None and _replaceable(change, task, holder)
            return None if replaces else Answer(AnswerKind.TAKEN, holder)
    if queue.max_pending and _comes_pending(task, change.now):
        pending = change.records.table.count(by_place, (State.PENDING,))
        if pending + (preceding.pending if preceding else 0) >= queue.max_pending:
            return Answer(AnswerKind.FULL)
    for ref in relations.needs:
        source = change.records.get(ref)
        there = source is not None and source.state is not State.GROUPED
        if not (split_ref(ref)[0] or there or (preceding and preceding.ids.get(ref))):
            return Answer(AnswerKind.MISSING, ref)
    return None


def _comes_pending(task: NewTask, now: int) -> bool:
    relations = task.relations
    return _due(task, now) <= now and not (
        relations.needs or relations.needs_later or relations.group
    )


def _due(task: NewTask, now: int) -> int:
    return task.run_at_ms or now + task.delay_ms


def _replaceable(change: Change, task: NewTask, holder: str) -> bool:
    # A task with dependencies or dependents is known by its own id, so it takes no other's place.
    relations, record = task.relations, change.records.get(holder)
    return (
        relations.replace
        and not (
            relations.needs or relations.needs_later or relations.dependents or relations.group
        )
        and record is not None
        and record.unique == relations.unique
        and record.state in (State.SCHEDULED, State.PENDING)
        and record.deliveries == 0
    )


def _fields(change: Change, task: NewTask) -> dict[str, Any]:
    now, relations = change.now, task.relations
    return {
        "envelope": task.envelope,
        "priority": task.priority,
        "max_retry": task.max_retry,
        "max_crashes": task.max_crashes,
        "retention_ms": task.retention_ms,
        "run_ms": max(_due(task, now), now),
        "expires_ms": task.expires_at_ms or (task.expires_in_ms and now + task.expires_in_ms),
        "unique": relations.unique,
        "until": relations.until,
        "owns_unique_key": bool(relations.unique),
        "limit_key": relations.limit_key,
    }


def _insert(change: Change, task: NewTask) -> State | Answer:
    relations = task.relations
    if relations.queue:
        sent = attrs.evolve(task, relations=attrs.evolve(relations, queue=""))
        change.send(relations.queue, MailKind.TASK, task=sent)
        return Answer(AnswerKind.SENT)
    if relations.unique and (holder := change.holder(relations.unique)) is not None:
        if _replaceable(change, task, holder):
            return _replace(change, task, change.records[holder])
        return Answer(AnswerKind.TAKEN, holder)
    record = Record(
        id=task.id,
        state=State.BLOCKED,  # `add` sets the real one
        created_ms=change.now,
        group=relations.group,
        run_on_dependency_failure=relations.run_on_dependency_failure,
        waits=len(relations.needs) + len(relations.needs_later),
        **_fields(change, task),
    )
    if relations.unique:
        change.lock(record, _window_end(change, task))
    _add_in_first_state(change, record, (*relations.needs, *relations.needs_later))
    for dependent in relations.dependents:
        change.link(change.records[task.id], dependent)
    for ref in relations.needs_later:
        change.need(task.id, ref)
    for ref in relations.needs:
        change.check_dependency(task.id, ref)
    return change.records[task.id].state


def _add_in_first_state(change: Change, record: Record, needs: Sequence[str]) -> None:
    if record.waits:
        state = State.BLOCKED
    elif record.group:
        state = State.GROUPED
    elif record.run_ms > change.now:
        state = State.SCHEDULED
    else:
        state = State.PENDING
    change.add(record, state, needs=needs, seq=change.next_seq())


def _replace(change: Change, task: NewTask, holder: Record) -> Answer:
    new = _fields(change, task)
    change.lock(holder, _window_end(change, task))
    if new["run_ms"] > change.now:
        record = change.move(Transition.ENQUEUE, holder, State.SCHEDULED, **new)
    elif holder.state is State.PENDING:
        record = change.move(Transition.ENQUEUE, holder, State.PENDING, **new)
    else:
        record = change.ready(Transition.ENQUEUE, holder, **new)
    return Answer(AnswerKind.REPLACED, record.id, record.state)


def _window_end(change: Change, task: NewTask) -> int:
    return change.now + task.relations.ttl_ms if task.relations.ttl_ms else 0


def receive(
    queue: QueueState, now: int, sender: str, mail: Sequence[Mail]
) -> tuple[QueueState, Received]:
    """Handle messages of another queue, oldest first; one that was handled before changes nothing."""
    change = Change(queue, now)
    known = mark = queue.received.get(sender, 0)
    refused: list[int] = []
    for message in mail:
        if message.seq > mark:
            mark = message.seq
            if not _receive_one(change, sender, message):
                refused.append(mark)
    after = change.done()
    if mark > known:
        after = attrs.evolve(after, received={**queue.received, sender: mark})
    return after, Received(mark, tuple(refused), tuple(change.died))


def _receive_one(change: Change, sender: str, mail: Mail) -> bool:
    """Handle a message; return False for one whose task is not enqueued."""
    match mail.kind:
        case MailKind.TASK:
            assert mail.task is not None
            return enqueue_promised(change, mail.task)
        case MailKind.SUBSCRIBE:
            again = mail.result == ASKS_AGAIN
            change.subscribe(mail.ref, f"{sender}/{mail.id}", again=again)
        case MailKind.ENDED:
            change.resolve(mail.id, f"{sender}/{mail.ref}", mail.ended_as, mail.result)
    return True


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
    if record is None or not record.is_still(still):
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
