"""Spans of queues, with the attributes that Sentry's page *Queues* reads."""

from __future__ import annotations

import contextvars

import attrs
import sentry_sdk
from sentry_sdk.scope import Scope
from sentry_sdk.tracing import Span

from rediq_trio.handlers.context import CurrentTask
from rediq_trio.values.chance import wall
from rediq_trio.values.telemetry.sending import (
    SENT_METADATA_MAX,
    SENT_TEXT_MAX,
    Sending,
    SentTask,
)

ORIGIN = "auto.queue.rediq"
"""What made the spans."""
HEADERS = ("sentry-trace", "baggage")
"""The keys of a trace in a task's metadata."""


@attrs.frozen(eq=False)
class RunningSpan:
    """What is needed of an attempt at its end."""

    task_id: str
    scope: Scope
    span: Span


RUNNING: contextvars.ContextVar[RunningSpan | None] = contextvars.ContextVar(
    "sentry_attempt", default=None
)
"""The last attempt that began in this context."""


def note_received(span: Span, task: CurrentTask) -> None:
    """Describe the attempt that a span is about."""
    span.set_data("messaging.system", "rediq")
    span.set_data("messaging.message.id", task.id)
    span.set_data("messaging.destination.name", task.queue)
    span.set_data("messaging.message.retry.count", task.attempt - 1)
    lease, payload = task._attempt.lease, task._task.envelope.payload
    if payload:  # a batch has none of its own
        span.set_data("messaging.message.body.size", len(payload))
    if lease.run_ms:
        waited = max(0.0, wall() * 1000 - lease.run_ms)
        span.set_data("messaging.message.receive.latency", waited)


def note_sent(span: Span, sending: Sending) -> None:
    """Describe the tasks that a span sends."""
    span.set_data("messaging.system", "rediq")
    queues = {task.queue for task in sending.tasks}
    if len(queues) == 1:
        span.set_data("messaging.destination.name", queues.pop())
    if len(sending.tasks) == 1:
        span.set_data("messaging.message.id", sending.tasks[0].id)
    else:
        span.set_data("messaging.batch.message_count", len(sending.tasks))


def add_trace(task: SentTask, span: Span | None) -> None:
    """Put a span's trace, or the scope's, into the metadata of a task that has none, if it fits."""
    if HEADERS[0] in task.metadata:
        return
    found = dict(sentry_sdk.get_current_scope().iter_trace_propagation_headers(span=span))
    for name in HEADERS:
        # OpenTelemetry may have baggage of its own there.
        text = ",".join(filter(None, (task.metadata.get(name), found.get(name))))
        room = name in task.metadata or len(task.metadata) < SENT_METADATA_MAX
        if text and room and len(text) <= SENT_TEXT_MAX:
            task.metadata[name] = text
