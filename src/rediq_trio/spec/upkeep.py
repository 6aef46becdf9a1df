"""What a keeper does when it is due: promote, unblock, reclaim, expire, purge, forget messages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice, takewhile
from typing import Any

import attrs

from rediq_trio.spec.change import Change, death_of
from rediq_trio.spec.claim import is_expired
from rediq_trio.spec.ids import pack_ref, split_ref
from rediq_trio.spec.lifecycle import TERMINAL, State, Transition
from rediq_trio.spec.messages import Death, Due, MailKind
from rediq_trio.spec.order.lanes import first_tasks
from rediq_trio.spec.records import (
    ORDERED_AT_ONCE,
    QueueState,
    Record,
    by_arrival,
    by_expiry,
    by_lapse,
    by_place,
)
from rediq_trio.spec.stored_format import ASKS_AGAIN, EXPIRED, WORKER_DIED, with_refused

ENDINGS = 100
"""Ended tasks whose dependents one `unblock` notifies, at most."""
ASK_AFTER_MS = 60_000
"""How old a blocked task is, in ms, when it asks again about tasks of other queues."""
ASK_EVERY_MS = 30_000
"""Milliseconds between two steps of a queue that ask again, at least."""
ASKED_AT_ONCE = 100
"""Dependencies that one step asks about, at most."""


def _next_in(instants: Iterable[int], now: int) -> int | None:
    first = min(instants, default=None)
    return None if first is None else max(0, first - now)


def promote(queue: QueueState, now: int, *, limit: int) -> tuple[QueueState, Due]:
    """Make the first due tasks ready; of one instant, in the order in which they were enqueued.

    It moves at most `limit` tasks.
    """
    change = Change(queue, now)
    due: list[Record] = []
    for state in (State.SCHEDULED, State.RETRY):
        due += first_tasks(queue, state, max(limit, ORDERED_AT_ONCE), until=now)
    chosen = sorted(due, key=lambda r: (r.run_ms, *r.enqueue_order))[:limit]
    for record in chosen:
        change.ready(Transition.PROMOTE, record)
    after = change.done()
    later = [r for state in (State.SCHEDULED, State.RETRY) for r in first_tasks(after, state, 1)]
    return after, Due(len(chosen), _next_in([r.run_ms for r in later], now))


def unblock(queue: QueueState, now: int, *, limit: int) -> tuple[QueueState, Due]:
    """Notify dependents of ended tasks that an earlier step deferred, at most `limit`; ask again.

    A failover may lose a message that was received, and then nobody notifies its task. So the tasks
    that have waited for long subscribe again to those of other queues, some in a step, in turn.
    """
    change = Change(queue, now)
    change.endings.extend(change.deferred[:ENDINGS])
    del change.deferred[:ENDINGS]
    moved = change.propagate(limit)
    asked = _ask_again(change)
    after = attrs.evolve(change.done(), **asked)
    return after, Due(moved, 0 if after.endings else None, tuple(change.died))


def _ask_again(change: Change) -> dict[str, Any]:
    """Subscribe blocked tasks again, if it is time; return the changed fields of the queue."""
    queue, now = change.queue, change.now
    # A time far ahead is from a clock that was set back, or of another server.
    if now < queue.ask_at_ms <= now + ASK_EVERY_MS:
        return {}
    waiting = change.records.table.listed(by_place, (State.BLOCKED,))
    old = takewhile(lambda r: r.created_ms <= now - ASK_AFTER_MS, waiting)
    chosen = list(islice(old, queue.asked, queue.asked + ASKED_AT_ONCE))
    if not chosen and not queue.asked + queue.asked_needs:
        return {}
    looked, skipped, left = 0, queue.asked_needs, ASKED_AT_ONCE
    for record in chosen:
        needs = sorted(change.needs.get(record.id, ()), key=pack_ref)[skipped : skipped + left]
        for ref in needs:
            other, local_id = split_ref(ref)
            if other:
                about = {"id": record.id, "ref": local_id, "result": ASKS_AGAIN}
                change.send(other, MailKind.SUBSCRIBE, **about)
        left -= len(needs)
        skipped += len(needs)
        if not left:
            break
        looked, skipped = looked + 1, 0
    asked = 0 if looked == len(chosen) else queue.asked + looked
    return {"ask_at_ms": now + ASK_EVERY_MS, "asked": asked, "asked_needs": skipped}


def reclaim(queue: QueueState, now: int, *, limit: int) -> tuple[QueueState, Due]:
    """End leases that have run out: the crash is counted, the attempt is not."""
    change = Change(queue, now)
    lapsed = first_tasks(queue, State.ACTIVE, limit, until=now)
    deaths: list[Death] = []
    for record in lapsed:
        record = record.with_attempt(now, Transition.RECLAIM)
        crashes = record.crashes + 1
        void: dict[str, Any] = {"crashes": crashes, "attempt": record.attempt - 1, "nonce": b""}
        if record.cancel:
            change.cancel(Transition.RECLAIM, record, **void)
        elif crashes > record.max_crashes:
            dead = change.bury(Transition.RECLAIM, record, WORKER_DIED % crashes, **void)
            deaths.append(death_of(dead))
        else:
            change.move(Transition.RECLAIM, record, State.PENDING, **void)
    after = change.done()
    leases = [r.lease_ms for r in first_tasks(after, State.ACTIVE, 1)]
    return after, Due(len(lapsed), _next_in(leases, now), (*deaths, *change.died))


def expire(queue: QueueState, now: int, *, limit: int) -> tuple[QueueState, Due]:
    """Move waiting tasks that have expired to dead."""
    change = Change(queue, now)
    due = takewhile(lambda r: is_expired(r, now), queue.records.listed(by_expiry))
    chosen = list(islice(due, limit))
    deaths = [death_of(change.bury(Transition.EXPIRE, record, EXPIRED)) for record in chosen]
    after = change.done()
    # Of the tasks that are left: dependents of the expired ones may have died with them.
    first = after.records.first(by_expiry)
    expiring = [first.expires_ms] if first else []
    return after, Due(len(chosen), _next_in(expiring, now), (*deaths, *change.died))


def purge(
    queue: QueueState, now: int, *, limit: int, dead_retention_ms: int, max_dead: int
) -> tuple[QueueState, Due]:
    """Remove tasks after their retention, and dead ones that are too old or too many.

    It removes at most `limit` tasks of each terminal state, the oldest dead ones first, and at most
    `limit` unique keys whose window is over. It also removes arrival times that are past.
    """
    change = Change(queue, now)
    moved = 0
    for state in (State.COMPLETED, State.CANCELLED):
        for record in first_tasks(queue, state, limit, until=now):
            change.remove(Transition.PURGE, record)
            moved += 1
    too_many = queue.records.count(by_place, (State.DEAD,)) - max_dead
    for place, record in enumerate(first_tasks(queue, State.DEAD, limit)):
        if place >= too_many and record.finished_ms > now - dead_retention_ms:
            break
        change.remove(Transition.PURGE, record)
        moved += 1
    change.count("purged", moved)
    for till, key in islice(change.locks.table.keys_of(by_lapse), limit):
        if till <= now:
            del change.locks[key]
    arrivals = change.rates.table.keys_of(by_arrival)
    for _, key in takewhile(lambda arrival: arrival[0] <= now * 1000, arrivals):
        del change.rates[key]
    after = change.done()
    ends = [
        r.finished_ms + dead_retention_ms if r.state is State.DEAD else r.purge_ms
        for state in TERMINAL
        for r in first_tasks(after, state, 1)
    ]
    ends += [till for till, _ in islice(after.locks.keys_of(by_lapse), 1)]
    return after, Due(moved, _next_in(ends, now))


def acknowledge(
    queue: QueueState, now: int, seq: int, *, refused: Sequence[tuple[str, str]] = ()
) -> tuple[QueueState, int]:
    """Remove the messages up to `seq`, which have arrived; return how many are left.

    `refused` are the children that their queue refused, each as the id of the task that asked for it
    and the child's reference. It is noted with that task while it is kept.
    """
    change = Change(queue, now)
    for task_id, ref in refused:
        record = change.records.get(task_id)
        if record is not None and record.state is State.COMPLETED:
            error = with_refused(record.error, ref)
            change.records[task_id] = attrs.evolve(record, error=error)
    left = tuple(mail for mail in queue.outbox if mail.seq > seq)
    return attrs.evolve(change.done(), outbox=left), len(left)
