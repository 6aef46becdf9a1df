"""Reading the tasks in one state with their records, some of them chosen by a filter.

A scan goes along the index of a state, in its order or in the reverse, a few tasks in one step.
What a step tests is what a script can test at little cost; a caller tests the rest.

`scan` is the rule: the store in memory runs it, and `lua/read/scan.lua` does the same.
"""

from __future__ import annotations

import attrs

from rediq_trio.spec.carried import BatchEnvelope
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.order.lanes import ordered
from rediq_trio.spec.records import Place, QueueState, Record, place_of
from rediq_trio.spec.stored_format import BATCH_VERSION, ENCRYPTED_ERROR

SCAN_STEP = 250
"""Tasks that one step looks at, at most; fewer where they cost Redis more than a millisecond."""
SCAN_BYTES = 1_000_000
"""After so many bytes of records a step ends early."""
TYPE_AT = 2
"""Where the type begins in an envelope, after the array's head and the version."""
BATCH_HEAD = bytes([0x93, BATCH_VERSION])
"""How the envelope of a batch begins."""


@attrs.frozen
class Where:
    """Which tasks a scan returns. None, '' and 0 leave a field untested."""

    priority: int | None = None
    limit_key: str = ""
    type_head: bytes = b""
    """The packed type of a task, as it stands in its envelope. The type of a batch is not tested."""
    error: str = ""
    """A part of the error's text. An encrypted one is not tested: only those with the keys can."""
    since_ms: int = 0
    """The earliest instant that counts for the age, see `aged_ms`."""
    until_ms: int = 0
    """The latest instant that counts for the age."""
    entered_by_ms: int = 0
    """The latest instant at which it entered its state, see `Record.entered_ms`."""
    kind: str = ""
    """The kind of failure of its last attempt."""


ALL = Where()


@attrs.frozen
class Scanned:
    """What one step of a scan found."""

    now_ms: int
    """The store's time."""
    size: int
    """How many tasks are in the state."""
    looked_at: int
    last: Place | None
    """The place of the last task that was looked at; None if there was none."""
    over: bool
    """Nothing comes after the tasks that were looked at."""
    records: tuple[Record, ...]
    """The tasks that were chosen, in the order of the scan."""
    cost: float = 0.0
    """Seconds of the server's CPU."""


def aged_ms(record: Record) -> int:
    """Return the instant from which a task's age counts: its end, or its enqueue."""
    return record.finished_ms if record.terminal else record.created_ms


def kind_of(record: Record) -> str:
    """Return the kind of failure of a task's last attempt; '' if it did not fail."""
    return record.attempts[-1].kind if record.attempts else ""


def chosen(record: Record, where: Where) -> bool:
    """Return whether a scan returns a task."""
    return (
        (where.priority is None or record.priority == where.priority)
        and where.limit_key in ("", record.limit_key)
        and (where.error in record.error or record.error.startswith(ENCRYPTED_ERROR))
        and aged_ms(record) >= where.since_ms
        and (not where.until_ms or aged_ms(record) <= where.until_ms)
        and (not where.entered_by_ms or record.entered_ms <= where.entered_by_ms)
        and where.kind in ("", kind_of(record))
        and (not where.type_head or _begins(record.envelope, where.type_head))
    )


def _begins(envelope: bytes | BatchEnvelope, head: bytes) -> bool:
    if isinstance(envelope, BatchEnvelope):
        return True
    return envelope[TYPE_AT:].startswith(head) or envelope.startswith(BATCH_HEAD)


def scan(
    queue: QueueState,
    now: int,
    state: State,
    *,
    limit: int,
    after: Place | None = None,
    newest: bool = False,
    where: Where = ALL,
) -> Scanned:
    """Look at the next tasks in one state after a place, `limit` at most; return the chosen ones.

    With `newest`, the scan goes along the index backwards. A limit of 0 reads time and size only.
    """
    limit = min(limit, SCAN_STEP)
    all_records = ordered(queue, state)
    left = all_records[::-1] if newest else all_records
    if after is not None:
        order = after.order
        left = [
            r for r in left if (place_of(r).order < order if newest else place_of(r).order > order)
        ]
    looked_at = left[:limit]
    return Scanned(
        now_ms=now,
        size=len(all_records),
        looked_at=len(looked_at),
        last=place_of(looked_at[-1]) if looked_at else None,
        over=len(left) <= limit,
        records=tuple(record for record in looked_at if chosen(record, where)),
    )
