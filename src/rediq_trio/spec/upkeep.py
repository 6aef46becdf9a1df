"""What a keeper does when it is due: promote, unblock, reclaim, expire, purge."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import nsmallest
from typing import Any

from rediq_trio.spec.change import Change
from rediq_trio.spec.claim import death_of, is_expired
from rediq_trio.spec.ids import pack_id
from rediq_trio.spec.lanes import first_tasks, ordered
from rediq_trio.spec.lifecycle import TERMINAL, WAITING, State, Transition
from rediq_trio.spec.messages import Death, Due
from rediq_trio.spec.records import ORDERED_AT_ONCE, QueueState, Record
from rediq_trio.spec.stored_format import EXPIRED, WORKER_DIED

ENDINGS = 100
"""Ended tasks whose dependents one `unblock` notifies, at most."""


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
    later = [r.run_ms for r in after.records.values() if r.state in (State.SCHEDULED, State.RETRY)]
    return after, Due(len(chosen), _next_in(later, now))


def unblock(queue: QueueState, now: int, *, limit: int) -> tuple[QueueState, Due]:
    """Notify dependents of ended tasks that an earlier step deferred, at most `limit`."""
    change = Change(queue, now)
    change.endings.extend(change.deferred[:ENDINGS])
    del change.deferred[:ENDINGS]
    moved = change.propagate(limit)
    after = change.done()
    return after, Due(moved, 0 if after.endings else None)


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
    leases = (r.lease_ms for r in after.records.values() if r.state is State.ACTIVE)
    return after, Due(len(lapsed), _next_in(leases, now), tuple(deaths))


def expire(queue: QueueState, now: int, *, limit: int) -> tuple[QueueState, Due]:
    """Move waiting tasks that have expired to dead."""
    change = Change(queue, now)
    due = [r for r in queue.records.values() if r.state in WAITING and is_expired(r, now)]
    chosen = nsmallest(limit, due, key=lambda r: (r.expires_ms, pack_id(r.id)))
    deaths = [death_of(change.bury(Transition.EXPIRE, record, EXPIRED)) for record in chosen]
    after = change.done()
    # Of the tasks that are left: dependents of the expired ones may have died with them.
    expiring = (r.expires_ms for r in after.records.values() if r.state in WAITING and r.expires_ms)
    return after, Due(len(chosen), _next_in(expiring, now), tuple(deaths))


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
