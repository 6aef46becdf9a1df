"""How a worker leases tasks and renews its leases.

A lease carries the fence of its delivery. Every write of a worker about the task names that fence,
and `find_delivery` checks it.
"""

from __future__ import annotations

from collections.abc import Sequence

from rediq_trio.spec.change import Change, death_of
from rediq_trio.spec.lifecycle import State, Transition
from rediq_trio.spec.messages import Claimed, Death, Fence, Lease, Verdict
from rediq_trio.spec.order.lanes import Lanes, next_start
from rediq_trio.spec.records import QueueState, Record
from rediq_trio.spec.stored_format import EXPIRED


def find_delivery(queue: QueueState | Change, fence: Fence) -> Record | None:
    """Return the record of a task if the fence names its last delivery; None for a stale fence."""
    record = queue.records.get(fence.id)
    if record is None or (record.deliveries, record.nonce) != (fence.deliveries, fence.nonce):
        return None
    return record


def is_expired(record: Record, now: int) -> bool:
    return 0 < record.expires_ms <= now


def claim(
    queue: QueueState, now: int, *, limit: int, lease_ms: int, worker: str, nonce: bytes
) -> tuple[QueueState, Claimed]:
    """Lease the first `limit` ready tasks to a worker; expired tasks become dead instead.

    A task that is ready was due. So if the clock was set back since, its attempt starts at the
    instant at which the task was due.
    """
    if queue.paused:
        return queue, Claimed((), 0)
    change = Change(queue, now)
    lanes = Lanes(change)
    leases: list[Lease] = []
    deaths: list[Death] = []
    for _ in range(limit):
        record = lanes.next()
        if record is None:
            break
        start_ms = max(now, record.run_ms)
        if is_expired(record, start_ms):
            deaths.append(death_of(change.bury(Transition.CLAIM, record, EXPIRED)))
            continue
        counts = {"deliveries": record.deliveries + 1, "attempt": record.attempt + 1}
        held = {
            "nonce": nonce,
            "worker": worker,
            "lease_ms": now + lease_ms,
            "started_ms": start_ms,
        }
        record = change.move(Transition.CLAIM, record, State.ACTIVE, **counts, **held)
        lanes.started(record)
        fence = Fence(record.id, record.deliveries, nonce)
        end = record.lease_ms
        leases.append(
            Lease(fence, record.attempt, record.max_retry, record.envelope, end, record.run_ms)
        )
    after = change.done()
    remaining = lanes.remaining()
    start = None if remaining else next_start(after, now)
    next_in = None if start is None else start - now
    return after, Claimed(tuple(leases), remaining, next_in, deaths=(*deaths, *change.died))


def renew(
    queue: QueueState, now: int, fences: Sequence[Fence], *, lease_ms: int
) -> tuple[QueueState, tuple[Verdict, ...]]:
    """Prolong each lease that is still held, even if it has lapsed and was not reclaimed yet."""
    change = Change(queue, now)
    verdicts: list[Verdict] = []
    for fence in fences:
        record = find_delivery(change, fence)
        if record is None or record.state is not State.ACTIVE:
            verdicts.append(Verdict.LOST)
            continue
        change.move(Transition.RENEW, record, State.ACTIVE, lease_ms=now + lease_ms)
        verdicts.append(Verdict.CANCEL if record.cancel else Verdict.KEPT)
    return change.done(), tuple(verdicts)
