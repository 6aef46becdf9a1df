"""Read from the streams of Redis: the entries of a history, and the lines of logbooks.

The records of workflows too, which are in a hash.

A line is an entry with one field, which is named by the nonce of its line.
"""

from __future__ import annotations

from typing import Any

from rediq_trio.spec.history.entry import Entry
from rediq_trio.spec.history.logbook import LinePlace, LogLine
from rediq_trio.spec.history.workflows import CREATED_DIGITS, WorkflowRecord
from rediq_trio.spec.ids import unpack_id, unpack_ref
from rediq_trio.spec.stored_format import ENTRY_FIELDS, ENTRY_RELATION_FIELDS, QUEUE_ENTRY_FIELDS
from rediq_trio.store.redis.codec import state_of
from rediq_trio.wire.packing import fields_of, text_of, unpack


def read_entry(step: int, packed: bytes) -> Entry:
    """Read one entry of a history; one that cannot be decoded has the transition `unreadable`."""
    try:
        return _read(step, packed)
    except (ValueError, TypeError, OverflowError, RecursionError, LookupError, AttributeError):
        return Entry(step, 0, "unreadable")


def _read(step: int, packed: bytes) -> Entry:
    values: list[Any] = unpack(packed, texts=False)
    if len(values) == len(QUEUE_ENTRY_FIELDS):
        now, transition, key, before, after = values
        return Entry(
            step, now, text_of(transition), key=text_of(key), before=(*before,), after=(*after,)
        )
    fields = fields_of(ENTRY_FIELDS, values, strict=False)
    if "relations" in fields:
        fields |= fields_of(ENTRY_RELATION_FIELDS, fields.pop("relations"))
        fields["needs"] = tuple(map(unpack_ref, fields["needs"]))
    for name in ("transition", "worker", "reason", "unique", "limit_key", "group"):
        if name in fields:
            fields[name] = text_of(fields[name])
    for name in ("cancel", "owns_unique_key", "run_on_dependency_failure"):
        fields[name] = bool(fields.get(name))
    local_id, source, target = (fields.pop(name) for name in ("id", "source", "target"))
    return Entry(
        step, id=unpack_id(local_id), source=state_of(source), target=state_of(target), **fields
    )


def read_place(stream_id: bytes) -> LinePlace:
    """Return the place of a line by its id in the stream."""
    ms, _, number = stream_id.partition(b"-")
    return int(ms), int(number)


def read_line(entry: Any) -> LogLine:
    """Return a line; anything that somebody else wrote into the stream has no data."""
    stream_id, fields = entry
    nonce, data, *more = fields
    return LogLine(read_place(stream_id), nonce, b"" if more else data)


def lines_command(
    key: bytes, *, limit: int, after: LinePlace | None, newest: bool
) -> tuple[Any, ...]:
    """Return the command that reads lines."""
    border = b"" if after is None else b"(%d-%d" % after
    if newest:
        return (b"XREVRANGE", key, border or b"+", b"-", b"COUNT", limit)
    return (b"XRANGE", key, border or b"-", b"+", b"COUNT", limit)


def read_workflow(entry: Any) -> WorkflowRecord:
    """Return the record of a workflow from its id, its number and what is stored."""
    workflow_id, number, stored = entry
    created_ms = int(stored[:CREATED_DIGITS])
    return WorkflowRecord(workflow_id.decode(), number, created_ms, stored[CREATED_DIGITS:])
