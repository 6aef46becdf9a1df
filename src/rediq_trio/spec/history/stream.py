"""How a queue writes its history: it numbers entries and keeps the last N of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from rediq_trio.spec.history.entry import MOST_NEEDS, REASON_BYTES, Entry
from rediq_trio.spec.lifecycle import State, Transition
from rediq_trio.spec.records import Limit, Lock, QueueState, Record

COPIED = (attrs.fields_dict(Record).keys() & attrs.fields_dict(Entry).keys()) - {"nonce", "worker"}
"""The fields that an entry has from the record as they are."""


def entry_of(
    now: int, transition: Transition, old: Record | None, new: Record | None,
    locks: Mapping[str, Lock], needs: Sequence[str],
) -> Entry:  # fmt: skip
    """Return the entry of a task's transition, without a number."""
    record = new or old
    assert record is not None
    source = None if old is None else old.state
    target = None if new is None else new.state
    claimed = transition is Transition.CLAIM and target is State.ACTIVE
    failed = target in (State.RETRY, State.DEAD)
    till_ms = 0
    if transition is Transition.RECLAIM and old is not None:
        till_ms = old.lease_ms
    elif claimed:
        till_ms = record.lease_ms
    elif transition is Transition.ENQUEUE and record.unique:
        till_ms = locks[record.unique].till_ms
    return Entry(
        number=0,
        now_ms=now,
        transition=transition.value,
        source=source,
        target=target,
        till_ms=till_ms,
        nonce=record.nonce if claimed else b"",
        worker=record.worker if claimed else "",
        reason=cut(record.error) if failed else "",
        needs=tuple(needs[:MOST_NEEDS]),
        **{name: getattr(record, name) for name in COPIED},
    )


def cut(reason: str) -> str:
    """Cut a reason to `REASON_BYTES`, as the scripts do."""
    return reason.encode()[:REASON_BYTES].decode("utf-8", "replace")


def numbers_of(limit: Limit) -> tuple[int, ...]:
    """Return a limit as an entry stores it."""
    return limit.concurrency, limit.count, limit.period_ms, limit.burst


def with_entry(
    queue: QueueState, now: int, transition: str,
    *, key: str = "", before: tuple[int, ...] = (), after: tuple[int, ...] = (),
) -> QueueState:  # fmt: skip
    """Return the queue with an entry of its own, if it keeps a history."""
    return with_entries(queue, [Entry(0, now, transition, key=key, before=before, after=after)])


def with_entries(queue: QueueState, entries: Sequence[Entry]) -> QueueState:
    """Return the queue with these entries after the others, cut to the number that it keeps."""
    if not queue.history or not entries:
        return queue
    last = queue.last_entry
    numbered = [attrs.evolve(one, number=last + n) for n, one in enumerate(entries, start=1)]
    last_entries = (*queue.entries, *numbered)[-queue.history :]
    return attrs.evolve(queue, entries=last_entries, last_entry=last + len(numbered))


def keep_history(queue: QueueState, now: int, history: int) -> QueueState:
    """Set how many entries the queue keeps; 0 removes those that it has.

    A history begins with an entry that says how many tasks exist already.
    """
    before, kept = queue.history, queue.entries[-history:] if history else ()
    queue = attrs.evolve(queue, history=history, entries=kept)
    if history and not before:
        queue = with_entry(queue, now, "begin", after=(len(queue.records),))
    return queue
