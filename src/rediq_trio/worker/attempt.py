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
    members,
    nested,
)
from rediq_trio.handlers.app import App
from rediq_trio.handlers.context import CurrentTask, Desk, enter
from rediq_trio.handlers.exceptions import Reject, Retry, Snooze
from rediq_trio.handlers.retry_rules import BadRule, RetryRules
from rediq_trio.tasks.task_info import instant
from rediq_trio.wire.deadlines import deadline_ms
from rediq_trio.wire.envelope import Envelope, NewerEnvelope, pack_value
from rediq_trio.wire.structuring import plain
from rediq_trio.worker.jobs import Job, open_job
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

log = logging.getLogger("rediq_trio")

HAND_BACK = 5.0
"""Seconds for which a task that only a newer version can read is left to others."""
NONE = pack_value(None)
"""What a handler that returns nothing has for a result."""
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
    """Runs attempts. Holds what they need, and what was said once."""

    app: App
    desk: Desk
    max_payload: int
    threads: trio.CapacityLimiter
    _outgrown: set[str] = attrs.field(factory=set)
    """Queues of which it was said that they hold tasks of a newer version."""

    async def run(self, held: Held) -> Outcome:
        """Run one attempt in its scope and give its outcome.

        Raises nothing but what is meant for the worker: `trio.Cancelled` of a
        surrounding scope and `KeyboardInterrupt`.
        """
        held.begun = trio.current_time()
        try:
            job = open_job(self.app, held, self.max_payload)
        except NewerEnvelope as error:
            return self._left_to_newer(held, error)
        except (PayloadError, UnknownTaskType, ConfigError) as error:
            return Failed(held, say(error), 0.0, final=True)
        envelope, rules = job.envelope, job.rules
        outcome: Outcome = Interrupted(held)
        with held.open_scope(math.inf if envelope.deadline_ms else envelope.timeout) as scope:
            if envelope.deadline_ms:
                if over := await self._too_late(held, envelope):
                    return over
                held.set_limit(envelope.timeout)
            try:
                task = CurrentTask(self.desk, held, job)
                enter(task)
                if self.app.layers:
                    value = await self._through_layers(task, job)
                elif job.is_async:
                    value = await job.function(*job.args, **job.kwargs)
                else:
                    value = await self._in_thread(job)
                outcome = _success(held, job, task, value)
            except trio.Cancelled as error:
                if not _is_cancelled():
                    # A handler that kept a Cancelled of another scope and raised it here.
                    said = "it let a trio.Cancelled of its own scope escape"
                    outcome = _failure(held, envelope, rules, error, said)
                else:
                    raise
            except KeyboardInterrupt:
                raise
            except BaseExceptionGroup as group:
                _let_pass(group)
                outcome = _failure(held, envelope, rules, group)
            except BaseException as error:
                # SystemExit and the like too: a handler cannot end the worker.
                outcome = _failure(held, envelope, rules, error)
        if scope.cancelled_caught:
            outcome = _stopped(held, envelope)
        return _in_time(outcome) if held.deadline_ms else outcome

    def _left_to_newer(self, held: Held, error: NewerEnvelope) -> Outcome:
        if held.queue not in self._outgrown:
            self._outgrown.add(held.queue)
            log.warning(
                "queue %s holds tasks of a newer rediq-trio (%s), which are handed back uncharged: "
                "upgrade this worker", held.queue, error,
            )  # fmt: skip
        return Snoozed(held, HAND_BACK)

    async def _too_late(self, held: Held, envelope: Envelope) -> Outcome | None:
        """Learn the task's deadline; give an outcome when there is nothing left to begin.

        Waits for the store as long as the lease is good.
        """
        try:
            record = await self.desk.client.task(held.name)._record_patiently()
        except TaskNotFound:
            return Lost(held)
        if (record.deliveries, record.nonce) != (held.fence.deliveries, held.fence.nonce):
            return Lost(held)
        held.deadline_ms = deadline_ms(record, envelope.deadline_ms)
        if held.comes_too_late(0.0):
            return _past(held, "passed before the attempt began")
        return None

    async def _through_layers(self, task: CurrentTask, job: Job) -> Any:
        value = None
        async with AsyncExitStack() as stack:
            for layer in self.app.layers:
                await stack.enter_async_context(layer(task))
            if job.is_async:
                value = await job.function(*job.args, **job.kwargs)
            else:
                value = await self._in_thread(job)
        # Without a value here, a layer has swallowed the error: the attempt succeeded with None.
        return value

    async def _in_thread(self, job: Job) -> Any:
        # Trio runs it in a copy of this context. A thread cannot be stopped: the attempt
        # waits for it, and holds its lease meanwhile.
        return await trio.to_thread.run_sync(
            lambda: job.function(*job.args, **job.kwargs), limiter=self.threads
        )


def _let_pass(group: BaseExceptionGroup[BaseException]) -> None:
    """Raise what is not the handler's of what its own nursery raised."""
    # Looked for first: `split` itself fails on a group that is nested too deep.
    found = {type(part) for part in nested(group)}
    if any(issubclass(kind, KeyboardInterrupt) for kind in found):
        interrupt, _ = group.split(KeyboardInterrupt)
        assert interrupt is not None
        raise interrupt
    if trio.Cancelled in found and _is_cancelled():
        cancelled, _ = group.split(trio.Cancelled)
        assert cancelled is not None
        raise cancelled


def _is_cancelled() -> bool:
    return trio.current_effective_deadline() == -float("inf")


def _success(held: Held, job: Job, task: CurrentTask, given: Any) -> Outcome:
    if given is None:
        return Succeeded(held, NONE)
    try:
        if job.aggregates:
            given = job.value(task, given)
        return Succeeded(held, pack_value(plain(given), what="result"))
    except Exception as error:
        # To run it again would do its work twice and end the same way.
        return Failed(held, say(error), 0.0, final=True)


def _failure(
    held: Held, envelope: Envelope, rules: RetryRules, error: BaseException, said: str = ""
) -> Outcome:
    """Judge what a handler raised; `said` stands for the error's own text."""
    while len(parts := members(error)) == 1:
        error = parts[0]
    backoff = envelope.backoff.delay(held.lease.attempt)
    match error:
        case Snooze():
            return Snoozed(held, error.seconds)
        case Reject():
            return Failed(held, say(error)[len("Reject: ") :] or "rejected", 0.0, final=True)
        case Retry():
            return Failed(held, say(error), backoff if error.after is None else error.after)
        case _:
            pass
    log.debug("task %s failed", held.name, exc_info=error)
    said = said or say(error)
    if parts:
        said = f"{said}: {'; '.join(say(part) for part in parts[:10])}"[:MAX_ERROR]
    try:
        delay = rules.delay(error, held.lease.attempt, backoff)
    except BadRule as broken:
        why = f"its retry function failed: {say(broken.__cause__ or broken)}"
        log.warning("task %s: %s; it is retried after its backoff", held.name, why)
        return Failed(held, _noted(said, why), backoff)
    return Failed(held, said, 0.0, final=True) if delay is None else Failed(held, said, delay)


def _noted(said: str, note: str) -> str:
    """Add a note to an error's text, and cut that if there is no room for both."""
    note = f" ({note[: MAX_ERROR // 4]})"
    return said[: MAX_ERROR - len(note)] + note


def _stopped(held: Held, envelope: Envelope) -> Outcome:
    match held.reason or held.time_out():
        case Reason.TIMEOUT:
            delay = envelope.backoff.delay(held.lease.attempt)
            return Failed(held, f"timeout: it took longer than {envelope.timeout:g} s", delay)
        case Reason.DEADLINE:
            return _past(held, "came before the attempt had ended")
        case Reason.CANCELLED:
            return Cancelled(held)
        case Reason.LEASE_LOST:
            return Lost(held)
        case Reason.SHUTDOWN:
            return Interrupted(held)


def _past(held: Held, what: str) -> Failed:
    return Failed(held, f"deadline: {_shown(held)} {what}", 0.0, final=True)


def _shown(held: Held) -> str:
    return instant(held.deadline_ms).isoformat(timespec="milliseconds")


def _in_time(outcome: Outcome) -> Outcome:
    """Make a failure final when the next attempt could not begin before the deadline."""
    if not isinstance(outcome, Failed) or outcome.final:
        return outcome
    held = outcome.held
    if held.lease.attempt > held.lease.max_retry or not held.comes_too_late(outcome.delay):
        return outcome
    note = f"no further attempt: the deadline, {_shown(held)}, comes first"
    return Failed(held, _noted(outcome.error, note), 0.0, final=True)
