"""How tasks come in: by an enqueue, with a completion, or from another queue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from rediq_trio.spec.change import Draft
from rediq_trio.spec.ids import split_ref
from rediq_trio.spec.lifecycle import Event, State
from rediq_trio.spec.records import (
    Answer,
    AnswerKind,
    Mail,
    MailKind,
    NewTask,
    Queue,
    Record,
)

Taken = State | Answer | None


def enqueue(
    queue: Queue, now: int, tasks: Sequence[NewTask], *, whole: bool = False
) -> tuple[Queue, tuple[Taken, ...]]:
    """Add each task whose id is new; None stands for one that exists already.

    With `whole`, one that is refused, or exists, keeps the others out too. A whole
    replaces no holder of a unique key, and its tasks may need those in front of them.
    """
    draft = Draft(queue, now)
    if not whole:
        answers = tuple(take_in(draft, task) for task in tasks)
        return draft.done(), answers
    before = _Before()
    refused: list[Answer | None] = []
    for task in tasks:
        refused.append(_refusal(draft, task, before))
        before.add(task, now)
    if any(refused):
        withheld = Answer(AnswerKind.WITHHELD)
        return queue, tuple(withheld if r is None else _told(r) for r in refused)
    answers = tuple(_take(draft, task) for task in tasks)
    return draft.done(), answers


@attrs.define
class _Before:
    """The tasks of a whole that are in front of one of them."""

    ids: dict[str, bool] = attrs.field(factory=dict)
    """With whether a task behind may need it."""
    keys: dict[str, str] = attrs.field(factory=dict)
    pending: int = 0

    def add(self, task: NewTask, now: int) -> None:
        if task.ties.queue:
            return
        self.ids[task.id] = not task.ties.group
        if task.ties.unique:
            self.keys.setdefault(task.ties.unique, task.id)
        self.pending += _comes_pending(task, now)


_EXISTS = Answer(AnswerKind.WITHHELD, "exists")


def _told(refusal: Answer) -> Answer | None:
    return None if refusal is _EXISTS else refusal


def take_in(draft: Draft, task: NewTask) -> Taken:
    """Add a task that a caller hands in, unless something refuses it."""
    if (refusal := _refusal(draft, task)) is not None:
        return _told(refusal)
    return _take(draft, task)


def admit(draft: Draft, task: NewTask) -> None:
    """Add a task that was promised to be enqueued: nothing but a holder of its key refuses it.

    Those that wait for a task that is refused are told that it is gone.
    """
    if not task.ties.queue and task.id in draft.records:
        for dependent in task.ties.dependents:
            draft.follow(task.id, dependent)
    elif isinstance(answer := _take(draft, task), Answer) and answer.kind is not AnswerKind.SENT:
        for dependent in task.ties.dependents:
            draft.tell(task.id, dependent, None, b"")


def admit_one(draft: Draft, task: NewTask) -> Taken:
    """Add a task that nobody waits for: nothing but a holder of its key, or of its id, refuses it."""
    if not task.ties.queue and task.id in draft.records:
        return None
    return _take(draft, task)


def _refusal(draft: Draft, task: NewTask, before: _Before | None = None) -> Answer | None:
    ties, queue = task.ties, draft.queue
    if ties.queue:
        return None
    if task.id in draft.records or (before and task.id in before.ids):
        return _EXISTS
    if ties.unique:
        holder = draft.holder(ties.unique)
        if holder is None and before:
            holder = before.keys.get(ties.unique)
        if holder is not None:
            replaces = before is None and _replaceable(draft, task, holder)
            return None if replaces else _taken(holder)
    if queue.max_pending and _comes_pending(task, draft.now):
        pending = sum(r.state is State.PENDING for r in draft.records.values())
        if pending + (before.pending if before else 0) >= queue.max_pending:
            return Answer(AnswerKind.FULL)
    for ref in ties.needs:
        source = draft.records.get(ref)
        there = source is not None and source.state is not State.GROUPED
        if not (split_ref(ref)[0] or there or (before and before.ids.get(ref))):
            return Answer(AnswerKind.MISSING, ref)
    return None


def _comes_pending(task: NewTask, now: int) -> bool:
    ties = task.ties
    return _due(task, now) <= now and not (ties.needs or ties.awaits or ties.group)


def _due(task: NewTask, now: int) -> int:
    return task.run_at_ms or now + task.delay_ms


def _taken(holder: str) -> Answer:
    return Answer(AnswerKind.TAKEN, holder)


def _replaceable(draft: Draft, task: NewTask, holder: str) -> bool:
    # What waits, or is waited for, under its own id cannot go by that of another.
    ties, record = task.ties, draft.records.get(holder)
    return (
        ties.replace
        and not (ties.needs or ties.awaits or ties.dependents or ties.group)
        and record is not None
        and record.unique == ties.unique
        and record.state in (State.SCHEDULED, State.PENDING)
        and record.deliveries == 0
    )


def _fields(draft: Draft, task: NewTask) -> dict[str, Any]:
    now, ties = draft.now, task.ties
    return {
        "envelope": task.envelope,
        "priority": task.priority,
        "max_retry": task.max_retry,
        "max_crashes": task.max_crashes,
        "retention_ms": task.retention_ms,
        "run_ms": max(_due(task, now), now),
        "expires_ms": task.expires_at_ms or (task.expires_in_ms and now + task.expires_in_ms),
        "unique": ties.unique,
        "until": ties.until,
        "holds": bool(ties.unique),
        "limit_key": ties.limit_key,
    }


def _take(draft: Draft, task: NewTask) -> State | Answer:
    ties = task.ties
    if ties.queue:
        sent = attrs.evolve(task, ties=attrs.evolve(ties, queue=""))
        draft.post(ties.queue, MailKind.TASK, task=sent)
        return Answer(AnswerKind.SENT)
    if ties.unique:
        holder = draft.holder(ties.unique)
        if holder is not None and _replaceable(draft, task, holder):
            return _replace(draft, task, draft.records[holder])
        if holder is not None:
            return _taken(holder)
    record = Record(
        id=task.id,
        state=State.BLOCKED,  # `add` has the last word
        created_ms=draft.now,
        group=ties.group,
        lenient=ties.lenient,
        waits=len(ties.needs) + len(ties.awaits),
        **_fields(draft, task),
    )
    if ties.unique:
        draft.lock(record, _till(draft, task))
    _place(draft, record, (*ties.needs, *ties.awaits))
    for dependent in ties.dependents:
        draft.link(draft.records[task.id], dependent)
    for ref in ties.awaits:
        draft.need(task.id, ref)
    for ref in ties.needs:
        draft.look(task.id, ref)
    return draft.records[task.id].state


def _place(draft: Draft, record: Record, needs: Sequence[str]) -> None:
    if record.waits:
        draft.add(record, State.BLOCKED, needs=needs)
    elif record.group:
        draft.add(record, State.GROUPED, seq=draft.next_seq())
    elif record.run_ms > draft.now:
        draft.add(record, State.SCHEDULED)
    else:
        draft.add(record, State.PENDING, seq=draft.next_seq())


def _replace(draft: Draft, task: NewTask, holder: Record) -> Answer:
    new = _fields(draft, task)
    draft.lock(holder, _till(draft, task))
    if new["run_ms"] > draft.now:
        record = draft.move(Event.ENQUEUE, holder, State.SCHEDULED, **new)
    elif holder.state is State.PENDING:
        record = draft.move(Event.ENQUEUE, holder, State.PENDING, **new)
    else:
        record = draft.ready(Event.ENQUEUE, holder, **new)
    return Answer(AnswerKind.REPLACED, record.id, record.state)


def _till(draft: Draft, task: NewTask) -> int:
    return draft.now + task.ties.ttl_ms if task.ties.ttl_ms else 0


# --- what comes from other queues


def receive(
    queue: Queue, now: int, sender: str, mail: Sequence[Mail]
) -> tuple[Queue, int]:
    """Take in messages of another queue, oldest first; one that came before changes nothing.

    Gives the `seq` of the last message taken in, now or before.
    """
    draft = Draft(queue, now)
    known = mark = queue.received.get(sender, 0)
    for message in mail:
        if message.seq > mark:
            mark = message.seq
            _open(draft, sender, message)
    after = draft.done()
    if mark > known:
        after = attrs.evolve(after, received={**queue.received, sender: mark})
    return after, mark


def _open(draft: Draft, sender: str, mail: Mail) -> None:
    match mail.kind:
        case MailKind.TASK:
            assert mail.task is not None
            admit(draft, mail.task)
        case MailKind.LINK:
            draft.follow(mail.ref, f"{sender}/{mail.id}")
        case MailKind.TOLD:
            draft.resolve(mail.id, f"{sender}/{mail.ref}", mail.how, mail.result)


def acknowledge(queue: Queue, now: int, seq: int) -> tuple[Queue, int]:
    """Forget the messages up to `seq`, which have arrived; give how many are left."""
    left = tuple(mail for mail in queue.outbox if mail.seq > seq)
    return attrs.evolve(queue, outbox=left), len(left)


