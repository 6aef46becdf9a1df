"""The executable specification: what the queue does, as pure functions.

Each function is one transition, batched where a worker batches. It takes the
whole queue and the time (whole milliseconds) and gives the queue that follows
with the answer; nothing else is read or changed. `lua/` holds a script of the
same name for each, which must do the same on a real Redis; the property tests
drive both and compare everything after every step.

Read `_Draft.move` first: no task changes state in any other way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import nsmallest
from types import MappingProxyType
from typing import Any

import attrs

from rediq_trio.spec.lifecycle import TERMINAL, WAITING, Event, State, advance
from rediq_trio.spec.limits import is_uuid7
from rediq_trio.spec.records import (
    CANCELLED_GRACE_MS,
    Claimed,
    Completion,
    Deferral,
    Due,
    Failure,
    Fence,
    Lease,
    NewTask,
    Queue,
    Record,
    Report,
    Verdict,
)

EXPIRED = "expired"


class _Draft:
    """The queue while one transition works on it."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.records = dict(queue.records)
        self.seq = queue.seq
        self.totals: dict[str, int] = {}

    def count(self, total: str, by: int = 1) -> None:
        self.totals[total] = self.totals.get(total, 0) + by

    def move(self, event: Event, record: Record, target: State, **changes: Any) -> None:
        """Take a task along an edge of the table."""
        advance(event, record.state, target)
        if target is not State.ACTIVE:
            changes.setdefault("lease_ms", 0)
        self.records[record.id] = attrs.evolve(record, state=target, **changes)

    def remove(self, event: Event, record: Record) -> None:
        advance(event, record.state, None)
        del self.records[record.id]

    def ready(self, event: Event, record: Record, **changes: Any) -> None:
        """Make a task pending, behind those of its priority that are ready."""
        self.seq += 1
        self.move(event, record, State.PENDING, seq=self.seq, **changes)

    def bury(self, event: Event, record: Record, reason: str, now: int, **changes: Any) -> None:
        self.count("dead")
        self.move(event, record, State.DEAD, error=reason, finished_ms=now, **changes)

    def cancel(self, event: Event, record: Record, now: int, **changes: Any) -> None:
        purge = now + max(record.retention_ms, CANCELLED_GRACE_MS)
        self.move(event, record, State.CANCELLED, finished_ms=now, purge_ms=purge, **changes)

    def done(self) -> Queue:
        counters = self.queue.counters
        counters = attrs.evolve(
            counters, **{name: getattr(counters, name) + by for name, by in self.totals.items()}
        )
        records = MappingProxyType(self.records)
        return attrs.evolve(self.queue, records=records, seq=self.seq, counters=counters)


def ordered(queue: Queue, state: State) -> list[Record]:
    """Give the tasks in one state, in the order of its index."""
    found = (r for r in queue.records.values() if r.state is state)
    return sorted(found, key=_place)


def _tie(task_id: str) -> tuple[bool, str]:
    # The order in which Redis stores them: a UUIDv7 in fewer bytes, ahead of any text.
    return not is_uuid7(task_id), task_id


def _place(record: Record) -> tuple[int, tuple[bool, str]]:
    return record.score, _tie(record.id)


def _first(queue: Queue, state: State, limit: int, until: int | None = None) -> list[Record]:
    found = (
        r
        for r in queue.records.values()
        if r.state is state and (until is None or r.score <= until)
    )
    return nsmallest(limit, found, key=_place)


def _next_in(instants: Iterable[int], now: int) -> int | None:
    first = min(instants, default=None)
    return None if first is None else max(0, first - now)


def _held(queue: Queue | _Draft, fence: Fence) -> Record | None:
    """Give the record of a task if this fence is that of its last delivery and still good."""
    record = queue.records.get(fence.id)
    if record is None or (record.deliveries, record.nonce) != (fence.deliveries, fence.nonce):
        return None
    return record


def _expired(record: Record, now: int) -> bool:
    return 0 < record.expires_ms <= now


# --- what a producer does


def enqueue(queue: Queue, now: int, tasks: Sequence[NewTask]) -> tuple[Queue, tuple[State | None, ...]]:
    """Add each task whose id is new; None stands for one that exists already."""
    draft = _Draft(queue)
    answers: list[State | None] = []
    for task in tasks:
        if task.id in draft.records:
            answers.append(None)
            continue
        due = task.run_at_ms or now + task.delay_ms
        state = State.SCHEDULED if due > now else State.PENDING
        advance(Event.ENQUEUE, None, state)
        if state is State.PENDING:
            draft.seq += 1
        draft.records[task.id] = Record(
            id=task.id,
            envelope=task.envelope,
            state=state,
            priority=task.priority,
            max_retry=task.max_retry,
            max_crashes=task.max_crashes,
            retention_ms=task.retention_ms,
            created_ms=now,
            run_ms=max(due, now),
            expires_ms=task.expires_at_ms or (task.expires_in_ms and now + task.expires_in_ms),
            seq=draft.seq if state is State.PENDING else 0,
        )
        draft.count("enqueued")
        answers.append(state)
    return draft.done(), tuple(answers)


# --- what a worker does


def claim(
    queue: Queue, now: int, *, limit: int, lease_ms: int, worker: str, nonce: bytes
) -> tuple[Queue, Claimed]:
    """Lease the first `limit` ready tasks to a worker; those that expired go to dead instead."""
    if queue.paused:
        return queue, Claimed((), 0)
    draft = _Draft(queue)
    leases: list[Lease] = []
    for record in _first(queue, State.PENDING, limit):
        if _expired(record, now):
            draft.bury(Event.CLAIM, record, EXPIRED, now)
            continue
        deliveries, attempt, end = record.deliveries + 1, record.attempt + 1, now + lease_ms
        draft.move(
            Event.CLAIM,
            record,
            State.ACTIVE,
            deliveries=deliveries,
            attempt=attempt,
            nonce=nonce,
            worker=worker,
            lease_ms=end,
            started_ms=now,
        )
        fence = Fence(record.id, deliveries, nonce)
        leases.append(Lease(fence, attempt, record.max_retry, record.envelope, end))
    after = draft.done()
    remaining = sum(r.state is State.PENDING for r in after.records.values())
    return after, Claimed(tuple(leases), remaining)


def renew(
    queue: Queue, now: int, fences: Sequence[Fence], *, lease_ms: int
) -> tuple[Queue, tuple[Verdict, ...]]:
    """Prolong each lease that is still held, lapsed but not reclaimed ones too."""
    draft = _Draft(queue)
    verdicts: list[Verdict] = []
    for fence in fences:
        record = _held(draft, fence)
        if record is None or record.state is not State.ACTIVE:
            verdicts.append(Verdict.LOST)
            continue
        draft.move(Event.RENEW, record, State.ACTIVE, lease_ms=now + lease_ms)
        verdicts.append(Verdict.CANCEL if record.cancel else Verdict.KEPT)
    return draft.done(), tuple(verdicts)


Settled = tuple[State | None, ...]
"""Per outcome the state that the task is in now; None for a stale fence, which changed
nothing. An outcome settled before changes nothing either and gives today's state."""


def _settle(draft: _Draft, fence: Fence) -> tuple[Record | None, State | None]:
    """Give the record if it is to be settled now, and the answer if it is not."""
    record = _held(draft, fence)
    if record is None:
        return None, None
    return (record, None) if record.state is State.ACTIVE else (None, record.state)


def complete(queue: Queue, now: int, items: Sequence[Completion]) -> tuple[Queue, Settled]:
    """Keep each result for the task's retention; with none, and nobody waiting, drop the task."""
    draft = _Draft(queue)
    answers: list[State | None] = []
    for item in items:
        record, answer = _settle(draft, item.fence)
        if record is not None:
            answer = State.COMPLETED
            draft.count("completed")
            keep = max(record.retention_ms, CANCELLED_GRACE_MS if record.waited else 0)
            if keep:
                draft.move(
                    Event.COMPLETE,
                    record,
                    State.COMPLETED,
                    result=item.result,
                    finished_ms=now,
                    purge_ms=now + keep,
                    error="",
                )
            else:
                draft.remove(Event.COMPLETE, record)
                draft.count("purged")
        answers.append(answer)
    return draft.done(), tuple(answers)


def fail(queue: Queue, now: int, items: Sequence[Failure]) -> tuple[Queue, Settled]:
    """Charge the attempt: dead when it was the last or the error is final, else retry later."""
    draft = _Draft(queue)
    answers: list[State | None] = []
    for item in items:
        record, answer = _settle(draft, item.fence)
        if record is not None:
            draft.count("failed")
            if item.final or record.attempt > record.max_retry:
                draft.bury(Event.FAIL, record, item.error, now)
            elif record.cancel:
                draft.cancel(Event.FAIL, record, now, error=item.error)
            else:
                draft.move(
                    Event.FAIL, record, State.RETRY, error=item.error, run_ms=now + item.delay_ms
                )
            answer = draft.records[record.id].state
        answers.append(answer)
    return draft.done(), tuple(answers)


def release(queue: Queue, now: int, fences: Sequence[Fence]) -> tuple[Queue, Settled]:
    """Give each task back to its old place, its attempt uncharged."""
    draft = _Draft(queue)
    answers: list[State | None] = []
    for fence in fences:
        record, answer = _settle(draft, fence)
        if record is not None:
            if record.cancel:
                draft.cancel(Event.RELEASE, record, now, attempt=record.attempt - 1)
            else:
                draft.move(Event.RELEASE, record, State.PENDING, attempt=record.attempt - 1)
            answer = draft.records[record.id].state
        answers.append(answer)
    return draft.done(), tuple(answers)


def snooze(queue: Queue, now: int, items: Sequence[Deferral]) -> tuple[Queue, Settled]:
    """Run each task again after its delay, its attempt uncharged."""
    draft = _Draft(queue)
    answers: list[State | None] = []
    for item in items:
        record, answer = _settle(draft, item.fence)
        if record is not None:
            back: dict[str, Any] = {"attempt": record.attempt - 1, "snoozes": record.snoozes + 1}
            if record.cancel:
                draft.cancel(Event.SNOOZE, record, now, **back)
            else:
                draft.move(
                    Event.SNOOZE, record, State.SCHEDULED, run_ms=now + item.delay_ms, **back
                )
            answer = draft.records[record.id].state
        answers.append(answer)
    return draft.done(), tuple(answers)


def stop(queue: Queue, now: int, fences: Sequence[Fence]) -> tuple[Queue, Settled]:
    """Cancel each task whose handler was stopped; one that nobody asked to cancel stays active."""
    draft = _Draft(queue)
    answers: list[State | None] = []
    for fence in fences:
        record, answer = _settle(draft, fence)
        if record is not None:
            if record.cancel:
                draft.cancel(Event.STOP, record, now, attempt=record.attempt - 1)
            answer = draft.records[record.id].state
        answers.append(answer)
    return draft.done(), tuple(answers)


def report(queue: Queue, now: int, items: Sequence[Report]) -> tuple[Queue, tuple[bool, ...]]:
    """Keep the newest progress of each running task; False for a stale fence."""
    draft = _Draft(queue)
    answers: list[bool] = []
    for item in items:
        record = _held(draft, item.fence)
        good = record is not None and record.state is State.ACTIVE
        if record is not None and good:
            draft.records[record.id] = attrs.evolve(record, progress=item.progress)
        answers.append(good)
    return draft.done(), tuple(answers)


# --- what a keeper does


def promote(queue: Queue, now: int, *, limit: int) -> tuple[Queue, Due]:
    """Make due tasks ready: at most `limit` scheduled and `limit` retried ones."""
    draft = _Draft(queue)
    moved = 0
    for state in (State.SCHEDULED, State.RETRY):
        for record in _first(queue, state, limit, until=now):
            draft.ready(Event.PROMOTE, record)
            moved += 1
    after = draft.done()
    waiting = (r.run_ms for r in after.records.values() if r.state in (State.SCHEDULED, State.RETRY))
    return after, Due(moved, _next_in(waiting, now))


def reclaim(queue: Queue, now: int, *, limit: int) -> tuple[Queue, Due]:
    """Take lapsed leases back: the crash is counted, the attempt is not."""
    draft = _Draft(queue)
    lapsed = _first(queue, State.ACTIVE, limit, until=now)
    for record in lapsed:
        crashes = record.crashes + 1
        void: dict[str, Any] = {"crashes": crashes, "attempt": record.attempt - 1, "nonce": b""}
        if record.cancel:
            draft.cancel(Event.RECLAIM, record, now, **void)
        elif crashes > record.max_crashes:
            draft.bury(Event.RECLAIM, record, crashed(crashes), now, **void)
        else:
            draft.move(Event.RECLAIM, record, State.PENDING, **void)
    after = draft.done()
    leases = (r.lease_ms for r in after.records.values() if r.state is State.ACTIVE)
    return after, Due(len(lapsed), _next_in(leases, now))


def crashed(crashes: int) -> str:
    """Give the reason of a task that is dead because its workers died."""
    return f"its worker died under it {crashes} times"


def expire(queue: Queue, now: int, *, limit: int) -> tuple[Queue, Due]:
    """Bury waiting tasks whose `expires` has come."""
    draft = _Draft(queue)
    mortal = [r for r in queue.records.values() if r.state in WAITING and r.expires_ms]
    due = [r for r in mortal if _expired(r, now)]
    chosen = nsmallest(limit, due, key=lambda r: (r.expires_ms, _tie(r.id)))
    for record in chosen:
        draft.bury(Event.EXPIRE, record, EXPIRED, now)
    gone = {r.id for r in chosen}
    after = draft.done()
    return after, Due(len(chosen), _next_in((r.expires_ms for r in mortal if r.id not in gone), now))


def purge(
    queue: Queue, now: int, *, limit: int, dead_retention_ms: int, max_dead: int
) -> tuple[Queue, Due]:
    """Drop finished tasks after their retention, and dead ones that are too old or too many.

    At most `limit` of each terminal state. The oldest dead go first.
    """
    draft = _Draft(queue)
    moved = 0
    for state in (State.COMPLETED, State.CANCELLED):
        for record in _first(queue, state, limit, until=now):
            draft.remove(Event.PURGE, record)
            moved += 1
    dead = ordered(queue, State.DEAD)
    old = sum(r.finished_ms <= now - dead_retention_ms for r in dead)
    for record in dead[: min(limit, max(old, len(dead) - max_dead))]:
        draft.remove(Event.PURGE, record)
        moved += 1
    draft.count("purged", moved)
    after = draft.done()
    ends = [
        r.finished_ms + dead_retention_ms if r.state is State.DEAD else r.purge_ms
        for r in after.records.values()
        if r.state in TERMINAL
    ]
    return after, Due(moved, _next_in(ends, now))


# --- what a caller or an operator does


def cancel(queue: Queue, now: int, task_id: str) -> tuple[Queue, State | None]:
    """Cancel a waiting task, or ask the worker of an active one to; give the state it is in now."""
    record = queue.records.get(task_id)
    if record is None:
        return queue, None
    draft = _Draft(queue)
    if record.state is State.ACTIVE:
        draft.move(Event.CANCEL, record, State.ACTIVE, cancel=True)
    elif record.state in WAITING:
        draft.cancel(Event.CANCEL, record, now)
    return draft.done(), draft.records[task_id].state


def revive(queue: Queue, now: int, ids: Sequence[str]) -> tuple[Queue, Settled]:
    """Make dead and cancelled tasks ready again, as if new but for their deliveries.

    `expires` is dropped: whoever revives a task wants it to run. Gives the state
    each is in now, None for one that does not exist.
    """
    draft = _Draft(queue)
    answers: list[State | None] = []
    for task_id in ids:
        record = draft.records.get(task_id)
        if record is not None and record.state in (State.DEAD, State.CANCELLED):
            fresh: dict[str, Any] = {"attempt": 0, "crashes": 0, "snoozes": 0, "cancel": False}
            fresh |= {"nonce": b"", "error": "", "expires_ms": 0, "finished_ms": 0, "purge_ms": 0}
            draft.ready(Event.REVIVE, record, run_ms=now, **fresh)
        current = draft.records.get(task_id)
        answers.append(None if current is None else current.state)
    return draft.done(), tuple(answers)


def delete(queue: Queue, now: int, ids: Sequence[str]) -> tuple[Queue, Settled]:
    """Remove tasks that no worker holds; give the state each was in, None for a missing one.

    The answer `active` means that the task is still there.
    """
    draft = _Draft(queue)
    answers: list[State | None] = []
    for task_id in ids:
        record = draft.records.get(task_id)
        answers.append(None if record is None else record.state)
        if record is not None and record.state is not State.ACTIVE:
            draft.remove(Event.DELETE, record)
            draft.count("deleted")
    return draft.done(), tuple(answers)


def watch(queue: Queue, now: int, task_id: str) -> tuple[Queue, State | None]:
    """Note that someone waits for a task's end, so that the end is told and kept a while."""
    record = queue.records.get(task_id)
    if record is None:
        return queue, None
    draft = _Draft(queue)
    if not record.terminal:
        draft.records[task_id] = attrs.evolve(record, waited=True)
    return draft.done(), record.state


def pause(queue: Queue, now: int) -> tuple[Queue, None]:
    """Refuse claims until `resume`."""
    return attrs.evolve(queue, paused=True), None


def resume(queue: Queue, now: int) -> tuple[Queue, None]:
    """Allow claims again."""
    return attrs.evolve(queue, paused=False), None


def flush(queue: Queue, now: int) -> tuple[Queue, int]:
    """Remove every task, the active ones too, whose outcomes will be refused as stale."""
    draft = _Draft(queue)
    for record in queue.records.values():
        draft.remove(Event.FLUSH, record)
    draft.count("deleted", len(queue.records))
    return draft.done(), len(queue.records)
