"""The call that an attempt makes: a handler with a task's payload, or with a batch.

A batch goes to the aggregator of its group. If there is none, it goes to the handler of
its members' type, whose one argument is the list of their payloads.
"""

from __future__ import annotations

import contextvars
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import attrs
import trio

from rediq_trio._errors import ConfigError, PayloadError, PayloadTooLarge, UnknownTaskType, quote
from rediq_trio.handlers.aggregators import Aggregator
from rediq_trio.handlers.app import App
from rediq_trio.handlers.context import CurrentTask
from rediq_trio.handlers.options import HandlerOptions
from rediq_trio.handlers.retry_rules import ANY_ERROR, RetryRules
from rediq_trio.spec.carried import BatchEnvelope, BatchMember
from rediq_trio.spec.stored_format import UNSET_RETENTION_MS
from rediq_trio.values.backoff import DEFAULT_BACKOFF
from rediq_trio.values.chance import uniform
from rediq_trio.values.stored_metadata import StoredMetadata
from rediq_trio.values.task import Task
from rediq_trio.values.unset import UNSET_MAX_RETRY, UNSET_RETENTION, UNSET_TIMEOUT
from rediq_trio.wire.batch_envelope import is_batch, open_batch, open_member
from rediq_trio.wire.envelope import ENVELOPE_OVERHEAD_MAX, Envelope, open_envelope, unpack_value
from rediq_trio.wire.structuring import NO_CONVERTERS, Conversions
from rediq_trio.worker.leases import HeldLease

R = TypeVar("R")

INLINE_DELAY_MAX = 0.1
"""Maximum seconds before a `def` handler runs in a simulation."""


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
    members_metadata: tuple[Mapping[str, str], ...] | None = None
    """The metadata of each member; None if the task is no batch."""
    aggregates: bool = False
    """Whether the function is an aggregator: it returns the task to go on with, or None."""
    is_split: bool = False
    """Whether it is an aggregator that is called once for each part of the batch."""
    conversions: Conversions = NO_CONVERTERS
    """Those of the app of the handler."""

    def value(self, task: CurrentTask, given: Any) -> Any:
        """Return the result of an aggregator that returned `given`.

        A task that it returned is enqueued with the completion, and its id is the result. Of a batch
        in parts, the result is the list of the parts' results.
        """
        if self.is_split:
            return [self._one_value(task, each) for each in given]
        return self._one_value(task, given)

    def _one_value(self, task: CurrentTask, given: Any) -> Any:
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
    if isinstance(packed, BatchEnvelope):
        return _open_batch(app, held, packed, most)
    if is_batch(packed):
        return _open_batch(app, held, open_batch(packed), most)
    if len(packed) > most + ENVELOPE_OVERHEAD_MAX:
        # Checked before unpacking: a few bytes can declare more than there is memory for.
        raise PayloadTooLarge(
            f"envelope: {len(packed):,} bytes; at most {most + ENVELOPE_OVERHEAD_MAX:,} are allowed"
        )
    envelope = open_envelope(packed)
    handler = app.handler(envelope.type)
    payload = unpack_value(envelope.payload, most=most)
    args, kwargs = handler.arguments(payload)
    if handler.own_options is not None:
        _apply_options(handler.own_options, envelope, held)
    return HandlerCall(
        envelope, handler.function, handler.is_async, handler.rules, args, kwargs,
        conversions=handler.conversions,
    )  # fmt: skip


def _apply_options(own: HandlerOptions, envelope: Envelope, held: HeldLease) -> None:
    """Apply the options of a handler that the producer of its task left unset."""
    if own.timeout is not None and envelope.timeout is UNSET_TIMEOUT:
        envelope.timeout = own.timeout
    if own.backoff is not None and envelope.backoff is DEFAULT_BACKOFF:
        envelope.backoff = own.backoff
    held.retention_ms = own.retention_ms  # the queue knows whether it was left unset
    left_unset = held.lease.max_retry == UNSET_MAX_RETRY and not envelope.max_retry_is_set
    if own.max_retry is not None and left_unset and own.max_retry != UNSET_MAX_RETRY:
        held.max_retry = own.max_retry
        held.lease = attrs.evolve(held.lease, max_retry=own.max_retry)


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
        max_retry_is_set=any(envelope.max_retry_is_set for _, envelope in opened),
    )
    ids = tuple(f"{held.queue}/{member.id}" for member in batch.members)
    of_members = tuple(envelope.metadata for _, envelope in opened)
    aggregator = app.aggregator_of(batch.group)
    if aggregator is not None:
        tasks = [
            _task(held.queue, member, envelope, payload)
            for (member, envelope), payload in zip(opened, payloads, strict=True)
        ]
        most_members = aggregator.rule.max_size
        is_split = len(tasks) > most_members
        function = _in_parts(aggregator, most_members) if is_split else aggregator.function
        return HandlerCall(
            batch_envelope, function, aggregator.is_async, ANY_ERROR, (tasks,), {}, batch.group,
            ids, of_members, aggregates=True, is_split=is_split, conversions=app.conversions,
        )  # fmt: skip
    others = {envelope.type for _, envelope in opened} - {first.type}
    if others:
        raise UnknownTaskType(
            f"the group {quote(batch.group)} has tasks of type {quote(first.type)} and of "
            f"{quote(min(others))}, and no aggregator: register one with App.aggregator, "
            "or serve the app that has it"
        )
    handler = app.handler(first.type)
    args, kwargs = handler.arguments(payloads)
    if handler.own_options is not None:
        _apply_options(handler.own_options, batch_envelope, held)
    return HandlerCall(
        batch_envelope, handler.function, handler.is_async, handler.rules, args, kwargs,
        batch.group, ids, of_members, conversions=handler.conversions,
    )  # fmt: skip


def _in_parts(aggregator: Aggregator, size: int) -> Callable[[list[Task[Any]]], Any]:
    """Return a function that calls an aggregator with `size` tasks at a time.

    A worker whose aggregator had another `max_size`, or that had none, may have made the batch.
    """
    call: Callable[[list[Task[Any]]], Any] = aggregator.function

    async def call_async(tasks: list[Task[Any]]) -> list[Any]:
        return [await call(tasks[n : n + size]) for n in range(0, len(tasks), size)]

    def call_sync(tasks: list[Task[Any]]) -> list[Any]:
        return [call(tasks[n : n + size]) for n in range(0, len(tasks), size)]

    return call_async if aggregator.is_async else call_sync


async def call_inline(function: Callable[[], R], limiter: trio.CapacityLimiter) -> R:
    """Call a function in the event loop as if it were called in a thread: after a delay, and in a copy
    of the context. For simulations, in which no thread's own timing could be replayed.

    Raises `ConfigError` if the function calls something of `trio.from_thread`, which needs a thread.
    """
    async with limiter:
        await trio.sleep(uniform(0, INLINE_DELAY_MAX))
        try:
            return contextvars.copy_context().run(function)
        except RuntimeError as error:
            if where := _asks_for_thread(error):
                raise ConfigError(
                    f"{where}: a simulation runs a `def` handler in the event loop, where nothing of "
                    "trio.from_thread works: make the handler async, or leave the call out"
                ) from error
            raise


def _asks_for_thread(error: RuntimeError) -> str:
    """Return where something of `trio.from_thread` raised an error, and what; '' if nothing did."""
    where = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        code = frame.f_code
        if frame.f_globals.get("__name__") != "trio._threads":
            where = f"{Path(code.co_filename).name}:{line}"
        elif code.co_name.startswith("from_thread_"):
            return f"{where} calls trio.from_thread.{code.co_name.removeprefix('from_thread_')}"
    return ""


def _payload(member: BatchMember, envelope: Envelope, most: int) -> Any:
    try:
        return unpack_value(envelope.payload, most=most)
    except PayloadError as error:
        raise type(error)(f"member {member.id}: {error}") from error


def _task(queue: str, member: BatchMember, envelope: Envelope, payload: Any) -> Task[Any]:
    # What was left unset stays so if the aggregator enqueues the task again.
    keeps_unset = member.max_retry == UNSET_MAX_RETRY and not envelope.max_retry_is_set
    retention: float = UNSET_RETENTION
    if member.retention_ms != UNSET_RETENTION_MS:
        retention = member.retention_ms / 1000
    return Task(
        envelope.type,
        payload,
        id=member.id,
        queue=queue,
        priority=member.priority,
        max_retry=UNSET_MAX_RETRY if keeps_unset else member.max_retry,
        max_crashes=member.max_crashes,
        timeout=envelope.timeout,
        backoff=envelope.backoff,
        retention=retention,
        metadata=StoredMetadata(envelope.metadata),
    )
