"""Deadlines: the instant after which no attempt of a task starts or continues.

A deadline is stored twice. As the record's `expires` it ends every wait, including retries,
by the store's clock. In the envelope it reaches the worker, which ends the running attempt.

A deadline in seconds is packed as seconds: it counts from the enqueue, whose instant only the
store knows. The record has that instant (`created_ms`), so the worker reads the record, and
no producer's clock matters. The record also shows that a deadline no longer applies: a
revived task has no `expires`.
"""

from __future__ import annotations

import datetime as dt

from rediq_trio.spec.records import Record
from rediq_trio.values.chance import wall
from rediq_trio.wire.envelope import LAST_MS


def pack_deadline(deadline: float | dt.datetime | None) -> int:
    """Return a packed deadline: an instant in ms; negative, ms from the enqueue; 0 for none."""
    if deadline is None:
        return 0
    if isinstance(deadline, dt.datetime):
        return min(max(1, round(deadline.timestamp() * 1000)), LAST_MS)
    return -max(1, round(deadline * 1000))


def deadline_ms(record: Record, packed: int) -> int:
    """Return the instant of a packed deadline, in ms by the store's clock; 0 for none."""
    if not packed or not record.expires_ms:
        return 0
    return packed if packed > 0 else record.created_ms - packed


def earlier_end(
    expires: float | dt.datetime | None, deadline: float | dt.datetime | None
) -> float | dt.datetime | None:
    """Return the earlier of both. If only one is a datetime, this machine's clock decides."""
    if expires is None or deadline is None:
        return deadline if expires is None else expires
    now = wall()

    def at(end: float | dt.datetime) -> float:
        return end.timestamp() if isinstance(end, dt.datetime) else now + end

    return min(expires, deadline, key=at)
