"""A task, with everything that refers to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs

from rediq_trio.spec.check.findings import Action, Findings, Repairs, Target, TargetType
from rediq_trio.spec.lifecycle import TERMINAL, WAITING, State
from rediq_trio.spec.records import QueueState, Record

CONTENTS = ("result", "progress", "inputs", "steps", "attempts")
"""What a queue stores of a task beside its record and its payload."""


@attrs.frozen
class RecordView:
    """One task, with everything that refers to it. Its record has no envelope, and nothing of
    `CONTENTS`."""

    target: Target
    record: Record | None
    """None for a record that is missing, or cannot be decoded."""
    indexes: Mapping[State, int]
    """State -> the task's score in the index of that state, for each index that lists it."""
    expiring: int | None
    """Its score in the index of tasks that expire; None if that does not list it."""
    has_envelope: bool = True
    """Its payload is stored."""
    needs: int = 0
    """How many tasks `needs` lists for it."""
    holder: str | None = None
    """The holder of its unique key."""
    kept: frozenset[str] = frozenset()
    """Which of `CONTENTS` are stored."""
    unreadable: bool = False
    """The task has a record that cannot be decoded."""
    newer: int = 0
    """The format of its record if a newer version wrote it, else 0."""


def task_target(task_id: str, *raw: bytes) -> Target:
    return Target(TargetType.TASK, task_id, raw=raw)


def targets_of(queue: QueueState) -> Iterator[Target]:
    return map(task_target, queue.records)


def view_of(queue: QueueState, _now: int, target: Target) -> RecordView:
    """Return the view of a task of the specification, which exactly the index of its state lists."""
    record = queue.records.get(target.name)
    if record is None:
        return RecordView(target, None, {}, None, has_envelope=False)
    lock = queue.locks.get(record.unique)
    return RecordView(
        target,
        attrs.evolve(
            record, envelope=b"", result=b"", progress=b"", inputs=(), steps=(), attempts=()
        ),
        {record.state: record.score},
        _expiry(record),
        needs=len(queue.needs.get(record.id, ())),
        holder=None if lock is None else lock.id,
        kept=frozenset(name for name in CONTENTS if getattr(record, name)),
    )


def _expiry(record: Record) -> int | None:
    # When the task expires, if it still can.
    return (record.expires_ms or None) if record.state in WAITING else None


def violations_of(view: RecordView) -> Findings:
    """Check one task; only the version that wrote a newer record can check it."""
    if view.newer:
        return iter(())
    return _without_record(view) if view.record is None else _with_record(view.record, view)


def _without_record(view: RecordView) -> Findings:
    for state in view.indexes:
        yield 1, f"is in the index of {state} and has no readable record"
    left = ["a record that cannot be read"] * view.unreadable
    left += ["a payload"] * view.has_envelope + sorted(view.kept)
    left += ["an expiry"] * (view.expiring is not None)
    if not view.indexes and left:
        yield 2, f"has no readable record; what is left: {', '.join(left)}"


def _with_record(record: Record, view: RecordView) -> Findings:
    yield from _in_one_index(record, view)
    yield from _one_holder(record)
    yield from _charges(record)
    yield from _ends(record)
    yield from _relations(record, view)
    yield from _contents(record, view)


def _in_one_index(record: Record, view: RecordView) -> Findings:
    listed = sorted(view.indexes)
    if listed != [record.state]:
        yield 1, f"is {record.state}, and is in the indexes of {listed}"
    elif view.indexes[record.state] != record.score:
        at = view.indexes[record.state]
        yield 7, f"is {record.state} at {at}, and should be at {record.score}"
    if not view.has_envelope:
        yield 2, "has lost its payload"
    if view.expiring != (expiry := _expiry(record)):
        yield 8, f"expires at {expiry}, and is listed for {view.expiring}"


def _one_holder(record: Record) -> Findings:
    if record.state is State.ACTIVE:
        if not record.nonce or not record.worker or not record.lease_ms:
            yield 3, "is active without a lease"
    elif record.lease_ms:
        yield 3, f"is {record.state} and has a lease"
    if record.nonce and not record.deliveries:
        yield 3, "has a token and was never delivered"


def _charges(record: Record) -> Findings:
    if not 0 <= record.attempt <= record.max_retry + 1:
        yield 4, f"attempt {record.attempt} of {record.max_retry + 1}"
    if record.attempt + record.crashes + record.snoozes > record.deliveries:
        parts = f"{record.attempt} attempts, {record.crashes} crashes, {record.snoozes} snoozes"
        yield 4, f"{parts} in {record.deliveries} deliveries"
    if record.state is State.ACTIVE and record.attempt < 1:
        yield 4, "is active in no attempt"
    if record.crashes > record.max_crashes and record.state not in (State.DEAD, State.CANCELLED):
        yield 4, f"has {record.crashes} crashes of {record.max_crashes} and is {record.state}"


def _ends(record: Record) -> Findings:
    if (record.state in TERMINAL) != bool(record.finished_ms):
        yield 5, f"is {record.state} and finished at {record.finished_ms}"
    if record.state is State.COMPLETED and not record.deliveries:
        yield 5, "completed and was never delivered"
    if record.state is State.DEAD and not record.error:
        yield 5, "is dead for no reason"
    if record.state is State.ACTIVE and record.started_ms < record.run_ms:
        yield 8, f"started at {record.started_ms}, due at {record.run_ms}"
    if record.state is State.ACTIVE and 0 < record.expires_ms <= record.started_ms:
        yield 8, f"started at {record.started_ms}, expired at {record.expires_ms}"


def _relations(record: Record, view: RecordView) -> Findings:
    if record.waits != view.needs:
        yield 8, f"waits for {record.waits} tasks, {view.needs} are listed"
    if record.waits and record.state in (State.PENDING, State.ACTIVE, State.SCHEDULED):
        yield 8, f"is {record.state} and waits for {record.waits} tasks"
    if record.state is State.BLOCKED and not record.waits:
        yield 13, "is blocked and waits for no task"
    if record.state is State.GROUPED and not record.group:
        yield 10, "is grouped and in no group"
    if view.holder == record.id and not record.owns_unique_key:
        yield 6, f"has the unique key {record.unique!r}, its window over"


def _contents(record: Record, view: RecordView) -> Findings:
    completed = record.state is State.COMPLETED
    for name in sorted(view.kept & ({"inputs", "steps"} if completed else {"result"})):
        yield 5, f"is {record.state} and has {name}"
    if "steps" in view.kept and not record.has_steps:
        yield 2, "has steps that its record does not mention, so they would never be removed"


def repairs_of(view: RecordView) -> Repairs:
    record = view.record
    if record is None:
        found = [str(state) for state in view.indexes] + sorted(view.kept)
        something = found or view.expiring is not None
        if something and not (view.unreadable or view.has_envelope):
            before = f"{', '.join(found) or 'an expiry'}, no record and no payload"
            why = "without a record and a payload there is no task"
            yield Action.FORGET, before, "nothing", why
        return
    state, listed = record.state, sorted(view.indexes)
    why = "the record says it, and an index only follows from records"
    if not listed and view.has_envelope:
        yield Action.LIST, f"{state}, in no index", f"in the index of {state}", why
    elif state in view.indexes:
        if len(listed) > 1:
            others = ", ".join(sorted(set(listed) - {state}))
            before = f"{state}, also in the indexes of {others}"
            yield Action.UNLIST, before, f"only in that of {state}", why
        at, has_lane = view.indexes[state], state is State.PENDING and bool(record.limit_key)
        if at != record.score and not has_lane and at >= 0:
            yield Action.MOVE, f"{state} at {at}", f"at {record.score}", why
    if view.expiring != (expiry := _expiry(record)):
        after = f"at {expiry}" if expiry else "not listed to expire"
        yield Action.EXPIRY, f"listed to expire at {view.expiring}", after, why
