"""Spans and metrics of attempts, and of the calls that write their outcomes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextvars import Token

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Link, Span, SpanContext, SpanKind

from rediq_trio.telemetry.instruments import (
    CONVERSATION_METADATA,
    NO_CONTEXT,
    Instruments,
    common,
    extracted,
    fail,
    of_attempt,
    of_span,
    of_task,
    span_context_in,
)
from rediq_trio.values.bounds import WORKFLOW_METADATA
from rediq_trio.values.telemetry.port import BegunAttempt, EndedAttempt, ObservedAttempt
from rediq_trio.values.telemetry.sending import ServerAddress


class ProcessSpan:
    """The span `process QUEUE` of one attempt, which is current in its handler.

    Most of them are not sampled, so one that is not costs little more than its trace id.
    """

    __slots__ = (
        "_instruments",
        "_server",
        "_shared",
        "_span",
        "_started",
        "_token",
        "context",
        "trace_id",
    )

    def __init__(self, instruments: Instruments, begun: BegunAttempt, *, parent: bool) -> None:
        self._instruments = instruments
        self._server = begun.server
        self._shared = common("process", begun.queue, begun.server)
        self._started = time.perf_counter()
        self._span: Span | None = None
        self._token: Token[Context] | None = None
        self.context: SpanContext | None = None
        """The context of the span, for links to it."""
        self.trace_id: str | None = None
        # No context manager, which costs as much as a span that is not sampled.
        try:
            self._start(begun, parent=parent)
        except Exception as error:
            instruments.report(error)

    def _start(self, begun: BegunAttempt, *, parent: bool) -> None:
        instruments = self._instruments
        metadata, members = begun.metadata, begun.members
        conversation = None
        if metadata:
            conversation = metadata.get(WORKFLOW_METADATA) or metadata.get(CONVERSATION_METADATA)
        shared = of_span("process", begun.queue, begun.server, begun.worker)
        attributes = of_task(shared, begun.id, begun.type, conversation)
        attributes["rediq.task.attempt"] = begun.attempt
        if members is not None:
            attributes["messaging.batch.message_count"] = len(members)
        context, links = _creation(metadata, members, parent=parent)
        span = self._span = instruments.tracer.start_span(
            f"process {begun.queue}", context, SpanKind.CONSUMER, attributes, links
        )
        self.context = found = span.get_span_context()
        if found.is_valid:
            self.trace_id = trace.format_trace_id(found.trace_id)
        self._token = contexts.attach(of_attempt(context, span, conversation or begun.id))
        instruments.consumed.add(1 if members is None else len(members), self._shared)

    def end(self, ended: EndedAttempt) -> None:
        """End the span with what became of the attempt."""
        try:
            self._end(ended)
        except Exception as error:
            self._instruments.report(error)

    def _end(self, ended: EndedAttempt) -> None:
        span, token, self._span, self._token = self._span, self._token, None, None
        if token is not None:
            # Not kept: it leads to the context of the Trio task, and that back to this. Garbage in a cycle
            # costs more than all else here.
            contexts.detach(token)
        error, shared = ended.error, self._shared
        seconds = time.perf_counter() - self._started
        self._instruments.process_duration.record(
            seconds, shared if error is None else {**shared, "error.type": error.type}
        )
        for queue, count in ended.children.items():
            self._instruments.sent.add(count, common("send", queue, self._server))
        if span is None:
            return
        span.set_attribute("rediq.outcome", ended.end)
        if error is not None:
            texts = {
                "exception.type": error.type,
                "exception.message": error.message,
                "exception.stacktrace": error.traceback,
            }
            if error.traceback:
                span.add_event("exception", texts)
            fail(span, error.type, error.message)
        span.end()


def _creation(
    metadata: Mapping[str, str], members: Sequence[Mapping[str, str]] | None, *, parent: bool
) -> tuple[Context, list[Link]]:
    """Return the context in which the span of an attempt starts, and its links."""
    if members is not None:
        found = [span_context_in(extracted(each)) for each in members]
        return NO_CONTEXT, [Link(each) for each in found if each is not None]
    context = extracted(metadata)  # with its baggage
    sent = span_context_in(context) if context else None
    if parent and sent is not None:
        return context, []
    if context:
        context = trace.set_span_in_context(INVALID_SPAN, context)
    return context, [] if sent is None else [Link(sent)]


class SettleSpan:
    """One call that writes outcomes: its duration, and with `attempts` the span `settle QUEUE`."""

    def __init__(
        self,
        instruments: Instruments,
        queue: str,
        count: int,
        attempts: Sequence[ObservedAttempt] | None,
        worker: str,
        server: ServerAddress | None,
    ) -> None:
        self._instruments = instruments
        self._queue, self._server = queue, server
        self._started = time.perf_counter()
        self._span: Span | None = None
        if attempts is not None:
            with instruments.quietly():
                self._start(count, attempts, worker)

    def _start(self, count: int, attempts: Sequence[ObservedAttempt], worker: str) -> None:
        shared = of_span("settle", self._queue, self._server, worker)
        attributes = {**shared, "messaging.batch.message_count": count}
        found = [each.context for each in attempts if isinstance(each, ProcessSpan)]
        links = [Link(each) for each in found if each is not None and each.is_valid]
        self._span = self._instruments.tracer.start_span(
            f"settle {self._queue}", NO_CONTEXT, SpanKind.CLIENT, attributes, links
        )

    def end(self, error: BaseException | None = None) -> None:
        """End the span with the error of the call, if it has one."""
        with self._instruments.quietly():
            failed = {} if error is None else {"error.type": type(error).__name__}
            seconds = time.perf_counter() - self._started
            shared = common("settle", self._queue, self._server)
            self._instruments.operation_duration.record(seconds, {**shared, **failed})
            if self._span is not None:
                if error is not None:
                    fail(self._span, type(error).__name__, str(error))
                self._span.end()
