"""The tracer and the metrics of the library, and the attributes that all of them share.

By version 1.44.0 of the semantic conventions for messaging:
https://opentelemetry.io/docs/specs/semconv/messaging/
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import lru_cache

from opentelemetry import metrics, propagate, trace
from opentelemetry.context import Context
from opentelemetry.metrics import MeterProvider
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import Span, SpanContext, TracerProvider

from rediq_trio import __version__
from rediq_trio.values.telemetry.sending import (
    SENT_METADATA_MAX,
    SENT_TEXT_MAX,
    SentTask,
    ServerAddress,
)

SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
SCOPE = "rediq_trio"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Bounds of the histograms, as the conventions name them."""
CONVERSATION_METADATA = "rediq.conversation"
"""Metadata key with the id of the task from which a task descends, or of its workflow."""
CONVERSATION_KEY = "rediq-conversation"
"""Under which a context of OpenTelemetry has the same for an attempt."""
_NOT_A_TRACE = {"baggage"}
"""Fields of a propagator that name no trace."""
_ATTRIBUTES_KEPT = 1_024
"""Maximum number of attributes that are kept, because all tasks of a queue share them."""
NO_CONTEXT = Context()
"""A context without a span, so that what starts in it is a trace of its own."""
(_SPAN_KEY,) = trace.set_span_in_context(trace.INVALID_SPAN, NO_CONTEXT)
"""Under which a context has its span."""

Attributes = dict[str, str | int | bool]
SharedAttributes = Mapping[str, str | int | bool]
"""Attributes that all tasks of a queue share, and that change no more."""

log = logging.getLogger("rediq_trio")


class Instruments:
    """The tracer and the metrics. Made once for each `OpenTelemetry`, which owns it."""

    def __init__(
        self, tracer_provider: TracerProvider | None, meter_provider: MeterProvider | None
    ) -> None:
        self.tracer = trace.get_tracer(SCOPE, __version__, tracer_provider, SCHEMA_URL)
        meter = metrics.get_meter(SCOPE, __version__, meter_provider, SCHEMA_URL)
        self.operation_duration = meter.create_histogram(
            "messaging.client.operation.duration",
            "s",
            "Duration of sending tasks, and of writing outcomes.",
            explicit_bucket_boundaries_advisory=SECONDS,
        )
        self.process_duration = meter.create_histogram(
            "messaging.process.duration",
            "s",
            "Duration of attempts.",
            explicit_bucket_boundaries_advisory=SECONDS,
        )
        self.sent = meter.create_counter(
            "messaging.client.sent.messages", "{message}", "Tasks that were sent."
        )
        self.consumed = meter.create_counter(
            "messaging.client.consumed.messages", "{message}", "Tasks whose attempts began."
        )
        self._reported: set[str] = set()

    @contextmanager
    def quietly(self) -> Generator[None]:
        """Log an error of the block, once for each type, instead of raising it."""
        try:
            yield
        except Exception as error:
            self.report(error)

    def report(self, error: Exception) -> None:
        """Log an error that is being handled, once for each type."""
        name = type(error).__name__
        if name not in self._reported:
            self._reported.add(name)
            log.warning(
                "OpenTelemetry failed, so spans or metrics are missing (reported once)",
                exc_info=True,
            )


@lru_cache(_ATTRIBUTES_KEPT)
def common(operation: str, queue: str | None, server: ServerAddress | None) -> SharedAttributes:
    """Return the attributes that spans and metrics of an operation have."""
    found: Attributes = {"messaging.system": "rediq", "messaging.operation.name": operation}
    if queue is not None:
        found["messaging.destination.name"] = queue
    if server is not None:
        host, port = server
        found["server.address"] = host
        if port is not None:
            found["server.port"] = port
    return found


@lru_cache(_ATTRIBUTES_KEPT)
def of_span(
    operation: str, queue: str | None, server: ServerAddress | None, client_id: str
) -> SharedAttributes:
    """Return these, and the attributes that each span of the operation has besides."""
    more = {"messaging.operation.type": operation, "messaging.client.id": client_id}
    return {**common(operation, queue, server), **more}


def of_task(
    shared: SharedAttributes, task_id: str, type_name: str, conversation: str | None
) -> Attributes:
    """Return shared attributes with those of a span that is about one task."""
    found: Attributes = {
        **shared,
        "messaging.message.id": task_id,
        "rediq.task.type": type_name,
    }
    if "~" in task_id:
        partition = task_id.partition("/")[0].partition("~")[2]
        if partition:
            found["messaging.destination.partition.id"] = partition
    if conversation:
        found["messaging.message.conversation_id"] = conversation
    return found


def extracted(metadata: Mapping[str, str]) -> Context:
    """Return the context in the metadata of a task."""
    return propagate.extract(dict(metadata), NO_CONTEXT) if metadata else NO_CONTEXT


def span_context_in(context: Context) -> SpanContext | None:
    """Return the context of the span in a context; None without a valid one."""
    found = trace.get_current_span(context).get_span_context()
    return found if found.is_valid else None


def of_attempt(context: Context, span: Span, conversation: str) -> Context:
    """Return a context for a handler: with the span of its attempt, and what its tasks belong to."""
    # At once, because each `set_value` copies a context.
    return Context({**context, _SPAN_KEY: span, CONVERSATION_KEY: conversation})


def names_a_trace(metadata: Mapping[str, str]) -> bool:
    """Return whether somebody put the context of a trace into metadata."""
    if not metadata:
        return False
    return not _trace_fields(propagate.get_global_textmap()).isdisjoint(metadata)


@lru_cache(8)
def _trace_fields(propagator: TextMapPropagator) -> frozenset[str]:
    return frozenset(propagator.fields - _NOT_A_TRACE)


def inject(task: SentTask, context: Context) -> None:
    """Put a context into the metadata of a task, under keys that it does not have."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier, context)
    for key, value in carrier.items():
        fits = len(task.metadata) < SENT_METADATA_MAX and max(len(key), len(value)) <= SENT_TEXT_MAX
        if fits:
            task.metadata.setdefault(key, value)


def fail(span: Span, error_type: str, message: str) -> None:
    """Mark a span as failed."""
    span.set_attribute("error.type", error_type)
    span.set_status(trace.Status(trace.StatusCode.ERROR, message))
