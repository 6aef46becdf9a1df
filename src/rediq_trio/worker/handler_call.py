"""The call that an attempt makes: a handler with a task's payload, or with a batch.

A batch goes to the aggregator of its group. If there is none, it goes to the handler of
its members' type, whose one argument is the list of their payloads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import attrs

from rediq_trio._errors import ConfigError, PayloadError, PayloadTooLarge, UnknownTaskType, quote
from rediq_trio.handlers.aggregators import Aggregator
from rediq_trio.handlers.app import App
from rediq_trio.handlers.context import CurrentTask
from rediq_trio.handlers.retry_rules import RetryRules
from rediq_trio.spec.carried import BatchEnvelope, BatchMember
from rediq_trio.values.task import Task
from rediq_trio.wire.batch_envelope import batch_of, open_member
from rediq_trio.wire.envelope import ENVELOPE_OVERHEAD_MAX, Envelope, open_envelope, unpack_value
from rediq_trio.worker.leases import HeldLease

NO_RULES = RetryRules()


@attrs.define(eq=False)
class HandlerCall:
    """A call that is ready to be made, and what the attempt needs of its task. Never changed."""

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
    """Whether the function is an aggregator: it returns the task to go on with, or None."""

    def value(self, task: CurrentTask, given: Any) -> Any:
        """Return the result of an aggregator that returned `given`.

        A task that it returned is enqueued with the completion, and its id is the result.
        """
        if given is None:
            return None
        if not isinstance(given, Task):
            raise ConfigError.of("the aggregator's result", given, "a Task or None")
        return task.enqueue_after(cast("Task[Any]", given)).id


def open_call(app: App, held: HeldLease, most: int) -> HandlerCall:
    """Open the task of a lease and find its handler; payloads have at most `most` bytes each.

    Raises `PayloadError`, `UnknownTaskType` or `ConfigError` when it cannot be called.
    """
    packed = held.lease.envelope
    if batch := batch_of(packed):
        return _open_batch(app, held, batch, most)
    assert isinstance(packed, bytes)
    if len(packed) > most + ENVELOPE_OVERHEAD_MAX:
        # Checked before unpacking: a few bytes can declare more than there is memory for.
        raise PayloadTooLarge(
            f"envelope: {len(packed):,} bytes; at most {most + ENVELOPE_OVERHEAD_MAX:,} are allowed"
        )
    envelope = open_envelope(packed)
    handler = app.handler(envelope.type)
    payload = unpack_value(envelope.payload, most=most)
    args, kwargs = handler.arguments(payload)
    return HandlerCall(envelope, handler.function, handler.is_async, handler.rules, args, kwargs)


def _open_batch(app: App, held: HeldLease, batch: BatchEnvelope, most: int) -> HandlerCall:
    opened = [(member, open_member(member)) for member in batch.members]
    payloads = [_payload(member, envelope, most) for member, envelope in opened]
    first = opened[0][1]
    batch_envelope = Envelope(
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
        return _aggregation(aggregator, batch_envelope, tasks, batch.group, ids)
    others = {envelope.type for _, envelope in opened} - {first.type}
    if others:
        raise UnknownTaskType(
            f"the group {quote(batch.group)} has tasks of type {quote(first.type)} and of "
            f"{quote(min(others))}, and no aggregator: register one with App.aggregator, "
            "or serve the app that has it"
        )
    handler = app.handler(first.type)
    args, kwargs = handler.arguments(payloads)
    rules = handler.rules
    return HandlerCall(
        batch_envelope, handler.function, handler.is_async, rules, args, kwargs, batch.group, ids
    )


def _aggregation(
    aggregator: Aggregator,
    batch_envelope: Envelope,
    tasks: list[Task[Any]],
    group: str,
    ids: tuple[str, ...],
) -> HandlerCall:
    function, is_async = aggregator.function, aggregator.is_async
    return HandlerCall(
        batch_envelope, function, is_async, NO_RULES, (tasks,), {}, group, ids, aggregates=True
    )


def _payload(member: BatchMember, envelope: Envelope, most: int) -> Any:
    try:
        return unpack_value(envelope.payload, most=most)
    except PayloadError as error:
        raise type(error)(f"member {member.id}: {error}") from error


def _task(queue: str, member: BatchMember, envelope: Envelope, payload: Any) -> Task[Any]:
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
