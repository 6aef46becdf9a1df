"""What a worker writes about the tasks that it holds: outcomes, progress and steps.

Each write names the fence of its delivery, and a stale fence changes nothing.
`settle` takes the outcomes of many attempts, of whatever kind, as one batch: each
outcome is one transition of the state machine, as `TRANSITION_OF` says.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, assert_never, cast

import attrs

from rediq_trio.spec.carried import Kept
from rediq_trio.spec.change import Change
from rediq_trio.spec.claim import find_delivery
from rediq_trio.spec.history.kinds import Failure, count_failures
from rediq_trio.spec.intake import enqueue_promised
from rediq_trio.spec.lifecycle import State, Transition
from rediq_trio.spec.messages import (
    Completed,
    Failed,
    Fence,
    NewTask,
    Outcome,
    PartlyCompleted,
    Released,
    Report,
    Settled,
    Snoozed,
    Stopped,
)
from rediq_trio.spec.records import CANCELLED_GRACE_MS, QueueState, Record
from rediq_trio.spec.stored_format import NOT_ENQUEUED, NOT_ENQUEUED_NAMED, UNSET_RETENTION_MS

TRANSITION_OF: Mapping[type[Outcome], Transition] = MappingProxyType(
    {
        Completed: Transition.COMPLETE,
        Failed: Transition.FAIL,
        Snoozed: Transition.SNOOZE,
        Stopped: Transition.STOP,
        Released: Transition.RELEASE,
    }
)
"""The transition that settles each type of outcome."""

PLAIN_OUTCOMES: Mapping[Transition, Callable[[Fence], Outcome]] = MappingProxyType(
    {
        transition: cast("Callable[[Fence], Outcome]", kind)
        for kind, transition in TRANSITION_OF.items()
        if [each.name for each in attrs.fields(kind) if each.default is attrs.NOTHING] == ["fence"]
    }
)
"""The outcomes that can be made of a fence alone, by their transitions. Whoever passes outcomes on,
replays or generates them needs no branch for each."""

DETAILED = frozenset(kind for kind in TRANSITION_OF if "detail" in attrs.fields_dict(kind))
"""The outcomes after which a record of the attempt is kept, if they carry a detail."""


def detail_of(outcome: Outcome) -> bytes:
    """Return what is kept of an attempt beside what the queue knows of it; empty to keep no record."""
    detail: bytes = getattr(outcome, "detail", b"")
    return detail


def settle(queue: QueueState, now: int, outcomes: Sequence[Outcome]) -> tuple[QueueState, Settled]:
    """Write how attempts ended, one after the other, and count the failures by their kinds.

    An outcome that was settled before changes nothing, so a batch can be repeated.
    """
    change = Change(queue, now)
    answers: list[State | PartlyCompleted | None] = []
    failures: list[Failure] = []
    for outcome in outcomes:
        record = find_delivery(change, outcome.fence)
        if record is None:
            answers.append(None)
        elif record.state is not State.ACTIVE:
            answers.append(record.state)
        else:
            kind = outcome.kind if isinstance(outcome, Failed) else ""
            if detail := detail_of(outcome):
                record = record.with_attempt(now, TRANSITION_OF[type(outcome)], detail, kind)
            if kind and isinstance(outcome, Failed):
                failures.append(Failure(record.id, kind, outcome.sample))
            answers.append(_settle(change, record, outcome))
    after = change.done()
    if failures:
        after = attrs.evolve(after, kinds=count_failures(queue.kinds, now, failures))
    return after, Settled(answers, tuple(change.died))


def _settle(change: Change, record: Record, outcome: Outcome) -> State | PartlyCompleted:
    """Settle the attempt of an active task; return the answer."""
    match outcome:
        case Completed():
            return _complete(change, record, outcome)
        case Failed():
            return _fail(change, record, outcome)
        case Snoozed(delay_ms=delay_ms):
            uncharged: dict[str, Any] = {
                "attempt": record.attempt - 1,
                "snoozes": record.snoozes + 1,
            }
            if record.cancel:
                return change.cancel(Transition.SNOOZE, record, **uncharged).state
            uncharged["run_ms"] = change.now + delay_ms
            return change.move(Transition.SNOOZE, record, State.SCHEDULED, **uncharged).state
        case Stopped():
            # Nobody asked to cancel the task, so it stays active.
            if not record.cancel:
                return record.state
            return change.cancel(Transition.STOP, record, attempt=record.attempt - 1).state
        case Released():
            attempt = record.attempt - 1
            if record.cancel:
                return change.cancel(Transition.RELEASE, record, attempt=attempt).state
            # It keeps its `seq`, so it returns to its old rank.
            return change.move(Transition.RELEASE, record, State.PENDING, attempt=attempt).state
        case _:
            assert_never(outcome)


def _complete(change: Change, record: Record, outcome: Completed) -> State | PartlyCompleted:
    """Keep the result for the task's retention; without retention or waiters, remove the task.

    The same step frees its unique key, enqueues its children and notifies its dependents. A child
    with the id of the task succeeds it: then the task is removed, its result too.
    """
    change.free(record)
    successor: NewTask | None = None
    refused: list[str] = []
    for child in outcome.children:
        if successor is None and child.id == record.id and not child.relations.queue:
            successor = child
        elif not enqueue_promised(change, child):
            refused.append(child.id)
    if successor and successor.relations.unique and change.holder(successor.relations.unique):
        refused.append(successor.id)
        successor = None
    record = change.records[record.id]
    if outcome.retention_ms is not None and record.retention_ms == UNSET_RETENTION_MS:
        record = attrs.evolve(record, retention_ms=outcome.retention_ms)
    change.count("completed")
    keep = max(record.retention_ms, CANCELLED_GRACE_MS if record.has_waiters else 0)
    if keep and not successor:
        change.move(
            Transition.COMPLETE,
            record,
            State.COMPLETED,
            result=outcome.result,
            finished_ms=change.now,
            purge_ms=change.now + keep,
            error=NOT_ENQUEUED % ", ".join(refused[:NOT_ENQUEUED_NAMED]) if refused else "",
            inputs=(),
            steps=(),
            has_steps=False,
        )
    else:
        change.remove(Transition.COMPLETE, record, result=outcome.result)
        change.count("purged")
    if successor:
        _succeed(change, record, successor)
    return PartlyCompleted(tuple(refused)) if refused else State.COMPLETED


def _succeed(change: Change, record: Record, successor: NewTask) -> None:
    """Add the child that has the id of a completed task, whose waiters now wait for the child."""
    if record.has_dependents:
        # All of them now: those that are left for later would be taken for the child's.
        change.propagate(sys.maxsize)
    enqueue_promised(change, successor)
    if record.has_waiters:
        added = change.records[successor.id]
        change.records[successor.id] = attrs.evolve(added, has_waiters=True)


def _fail(change: Change, record: Record, outcome: Failed) -> State:
    """Count the attempt: dead if it was the last one or the error is final, else retry later."""
    change.count("failed")
    if outcome.max_retry is not None:
        # An attempt that was made was allowed.
        record = attrs.evolve(record, max_retry=max(outcome.max_retry, record.attempt - 1))
    if outcome.final or record.attempt > record.max_retry:
        return change.bury(Transition.FAIL, record, outcome.error).state
    if record.cancel:
        return change.cancel(Transition.FAIL, record, error=outcome.error).state
    run_ms = change.now + outcome.delay_ms
    return change.move(
        Transition.FAIL, record, State.RETRY, error=outcome.error, run_ms=run_ms
    ).state


def report(
    queue: QueueState, now: int, items: Sequence[Report]
) -> tuple[QueueState, tuple[bool, ...]]:
    """Store the newest progress of each running task; False for a stale fence."""
    change = Change(queue, now)
    answers: list[bool] = []
    for item in items:
        record = find_delivery(change, item.fence)
        good = record is not None and record.state is State.ACTIVE
        if record is not None and good:
            change.records[record.id] = attrs.evolve(record, progress=item.progress)
        answers.append(good)
    return change.done(), tuple(answers)


def remember(queue: QueueState, now: int, fence: Fence, step: Kept) -> tuple[QueueState, bool]:
    """Store the result of a step of a running task; False for a stale fence."""
    change = Change(queue, now)
    record = find_delivery(change, fence)
    if record is None or record.state is not State.ACTIVE:
        return queue, False
    change.records[record.id] = attrs.evolve(record, steps=(*record.steps, step), has_steps=True)
    return change.done(), True
