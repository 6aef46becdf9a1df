"""What the log says of the end of an attempt: one record each, with the traceback of a failure.

A failed attempt that is retried is a WARNING, a task that goes to dead is an ERROR, whatever
led to it. An end that nobody needs to look at is DEBUG. Each record has the fields
of `TASK_FIELDS`, for log services that search by them. What was raised is written on one line.
"""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Any

import attrs
import trio

from rediq_trio._errors import flatten_group
from rediq_trio.observe.words import shown
from rediq_trio.spec.carried import BatchEnvelope
from rediq_trio.spec.messages import Failed
from rediq_trio.tasks.failures import remember_failure
from rediq_trio.tasks.task_info import UNREADABLE_TEXT
from rediq_trio.values.bounds import queue_of
from rediq_trio.wire.batch_envelope import type_in
from rediq_trio.wire.sizes import exceeds
from rediq_trio.worker.leases import AttemptOutcome, HeldLease
from rediq_trio.worker.outcomes.error_text import LARGE_ARGUMENTS, error_text

log = logging.getLogger("rediq_trio")

LOGGED_ERRORS_MAX = 500
"""Errors in a group or a chain above which a record shows the traceback of the first only."""

_OWN = "rediq_trio."
_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


@attrs.frozen
class AttemptLog:
    """Writes the records of one worker's attempts."""

    worker: str
    """The name of the worker."""

    def ended(
        self, outcome: AttemptOutcome, type_name: str | None, error: BaseException | None
    ) -> None:
        """Record the end of an attempt. `error` is what the handler raised, or what stopped it."""
        held, written = outcome.held, outcome.written
        if isinstance(written, Failed):
            self._failed(held, written, type_name or type_of(held.lease.envelope), error)
        elif log.isEnabledFor(logging.DEBUG):
            how = "lost" if written is None else type(written).__name__.lower()
            seconds = trio.current_time() - held.started
            type_name = type_name or type_of(held.lease.envelope)
            text = f"{how} after %.3g s"
            self._write(logging.DEBUG, text, held, type_name, None, seconds)

    def interrupted(self, held: HeldLease, type_name: str, error: BaseException) -> None:
        """Record what a handler raised because a shutdown cancelled it."""
        text = "interrupted by the stop of its worker, and released: %s"
        self._write(logging.INFO, text, held, type_name, error, shown(error_text(error)))

    def stuck(self, held: HeldLease, type_name: str | None, seconds: float, stacks: str) -> None:
        """Record that an attempt runs on after its timeout. `stacks` says where it stands."""
        text = (
            "runs on %.3g s after its timeout, and keeps its slot until it ends: a thread and a "
            "shielded scope cannot be cancelled%s"
        )
        type_name = type_name or type_of(held.lease.envelope)
        self._write(logging.WARNING, text, held, type_name, None, seconds, stacks)

    def _failed(
        self, held: HeldLease, written: Failed, type_name: str, error: BaseException | None
    ) -> None:
        if written.final or held.lease.attempt > held.lease.max_retry:
            self._write(logging.ERROR, "dead: %s", held, type_name, error, shown(written.error))
            if error is not None and not isinstance(error, trio.Cancelled):
                remember_failure(held.task_id, written.error, error)
        else:
            text = "failed, and is retried in %.3g s: %s"
            delay = written.delay_ms / 1000
            self._write(logging.WARNING, text, held, type_name, error, delay, shown(written.error))

    def _write(
        self,
        level: int,
        text: str,
        held: HeldLease,
        type_name: str,
        error: BaseException | None,
        *values: object,
    ) -> None:
        fields: dict[str, Any] = {
            "task_id": held.task_id,
            "type": type_name,
            "queue": queue_of(held.queue),
            "attempt": held.lease.attempt,
            "worker": self.worker,
            "trace_id": held.trace_id,
        }
        text = f"task %s (%s), attempt %d: {text}"
        start = (held.task_id, shown(type_name), held.lease.attempt)
        try:
            found = None if error is None else _exc_info(error)
            log.log(level, text, *start, *values, exc_info=found, extra=fields)
        except KeyboardInterrupt:
            raise
        except BaseException as broken:
            # An exception that cannot be shown, or a record factory that has one of the fields.
            # Neither can end the worker, nor hide the end of the task.
            text += " (its record is incomplete: %s)"
            stand_in = None if error is None else _in_short(error)
            extra = None if isinstance(broken, KeyError) else fields
            name = type(broken).__name__
            log.log(level, text, *start, *values, name, exc_info=stand_in, extra=extra)


def _is_encodable(error: BaseException) -> bool:
    """Return whether a log's file or socket takes the error's text: not one with lone surrogates."""
    try:
        str(error).encode()
    except KeyboardInterrupt:
        raise
    except BaseException:
        return False
    return True


def _in_short(error: BaseException) -> _ExcInfo:
    """Return a stand-in for an error, with its text and where it was raised."""
    stand_in = RuntimeError(error_text(error))
    return (RuntimeError, stand_in, _without_own_frames(error.__traceback__))


def _exc_info(error: BaseException) -> _ExcInfo:
    """Return the error for a record; a stand-in if its text is not one that a log could take."""
    chain = _chain(error)
    if len(chain) > LOGGED_ERRORS_MAX or any(exceeds(e.args, LARGE_ARGUMENTS) for e in chain):
        return _in_short(error)
    if not all(_is_encodable(e) for e in chain):
        return _in_short(error)
    return (type(error), error, _without_own_frames(error.__traceback__))


def _without_own_frames(trace: TracebackType | None) -> TracebackType | None:
    """Return a traceback from the handler on: how the library called it tells nobody anything."""
    shown = trace
    while shown is not None and shown.tb_frame.f_globals.get("__name__", "").startswith(_OWN):
        shown = shown.tb_next
    return trace if shown is None else shown


def _chain(error: BaseException) -> list[BaseException]:
    """Return an error with its members and causes, at whatever depth, as far as it matters."""
    seen: dict[int, BaseException] = {}
    left = [error]
    while left and len(seen) <= LOGGED_ERRORS_MAX:
        for part in flatten_group(left.pop()):
            if id(part) not in seen:
                seen[id(part)] = part
                left += [e for e in (part.__cause__, part.__context__) if e is not None]
    return list(seen.values())


def type_of(envelope: bytes | BatchEnvelope) -> str:
    """Return the type in an envelope, of a batch that of its first member, for a record."""
    found = type_in(envelope)
    return UNREADABLE_TEXT if found is None else found
