"""Moving a task to another queue, through the outbox of its own: nothing is lost, nothing is twice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from rediq_trio._errors import ConfigError, PayloadError, TaskChanged, TaskNotFound, TaskStateError
from rediq_trio.spec.carried import BatchEnvelope
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import InState, NewTask, Obstacle, Relations, Requeued
from rediq_trio.spec.records import Record
from rediq_trio.store.port import Store
from rediq_trio.store.relay import relay
from rediq_trio.tasks.changes.changing import check_state, read_single, repacked
from rediq_trio.tasks.changes.versions import changed_parts, version_of
from rediq_trio.tasks.ids import new_id
from rediq_trio.tasks.partitions import PartitionCounts
from rediq_trio.values.bounds import check_name, queue_of
from rediq_trio.values.task import Task
from rediq_trio.wire.deadlines import deadline_ms
from rediq_trio.wire.envelope import Envelope, open_envelope

MOVED = (State.SCHEDULED, State.PENDING, State.RETRY, State.DEAD, State.CANCELLED)
_ELSE = "stays in its queue; enqueue_again(queue=...) makes a new task elsewhere"
_OBSTACLES = {
    Obstacle.UNIQUE_KEY: f"its unique key {_ELSE}",
    Obstacle.GROUP: f"its group {_ELSE}",
    Obstacle.DEPENDENTS: f"what other tasks depend on {_ELSE}",
    Obstacle.WAITERS: f"what someone waits for, with result() or wait(), {_ELSE}",
    Obstacle.KEPT: f"what it depends on, or keeps of its steps, {_ELSE}",
}


async def requeue(store: Store, partition: str, local_id: str, queue: str) -> tuple[str, str]:
    """Move a task; return partition and id of the new one. Raises as `TaskHandle.requeue` does."""
    task_id = f"{partition}/{local_id}"
    check_name("queue", queue)
    if queue == queue_of(partition):
        raise ConfigError.of("queue", queue, f"another queue than that of {task_id}")
    record, envelope = await read_single(store, partition, local_id)
    check_state(task_id, record.state, MOVED)
    partition_counts = PartitionCounts(store)
    await partition_counts.refresh()
    moved = await move_record(store, partition, record, partition_counts, queue)
    assert moved is not None
    answer, target, moved_id = moved
    await check_moved(store, partition, record, envelope, answer)
    await relay(store, partition)
    return target, moved_id


async def check_moved(
    store: Store,
    partition: str,
    record: Record,
    envelope: Envelope,
    answer: Requeued,
    obstacles: Mapping[Obstacle, str] = _OBSTACLES,
) -> None:
    """Raise what the answer to a requeue says; do nothing if the task, as it was read, was moved.

    `obstacles` says in words what keeps it.
    """
    task_id = f"{partition}/{record.id}"
    match answer.obstacle:
        case None:
            if answer.state is None:
                raise TaskNotFound(task_id)
        case Obstacle.STATE:
            check_state(task_id, answer.state, MOVED)
        case Obstacle.CHANGED:
            after = version_of(*await read_single(store, partition, record.id))
            changed = changed_parts(version_of(record, envelope), after)
            raise TaskChanged(task_id, changed or ("state",))
        case obstacle:
            assert answer.state is not None
            raise TaskStateError(
                task_id, answer.state.value, "free to leave its queue", obstacles[obstacle]
            )


async def move_record(
    store: Store,
    partition: str,
    record: Record,
    partition_counts: PartitionCounts,
    queue: str,
    *,
    still: InState | None = None,
) -> tuple[Requeued, str, str] | None:
    """Move a task that was just read; return the answer, and partition and id of the new task.

    None, and nothing was asked, for a batch and for a task whose envelope cannot be opened.
    """
    if isinstance(record.envelope, BatchEnvelope):
        return None
    try:
        envelope = open_envelope(record.envelope)
    except PayloadError:
        return None
    where = Task[Any]("requeue", queue=queue, limit_key=record.limit_key or None)
    target = partition_counts.router()(where).queue
    # A deadline in seconds counts from the enqueue: that of this task, not of the new one.
    ends_ms = 0 if record.terminal else deadline_ms(record, envelope.deadline_ms)
    new = NewTask(
        id=new_id(),
        envelope=repacked(attrs.evolve(envelope, deadline_ms=ends_ms)),
        priority=record.priority,
        max_retry=record.max_retry,
        max_crashes=record.max_crashes,
        retention_ms=record.retention_ms,
        relations=Relations(queue=target, limit_key=record.limit_key),
    )
    answer = await store.requeue(partition, record.id, seen=record.version, task=new, still=still)
    return answer, target, new.id
