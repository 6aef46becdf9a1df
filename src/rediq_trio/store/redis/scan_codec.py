"""How a step of a scan is sent to its script, and how the reply is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rediq_trio.spec.ids import pack_id, unpack_id
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.records import Place
from rediq_trio.spec.stored_format import CODE_OF
from rediq_trio.store.reads.scan import Scanned, Where
from rediq_trio.store.redis.codec import read_task_whole
from rediq_trio.store.redis.operation_codec import Now
from rediq_trio.wire.packing import pack_for_lua

_VALUES_BEFORE = 8
"""How many values of the reply come before the tasks."""


def scan_args(
    now: Now, state: State, limit: int, after: Place | None, newest: bool, where: Where
) -> Sequence[Any]:
    """Return the arguments of `scan.lua`."""
    place = (b"", "", "") if after is None else (pack_id(after.id), after.score, after.lane)
    priority = "" if where.priority is None else where.priority
    instants = (where.since_ms or "", where.until_ms or "", where.entered_by_ms or "")
    # As it stands at the end of the packed attempts.
    kind = pack_for_lua(where.kind) if where.kind else b""
    tests = (priority, where.limit_key, where.type_head, where.error, *instants, kind)
    return (now, CODE_OF[state], limit, "1" if newest else "", *place, *tests)


def read_scanned(reply: list[Any]) -> Scanned:
    """Read the reply of `scan.lua`; a record that cannot be decoded is left out."""
    now, size, looked_at, last_id, score, lane, over, cpu_us = reply[:_VALUES_BEFORE]
    last = None
    if looked_at:
        last = Place(unpack_id(last_id), round(float(score)), lane.decode("utf-8", "replace"))
    found = (read_task_whole(unpack_id(task_id), task) for task_id, *task in reply[_VALUES_BEFORE:])
    return Scanned(
        now_ms=now,
        size=size,
        looked_at=looked_at,
        last=last,
        over=bool(over),
        records=tuple(record for record in found if record is not None),
        cost=cpu_us / 1_000_000,
    )
