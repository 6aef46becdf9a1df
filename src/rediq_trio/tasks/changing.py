"""What a handle changes of its task: when it is due.

The bounds are those of a task that is enqueued, so a `Task` is made of what is asked, and
`prepare` makes of it what the store takes.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection

from rediq_trio._errors import ConfigError, TaskNotFound, TaskStateError
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Rescheduled
from rediq_trio.store.port import Store
from rediq_trio.tasks.prepare import prepare
from rediq_trio.values.bounds import MAX_PAYLOAD, Duration
from rediq_trio.values.task import Task

TIMED = (State.SCHEDULED, State.RETRY, State.PENDING)
"""The states in which time decides, and nothing else, when a task is ready."""
_ENDED = "it has ended"
_REASONS = {
    State.BLOCKED: "the tasks that it waits for decide when it is ready",
    State.GROUPED: "its group decides when it becomes part of a batch",
    State.ACTIVE: "a worker runs it; wait for its end, or cancel it first",
    State.COMPLETED: _ENDED,
    State.DEAD: f"{_ENDED}; retry() runs it again",
    State.CANCELLED: f"{_ENDED}; retry() runs it again",
}


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
