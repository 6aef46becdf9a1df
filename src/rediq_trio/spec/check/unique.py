"""A unique key, with its holder."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from rediq_trio.spec.check.findings import Action, Findings, Repairs, Target, TargetType
from rediq_trio.spec.messages import Until
from rediq_trio.spec.records import QueueState, Record


@attrs.frozen
class UniqueKeyView:
    """A unique key."""

    target: Target
    holder: str | None
    till_ms: int | None
    """When its window ends by time; None for never."""
    record: Record | None
    """The record of its holder."""
    has_record: bool
    """The holder has a record, readable or not."""


def targets_of(queue: QueueState) -> Iterator[Target]:
    return (Target(TargetType.UNIQUE, key) for key in queue.locks)


def view_of(queue: QueueState, _now: int, target: Target) -> UniqueKeyView:
    lock = queue.locks.get(target.name)
    if lock is None:
        return UniqueKeyView(target, None, None, None, has_record=False)
    record = queue.records.get(lock.id)
    return UniqueKeyView(target, lock.id, lock.till_ms or None, record, record is not None)


def is_entitled(view: UniqueKeyView) -> bool:
    """Return whether the holder of a unique key is entitled to it."""
    record, key = view.record, view.target.name
    # Another task may have the holder's id by now.
    same = record is not None and record.unique == key
    by_time = not same or (record is not None and record.until is Until.EXPIRED)
    if record is not None and record.terminal and not by_time:
        return False
    if same and record is not None and record.owns_unique_key:
        return True
    return by_time and view.till_ms is not None


def violations_of(view: UniqueKeyView) -> Findings:
    """Check that the key has a holder that is entitled to it."""
    if view.holder is None:
        if view.till_ms is not None:
            yield 6, "has an end of its window and no holder"
    elif view.has_record and view.record is None:
        yield 6, f"is held by {view.holder}, whose record cannot be read"
    elif not is_entitled(view):
        record = view.record
        ended_as = "is gone" if record is None else f"is {record.state}, its window over"
        yield 6, f"is held by {view.holder}, which {ended_as}"


def repairs_of(view: UniqueKeyView) -> Repairs:
    unreadable = view.has_record and view.record is None
    if (view.holder is None and view.till_ms is None) or unreadable:
        return
    if view.holder is None or not is_entitled(view):
        why = "no task is in the window of the key"
        yield Action.FREE, f"held by {view.holder or 'nobody'}", "free", why
