"""The executable specification: what the queue does, as pure functions.

Each function is one transition, batched where a worker batches. It takes the
whole queue and the time (whole milliseconds) and gives the queue that follows
with the answer; nothing else is read or changed. `lua/` holds a script of the
same name for each, which must do the same on a real Redis; the property tests
drive both and compare everything after every step.

Read `Draft` first: no task changes state but by its `move`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from heapq import nsmallest
from typing import Any

import attrs

from rediq_trio.spec.change import Draft, pack_raw
from rediq_trio.spec.groups import batch, govern
from rediq_trio.spec.history.entry import Entry
from rediq_trio.spec.history.stream import noted
from rediq_trio.spec.ids import pack_id, pack_ref, split_ref
from rediq_trio.spec.intake import acknowledge, admit, enqueue, receive
from rediq_trio.spec.lanes import Lanes, arrange, limit, next_start, place
from rediq_trio.spec.lifecycle import TERMINAL, WAITING, Event, State
from rediq_trio.spec.records import (
    CANCELLED_GRACE_MS,
    Claimed,
    Completion,
    Deferral,
    Due,
    Failure,
    Fence,
    Lease,
    Queue,
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
    "acknowledge", "agenda", "arrange", "batch", "declare", "enqueue", "govern", "limit", "receive",
    "reinstate", "retract", "retract_others", "suspend", "tick", "trigger",
]  # fmt: skip

ENDINGS = 100
"""Tasks that have ended, whose dependents one `unblock` looks at, at most."""

EXPIRED = "expired"


def ordered(queue: Queue, state: State) -> list[Record]:
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
    return bytes([len(lane.encode())]) + lane.encode(), *place(record)


def _first(queue: Queue, state: State, limit: int, until: int | None = None) -> list[Record]:
    found = (
        r
        for r in queue.records.values()
        if r.state is state and (until is None or r.score <= until)
    )
    return nsmallest(limit, found, key=place)


def _next_in(instants: Iterable[int], now: int) -> int | None:
    first = min(instants, default=None)
    return None if first is None else max(0, first - now)


def _held(queue: Queue | Draft, fence: Fence) -> Record | None:
    """Give the record of a task if this fence is that of its last delivery and still good."""
    record = queue.records.get(fence.id)
    if record is None or (record.deliveries, record.nonce) != (fence.deliveries, fence.nonce):
        return None
    return record


def _expired(record: Record, now: int) -> bool:
    return 0 < record.expires_ms <= now


# --- what a worker does


def claim(
    queue: Queue, now: int, *, limit: int, lease_ms: int, worker: str, nonce: bytes
) -> tuple[Queue, Claimed]:
    """Lease the first `limit` ready tasks to a worker; those that expired go to dead instead."""
    if queue.paused:
        return queue, Claimed((), 0)
    draft = Draft(queue, now)
    lanes = Lanes(draft)
    leases: list[Lease] = []
    for _ in range(limit):
        record = lanes.next()
        if record is None:
            break
        if _expired(record, now):
            draft.bury(Event.CLAIM, record, EXPIRED)
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
        lanes.started(record)
        fence = Fence(record.id, deliveries, nonce)
        leases.append(Lease(fence, attempt, record.max_retry, record.envelope, end))
    remaining = lanes.remaining()
    return draft.done(), Claimed(tuple(leases), remaining)


def renew(
    queue: Queue, now: int, fences: Sequence[Fence], *, lease_ms: int
) -> tuple[Queue, tuple[Verdict, ...]]:
    """Prolong each lease that is still held, lapsed but not reclaimed ones too."""
    draft = Draft(queue, now)
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


def _settle(draft: Draft, fence: Fence) -> tuple[Record | None, State | None]:
    """Give the record if it is to be settled now, and the answer if it is not."""
    record = _held(draft, fence)
    if record is None:
        return None, None
    return (record, None) if record.state is State.ACTIVE else (None, record.state)


def complete(queue: Queue, now: int, items: Sequence[Completion]) -> tuple[Queue, Settled]:
    """Keep each result for the task's retention; with none, and nobody waiting, drop the task.

    The task's key is free, its children come in, and those that wait for it go on, in
    the same step.
    """
    draft = Draft(queue, now)
    answers: list[State | None] = []
    for item in items:
        record, answer = _settle(draft, item.fence)
        if record is not None:
            draft.free(record)
            for child in item.children:
                admit(draft, child)
            record = draft.records[record.id]
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
                    inputs=b"",
                    steps=b"",
                    stepped=False,
                )
            else:
                draft.remove(Event.COMPLETE, record, result=item.result)
                draft.count("purged")
        answers.append(answer)
    return draft.done(), tuple(answers)


def fail(queue: Queue, now: int, items: Sequence[Failure]) -> tuple[Queue, Settled]:
    """Charge the attempt: dead when it was the last or the error is final, else retry later."""
    draft = Draft(queue, now)
    answers: list[State | None] = []
    for item in items:
        record, answer = _settle(draft, item.fence)
        if record is not None:
            draft.count("failed")
            if item.final or record.attempt > record.max_retry:
                draft.bury(Event.FAIL, record, item.error)
            elif record.cancel:
                draft.cancel(Event.FAIL, record, error=item.error)
            else:
                draft.move(
                    Event.FAIL, record, State.RETRY, error=item.error, run_ms=now + item.delay_ms
                )
            answer = draft.records[record.id].state
        answers.append(answer)
    return draft.done(), tuple(answers)


def release(queue: Queue, now: int, fences: Sequence[Fence]) -> tuple[Queue, Settled]:
    """Give each task back to its old place, its attempt uncharged."""
    draft = Draft(queue, now)
    answers: list[State | None] = []
    for fence in fences:
        record, answer = _settle(draft, fence)
        if record is not None:
            if record.cancel:
                draft.cancel(Event.RELEASE, record, attempt=record.attempt - 1)
            else:
                draft.move(Event.RELEASE, record, State.PENDING, attempt=record.attempt - 1)
            answer = draft.records[record.id].state
        answers.append(answer)
    return draft.done(), tuple(answers)


def snooze(queue: Queue, now: int, items: Sequence[Deferral]) -> tuple[Queue, Settled]:
    """Run each task again after its delay, its attempt uncharged."""
    draft = Draft(queue, now)
    answers: list[State | None] = []
    for item in items:
        record, answer = _settle(draft, item.fence)
        if record is not None:
            back: dict[str, Any] = {"attempt": record.attempt - 1, "snoozes": record.snoozes + 1}
            if record.cancel:
                draft.cancel(Event.SNOOZE, record, **back)
            else:
                draft.move(
                    Event.SNOOZE, record, State.SCHEDULED, run_ms=now + item.delay_ms, **back
                )
            answer = draft.records[record.id].state
        answers.append(answer)
    return draft.done(), tuple(answers)


def stop(queue: Queue, now: int, fences: Sequence[Fence]) -> tuple[Queue, Settled]:
    """Cancel each task whose handler was stopped; one that nobody asked to cancel stays active."""
    draft = Draft(queue, now)
    answers: list[State | None] = []
    for fence in fences:
        record, answer = _settle(draft, fence)
        if record is not None:
            if record.cancel:
                draft.cancel(Event.STOP, record, attempt=record.attempt - 1)
            answer = draft.records[record.id].state
        answers.append(answer)
    return draft.done(), tuple(answers)


def report(queue: Queue, now: int, items: Sequence[Report]) -> tuple[Queue, tuple[bool, ...]]:
    """Keep the newest progress of each running task; False for a stale fence."""
    draft = Draft(queue, now)
    answers: list[bool] = []
    for item in items:
        record = _held(draft, item.fence)
        good = record is not None and record.state is State.ACTIVE
        if record is not None and good:
            draft.records[record.id] = attrs.evolve(record, progress=item.progress)
        answers.append(good)
    return draft.done(), tuple(answers)


def remember(queue: Queue, now: int, fence: Fence, step: bytes) -> tuple[Queue, bool]:
    """Keep the result of a step of a running task; False for a stale fence."""
    draft = Draft(queue, now)
    record = _held(draft, fence)
    if record is None or record.state is not State.ACTIVE:
        return queue, False
    draft.records[record.id] = attrs.evolve(record, steps=record.steps + step, stepped=True)
    return draft.done(), True


# --- what a keeper does


def promote(queue: Queue, now: int, *, limit: int) -> tuple[Queue, Due]:
    """Make due tasks ready: at most `limit` scheduled and `limit` retried ones."""
    draft = Draft(queue, now)
    moved = 0
    for state in (State.SCHEDULED, State.RETRY):
        for record in _first(queue, state, limit, until=now):
            draft.ready(Event.PROMOTE, record)
            moved += 1
    after = draft.done()
    waiting = [r.run_ms for r in after.records.values() if r.state in (State.SCHEDULED, State.RETRY)]
    if (start := next_start(after, now)) is not None:
        waiting.append(start)
    return after, Due(moved, _next_in(waiting, now))


def unblock(queue: Queue, now: int, *, limit: int) -> tuple[Queue, Due]:
    """Tell those that wait for tasks that have ended, where a step left some: at most `limit`."""
    draft = Draft(queue, now)
    draft.endings.extend(draft.held_over[:ENDINGS])
    del draft.held_over[:ENDINGS]
    moved = draft.ripple(limit)
    after = draft.done()
    return after, Due(moved, 0 if after.endings else None)


def reclaim(queue: Queue, now: int, *, limit: int) -> tuple[Queue, Due]:
    """Take lapsed leases back: the crash is counted, the attempt is not."""
    draft = Draft(queue, now)
    lapsed = _first(queue, State.ACTIVE, limit, until=now)
    for record in lapsed:
        crashes = record.crashes + 1
        void: dict[str, Any] = {"crashes": crashes, "attempt": record.attempt - 1, "nonce": b""}
        if record.cancel:
            draft.cancel(Event.RECLAIM, record, **void)
        elif crashes > record.max_crashes:
            draft.bury(Event.RECLAIM, record, crashed(crashes), **void)
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
    draft = Draft(queue, now)
    due = [r for r in queue.records.values() if r.state in WAITING and _expired(r, now)]
    chosen = nsmallest(limit, due, key=lambda r: (r.expires_ms, pack_id(r.id)))
    for record in chosen:
        draft.bury(Event.EXPIRE, record, EXPIRED)
    after = draft.done()
    # Of what is left: those that waited for one of them may have died with it.
    mortal = (r.expires_ms for r in after.records.values() if r.state in WAITING and r.expires_ms)
    return after, Due(len(chosen), _next_in(mortal, now))


def purge(
    queue: Queue, now: int, *, limit: int, dead_retention_ms: int, max_dead: int
) -> tuple[Queue, Due]:
    """Drop finished tasks after their retention, and dead ones that are too old or too many.

    At most `limit` of each terminal state, and of the unique keys whose time has run
    out. The oldest dead go first. Rates that do not bind any more are forgotten.
    """
    draft = Draft(queue, now)
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
    lapsing = sorted((lock.till_ms, key) for key, lock in draft.locks.items() if lock.till_ms)
    for till, key in lapsing[:limit]:
        if till <= now:
            del draft.locks[key]
    draft.rates = {key: at for key, at in draft.rates.items() if at > now * 1000}
    after = draft.done()
    ends = [
        r.finished_ms + dead_retention_ms if r.state is State.DEAD else r.purge_ms
        for r in after.records.values()
        if r.state in TERMINAL
    ]
    ends += [lock.till_ms for lock in after.locks.values() if lock.till_ms]
    return after, Due(moved, _next_in(ends, now))


# --- what a caller or an operator does


def cancel(queue: Queue, now: int, task_id: str) -> tuple[Queue, State | None]:
    """Cancel a waiting task, or ask the worker of an active one to; give the state it is in now."""
    record = queue.records.get(task_id)
    if record is None:
        return queue, None
    draft = Draft(queue, now)
    if record.state is State.ACTIVE:
        draft.move(Event.CANCEL, record, State.ACTIVE, cancel=True)
    elif record.state in WAITING:
        draft.cancel(Event.CANCEL, record)
    return draft.done(), draft.records[task_id].state


def revive(queue: Queue, now: int, ids: Sequence[str]) -> tuple[Queue, Settled]:
    """Make dead and cancelled tasks ready again, as if new but for their deliveries.

    `expires` is dropped: whoever revives a task wants it to run. One that still
    waits for others waits again, and stays as it is where one of those in its queue
    did not complete; so does one whose unique key has another holder. Gives the
    state each is in now, None for one that does not exist.
    """
    draft = Draft(queue, now)
    answers: list[State | None] = []
    for task_id in ids:
        record = draft.records.get(task_id)
        if record is not None and _revivable(draft, record):
            fresh: dict[str, Any] = {"attempt": 0, "crashes": 0, "snoozes": 0, "cancel": False}
            fresh |= {"nonce": b"", "error": "", "expires_ms": 0, "finished_ms": 0, "purge_ms": 0}
            if record.unique and record.until is not Until.EXPIRED:
                draft.lock(record, 0)
                fresh["holds"] = True
            if record.waits:
                draft.move(Event.REVIVE, record, State.BLOCKED, run_ms=now, **fresh)
                for ref in sorted(draft.needs[task_id], key=pack_ref):
                    draft.look(task_id, ref)
            elif record.group:
                fresh["seq"] = draft.next_seq()
                draft.move(Event.REVIVE, record, State.GROUPED, run_ms=now, **fresh)
            else:
                draft.ready(Event.REVIVE, record, run_ms=now, **fresh)
        current = draft.records.get(task_id)
        answers.append(None if current is None else current.state)
    return draft.done(), tuple(answers)


def _revivable(draft: Draft, record: Record) -> bool:
    if record.state not in (State.DEAD, State.CANCELLED):
        return False
    keyed = record.unique and record.until is not Until.EXPIRED
    if keyed and draft.holder(record.unique) is not None:
        return False
    return record.lenient or not any(
        _failed(draft, ref) for ref in draft.needs.get(record.id, ())
    )


def _failed(draft: Draft, ref: str) -> bool:
    if split_ref(ref)[0]:
        return False  # in another queue, which will tell
    source = draft.records.get(ref)
    return source is None or source.state in (State.DEAD, State.CANCELLED, State.GROUPED)


def delete(queue: Queue, now: int, ids: Sequence[str]) -> tuple[Queue, Settled]:
    """Remove tasks that no worker holds; give the state each was in, None for a missing one.

    The answer `active` means that the task is still there.
    """
    draft = Draft(queue, now)
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
    draft = Draft(queue, now)
    if not record.terminal:
        draft.records[task_id] = attrs.evolve(record, waited=True)
    return draft.done(), record.state


def pause(queue: Queue, now: int) -> tuple[Queue, None]:
    """Refuse claims until `resume`."""
    before = (int(queue.paused),)
    return noted(attrs.evolve(queue, paused=True), now, "pause", before=before, after=(1,)), None


def resume(queue: Queue, now: int) -> tuple[Queue, None]:
    """Allow claims again."""
    before = (int(queue.paused),)
    return noted(attrs.evolve(queue, paused=False), now, "resume", before=before, after=(0,)), None


def flush(queue: Queue, now: int) -> tuple[Queue, int]:
    """Remove every task, the active ones too, whose outcomes will be refused as stale.

    Unique keys go with them; limits, schedules, and messages to other queues, stay.
    """
    draft = Draft(queue, now)
    draft.endings.extend(draft.held_over)
    draft.held_over.clear()
    draft.ripple(sys.maxsize)
    gone = sorted(draft.records.values(), key=lambda r: pack_raw(pack_id(r.id)))
    for record in gone:
        draft.remove(Event.FLUSH, record)
    draft.notes.append(Entry(0, now, Event.FLUSH.value, after=(len(gone),)))
    draft.ripple(sys.maxsize)
    draft.count("deleted", len(gone))
    draft.locks.clear()
    draft.edges.clear()
    draft.turns.clear()
    return draft.done(), len(gone)
