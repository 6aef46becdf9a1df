"""Permits that a waiting handler holds, and the task that it waits for needs.

The slot of a waiting handler is lent, a permit of a limit is not: limits hold at every instant. A
task that waits for the permit of its own parent waits until the parent gives up, and nothing else
says so.
"""

from __future__ import annotations

import logging

from rediq_trio.handlers.running_attempt import RunningAttempt
from rediq_trio.spec.check.lane import LaneView, lane_target
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.records import ANY_KEY, NO_LIMIT, Record
from rediq_trio.store.port import BATCH, Store

log = logging.getLogger("rediq_trio")


async def report_held_permit(
    store: Store, attempt: RunningAttempt, partition: str, pending: Record
) -> bool:
    """Log it if all permits that `pending` needs are taken, some by tasks that wait in this worker.

    Return whether it was so. Raises `ConnectionLost`.
    """
    ids = [local_id for queue, local_id in attempt.waiting() if queue == partition][:BATCH]
    if not ids:
        return False
    limits, key = await store.limits(partition), pending.limit_key
    of_key = (limits.get(key) or limits.get(ANY_KEY) or NO_LIMIT).concurrency if key else 0
    of_queue = limits.get("", NO_LIMIT).concurrency
    if not of_key and not of_queue:
        return False
    holders = [record for record in await store.get(partition, ids) if record is not None]
    if of_key and (same := [one.id for one in holders if one.limit_key == key]):
        (view,) = await store.views(partition, [lane_target(key)])
        if isinstance(view, LaneView) and view.permits >= of_key:
            return _report(attempt, partition, pending, f"limit key {key!r}", of_key, same)
    if of_queue and holders and await _active(store, partition) >= of_queue:
        every = [one.id for one in holders]
        return _report(attempt, partition, pending, f"queue {partition}", of_queue, every)
    return False


async def _active(store: Store, partition: str) -> int:
    return (await store.stats(partition)).sizes.get(State.ACTIVE, 0)


def _report(
    attempt: RunningAttempt,
    partition: str,
    pending: Record,
    of: str,
    limit: int,
    holders: list[str],
) -> bool:
    log.warning(
        "task %s waits for %s/%s, which cannot start: all permits of the %s (%d) are taken, %d of them "
        "by tasks that wait for others: %s. A permit is not lent. Raise the limit, give the task another "
        "queue or limit key, or do not wait for it in a handler",
        attempt.task_id, partition, pending.id, of, limit,
        len(holders), ", ".join(f"{partition}/{one}" for one in holders[:5]),
    )  # fmt: skip
    return True
