"""Deadlines: the instant at which a task's attempts are over, whatever is left of them.

A deadline is kept twice. As the record's `expires` it ends every wait, retries
included, by the store's clock. In the envelope it goes to the worker, which ends
the attempt that runs.

Seconds travel as seconds: they count from the enqueue, whose instant only the
store knows. The record has it (`created_ms`), so whoever needs the instant reads
the record, and no producer's clock matters. The record also says when a deadline
no longer holds: a revived task has lost its `expires`.
"""

from __future__ import annotations

import datetime as dt
import time

from rediq_trio.spec.records import Record
from rediq_trio.wire.envelope import LAST_MS


def pack_deadline(deadline: float | dt.datetime | None) -> int:
    """Give a deadline as it travels: an instant in ms, or below 0 the ms from the enqueue on; 0 for none."""
    if deadline is None:
        return 0
    if isinstance(deadline, dt.datetime):
        return min(max(1, round(deadline.timestamp() * 1000)), LAST_MS)
    return -max(1, round(deadline * 1000))


def deadline_ms(record: Record, packed: int) -> int:
    """Give the instant of a deadline that travelled, in ms by the store's clock; 0 for none."""
    if not packed or not record.expires_ms:
        return 0
    return packed if packed > 0 else record.created_ms - packed


def first_end(
    expires: float | dt.datetime | None, deadline: float | dt.datetime | None
) -> float | dt.datetime | None:
    """Give the earlier of both. Where only one is a datetime, by this machine's clock."""
    if expires is None or deadline is None:
        return deadline if expires is None else expires
    now = time.time()

    def at(end: float | dt.datetime) -> float:
        return end.timestamp() if isinstance(end, dt.datetime) else now + end

    return min(expires, deadline, key=at)
