"""A new task of the payload and the options of another one."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import attrs

from rediq_trio._errors import ConfigError, ConnectionLost, DuplicateTask, QueueFull
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Answer, AnswerKind, NewTask, Until
from rediq_trio.spec.records import Record
from rediq_trio.store.patient import patience_of
from rediq_trio.store.port import Store
from rediq_trio.store.retrying import until_answered
from rediq_trio.tasks.changes.changing import check_names, read_single
from rediq_trio.tasks.changes.versions import options_of
from rediq_trio.tasks.partitions import PartitionCounts
from rediq_trio.tasks.prepare import PreparedTask, prepare, to_send
from rediq_trio.values.bounds import MAX_DELAY, PartitionName, queue_of
from rediq_trio.values.task import NewTaskChanges, Task, TaskChanges
from rediq_trio.values.telemetry.sending import Senders, SentTask
from rediq_trio.wire.deadlines import deadline_ms
from rediq_trio.wire.envelope import Envelope, unpack_value

_CHANGED = {**TaskChanges.__annotations__, **NewTaskChanges.__annotations__}
_ROUTED = {"queue", "id", "unique", "group"}
"""What decides in which partition a task is."""


async def enqueue_again(
    store: Store,
    partition: str,
    local_id: str,
    changes: Mapping[str, Any],
    max_payload: int,
    senders: Senders | None,
) -> tuple[str, str, bool]:
    """Enqueue a task of the same payload and options; return partition, id, and whether it is new.

    Raises as `TaskHandle.enqueue_again` does.
    """
    check_names("enqueue_again", changes, _CHANGED)
    record, envelope = await read_single(store, partition, local_id)
    task = await routed_task(store, partition, record, envelope, changes)
    most = max_payload if "payload" in changes else max(max_payload, len(envelope.payload))
    with sent_again(senders, task) as sent:
        one = prepare(task, most, sent)
        new = one.new
        if record.unique and "unique" not in changes:
            new = _with_unique_key(new, record, elsewhere=task.queue != partition)
        answer = await _send(store, task.queue, new, repeatable="id" not in changes)
        ref, created = _created(answer, one, task)
        if sent is not None:
            sent.created = created
    return task.queue, ref, created


def _created(answer: State | Answer | None, one: PreparedTask, task: Task[Any]) -> tuple[str, bool]:
    """Return the id of the task, and whether it is new."""
    match answer:
        case None:
            raise DuplicateTask(f"{task.queue}/{one.local_id}")
        case Answer(AnswerKind.FULL):
            raise QueueFull(
                f"queue {task.queue} is full: add workers, or raise limit(max_pending=...)"
            )
        case Answer(AnswerKind.TAKEN, ref) if task.unique is None or one.rejects_duplicate:
            raise DuplicateTask(f"{task.queue}/{ref}")
        case Answer(_, ref):
            return ref, False
        case _:
            return one.local_id, True


@contextmanager
def sent_again(senders: Senders | None, task: Task[Any]) -> Generator[SentTask | None]:
    """Send a task inside of the middleware, which sees it as it is yielded; None without middleware."""
    if senders is None:
        yield None
        return
    with senders.around("enqueue_again", (to_send(task),)) as sending:
        yield sending.tasks[0]


async def routed_task(
    store: Store, partition: str, record: Record, envelope: Envelope, changes: Mapping[str, Any]
) -> Task[Any]:
    """Return a new task of the payload and the options of another one, for the partition it is for."""
    task = _task(partition, record, envelope, changes)
    if not changes.keys() & _ROUTED:
        return task
    partition_counts = PartitionCounts(store)
    await partition_counts.refresh()
    return partition_counts.router()(task)


def _task(
    partition: str, record: Record, envelope: Envelope, changes: Mapping[str, Any]
) -> Task[Any]:
    options: dict[str, Any] = {
        **options_of(record, envelope),
        "queue": PartitionName(partition) if "~" in partition else partition,
        "group": record.group or None,
        "limit_key": record.limit_key or None,
    }
    if changes.keys() & _ROUTED:
        options["queue"] = queue_of(partition)
    if "payload" not in changes:
        options["payload"] = unpack_value(envelope.payload)
    ends_ms = deadline_ms(record, envelope.deadline_ms)
    if ends_ms > record.created_ms:
        options["deadline"] = min(MAX_DELAY, (ends_ms - record.created_ms) / 1000)
    if record.expires_ms > record.created_ms and record.expires_ms != ends_ms:
        options["expires"] = (record.expires_ms - record.created_ms) / 1000
    return Task(envelope.type, **{**options, **changes})


def _with_unique_key(new: NewTask, record: Record, *, elsewhere: bool) -> NewTask:
    """Return the task with the unique key of another, of which only the key is known."""
    if elsewhere:
        raise ConfigError.of("unique", record.unique, "passed with another queue or id, or None")
    if record.until is Until.EXPIRED:
        raise ConfigError.of(
            "unique", record.unique, "passed: how long its window was is not stored"
        )
    relations = attrs.evolve(new.relations, unique=record.unique, until=record.until)
    return attrs.evolve(new, relations=relations)


async def _send(
    store: Store, queue: str, new: NewTask, *, repeatable: bool
) -> State | Answer | None:
    again = False

    def note(lost: ConnectionLost) -> None:
        nonlocal again
        if lost.sent and not repeatable:
            raise lost
        again = again or lost.sent

    (answer,) = await until_answered(
        lambda: store.enqueue(queue, (new,)), give_up_after=patience_of(store), on_failure=note
    )
    # With an id that is new, a second call finds what the first one wrote.
    return State.PENDING if answer is None and again else answer
