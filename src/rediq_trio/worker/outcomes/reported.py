"""Failed attempts, for those who report failures elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import trio

from rediq_trio._errors import PayloadError
from rediq_trio.handlers.app import App
from rediq_trio.handlers.failed_attempt import FailedAttempt
from rediq_trio.spec.messages import Death, Failed
from rediq_trio.spec.records import Record
from rediq_trio.tasks.attempts import error_of
from rediq_trio.tasks.task_info import UNREADABLE_TEXT
from rediq_trio.values.bounds import queue_of
from rediq_trio.values.observed.attempt import ErrorText
from rediq_trio.wire.envelope import open_envelope
from rediq_trio.worker.leases import AttemptOutcome
from rediq_trio.worker.outcomes.log import type_of

log = logging.getLogger("rediq_trio.reports")


def report_failure(
    app: App[Any], outcome: AttemptOutcome, error: BaseException | None, worker: str
) -> None:
    """Report an attempt to the reporters of an app, if it failed. They cannot fail the attempt."""
    held, written = outcome.held, outcome.written
    if not isinstance(written, Failed) or not app._failure_reporters:
        return
    lease = held.lease
    hidden = app.redact is not None or isinstance(error, trio.Cancelled)
    failed = FailedAttempt(
        id=held.task_id,
        queue=queue_of(held.queue),
        type=held.type or type_of(lease.envelope),
        attempt=lease.attempt,
        max_retry=lease.max_retry,
        worker=worker,
        metadata=_metadata(lease.envelope),
        final=written.final or lease.attempt > lease.max_retry,
        kind=written.kind,
        text=error_of(written.detail) or ErrorText("", written.error),
        error=None if hidden else error,
    )
    _report(app, failed)


def report_death(
    app: App[Any], queue: str, death: Death, record: Record | None, worker: str
) -> None:
    """Report a task that went to dead without an attempt; without its record if that cannot be read."""
    if not app._failure_reporters:
        return
    failed = FailedAttempt(
        id=f"{queue}/{death.id}",
        queue=queue_of(queue),
        type=UNREADABLE_TEXT if record is None else type_of(record.envelope),
        attempt=death.attempt,
        max_retry=0 if record is None else record.max_retry,
        worker=worker,
        metadata={} if record is None else _metadata(record.envelope),
        final=True,
        kind="",
        text=ErrorText("", death.reason),
        error=None,
    )
    _report(app, failed)


def _report(app: App[Any], failed: FailedAttempt) -> None:
    for report in app._failure_reporters:
        try:
            report(failed)
        except KeyboardInterrupt:
            raise
        except BaseException as broken:
            # SystemExit too: who reports elsewhere cannot end the worker.
            log.warning("a failure could not be reported: %s", type(broken).__name__)


def _metadata(envelope: object) -> Mapping[str, str]:
    """Return the metadata of a task; empty for a batch, and for what cannot be read."""
    try:
        return open_envelope(envelope).metadata if isinstance(envelope, bytes) else {}
    except PayloadError:
        return {}
