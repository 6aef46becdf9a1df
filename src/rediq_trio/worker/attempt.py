"""One attempt: from a lease to an outcome, whatever the handler does."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import attrs
import trio

from rediq_trio._errors import (
    ConfigError,
    PayloadError,
    RediqError,
    TaskNotFound,
    UnknownTaskType,
    flatten_group,
)
from rediq_trio.handlers.app import App, Middleware
from rediq_trio.handlers.context import CURRENT, CurrentTask, WorkerServices
from rediq_trio.handlers.log_fields import bind_structlog
from rediq_trio.handlers.trace_context import trace_id_of
from rediq_trio.spec.messages import Completed, Failed, Stopped
from rediq_trio.tasks.instants import instant
from rediq_trio.values.chance import threads
from rediq_trio.wire.deadlines import deadline_ms
from rediq_trio.wire.envelope import Envelope, NewerEnvelope, pack_value
from rediq_trio.worker.handler_call import HandlerCall, call_inline, open_call
from rediq_trio.worker.leases import AttemptOutcome, HeldLease, Reason, failed, released
from rediq_trio.worker.outcomes.detail import package_of, with_detail
from rediq_trio.worker.outcomes.error_text import error_text, full_text, with_suffix
from rediq_trio.worker.outcomes.failure import decides, failure_outcome, snoozed
from rediq_trio.worker.outcomes.log import AttemptLog
from rediq_trio.worker.outcomes.observed import AttemptObserver
from rediq_trio.worker.outcomes.reported import report_failure
from rediq_trio.worker.outcomes.structure import close, contained
from rediq_trio.worker.outcomes.unknown_types import UnknownTypes

log = logging.getLogger("rediq_trio")

NEWER_TASK_SNOOZE = 5.0
"""Seconds for which a task that only a newer version can read is left to other workers."""
PACKED_NONE = pack_value(None)
"""The packed result of a handler that returns None."""


@attrs.define(eq=False)
class Attempts:
    """Runs attempts, with what all of them share."""

    app: App
    services: WorkerServices
    max_payload: int
    threads: trio.CapacityLimiter
    log: AttemptLog = attrs.field(factory=lambda: AttemptLog("worker"))
    unknown_types: UnknownTypes | None = None
    """What becomes of tasks whose type has no handler; None: they are dead at once."""
    observer: AttemptObserver | None = None
    """Reports to telemetry; None without any."""
    _newer_reported: set[str] = attrs.field(factory=set)
    """Queues with tasks of a newer version for which a warning was logged."""

    async def run(self, held: HeldLease) -> AttemptOutcome:
        """Run one attempt in its cancel scope and return its outcome.

        Must be called in a Trio task of its own: nurseries that this task still has open when the
        handler ends count as left open by the handler, and are closed. Raises only what is meant for
        the worker: `trio.Cancelled` of a surrounding scope, and `KeyboardInterrupt`.
        """
        held.started = trio.current_time()
        try:
            call = open_call(self.app, held, self.max_payload)
        except NewerEnvelope as error:
            return self._snooze_newer(held, error)
        except (PayloadError, UnknownTaskType, ConfigError) as error:
            return await self._refuse(held, error)
        envelope = call.envelope
        held.type, held.trace_id = envelope.type, trace_id_of(envelope.metadata)
        outcome: AttemptOutcome | None = None
        task: CurrentTask | None = None
        raised: BaseException | None = None
        misnested = False
        scope = held.open_scope(math.inf if envelope.deadline_ms else envelope.timeout)
        try:
            with scope:
                if envelope.deadline_ms and (late := await self._too_late(held, envelope)):
                    return late
                task = CurrentTask(self.services, held, call)
                CURRENT.set(task)
                if self.observer is not None:
                    self.observer.begin(held, call)
                bind_structlog(task)
                try:
                    value = await self._begin(held, task, call)
                    if value is None:
                        outcome = _completed(held, PACKED_NONE)
                    else:
                        outcome, raised = await self._success(held, call, task, value)
                except BaseException as error:
                    # SystemExit too: a handler cannot end the worker.
                    interruption = _interruption(error)
                    raised = interruption or error
                    if isinstance(interruption, trio.Cancelled):
                        raise interruption from interruption.__cause__
                    if interruption is None:
                        outcome = self._failure(held, call, error)
        except RuntimeError:
            if task is None:
                raise
            misnested = True  # by the exit of the scope: everything inside of it is caught
        nurseries = trio.lowlevel.current_task().child_nurseries
        if misnested or nurseries:
            left = await close(nurseries, raised)
            if not isinstance(raised, KeyboardInterrupt):
                raised, outcome = left, self._failure(held, call, left)
        if raised is not None and isinstance(raised, KeyboardInterrupt):
            raise raised
        if scope.cancelled_caught:
            outcome = _cancelled_outcome(held, envelope)
        outcome = outcome or released(held)
        if held.deadline_ms:
            outcome = _within_deadline(outcome)
        return self._ended(outcome, envelope.type, raised, call, stopped=scope.cancelled_caught)

    def _ended(
        self,
        outcome: AttemptOutcome,
        type_name: str | None,
        error: BaseException | None,
        call: HandlerCall | None = None,
        *,
        stopped: bool = False,
    ) -> AttemptOutcome:
        """Log the end of an attempt, and return its outcome with what is kept of it."""
        if not isinstance(outcome.written, Completed):
            package = "" if call is None else package_of(call.function)
            outcome = with_detail(
                outcome, error, self.app.redact, package, type_name=type_name, timed_out=stopped
            )
        self.log.ended(outcome, type_name, error)
        if self.observer is not None:
            self.observer.end(outcome)
        report_failure(self.app, outcome, error, self.log.worker)
        return outcome

    async def _success(
        self, held: HeldLease, call: HandlerCall, task: CurrentTask, value: Any
    ) -> tuple[AttemptOutcome, BaseException | None]:
        results = self.services.results
        try:
            if call.aggregates:
                value = call.value(task, value)
            small = results.is_small(value)
            packed = (
                results.pack(value, call.conversions)
                if small
                else await results.pack_large(value, call.conversions)
            )
            return _completed(held, packed), None
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            # SystemExit too, which a method of the value may raise. Another attempt would do the
            # work twice and fail in the same way.
            return failed(held, full_text(error), 0.0, final=True), error

    def _failure(self, held: HeldLease, call: HandlerCall, error: BaseException) -> AttemptOutcome:
        if held.reason is Reason.SHUTDOWN and not decides(error):
            # It was raised because the worker stops, so it says nothing about the task.
            self.log.interrupted(held, call.envelope.type, error)
            return released(held)
        # The handler stored a Cancelled of another scope and raised it here.
        escaped = isinstance(error, trio.Cancelled)
        text = "it let a trio.Cancelled of its own scope escape" if escaped else ""
        return failure_outcome(held, call.envelope, call.rules, error, text)

    def _snooze_newer(self, held: HeldLease, error: NewerEnvelope) -> AttemptOutcome:
        if held.queue not in self._newer_reported:
            self._newer_reported.add(held.queue)
            log.warning(
                "queue %s holds tasks of a newer rediq-trio (%s), which are snoozed without a charge: "
                "upgrade this worker", held.queue, error,
            )  # fmt: skip
        return snoozed(held, NEWER_TASK_SNOOZE)

    async def _refuse(self, held: HeldLease, error: RediqError) -> AttemptOutcome:
        """Return the outcome of a task that cannot be called."""
        if isinstance(error, UnknownTaskType):
            outcome = await self._leave_to_others(held, error)
        else:
            outcome = failed(held, error_text(error), 0.0, final=True)
        if isinstance(outcome.written, Failed):
            return self._ended(outcome, None, error)
        self.log.ended(outcome, None, error)
        return outcome

    async def _leave_to_others(self, held: HeldLease, error: UnknownTaskType) -> AttemptOutcome:
        if self.unknown_types is None:
            return failed(held, error_text(error), 0.0, final=True)
        outcome = released(held)
        with held.open_scope(math.inf):
            outcome = await self.unknown_types.outcome(held, error)
        match held.reason:
            case Reason.CANCELLED:
                return AttemptOutcome(held, Stopped(held.fence))
            case Reason.LEASE_LOST:
                return AttemptOutcome(held, None)
            case _:
                return outcome

    async def _too_late(self, held: HeldLease, envelope: Envelope) -> AttemptOutcome | None:
        outcome = await self._read_deadline(held, envelope)
        return outcome and self._ended(outcome, envelope.type, None, stopped=True)

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
        held.limit_attempt(envelope.timeout)
        return None

    async def _through_layers(
        self, layers: Sequence[Middleware], held: HeldLease, task: CurrentTask, call: HandlerCall
    ) -> Any:
        async with AsyncExitStack() as stack:
            for layer in layers:
                await stack.enter_async_context(layer(task))
            return await contained(partial(self._call, held, call, waited=True))
        # A middleware swallowed the error: the attempt succeeded with None.
        return None

    def _begin(
        self, held: HeldLease, task: CurrentTask, call: HandlerCall
    ) -> Coroutine[Any, Any, Any]:
        if layers := self.app.layers:
            return self._through_layers(layers, held, task, call)
        return self._call(held, call, waited=bool(held.deadline_ms))

    def _call(
        self, held: HeldLease, call: HandlerCall, *, waited: bool
    ) -> Coroutine[Any, Any, Any]:
        # No coroutine of its own, which would cost each attempt something.
        # Read once more after what may have taken time: a middleware, the look at a deadline.
        if held.is_over(trio.current_time() if waited else held.started):
            held.cancel(Reason.LEASE_LOST)
            return trio.sleep_forever()  # noqa: ASYNC105  # the caller awaits it
        if call.is_async:
            coroutine: Coroutine[Any, Any, Any] = call.function(*call.args, **call.kwargs)
            return coroutine
        return self._in_thread(held, call)

    async def _in_thread(self, held: HeldLease, call: HandlerCall) -> Any:
        clock, begun = trio.lowlevel.current_clock(), True

        def call_function() -> Any:
            nonlocal begun
            if held.safe_until <= clock.current_time():
                begun = False  # its lease went over while it waited for a thread
                return None
            held.thread_limiter, held.thread = self.threads, threading.get_ident()
            try:
                return call.function(*call.args, **call.kwargs)
            finally:
                held.thread_limiter = held.thread = None

        # Trio runs it in a copy of this context. A thread cannot be stopped, so the attempt
        # waits for its end and keeps its lease meanwhile.
        if threads():
            result = await trio.to_thread.run_sync(call_function, limiter=self.threads)
        else:
            result = await call_inline(call_function, self.threads)
        if not begun:
            held.cancel(Reason.LEASE_LOST)
            await trio.sleep_forever()
        return result


def _interruption(error: BaseException) -> BaseException | None:
    """Return the part of what a handler raised that is meant for the worker, if any."""
    # Not `split`, which calls a method of the group, and fails on one that is nested too deep.
    parts = flatten_group(error)
    for part in parts:
        if isinstance(part, KeyboardInterrupt):
            return part
    if _scope_is_cancelled():
        for part in parts:
            if isinstance(part, trio.Cancelled):
                return part
    return None


def _scope_is_cancelled() -> bool:
    return trio.current_effective_deadline() == -float("inf")


def _completed(held: HeldLease, result: bytes) -> AttemptOutcome:
    written = Completed(held.lease.fence, result, tuple(held.children), held.retention_ms)
    return AttemptOutcome(held, written)


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
    is_last = held.lease.attempt > held.lease.max_retry
    if is_last or not held.deadline_within(written.delay_ms / 1000):
        return outcome
    suffix = f"no further attempt: the deadline, {_deadline_text(held)}, is earlier"
    return failed(held, with_suffix(written.error, suffix), 0.0, final=True)
