"""What a handle changes of its task: when it is due, its payload and its options.

The bounds are those of a task that is enqueued, so a `Task` is made of what is asked, and
`prepare` makes of it what the store takes.
"""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Collection, Mapping
from typing import Any

import attrs

from rediq_trio._errors import (
    ConfigError,
    TaskChanged,
    TaskNotFound,
    TaskStateError,
    did_you_mean,
)
from rediq_trio.spec.lifecycle import WAITING, State
from rediq_trio.spec.messages import Rescheduled, Version
from rediq_trio.spec.records import Record
from rediq_trio.store.port import Store
from rediq_trio.tasks.changes.versions import changed_parts, options_of, version_of
from rediq_trio.tasks.prepare import prepare
from rediq_trio.values.bounds import MAX_PAYLOAD, Duration
from rediq_trio.values.task import Task, TaskChanges, TaskInfo, TaskOptions
from rediq_trio.wire.batch_envelope import batch_of
from rediq_trio.wire.deadlines import deadline_ms
from rediq_trio.wire.envelope import Envelope, open_envelope, pack_envelope, unpack_value

TIMED = (State.SCHEDULED, State.RETRY, State.PENDING)
"""The states in which time decides, and nothing else, when a task is ready."""
CHANGEABLE = tuple(state for state in State if state in WAITING)
_ENDED = "it has ended"
_REASONS = {
    State.BLOCKED: "the tasks that it waits for decide when it is ready",
    State.GROUPED: "its group decides when it becomes part of a batch",
    State.ACTIVE: "a worker runs it; wait for its end, or cancel it first",
    State.COMPLETED: f"{_ENDED}; enqueue_again() makes a new task of it",
    State.DEAD: f"{_ENDED}; retry() runs it again, enqueue_again() makes a new task of it",
    State.CANCELLED: f"{_ENDED}; retry() runs it again, enqueue_again() makes a new task of it",
}
_OTHERWISE = {
    "queue": "requeue(queue=...) moves the task",
    "delay": "reschedule(delay=...) changes when it is due",
    "run_at": "reschedule(run_at=...) changes when it is due",
}
_CHANGES_AT_ONCE = 3
"""How often a change is tried again that was refused for what is not there any more."""


def check_state(task_id: str, state: State | None, wanted: Collection[State]) -> None:
    """Raise `TaskNotFound` for no state, and `TaskStateError` for one that is not wanted."""
    if state is None:
        raise TaskNotFound(task_id)
    if state not in wanted:
        *first, last = (each.value for each in wanted)
        either = f"{', '.join(first)} or {last}" if first else last
        raise TaskStateError(task_id, state.value, either, _REASONS[state])


async def reschedule(
    store: Store,
    partition: str,
    local_id: str,
    *,
    delay: Duration | None = None,
    run_at: dt.datetime | None = None,
) -> Rescheduled:
    """Make a task due at another time; raise as `TaskHandle.reschedule` does."""
    if delay is None and run_at is None:
        raise ConfigError("reschedule(): pass delay or run_at")
    when = prepare(Task("reschedule", delay=delay, run_at=run_at), MAX_PAYLOAD).new
    answer = await store.reschedule(
        partition, local_id, delay_ms=when.delay_ms, run_at_ms=when.run_at_ms
    )
    check_state(f"{partition}/{local_id}", answer.before, TIMED)
    return answer


async def read_single(store: Store, partition: str, local_id: str) -> tuple[Record, Envelope]:
    """Read a task that is no batch, with its envelope.

    Raises `TaskNotFound`, `ConfigError` for a batch, and `PayloadError` if its payload
    cannot be read.
    """
    task_id = f"{partition}/{local_id}"
    (record,) = await store.get(partition, (local_id,))
    if record is None:
        raise TaskNotFound(task_id)
    if batch_of(record.envelope) is not None:
        raise ConfigError.of("id", task_id, "of a single task: this is a batch of a group")
    assert isinstance(record.envelope, bytes)
    envelope = open_envelope(record.envelope)
    unpack_value(envelope.payload)
    return record, envelope


def check_names(call: str, changes: Mapping[str, Any], known: Collection[str]) -> None:
    """Raise `ConfigError` for what a call does not change, and say how else it is changed."""
    for name in changes:
        if name in known:
            continue
        if name in TaskOptions.__annotations__:
            other = _OTHERWISE.get(name, f"enqueue_again() makes a new task with another {name}")
            hint = f"; {other}" if call == "update" else ""
            raise ConfigError(f"{call}(): {name} cannot be changed{hint}")
        raise ConfigError(f"{call}(): there is no option {name}{did_you_mean(name, known)}")


async def update(
    store: Store,
    partition: str,
    local_id: str,
    changes: Mapping[str, Any],
    seen: TaskInfo | None,
    max_payload: int,
) -> State:
    """Change a waiting task; raise as `TaskHandle.update` does."""
    task_id = f"{partition}/{local_id}"
    check_names("update", changes, TaskChanges.__annotations__)
    if not changes:
        raise ConfigError("update(): pass what is to be changed")
    for _ in range(_CHANGES_AT_ONCE):
        record, envelope = await read_single(store, partition, local_id)
        check_state(task_id, record.state, CHANGEABLE)
        before = version_of(record, envelope)
        if seen is not None and (changed := changed_parts(seen.version, before)):
            raise TaskChanged(task_id, changed)
        new, expires_in_ms = _changed(task_id, record, envelope, changes, max_payload)
        answer = await store.update(
            partition, local_id, seen=record.version, new=new, expires_in_ms=expires_in_ms
        )
        if answer.done:
            assert answer.state is not None
            return answer.state
        check_state(task_id, answer.state, CHANGEABLE)
        after = version_of(*await read_single(store, partition, local_id))
        if changed := changed_parts(before, after):
            raise TaskChanged(task_id, changed)
        # It has run meanwhile, and used up more attempts than it is to have.
    raise TaskChanged(task_id, ("attempts",))


def _changed(
    task_id: str, record: Record, envelope: Envelope, changes: Mapping[str, Any], max_payload: int
) -> tuple[Version, int]:
    """Return a task as it is to be, and in how many ms it expires, if that is not an instant."""
    most = max_payload if "payload" in changes else sys.maxsize
    task = Task[Any](envelope.type, **{**options_of(record, envelope), **changes})
    for name, used in (("max_retry", record.attempt), ("max_crashes", record.crashes)):
        if name in changes and getattr(task, name) < used:
            bound = f"at least {used}, as so many were counted of {task_id}"
            raise ConfigError.of(name, getattr(task, name), bound)
    one = prepare(task, most).new
    packed = open_envelope(one.envelope)
    payload = packed.payload if "payload" in changes else envelope.payload
    deadline, ends_ms = envelope.deadline_ms, deadline_ms(record, envelope.deadline_ms)
    expires_ms, expires_in_ms = record.expires_ms, 0
    if "expires" in changes:
        expires_ms = min(filter(None, (one.expires_at_ms, ends_ms)), default=0)
        expires_in_ms = one.expires_in_ms
        # One that a revival removed must not come back with the expiry.
        deadline = deadline if ends_ms else 0
    packed = attrs.evolve(
        packed,
        payload=payload,
        deadline_ms=deadline,
        depends_on=envelope.depends_on,
        workflow=envelope.workflow,
    )
    new = Version(
        repacked(packed), one.priority, one.max_retry, one.max_crashes, one.retention_ms, expires_ms
    )
    return new, expires_in_ms


def repacked(envelope: Envelope) -> bytes:
    """Pack an envelope that was opened."""
    return pack_envelope(
        envelope.type, envelope.payload, envelope.timeout, envelope.backoff, envelope.metadata,
        envelope.deadline_ms, envelope.depends_on, max_retry_is_set=envelope.max_retry_is_set,
        workflow=envelope.workflow,
    )  # fmt: skip
