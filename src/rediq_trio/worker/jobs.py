"""What an attempt is to call: a handler with a task's payload, or with a whole batch.

A batch goes to the aggregator of its group. Without one it goes to the handler of
its members' type, whose one argument is the list of their payloads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import attrs

from rediq_trio._errors import ConfigError, PayloadError, PayloadTooLarge, UnknownTaskType, shown
from rediq_trio.handlers.aggregators import Aggregator
from rediq_trio.handlers.app import App
from rediq_trio.handlers.context import CurrentTask
from rediq_trio.handlers.retry_rules import RetryRules
from rediq_trio.values.task import Task
from rediq_trio.wire.batch_envelope import Batch, Member, is_batch, open_batch
from rediq_trio.wire.envelope import MAX_AROUND, Envelope, open_envelope, unpack_value
from rediq_trio.worker.leases import Held

NO_RULES = RetryRules()


@attrs.define(eq=False)
class Job:
    """A call that is ready to be made, and what the attempt needs of its task. Nobody changes it."""

    envelope: Envelope
    function: Callable[..., Any]
    is_async: bool
    rules: RetryRules
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    group: str | None = None
    members: tuple[str, ...] = ()
    """Ids of a batch's members."""
    aggregates: bool = False
    """Whether the function gives a task to go on with, or None."""

    def value(self, task: CurrentTask, given: Any) -> Any:
        """Give the result of what the function gave.

        A task that an aggregator gives comes in with the completion, as its result the id.
        """
        if given is None:
            return None
        if not isinstance(given, Task):
            raise ConfigError.of("what the aggregator gave", given, "a Task or None")
        return task.enqueue_after(cast("Task[Any]", given)).id


def open_job(app: App, held: Held, most: int) -> Job:
    """Make ready what a lease asks for, with payloads of at most `most` bytes each.

    Raises `PayloadError`, `UnknownTaskType` or `ConfigError` when it cannot be called.
    """
    packed = held.lease.envelope
    if is_batch(packed):
        return _open_batch(app, held, open_batch(packed), most)
    if len(packed) > most + MAX_AROUND:
        # Before anything is unpacked: a short text can declare more than there is memory for.
        raise PayloadTooLarge(
            f"envelope: {len(packed):,} bytes; at most {most + MAX_AROUND:,} are allowed"
        )
    envelope = open_envelope(packed)
    handler = app.handler(envelope.type)
    payload = unpack_value(envelope.payload, most=most)
    args, kwargs = handler.arguments(payload)
    return Job(envelope, handler.function, handler.is_async, handler.rules, args, kwargs)


def _open_batch(app: App, held: Held, batch: Batch, most: int) -> Job:
    opened = [(member, member.open()) for member in batch.members]
    payloads = [_payload(member, envelope, most) for member, envelope in opened]
    first = opened[0][1]
    whole = Envelope(
        type=first.type,
        payload=b"",
        timeout=max(envelope.timeout for _, envelope in opened),
        backoff=first.backoff,
        metadata={},
    )
    ids = tuple(f"{held.queue}/{member.id}" for member in batch.members)
    aggregator = app.aggregator_of(batch.group)
    if aggregator is not None:
        tasks = [
            _task(held.queue, member, envelope, payload)
            for (member, envelope), payload in zip(opened, payloads, strict=True)
        ]
        return _aggregation(aggregator, whole, tasks, batch.group, ids)
    others = {envelope.type for _, envelope in opened} - {first.type}
    if others:
        raise UnknownTaskType(
            f"the group {shown(batch.group)} has tasks of type {shown(first.type)} and of "
            f"{shown(min(others))}, and no aggregator: register one with App.aggregator, "
            "or serve the app that has it"
        )
    handler = app.handler(first.type)
    args, kwargs = handler.arguments(payloads)
    rules = handler.rules
    return Job(whole, handler.function, handler.is_async, rules, args, kwargs, batch.group, ids)


def _aggregation(
    aggregator: Aggregator,
    whole: Envelope,
    tasks: list[Task[Any]],
    group: str,
    ids: tuple[str, ...],
) -> Job:
    function, is_async = aggregator.function, aggregator.is_async
    return Job(whole, function, is_async, NO_RULES, (tasks,), {}, group, ids, aggregates=True)


def _payload(member: Member, envelope: Envelope, most: int) -> Any:
    try:
        return unpack_value(envelope.payload, most=most)
    except PayloadError as error:
        raise type(error)(f"member {member.id}: {error}") from error


def _task(queue: str, member: Member, envelope: Envelope, payload: Any) -> Task[Any]:
    return Task(
        envelope.type,
        payload,
        id=member.id,
        queue=queue,
        priority=member.priority,
        max_retry=member.max_retry,
        max_crashes=member.max_crashes,
        timeout=envelope.timeout,
        backoff=envelope.backoff,
        retention=member.retention_ms / 1000,
        metadata=envelope.metadata,
    )
