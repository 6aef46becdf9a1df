"""The executable specification: what the queue does, as pure functions.

Each function is one transition, batched where a worker batches. It takes the
whole queue and the time (whole milliseconds) and gives the queue that follows
with the answer; nothing else is read or changed. `lua/` holds a script of the
same name for each, which must do the same on a real Redis; the property tests
drive both and compare everything after every step.

Read `Change` first: no task changes state but by its `move`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from heapq import nsmallest
from typing import Any

import attrs

from rediq_trio.spec.change import Change, pack_raw
from rediq_trio.spec.groups import batch, set_group_rules
from rediq_trio.spec.history.entry import Entry
from rediq_trio.spec.history.stream import with_entry
from rediq_trio.spec.ids import pack_id, pack_ref, split_ref
from rediq_trio.spec.intake import acknowledge, enqueue, enqueue_promised, receive
from rediq_trio.spec.lanes import Lanes, arrange, limit, next_start, rank
from rediq_trio.spec.lifecycle import TERMINAL, WAITING, State, Transition
from rediq_trio.spec.records import (
    CANCELLED_GRACE_MS,
    Claimed,
    Completion,
    Deferral,
    Due,
    Failure,
    Fence,
    Lease,
    QueueState,
    Record,
    Report,
    Until,
    Verdict,
)
from rediq_trio.spec.schedules import (
    agenda,
    declare,
    reinstate,
    retract,
    retract_others,
    suspend,
    tick,
    trigger,
)

__all__ = [
    "acknowledge", "agenda", "arrange", "batch", "declare", "enqueue", "set_group_rules", "limit", "receive",
    "reinstate", "retract", "retract_others", "suspend", "tick", "trigger",
]  # fmt: skip

ENDINGS = 100
"""Tasks that have ended, whose dependents one `unblock` looks at, at most."""

EXPIRED = "expired"


def ordered(queue: QueueState, state: State) -> list[Record]:
    """Give the tasks in one state, in the order of its index.

    Pending ones with a limit key come behind those without, key by key; grouped
    ones group by group.
    """
    found = (r for r in queue.records.values() if r.state is state)
    return sorted(found, key=_listed)


def _listed(record: Record) -> tuple[bytes, int, bytes]:
    lane = ""
    if record.state is State.PENDING:
        lane = record.limit_key
    elif record.state is State.GROUPED:
        lane = record.group
    return bytes([len(lane.encode())]) + lane.encode(), *rank(record)


def _first(queue: QueueState, state: State, limit: int, until: int | None = None) -> list[Record]:
    found = (
        r
        for r in queue.records.values()
        if r.state is state and (until is None or r.score <= until)
    )
    return nsmallest(limit, found, key=rank)


def _next_in(instants: Iterable[int], now: int) -> int | None:
    first = min(instants, default=None)
    return None if first is None else max(0, first - now)


def _held(queue: QueueState | Change, fence: Fence) -> Record | None:
    """Give the record of a task if this fence is that of its last delivery and still good."""
    record = queue.records.get(fence.id)
    if record is None or (record.deliveries, record.nonce) != (fence.deliveries, fence.nonce):
        return None
    return record


def _expired(record: Record, now: int) -> bool:
    return 0 < record.expires_ms <= now


# --- what a worker does


def claim(
    queue: QueueState, now: int, *, limit: int, lease_ms: int, worker: str, nonce: bytes
) -> tuple[QueueState, Claimed]:
    """Lease the first `limit` ready tasks to a worker; those that expired go to dead instead."""
    if queue.paused:
        return queue, Claimed((), 0)
    change = Change(queue, now)
    lanes = Lanes(change)
    leases: list[Lease] = []
    for _ in range(limit):
        record = lanes.next()
        if record is None:
            break
        if _expired(record, now):
            change.bury(Transition.CLAIM, record, EXPIRED)
            continue
        deliveries, attempt, end = record.deliveries + 1, record.attempt + 1, now + lease_ms
        change.move(
            Transition.CLAIM,
            record,
            State.ACTIVE,
            deliveries=deliveries,
            attempt=attempt,
            nonce=nonce,
            worker=worker,
            lease_ms=end,
            started_ms=now,
        )
        lanes.started(record)
        fence = Fence(record.id, deliveries, nonce)
        leases.append(Lease(fence, attempt, record.max_retry, record.envelope, end))
    remaining = lanes.remaining()
    return change.done(), Claimed(tuple(leases), remaining)


def renew(
    queue: QueueState, now: int, fences: Sequence[Fence], *, lease_ms: int
) -> tuple[QueueState, tuple[Verdict, ...]]:
    """Prolong each lease that is still held, lapsed but not reclaimed ones too."""
    change = Change(queue, now)
    verdicts: list[Verdict] = []
    for fence in fences:
        record = _held(change, fence)
        if record is None or record.state is not State.ACTIVE:
            verdicts.append(Verdict.LOST)
            continue
        change.move(Transition.RENEW, record, State.ACTIVE, lease_ms=now + lease_ms)
        verdicts.append(Verdict.CANCEL if record.cancel else Verdict.KEPT)
    return change.done(), tuple(verdicts)


Settled = tuple[State | None, ...]
"""Per outcome the state that the task is in now; None for a stale fence, which changed
nothing. An outcome settled before changes nothing either and gives today's state."""


def _settle(change: Change, fence: Fence) -> tuple[Record | None, State | None]:
    """Give the record if it is to be settled now, and the answer if it is not."""
    record = _held(change, fence)
    if record is None:
        return None, None
    return (record, None) if record.state is State.ACTIVE else (None, record.state)


def complete(queue: QueueState, now: int, items: Sequence[Completion]) -> tuple[QueueState, Settled]:
    """Keep each result for the task's retention; with none, and nobody waiting, drop the task.

    The task's key is free, its children come in, and those that wait for it go on, in
    the same step.
    """
    change = Change(queue, now)
    answers: list[State | None] = []
    for item in items:
        record, answer = _settle(change, item.fence)
        if record is not None:
            change.free(record)
            for child in item.children:
                enqueue_promised(change, child)
            record = change.records[record.id]
            answer = State.COMPLETED
            change.count("completed")
            keep = max(record.retention_ms, CANCELLED_GRACE_MS if record.has_waiters else 0)
            if keep:
                change.move(
                    Transition.COMPLETE,
                    record,
                    State.COMPLETED,
                    result=item.result,
                    finished_ms=now,
                    purge_ms=now + keep,
                    error="",
                    inputs=b"",
                    steps=b"",
                    has_steps=False,
                )
            else:
                change.remove(Transition.COMPLETE, record, result=item.result)
                change.count("purged")
        answers.append(answer)
    return change.done(), tuple(answers)


def fail(queue: QueueState, now: int, items: Sequence[Failure]) -> tuple[QueueState, Settled]:
    """Charge the attempt: dead when it was the last or the error is final, else retry later."""
    change = Change(queue, now)
    answers: list[State | None] = []
    for item in items:
        record, answer = _settle(change, item.fence)
        if record is not None:
            change.count("failed")
            if item.final or record.attempt > record.max_retry:
                change.bury(Transition.FAIL, record, item.error)
            elif record.cancel:
                change.cancel(Transition.FAIL, record, error=item.error)
            else:
                change.move(
                    Transition.FAIL, record, State.RETRY, error=item.error, run_ms=now + item.delay_ms
                )
            answer = change.records[record.id].state
        answers.append(answer)
    return change.done(), tuple(answers)


def release(queue: QueueState, now: int, fences: Sequence[Fence]) -> tuple[QueueState, Settled]:
    """Give each task back to its old place, its attempt uncharged."""
    change = Change(queue, now)
    answers: list[State | None] = []
    for fence in fences:
        record, answer = _settle(change, fence)
        if record is not None:
            if record.cancel:
                change.cancel(Transition.RELEASE, record, attempt=record.attempt - 1)
            else:
                change.move(Transition.RELEASE, record, State.PENDING, attempt=record.attempt - 1)
            answer = change.records[record.id].state
        answers.append(answer)
    return change.done(), tuple(answers)


def snooze(queue: QueueState, now: int, items: Sequence[Deferral]) -> tuple[QueueState, Settled]:
    """Run each task again after its delay, its attempt uncharged."""
    change = Change(queue, now)
    answers: list[State | None] = []
    for item in items:
        record, answer = _settle(change, item.fence)
        if record is not None:
            back: dict[str, Any] = {"attempt": record.attempt - 1, "snoozes": record.snoozes + 1}
            if record.cancel:
                change.cancel(Transition.SNOOZE, record, **back)
            else:
                change.move(
                    Transition.SNOOZE, record, State.SCHEDULED, run_ms=now + item.delay_ms, **back
                )
            answer = change.records[record.id].state
        answers.append(answer)
    return change.done(), tuple(answers)


def stop(queue: QueueState, now: int, fences: Sequence[Fence]) -> tuple[QueueState, Settled]:
    """Cancel each task whose handler was stopped; one that nobody asked to cancel stays active."""
    change = Change(queue, now)
    answers: list[State | None] = []
    for fence in fences:
        record, answer = _settle(change, fence)
        if record is not None:
            if record.cancel:
                change.cancel(Transition.STOP, record, attempt=record.attempt - 1)
            answer = change.records[record.id].state
        answers.append(answer)
    return change.done(), tuple(answers)


def report(queue: QueueState, now: int, items: Sequence[Report]) -> tuple[QueueState, tuple[bool, ...]]:
    """Keep the newest progress of each running task; False for a stale fence."""
    change = Change(queue, now)
    answers: list[bool] = []
    for item in items:
        record = _held(change, item.fence)
        good = record is not None and record.state is State.ACTIVE
        if record is not None and good:
            change.records[record.id] = attrs.evolve(record, progress=item.progress)
        answers.append(good)
    return change.done(), tuple(answers)


def remember(queue: QueueState, now: int, fence: Fence, step: bytes) -> tuple[QueueState, bool]:
    """Keep the result of a step of a running task; False for a stale fence."""
    change = Change(queue, now)
    record = _held(change, fence)
    if record is None or record.state is not State.ACTIVE:
        return queue, False
    change.records[record.id] = attrs.evolve(record, steps=record.steps + step, has_steps=True)
    return change.done(), True


# --- what a keeper does


def promote(queue: QueueState, now: int, *, limit: int) -> tuple[QueueState, Due]:
    """Make due tasks ready: at most `limit` scheduled and `limit` retried ones."""
    change = Change(queue, now)
    moved = 0
    for state in (State.SCHEDULED, State.RETRY):
        for record in _first(queue, state, limit, until=now):
            change.ready(Transition.PROMOTE, record)
            moved += 1
    after = change.done()
    waiting = [r.run_ms for r in after.records.values() if r.state in (State.SCHEDULED, State.RETRY)]
    if (start := next_start(after, now)) is not None:
        waiting.append(start)
    return after, Due(moved, _next_in(waiting, now))


def unblock(queue: QueueState, now: int, *, limit: int) -> tuple[QueueState, Due]:
    """Tell those that wait for tasks that have ended, where a step left some: at most `limit`."""
    change = Change(queue, now)
    change.endings.extend(change.deferred[:ENDINGS])
    del change.deferred[:ENDINGS]
    moved = change.propagate(limit)
    after = change.done()
    return after, Due(moved, 0 if after.endings else None)


def reclaim(queue: QueueState, now: int, *, limit: int) -> tuple[QueueState, Due]:
    """Take lapsed leases back: the crash is counted, the attempt is not."""
    change = Change(queue, now)
    lapsed = _first(queue, State.ACTIVE, limit, until=now)
    for record in lapsed:
        crashes = record.crashes + 1
        void: dict[str, Any] = {"crashes": crashes, "attempt": record.attempt - 1, "nonce": b""}
        if record.cancel:
            change.cancel(Transition.RECLAIM, record, **void)
        elif crashes > record.max_crashes:
            change.bury(Transition.RECLAIM, record, crashed(crashes), **void)
        else:
            change.move(Transition.RECLAIM, record, State.PENDING, **void)
    after = change.done()
    leases = (r.lease_ms for r in after.records.values() if r.state is State.ACTIVE)
    return after, Due(len(lapsed), _next_in(leases, now))


def crashed(crashes: int) -> str:
    """Give the reason of a task that is dead because its workers died."""
    return f"its worker died under it {crashes} times"


def expire(queue: QueueState, now: int, *, limit: int) -> tuple[QueueState, Due]:
    """Bury waiting tasks whose `expires` has come."""
    change = Change(queue, now)
    due = [r for r in queue.records.values() if r.state in WAITING and _expired(r, now)]
    chosen = nsmallest(limit, due, key=lambda r: (r.expires_ms, pack_id(r.id)))
    for record in chosen:
        change.bury(Transition.EXPIRE, record, EXPIRED)
    after = change.done()
    # Of what is left: those that waited for one of them may have died with it.
    mortal = (r.expires_ms for r in after.records.values() if r.state in WAITING and r.expires_ms)
    return after, Due(len(chosen), _next_in(mortal, now))


def purge(
    queue: QueueState, now: int, *, limit: int, dead_retention_ms: int, max_dead: int
) -> tuple[QueueState, Due]:
    """Drop finished tasks after their retention, and dead ones that are too old or too many.

    At most `limit` of each terminal state, and of the unique keys whose time has run
    out. The oldest dead go first. Rates that do not bind any more are forgotten.
    """
    change = Change(queue, now)
    moved = 0
    for state in (State.COMPLETED, State.CANCELLED):
        for record in _first(queue, state, limit, until=now):
            change.remove(Transition.PURGE, record)
            moved += 1
    dead = ordered(queue, State.DEAD)
    old = sum(r.finished_ms <= now - dead_retention_ms for r in dead)
    for record in dead[: min(limit, max(old, len(dead) - max_dead))]:
        change.remove(Transition.PURGE, record)
        moved += 1
    change.count("purged", moved)
    lapsing = sorted((lock.till_ms, key) for key, lock in change.locks.items() if lock.till_ms)
    for till, key in lapsing[:limit]:
        if till <= now:
            del change.locks[key]
    change.rates = {key: at for key, at in change.rates.items() if at > now * 1000}
    after = change.done()
    ends = [
        r.finished_ms + dead_retention_ms if r.state is State.DEAD else r.purge_ms
        for r in after.records.values()
        if r.state in TERMINAL
    ]
    ends += [lock.till_ms for lock in after.locks.values() if lock.till_ms]
    return after, Due(moved, _next_in(ends, now))


# --- what a caller or an operator does


def cancel(queue: QueueState, now: int, task_id: str) -> tuple[QueueState, State | None]:
    """Cancel a waiting task, or ask the worker of an active one to; give the state it is in now."""
    record = queue.records.get(task_id)
    if record is None:
        return queue, None
    change = Change(queue, now)
    if record.state is State.ACTIVE:
        change.move(Transition.CANCEL, record, State.ACTIVE, cancel=True)
    elif record.state in WAITING:
        change.cancel(Transition.CANCEL, record)
    return change.done(), change.records[task_id].state


def revive(queue: QueueState, now: int, ids: Sequence[str]) -> tuple[QueueState, Settled]:
    """Make dead and cancelled tasks ready again, as if new but for their deliveries.

    `expires` is dropped: whoever revives a task wants it to run. One that still
    waits for others waits again, and stays as it is where one of those in its queue
    did not complete; so does one whose unique key has another holder. Gives the
    state each is in now, None for one that does not exist.
    """
    change = Change(queue, now)
    answers: list[State | None] = []
    for task_id in ids:
        record = change.records.get(task_id)
        if record is not None and _revivable(change, record):
            fresh: dict[str, Any] = {"attempt": 0, "crashes": 0, "snoozes": 0, "cancel": False}
            fresh |= {"nonce": b"", "error": "", "expires_ms": 0, "finished_ms": 0, "purge_ms": 0}
            if record.unique and record.until is not Until.EXPIRED:
                change.lock(record, 0)
                fresh["owns_unique_key"] = True
            if record.waits:
                change.move(Transition.REVIVE, record, State.BLOCKED, run_ms=now, **fresh)
                for ref in sorted(change.needs[task_id], key=pack_ref):
                    change.check_dependency(task_id, ref)
            elif record.group:
                fresh["seq"] = change.next_seq()
                change.move(Transition.REVIVE, record, State.GROUPED, run_ms=now, **fresh)
            else:
                change.ready(Transition.REVIVE, record, run_ms=now, **fresh)
        current = change.records.get(task_id)
        answers.append(None if current is None else current.state)
    return change.done(), tuple(answers)


def _revivable(change: Change, record: Record) -> bool:
    if record.state not in (State.DEAD, State.CANCELLED):
        return False
    keyed = record.unique and record.until is not Until.EXPIRED
    if keyed and change.holder(record.unique) is not None:
        return False
    return record.run_on_dependency_failure or not any(
        _failed(change, ref) for ref in change.needs.get(record.id, ())
    )


def _failed(change: Change, ref: str) -> bool:
    if split_ref(ref)[0]:
        return False  # in another queue, which will tell
    source = change.records.get(ref)
    return source is None or source.state in (State.DEAD, State.CANCELLED, State.GROUPED)


def delete(queue: QueueState, now: int, ids: Sequence[str]) -> tuple[QueueState, Settled]:
    """Remove tasks that no worker holds; give the state each was in, None for a missing one.

    The answer `active` means that the task is still there.
    """
    change = Change(queue, now)
    answers: list[State | None] = []
    for task_id in ids:
        record = change.records.get(task_id)
        answers.append(None if record is None else record.state)
        if record is not None and record.state is not State.ACTIVE:
            change.remove(Transition.DELETE, record)
            change.count("deleted")
    return change.done(), tuple(answers)


def watch(queue: QueueState, now: int, task_id: str) -> tuple[QueueState, State | None]:
    """Note that someone waits for a task's end, so that the end is told and kept a while."""
    record = queue.records.get(task_id)
    if record is None:
        return queue, None
    change = Change(queue, now)
    if not record.terminal:
        change.records[task_id] = attrs.evolve(record, has_waiters=True)
    return change.done(), record.state


def pause(queue: QueueState, now: int) -> tuple[QueueState, None]:
    """Refuse claims until `resume`."""
    before = (int(queue.paused),)
    return with_entry(attrs.evolve(queue, paused=True), now, "pause", before=before, after=(1,)), None


def resume(queue: QueueState, now: int) -> tuple[QueueState, None]:
    """Allow claims again."""
    before = (int(queue.paused),)
    return with_entry(attrs.evolve(queue, paused=False), now, "resume", before=before, after=(0,)), None


def flush(queue: QueueState, now: int) -> tuple[QueueState, int]:
    """Remove every task, the active ones too, whose outcomes will be refused as stale.

    Unique keys go with them; limits, schedules, and messages to other queues, stay.
    """
    change = Change(queue, now)
    change.endings.extend(change.deferred)
    change.deferred.clear()
    change.propagate(sys.maxsize)
    gone = sorted(change.records.values(), key=lambda r: pack_raw(pack_id(r.id)))
    for record in gone:
        change.remove(Transition.FLUSH, record)
    change.entries.append(Entry(0, now, Transition.FLUSH.value, after=(len(gone),)))
    change.propagate(sys.maxsize)
    change.count("deleted", len(gone))
    change.locks.clear()
    change.edges.clear()
    change.turns.clear()
    return change.done(), len(gone)
