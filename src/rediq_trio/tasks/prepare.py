"""From the task that a user made to the one that a store enqueues."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Sequence
from typing import Any, cast

import attrs

from rediq_trio._errors import ConfigError
from rediq_trio.spec.messages import NO_RELATIONS, NewTask, Relations, Until
from rediq_trio.spec.stored_format import UNSET_RETENTION_MS
from rediq_trio.tasks.ids import new_id
from rediq_trio.values.bounds import queue_of
from rediq_trio.values.task import Task, Unique
from rediq_trio.values.telemetry.sending import SentTask
from rediq_trio.values.unset import UNSET_MAX_RETRY, UnsetFloat, UnsetInt
from rediq_trio.wire.deadlines import earlier_end, pack_deadline
from rediq_trio.wire.envelope import pack_envelope, pack_value
from rediq_trio.wire.structuring import to_plain

_A_TASK = "a Task, as TaskType.task(...) returns it"
_UNTIL = {"done": Until.DONE, "started": Until.STARTED, "expired": Until.EXPIRED}


MAX_ATOMIC_BYTES = 16 * 1024 * 1024
"""Maximum bytes of packed tasks written in one step: a workflow, or a task's children."""


@attrs.frozen
class PreparedTask:
    """A task that is checked, packed and has an id."""

    task: Task[Any]
    local_id: str
    new: NewTask

    @property
    def named(self) -> Task[Any]:
        """The task with the id, and the partition, that it was given: safe to enqueue again."""
        return attrs.evolve(self.task, id=self.local_id)

    @property
    def elsewhere(self) -> tuple[tuple[str, str], ...]:
        """The tasks of other queues that it depends on: queue and id."""
        if self.new.relations is NO_RELATIONS:
            return ()
        found = (ref.partition("/") for ref in self.new.relations.needs)
        return tuple((queue, local_id) for queue, slash, local_id in found if slash)

    def outside(self, home: str) -> tuple[tuple[str, str], ...]:
        """The dependencies, queue and id, that the script of queue `home` cannot check."""
        if self.task.queue == home:
            return self.elsewhere
        found = (ref.rpartition("/") for ref in self.new.relations.needs)
        return tuple((queue or self.task.queue, local_id) for queue, _, local_id in found)

    @property
    def rejects_duplicate(self) -> bool:
        """Whether it is an error if another task holds its unique key."""
        return self.task.unique is not None and self.task.unique.on_conflict != "return"


def milliseconds(seconds: float | None) -> int:
    """Return whole milliseconds, at least 1 for a value above 0; 0 for None."""
    return 0 if seconds is None else max(1, round(seconds * 1000)) if seconds else 0


def _instant(moment: dt.datetime | None) -> int:
    return 0 if moment is None else max(1, round(moment.timestamp() * 1000))


def retention_ms(retention: float) -> int:
    """Return a retention in milliseconds; one more if it was set to what means unset."""
    found = milliseconds(retention)
    if found == UNSET_RETENTION_MS and type(retention) is not UnsetFloat:
        return found + 1
    return found


def to_send(task: Task[Any]) -> SentTask:
    """Return a task as middleware of `sending` sees it, with the id that it will have."""
    if not isinstance(task, Task):
        raise ConfigError.of("task", task, _A_TASK)
    local_id = task.id or new_id()
    queue = queue_of(task.queue)
    return SentTask(f"{task.queue}/{local_id}", task.type, queue, dict(task.metadata))


def prepare(
    task: Task[Any], max_payload: int, sent: SentTask | None = None, workflow: str = ""
) -> PreparedTask:
    """Check and pack a task of a workflow, or of none.

    `sent` has the id and the metadata, if middleware has seen the task. Raises `ConfigError`,
    `PayloadError` or `PayloadTooLarge`.
    """
    if not isinstance(task, Task):
        raise ConfigError.of("task", task, _A_TASK)
    data = to_plain(task.payload, "payload")
    payload = pack_value(data, most=max_payload)
    local_id = task.id or (new_id() if sent is None else sent.local_id)
    ends = pack_deadline(task.deadline)
    expires = earlier_end(task.expires, task.deadline)
    expires_in = expires if isinstance(expires, int | float) else None
    expires_at = expires if isinstance(expires, dt.datetime) else None
    new = NewTask(
        id=local_id,
        envelope=pack_envelope(
            task.type,
            payload,
            task.timeout,
            task.backoff,
            task.metadata if sent is None else sent.metadata,
            ends,
            task.depends_on,
            max_retry_is_set=task.max_retry == UNSET_MAX_RETRY
            and type(task.max_retry) is not UnsetInt,
            workflow=workflow,
        ),
        priority=task.priority,
        max_retry=int(task.max_retry),
        max_crashes=task.max_crashes,
        retention_ms=retention_ms(task.retention),
        delay_ms=milliseconds(task.delay),
        run_at_ms=_instant(task.run_at),
        expires_in_ms=milliseconds(expires_in),
        expires_at_ms=_instant(expires_at),
        relations=_relations(task, data),
    )
    return PreparedTask(task, local_id, new)


def _relations(task: Task[Any], data: Any) -> Relations:
    if not (task.unique or task.depends_on or task.group or task.limit_key):
        return NO_RELATIONS
    unique = task.unique or Unique()
    return Relations(
        unique=_key_of(task, data) if task.unique else "",
        until=_UNTIL[unique.until],
        ttl_ms=milliseconds(unique.ttl),
        replace=unique.on_conflict == "replace",
        limit_key=task.limit_key or "",
        group=task.group or "",
        run_on_dependency_failure=task.on_dependency_failure == "run",
        needs=tuple(dict.fromkeys(reference_to(task.queue, each) for each in task.depends_on)),
    )


def unique_key(task: Task[Any]) -> str:
    """Return the key of a task with `unique`; raise `PayloadError` if a payload cannot make one."""
    return _key_of(task, to_plain(task.payload, "payload"))


def _key_of(task: Task[Any], data: Any) -> str:
    assert task.unique is not None
    if task.unique.key is not None:
        return task.unique.key
    if task.left_out and isinstance(data, dict):
        # Equal calls have one key, whether they spell a default out or not.
        data = {**task.left_out, **cast("dict[Any, Any]", data)}
    # A digest keeps the key short whatever the payload; 128 bits do not collide by chance.
    digest = hashlib.blake2b(pack_value(_sorted(data)), digest_size=16).hexdigest()
    return f"{task.type} {digest}"


def _sorted(data: Any) -> Any:
    """Return the data with sorted mappings, so that their order does not matter."""
    if isinstance(data, dict):
        items = cast("dict[str | bytes, Any]", data).items()
        ordered = sorted(items, key=lambda item: (isinstance(item[0], bytes), item[0]))
        return {key: _sorted(value) for key, value in ordered}
    if isinstance(data, list | tuple):
        return [_sorted(one) for one in cast("Sequence[Any]", data)]
    return data


def reference_to(queue: str, task_id: str) -> str:
    """Return how a task of `queue` names another: by its local id where they share a queue."""
    at, _, local_id = task_id.partition("/")
    return local_id if at == queue else task_id
