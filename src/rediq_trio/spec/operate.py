"""What callers and operators do with a queue and its tasks."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from rediq_trio.spec.carried import BatchEnvelope
from rediq_trio.spec.change import SENT_PER_MS, Change
from rediq_trio.spec.history.entry import Entry
from rediq_trio.spec.history.kinds import NO_KINDS
from rediq_trio.spec.history.stream import keep_history, numbers_of, with_entry
from rediq_trio.spec.ids import pack_id, pack_ref, split_ref
from rediq_trio.spec.lifecycle import WAITING, State, Transition
from rediq_trio.spec.messages import (
    LEFT,
    Cancelling,
    Deleted,
    InState,
    Removal,
    Rescheduled,
    States,
    Until,
    Updated,
    Version,
)
from rediq_trio.spec.order.lanes import limit_of
from rediq_trio.spec.records import NO_LIMIT, QueueState, Record


def cancel(
    queue: QueueState, now: int, task_id: str, *, still: InState | None = None
) -> tuple[QueueState, Cancelling]:
    """Cancel a waiting task, or ask the worker of an active one to; return the task's state.

    None for a task that does not exist, or is not `still` as it was.
    """
    record = queue.records.get(task_id)
    if record is None or not record.is_still(still):
        return queue, Cancelling(None)
    change = Change(queue, now)
    if record.state is State.ACTIVE:
        change.move(Transition.CANCEL, record, State.ACTIVE, cancel=True)
    elif record.state in WAITING:
        change.cancel(Transition.CANCEL, record)
    after = change.done()
    return after, Cancelling(change.records[task_id].state, tuple(change.died))


def reschedule(
    queue: QueueState, now: int, task_id: str, *, delay_ms: int = 0, run_at_ms: int = 0
) -> tuple[QueueState, Rescheduled]:
    """Make a scheduled, pending or retried task due at another time: pending if that is not later.

    The time is `run_at_ms`, or `delay_ms` from now. The counters of the task stay, and so does the
    place of one that is pending already. Any other task stays as it is: others decide when it
    is ready, a worker holds it, or it has ended.
    """
    record = queue.records.get(task_id)
    if record is None:
        return queue, Rescheduled()
    change = Change(queue, now)
    after, run_ms = record, run_at_ms or now + delay_ms
    if record.state in (State.SCHEDULED, State.RETRY, State.PENDING):
        if run_ms > now:
            after = change.move(Transition.RESCHEDULE, record, State.SCHEDULED, run_ms=run_ms)
        elif record.state is not State.PENDING:
            after = change.ready(Transition.RESCHEDULE, record, run_ms=now)
    return change.done(), Rescheduled(record.state, after.state)


def update(
    queue: QueueState,
    now: int,
    task_id: str,
    *,
    seen: Version,
    new: Version,
    expires_in_ms: int = 0,
) -> tuple[QueueState, Updated]:
    """Change payload and options of a waiting task, if it still is as its caller has `seen` it.

    One that is as it is to be, but for its expiry, is changed as well: the call came before.
    With `expires_in_ms` from now, and the instant of `new`, the earlier one counts. A pending
    task with another priority comes after the others of that. A batch is not changed, and no
    task gets fewer retries, or crashes, than it has used up.
    """
    record = queue.records.get(task_id)
    if record is None:
        return queue, Updated()
    expires_ms = min(
        filter(None, (new.expires_ms, expires_in_ms and now + expires_in_ms)), default=0
    )
    found = record.version
    known = found in (seen, attrs.evolve(new, expires_ms=found.expires_ms))
    enough = new.max_retry >= record.attempt and new.max_crashes >= record.crashes
    batch = isinstance(record.envelope, BatchEnvelope)
    if record.state not in WAITING or not known or not enough or batch:
        return queue, Updated(record.state)
    change = Change(queue, now)
    changed = attrs.asdict(new) | {"expires_ms": expires_ms}
    if record.state is State.PENDING and new.priority != record.priority:
        change.ready(Transition.UPDATE, record, **changed)
    else:
        change.move(Transition.UPDATE, record, record.state, **changed)
    return change.done(), Updated(record.state, done=True)


def revive(
    queue: QueueState, now: int, ids: Sequence[str], *, still: InState | None = None
) -> tuple[QueueState, States]:
    """Make dead and cancelled tasks ready again, like new tasks except for their deliveries.

    `expires` is removed: whoever revives a task wants it to run. A task that still waits for
    others is blocked again. A task stays as it is if one that it needs, in its queue, did not
    complete, or if its unique key has another holder. Return the state of each task now, None
    for one that does not exist, or was not `still` as it was.
    """
    change = Change(queue, now)
    answers: list[State | None] = []
    for task_id in ids:
        record = change.records.get(task_id)
        if record is None or not record.is_still(still):
            answers.append(None)
            continue
        if _revivable(change, record):
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
        answers.append(change.records[task_id].state)
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
        return False  # the other queue will send a message
    source = change.records.get(ref)
    return source is None or source.state in (State.DEAD, State.CANCELLED, State.GROUPED)


def delete(
    queue: QueueState, now: int, ids: Sequence[str], *, still: InState | None = None
) -> tuple[QueueState, Deleted]:
    """Remove tasks that no worker holds; return the state each was in, None for a missing one.

    One that is not `still` as it was counts as missing. The answer `active` means that the task
    is still there.
    """
    change = Change(queue, now)
    answers: list[State | None] = []
    for task_id in ids:
        record = change.records.get(task_id)
        if record is None or not record.is_still(still):
            answers.append(None)
            continue
        answers.append(record.state)
        if record.state is not State.ACTIVE:
            change.remove(Transition.DELETE, record)
            change.count("deleted")
    after = change.done()
    return after, Deleted(answers, tuple(change.died))


def watch(queue: QueueState, now: int, task_id: str) -> tuple[QueueState, State | None]:
    """Record that someone waits for a task: its end is published, and it is kept for a while."""
    record = queue.records.get(task_id)
    if record is None:
        return queue, None
    change = Change(queue, now)
    if not record.terminal:
        change.records[task_id] = attrs.evolve(record, has_waiters=True)
    return change.done(), record.state


def pause(queue: QueueState, now: int, note: bytes = b"") -> tuple[QueueState, None]:
    """Pause the queue: claims find nothing until `resume`.

    The note is kept until then. Pausing a paused queue replaces the note, not the time.
    """
    since = queue.paused_since_ms if queue.paused else now
    after = attrs.evolve(queue, paused=True, pause_note=note, paused_since_ms=since)
    return with_entry(after, now, "pause", before=(int(queue.paused),), after=(1,)), None


def resume(queue: QueueState, now: int) -> tuple[QueueState, None]:
    """Resume the queue: allow claims again."""
    after = attrs.evolve(queue, paused=False, pause_note=b"", paused_since_ms=0)
    return with_entry(after, now, "resume", before=(int(queue.paused),), after=(0,)), None


def limit(
    queue: QueueState,
    now: int,
    *,
    key: str,
    concurrency: int | None = None,
    count: int | None = None,
    period_ms: int = 0,
    burst: int = 1,
) -> tuple[QueueState, None]:
    """Limit a key, the whole queue (''), or all keys without a limit of their own (`ANY_KEY`).

    None leaves the concurrency, or the rate, as it is; 0 removes it. A new rate applies at once:
    no start waits longer than the new rate asks for.
    """
    limits = dict(queue.limits)
    new = limits.pop(key, NO_LIMIT)
    if concurrency is not None:
        new = attrs.evolve(new, concurrency=concurrency)
    if count is not None:
        rate = {"period_ms": period_ms, "burst": burst} if count else {"period_ms": 0, "burst": 1}
        new = attrs.evolve(new, count=count, **rate)
    if new != NO_LIMIT:
        limits[key] = new
    after = attrs.evolve(queue, limits=limits)
    rates: dict[str, int] = {}
    for one, arrival in queue.rates.items():
        holds = limit_of(after, one)
        if holds.count:
            rates[one] = min(arrival, now * 1000 + holds.tolerance_us + holds.interval_us)
    after = attrs.evolve(after, rates=rates)
    before = numbers_of(queue.limits.get(key, NO_LIMIT))
    return with_entry(after, now, "limit", key=key, before=before, after=numbers_of(new)), None


def arrange(
    queue: QueueState,
    now: int,
    *,
    max_pending: int | None = None,
    fair: bool | None = None,
    history: int | None = None,
    target_latency_ms: int | None = None,
    target_failures_ppm: int | None = None,
) -> tuple[QueueState, None]:
    """Set how many tasks may be pending, whether claims are fair, the length of the history, and targets.

    0 is for any number of pending tasks, no entries, and no target. None leaves a setting as it is.
    """
    if target_latency_ms is not None:
        queue = attrs.evolve(queue, target_latency_ms=target_latency_ms)
    if target_failures_ppm is not None:
        queue = attrs.evolve(queue, target_failures_ppm=target_failures_ppm)
    if max_pending is not None:
        queue = attrs.evolve(queue, max_pending=max_pending)
    if fair is not None:
        before = (int(queue.fair),)
        queue = attrs.evolve(queue, fair=fair)
        queue = with_entry(queue, now, "arrange", before=before, after=(int(fair),))
    if history is not None:
        queue = keep_history(queue, now, history)
    return queue, None


def flush(queue: QueueState, now: int) -> tuple[QueueState, int]:
    """Remove every task, even active ones, whose outcomes will then be stale.

    Unique keys are freed, and the kinds of failure are forgotten. Limits, schedules and messages to
    other queues stay.
    """
    change = Change(queue, now)
    change.endings.extend(change.deferred)
    change.deferred.clear()
    change.propagate(sys.maxsize)
    gone = sorted(change.records.values(), key=lambda r: (len(pack_id(r.id)), pack_id(r.id)))
    for record in gone:
        change.remove(Transition.FLUSH, record)
    change.entries.append(Entry(0, now, Transition.FLUSH.value, after=(len(gone),)))
    change.propagate(sys.maxsize)
    change.count("deleted", len(gone))
    change.locks.clear()
    change.edges.clear()
    change.turns.clear()
    return attrs.evolve(change.done(), kinds=NO_KINDS), len(gone)


def remove_queue(
    queue: QueueState, now: int, *, received: Mapping[str, int] | None = None
) -> tuple[QueueState, Removal]:
    """Remove all that is stored of a queue that is empty: its settings, counters and history.

    `received` is what an earlier answer said of it. The caller has looked since then that no
    sender has messages for the queue that it knows already: without it, they would be handled
    again. With None it is only looked at.
    """
    # The number of a message that was just sent must not be given again.
    messages = max(len(queue.outbox), int(queue.sent >= now * SENT_PER_MS))
    # Any other key has a task that holds it, and is counted with that.
    keys = sum(lock.till_ms > now for lock in queue.locks.values())
    counts = len(queue.records), len(queue.schedules), messages, len(queue.endings), keys
    left = {name: size for name, size in zip(LEFT, counts, strict=True) if size}
    known = received is not None and (not queue.received or received == queue.received)
    removed = known and not left
    after = QueueState() if removed else queue
    return after, Removal(removed, left, dict(queue.received))
