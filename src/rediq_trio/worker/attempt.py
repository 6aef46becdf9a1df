"""One attempt: from a lease to an outcome, whatever the handler does."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack
from typing import Any

import attrs
import trio

from rediq_trio._errors import PayloadError, UnknownTaskType, members
from rediq_trio.app import App, TaskType
from rediq_trio.client import Client
from rediq_trio.context import CurrentTask, deadline_of, enter
from rediq_trio.signals import Reject, Retry, Snooze
from rediq_trio.store.envelope import Envelope, open_envelope, pack_value, unpack_value
from rediq_trio.structuring import plain
from rediq_trio.worker.leases import Held, Reason
from rediq_trio.worker.outcomes import (
    Cancelled,
    Failed,
    Interrupted,
    Lost,
    Outcome,
    Snoozed,
    Succeeded,
)
from rediq_trio.worker.progress import ProgressFlusher

log = logging.getLogger("rediq_trio")

MAX_ERROR = 2000
"""Characters of an error that are kept with its task."""


def say(error: BaseException) -> str:
    """Give an error as text: its type and message, bounded, whatever its `__str__` does."""
    try:
        message = str(error)
    except Exception as broken:
        message = f"(its message cannot be had: {type(broken).__name__})"
    text = f"{type(error).__name__}: {message}" if message else type(error).__name__
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= MAX_ERROR else text[: MAX_ERROR - 3] + "..."


@attrs.define(eq=False)
class Attempts:
    """Runs attempts. Holds what they need, and no state of its own."""

    app: App
    client: Client
    flusher: ProgressFlusher
    max_payload: int
    cleanup_grace: float
    threads: trio.CapacityLimiter

    async def run(self, held: Held) -> Outcome:
        """Run one attempt in its scope and give its outcome.

        Raises nothing but what is meant for the worker: `trio.Cancelled` of a
        surrounding scope and `KeyboardInterrupt`.
        """
        try:
            envelope = open_envelope(held.lease.envelope)
            handler = self.app.handler(envelope.type)
            payload = unpack_value(envelope.payload, most=self.max_payload)
            args, kwargs = handler.arguments(payload)
        except (PayloadError, UnknownTaskType) as error:
            return Failed(held, say(error), 0.0, final=True)
        held.scope.deadline = trio.current_time() + envelope.timeout
        outcome: Outcome = Interrupted(held)
        with held.scope:
            try:
                value = await self._call(held, envelope, handler, args, kwargs)
                outcome = _success(held, value)
            except trio.Cancelled:
                if not _is_cancelled():
                    # A handler that kept a Cancelled of another scope and raised it here.
                    outcome = Failed(held, "it let a trio.Cancelled of its own scope escape", 0.0)
                else:
                    raise
            except KeyboardInterrupt:
                raise
            except BaseExceptionGroup as group:
                outcome = self._grouped(held, envelope, group)
            except BaseException as error:
                # SystemExit and the like too: a handler cannot end the worker.
                outcome = _failure(held, envelope, error)
        if held.scope.cancelled_caught:
            outcome = _stopped(held, envelope)
        return outcome

    async def _call(
        self,
        held: Held,
        envelope: Envelope,
        handler: TaskType[..., Any, Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        task = CurrentTask(
            id=f"{held.queue}/{held.lease.fence.id}",
            queue=held.queue,
            type=envelope.type,
            attempt=held.lease.attempt,
            max_retry=held.lease.max_retry,
            deadline=deadline_of(envelope.timeout),
            metadata=envelope.metadata,
            fence=held.lease.fence.deliveries,
            client=self.client,
            held=held,
            report=self.flusher.note,
            cleanup_grace=self.cleanup_grace,
        )
        enter(task)
        layers = self.app.layers
        if not layers:
            return await self._function(handler, args, kwargs)
        value = None
        async with AsyncExitStack() as stack:
            for layer in layers:
                await stack.enter_async_context(layer(task))
            value = await self._function(handler, args, kwargs)
        # Without a value here, a layer has swallowed the error: the attempt succeeded with None.
        return value  # noqa: RET504

    async def _function(
        self, handler: TaskType[..., Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if handler.is_async:
            return await handler.function(*args, **kwargs)
        # Trio runs it in a copy of this context. A thread cannot be stopped: the attempt
        # waits for it, and holds its lease meanwhile.
        return await trio.to_thread.run_sync(
            lambda: handler.function(*args, **kwargs), limiter=self.threads
        )

    def _grouped(
        self, held: Held, envelope: Envelope, group: BaseExceptionGroup[BaseException]
    ) -> Outcome:
        """Judge what a handler's own nursery raised; what is not the handler's goes on."""
        interrupt, _ = group.split(KeyboardInterrupt)
        if interrupt is not None:
            raise interrupt
        cancelled, _ = group.split(trio.Cancelled)
        if cancelled is not None and _is_cancelled():
            raise cancelled
        return _failure(held, envelope, group)


def _is_cancelled() -> bool:
    return trio.current_effective_deadline() == -float("inf")


def _success(held: Held, value: Any) -> Outcome:
    try:
        return Succeeded(held, pack_value(plain(value), what="result"))
    except Exception as error:
        # To run it again would do its work twice and end the same way.
        return Failed(held, say(error), 0.0, final=True)


def _failure(held: Held, envelope: Envelope, error: BaseException) -> Outcome:
    while len(parts := members(error)) == 1:
        error = parts[0]
    match error:
        case Snooze():
            return Snoozed(held, error.seconds)
        case Reject():
            return Failed(held, say(error)[len("Reject: ") :] or "rejected", 0.0, final=True)
        case Retry(after=float() | int() as after):
            return Failed(held, say(error), after)
        case _:
            pass
    log.debug("task %s failed", held.key, exc_info=error)
    said = say(error)
    if parts:
        said = f"{said}: {'; '.join(say(part) for part in parts[:10])}"[:MAX_ERROR]
    return Failed(held, said, envelope.backoff.delay(held.lease.attempt))


def _stopped(held: Held, envelope: Envelope) -> Outcome:
    match held.reason:
        case None | Reason.TIMEOUT:
            delay = envelope.backoff.delay(held.lease.attempt)
            return Failed(held, f"timeout: it took longer than {envelope.timeout:g} s", delay)
        case Reason.CANCELLED:
            return Cancelled(held)
        case Reason.LEASE_LOST:
            return Lost(held)
        case Reason.SHUTDOWN:
            return Interrupted(held)
