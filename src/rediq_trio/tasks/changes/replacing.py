"""A new task in the place of one that has ended without completing: one step, through the outbox."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import attrs

from rediq_trio._errors import ConfigError, TaskChanged, TaskStateError
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import InState, Obstacle
from rediq_trio.store.port import Store
from rediq_trio.store.relay import relay
from rediq_trio.tasks.changes.again import routed_task, sent_again
from rediq_trio.tasks.changes.changing import check_names, read_single
from rediq_trio.tasks.changes.moving import check_moved
from rediq_trio.tasks.prepare import prepare
from rediq_trio.values.chance import utc_now
from rediq_trio.values.task import NewTaskChanges, TaskChanges
from rediq_trio.values.telemetry.sending import Senders

REPLACED = (State.DEAD, State.CANCELLED)
_BESIDE = "leave replace out, and it stays beside the new one"
COMPLETED_STAYS = "its result is kept for those who read it"
OBSTACLES = {
    Obstacle.UNIQUE_KEY: "its unique key could not be held for the new one on the way",
    Obstacle.GROUP: "it was in a group, whose other members it would leave",
    Obstacle.DEPENDENTS: "other tasks depend on it, by its id",
    Obstacle.WAITERS: "someone waits for it, by its id",
    Obstacle.KEPT: "what it depends on, or keeps of its steps, would be lost",
}
"""Why a task cannot be replaced in one step, in words."""
_WHY_BESIDE = {obstacle: f"{why}; {_BESIDE}" for obstacle, why in OBSTACLES.items()}
_KEPT_OUT = ("id", "unique", "group", "delay", "run_at")
"""What nothing can change of a task on its way: its receiver could refuse it, or has no place for it."""
_REPLACEABLE = {**TaskChanges.__annotations__, **NewTaskChanges.__annotations__}.keys() - {
    *_KEPT_OUT
}


async def replace(
    store: Store,
    partition: str,
    local_id: str,
    changes: Mapping[str, Any],
    max_payload: int,
    senders: Senders | None,
) -> tuple[str, str]:
    """Remove a dead or cancelled task, and enqueue one of its payload and options, in one step.

    Return partition and id of the new one. Raises as `TaskHandle.enqueue_again` does.
    """
    for name in _KEPT_OUT:
        if name in changes:
            raise ConfigError(f"enqueue_again(): {name} cannot be changed with replace=True")
    check_names("enqueue_again", changes, _REPLACEABLE)
    task_id = f"{partition}/{local_id}"
    record, envelope = await read_single(store, partition, local_id)
    if record.state not in REPLACED:
        completed = record.state is State.COMPLETED
        reason = f"{COMPLETED_STAYS}; {_BESIDE}" if completed else _BESIDE
        raise TaskStateError(task_id, record.state.value, "dead or cancelled", reason)
    task = await routed_task(store, partition, record, envelope, _in_seconds(changes))
    most = max_payload if "payload" in changes else max(max_payload, len(envelope.payload))
    # One that was retried meanwhile, and died again, is another matter.
    still = InState(record.state, record.entered_ms)
    with sent_again(senders, task) as sent:
        new = prepare(task, most, sent).new
        new = attrs.evolve(new, relations=attrs.evolve(new.relations, queue=task.queue))
        answer = await store.requeue(
            partition, local_id, seen=record.version, task=new, still=still
        )
        if answer.state is None:
            await read_single(store, partition, local_id)  # raises TaskNotFound if it is gone
            raise TaskChanged(task_id, ("state",))
        await check_moved(store, partition, record, envelope, answer, _WHY_BESIDE)
        if sent is not None:
            sent.created = True
    await relay(store, partition)
    return task.queue, new.id


def _in_seconds(changes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the changes with an expiry in seconds: the instant of a task that is sent is its old one."""
    expires = changes.get("expires")
    if not isinstance(expires, dt.datetime) or expires.tzinfo is None:
        return changes
    left = (expires - utc_now()).total_seconds()
    if left <= 0:
        raise ConfigError.of("expires", expires, "in the future")
    return {**changes, "expires": left}
