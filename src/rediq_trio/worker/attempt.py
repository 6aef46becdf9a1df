"""One attempt: from a lease to an outcome, whatever the handler does."""

from __future__ import annotations

import logging
import math
from contextlib import AsyncExitStack
from typing import Any

import attrs
import trio

from rediq_trio._errors import (
    ConfigError,
    PayloadError,
    TaskNotFound,
    UnknownTaskType,
    flatten_group,
    group_members,
)
from rediq_trio.handlers.app import App
from rediq_trio.handlers.context import CurrentTask, WorkerServices, enter
from rediq_trio.handlers.exceptions import Reject, Retry, Snooze
from rediq_trio.handlers.retry_rules import BadRule, RetryRules
from rediq_trio.spec.messages import Completed, Failed, Snoozed, Stopped
from rediq_trio.tasks.task_info import instant
from rediq_trio.wire.deadlines import deadline_ms
from rediq_trio.wire.envelope import Envelope, NewerEnvelope, pack_value
from rediq_trio.wire.structuring import to_plain
from rediq_trio.worker.handler_call import HandlerCall, open_call
from rediq_trio.worker.leases import HeldLease, Reason
from rediq_trio.worker.outcomes import AttemptOutcome, failed, released

log = logging.getLogger("rediq_trio")

NEWER_TASK_SNOOZE = 5.0
"""Seconds for which a task that only a newer version can read is left to other workers."""
PACKED_NONE = pack_value(None)
"""The packed result of a handler that returns None."""
MAX_ERROR_TEXT = 2000
"""Maximum number of characters of an error that are kept with its task."""


def error_text(error: BaseException) -> str:
    """Return an error as text: its type and message, cut to a bound, whatever its `__str__` does."""
    try:
        message = str(error)
    except Exception as broken:
        message = f"(its __str__ raised {type(broken).__name__})"
    text = f"{type(error).__name__}: {message}" if message else type(error).__name__
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= MAX_ERROR_TEXT else text[: MAX_ERROR_TEXT - 3] + "..."


@attrs.define(eq=False)
class Attempts:
    """Runs attempts, with what all of them share."""

    app: App
    services: WorkerServices
    max_payload: int
    threads: trio.CapacityLimiter
    _newer_reported: set[str] = attrs.field(factory=set)
    """Queues with tasks of a newer version for which a warning was logged."""

    async def run(self, held: HeldLease) -> AttemptOutcome:
        """Run one attempt in its cancel scope and return its outcome.

        Raises only what is meant for the worker: `trio.Cancelled` of a surrounding
        scope, and `KeyboardInterrupt`.
        """
        held.started = trio.current_time()
        try:
            call = open_call(self.app, held, self.max_payload)
        except NewerEnvelope as error:
            return self._snooze_newer(held, error)
        except (PayloadError, UnknownTaskType, ConfigError) as error:
            return failed(held, error_text(error), 0.0, final=True)
        envelope, rules = call.envelope, call.rules
        outcome = released(held)
        with held.open_scope(math.inf if envelope.deadline_ms else envelope.timeout) as scope:
            if envelope.deadline_ms:
                if late_outcome := await self._read_deadline(held, envelope):
                    return late_outcome
                held.limit_attempt(envelope.timeout)
            try:
                task = CurrentTask(self.services, held, call)
                enter(task)
                if self.app.layers:
                    value = await self._through_layers(task, call)
                elif call.is_async:
                    value = await call.function(*call.args, **call.kwargs)
                else:
                    value = await self._in_thread(call)
                outcome = _success_outcome(held, call, task, value)
            except trio.Cancelled as error:
                if not _scope_is_cancelled():
                    # The handler stored a Cancelled of another scope and raised it here.
                    text = "it let a trio.Cancelled of its own scope escape"
                    outcome = _failure_outcome(held, envelope, rules, error, text)
                else:
                    raise
            except KeyboardInterrupt:
                raise
            except BaseExceptionGroup as group:
                _raise_interruptions(group)
                outcome = _failure_outcome(held, envelope, rules, group)
            except BaseException as error:
                # SystemExit too: a handler cannot end the worker.
                outcome = _failure_outcome(held, envelope, rules, error)
        if scope.cancelled_caught:
            outcome = _cancelled_outcome(held, envelope)
        return _within_deadline(outcome) if held.deadline_ms else outcome

    def _snooze_newer(self, held: HeldLease, error: NewerEnvelope) -> AttemptOutcome:
        if held.queue not in self._newer_reported:
            self._newer_reported.add(held.queue)
            log.warning(
                "queue %s holds tasks of a newer rediq-trio (%s), which are snoozed without a charge: "
                "upgrade this worker", held.queue, error,
            )  # fmt: skip
        return _snoozed(held, NEWER_TASK_SNOOZE)

    async def _read_deadline(self, held: HeldLease, envelope: Envelope) -> AttemptOutcome | None:
        """Read the task's deadline; return an outcome if the attempt must not start.

        Waits for the store until the lease is over.
        """
        try:
            record = await self.services.client.task(held.task_id)._read_until_answered()
        except TaskNotFound:
            return AttemptOutcome(held, None)
        if (record.deliveries, record.nonce) != (held.fence.deliveries, held.fence.nonce):
            return AttemptOutcome(held, None)
        held.deadline_ms = deadline_ms(record, envelope.deadline_ms)
        if held.deadline_within(0.0):
            return _deadline_passed(held, "passed before the attempt started")
        return None

    async def _through_layers(self, task: CurrentTask, call: HandlerCall) -> Any:
        value = None
        async with AsyncExitStack() as stack:
            for layer in self.app.layers:
                await stack.enter_async_context(layer(task))
            if call.is_async:
                value = await call.function(*call.args, **call.kwargs)
            else:
                value = await self._in_thread(call)
        # Without a value, a middleware swallowed the error: the attempt succeeded with None.
        return value

    async def _in_thread(self, call: HandlerCall) -> Any:
        # Trio runs it in a copy of this context. A thread cannot be stopped, so the attempt
        # waits for its end and keeps its lease meanwhile.
        return await trio.to_thread.run_sync(
            lambda: call.function(*call.args, **call.kwargs), limiter=self.threads
        )


def _raise_interruptions(group: BaseExceptionGroup[BaseException]) -> None:
    """Raise the part of a handler's exception group that is meant for the worker, if any."""
    # Checked before splitting: `split` fails on a group that is nested too deep.
    found = {type(part) for part in flatten_group(group)}
    if any(issubclass(kind, KeyboardInterrupt) for kind in found):
        interrupt, _ = group.split(KeyboardInterrupt)
        assert interrupt is not None
        raise interrupt
    if trio.Cancelled in found and _scope_is_cancelled():
        cancelled, _ = group.split(trio.Cancelled)
        assert cancelled is not None
        raise cancelled


def _scope_is_cancelled() -> bool:
    return trio.current_effective_deadline() == -float("inf")


def _completed(held: HeldLease, result: bytes) -> AttemptOutcome:
    return AttemptOutcome(held, Completed(held.fence, result, tuple(held.children)))


def _snoozed(held: HeldLease, delay: float) -> AttemptOutcome:
    return AttemptOutcome(held, Snoozed(held.fence, round(delay * 1000)))


def _success_outcome(held: HeldLease, call: HandlerCall, task: CurrentTask, value: Any) -> AttemptOutcome:
    if value is None:
        return _completed(held, PACKED_NONE)
    try:
        if call.aggregates:
            value = call.value(task, value)
        return _completed(held, pack_value(to_plain(value), what="result"))
    except Exception as error:
        # Another attempt would do the work twice and fail in the same way.
        return failed(held, error_text(error), 0.0, final=True)


def _failure_outcome(
    held: HeldLease, envelope: Envelope, rules: RetryRules, error: BaseException, text: str = ""
) -> AttemptOutcome:
    """Return the outcome for what a handler raised; `text` replaces the error's own text."""
    while len(parts := group_members(error)) == 1:
        error = parts[0]
    backoff = envelope.backoff.delay(held.lease.attempt)
    match error:
        case Snooze():
            return _snoozed(held, error.seconds)
        case Reject():
            return failed(held, error_text(error)[len("Reject: ") :] or "rejected", 0.0, final=True)
        case Retry():
            return failed(held, error_text(error), backoff if error.after is None else error.after)
        case _:
            pass
    log.debug("task %s failed", held.task_id, exc_info=error)
    text = text or error_text(error)
    if parts:
        text = f"{text}: {'; '.join(error_text(part) for part in parts[:10])}"[:MAX_ERROR_TEXT]
    try:
        delay = rules.delay(error, held.lease.attempt, backoff)
    except BadRule as broken:
        why = f"its retry function failed: {error_text(broken.__cause__ or broken)}"
        log.warning("task %s: %s; it is retried after its backoff", held.task_id, why)
        return failed(held, with_suffix(text, why), backoff)
    return failed(held, text, 0.0, final=True) if delay is None else failed(held, text, delay)


def with_suffix(text: str, suffix: str) -> str:
    """Append a suffix to an error's text, which is cut if there is no room for both."""
    suffix = f" ({suffix[: MAX_ERROR_TEXT // 4]})"
    return text[: MAX_ERROR_TEXT - len(suffix)] + suffix


def _cancelled_outcome(held: HeldLease, envelope: Envelope) -> AttemptOutcome:
    match held.reason or held.timeout_reason():
        case Reason.TIMEOUT:
            delay = envelope.backoff.delay(held.lease.attempt)
            return failed(held, f"timeout: it took longer than {envelope.timeout:g} s", delay)
        case Reason.DEADLINE:
            return _deadline_passed(held, "passed before the attempt ended")
        case Reason.CANCELLED:
            return AttemptOutcome(held, Stopped(held.fence))
        case Reason.LEASE_LOST:
            return AttemptOutcome(held, None)
        case Reason.SHUTDOWN:
            return released(held)


def _deadline_passed(held: HeldLease, what: str) -> AttemptOutcome:
    return failed(held, f"deadline: {_deadline_text(held)} {what}", 0.0, final=True)


def _deadline_text(held: HeldLease) -> str:
    return instant(held.deadline_ms).isoformat(timespec="milliseconds")


def _within_deadline(outcome: AttemptOutcome) -> AttemptOutcome:
    """Make a failure final if the next attempt could not start before the deadline."""
    held, written = outcome.held, outcome.written
    if not isinstance(written, Failed) or written.final:
        return outcome
    if held.lease.attempt > held.lease.max_retry:
        return outcome
    if not held.deadline_within(written.delay_ms / 1000):
        return outcome
    suffix = f"no further attempt: the deadline, {_deadline_text(held)}, is earlier"
    return failed(held, with_suffix(written.error, suffix), 0.0, final=True)
