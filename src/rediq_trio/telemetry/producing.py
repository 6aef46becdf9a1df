"""Spans and metrics of tasks that are sent.

One task has the span `send QUEUE`, whose context travels with it. Tasks that are sent together have one
`create QUEUE` each, and a `send QUEUE` that links to all of them. A task of `enqueue_after` has only
its `create QUEUE`: it is sent with the completion of the attempt.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import Token

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind

from rediq_trio._errors import PartlyEnqueued
from rediq_trio.telemetry.instruments import (
    CONVERSATION_KEY,
    CONVERSATION_METADATA,
    Attributes,
    Instruments,
    common,
    extracted,
    fail,
    inject,
    names_a_trace,
    of_span,
    of_task,
    span_context_in,
)
from rediq_trio.values.telemetry.sending import Sending, SentTask


@contextmanager
def send_span(instruments: Instruments, sending: Sending, *, create_spans: bool) -> Generator[None]:
    """Do what the block does in the span of its sending, which is current meanwhile."""
    observed = _observe(instruments, sending, create_spans=create_spans)
    try:
        yield
    except BaseException as error:
        if observed is not None:
            observed.end(error)
        raise
    if observed is not None:
        observed.end(None)


def _observe(
    instruments: Instruments, sending: Sending, *, create_spans: bool
) -> _ObservedSending | None:
    # No context manager, which costs as much as a span that is not sampled.
    try:
        return _ObservedSending(instruments, sending, create_spans=create_spans)
    except Exception as error:
        instruments.report(error)
        return None


class _ObservedSending:
    """Tasks that are being sent, and the span of that."""

    def __init__(self, instruments: Instruments, sending: Sending, *, create_spans: bool) -> None:
        self._instruments = instruments
        self._sending = sending
        self._begun = time.perf_counter()
        self._ambient = contexts.get_current()
        self._span: Span | None = None
        self._token: Token[Context] | None = None
        first = sending.tasks[0].queue if sending.tasks else None
        is_one = all(task.queue == first for task in sending.tasks)
        self._queue = first if is_one else None
        self._shared = common("send", self._queue, sending.server)
        self._add_conversation()
        if sending.route == "enqueue_after":
            for task in sending.tasks:
                self._create(task)
            return
        if len(sending.tasks) == 1 and sending.route not in ("enqueue_many", "workflow"):
            self._span = self._start_single(sending.tasks[0])
        else:
            self._span = self._start_many(create_spans=create_spans)
        self._token = contexts.attach(trace.set_span_in_context(self._span, self._ambient))

    def _add_conversation(self) -> None:
        # The id of a workflow is with its tasks already.
        found = contexts.get_value(CONVERSATION_KEY, self._ambient)
        if isinstance(found, str) and self._sending.workflow is None:
            for task in self._sending.tasks:
                task.metadata.setdefault(CONVERSATION_METADATA, found)

    def _of_sent(self, operation: str, task: SentTask) -> Attributes:
        sending = self._sending
        conversation = sending.workflow or task.metadata.get(CONVERSATION_METADATA)
        shared = of_span(operation, task.queue, sending.server, sending.client_id)
        return of_task(shared, task.id, task.type, conversation)

    def _start_single(self, task: SentTask) -> Span:
        owned = names_a_trace(task.metadata)
        attributes = self._of_sent("send", task)
        if self._sending.name is not None:
            attributes["rediq.schedule"] = self._sending.name
        span = self._start("send", attributes, PRODUCER if not owned else CLIENT, _links([task]))
        if not owned:
            inject(task, trace.set_span_in_context(span, self._ambient))
        return span

    def _start_many(self, *, create_spans: bool) -> Span:
        sending, tasks = self._sending, self._sending.tasks
        shared = of_span("send", self._queue, sending.server, sending.client_id)
        attributes: Attributes = {**shared, "messaging.batch.message_count": len(tasks)}
        free = [task for task in tasks if not names_a_trace(task.metadata)]
        if create_spans:
            for task in free:
                self._create(task)
            return self._start("send", attributes, CLIENT, _links(tasks))
        kind = PRODUCER if free else CLIENT
        span = self._start("send", attributes, kind, _links(tasks))
        for task in free:
            inject(task, trace.set_span_in_context(span, self._ambient))
        return span

    def _create(self, task: SentTask) -> None:
        if names_a_trace(task.metadata):
            return
        attributes = self._of_sent("create", task)
        span = self._instruments.tracer.start_span(
            f"create {task.queue}", self._ambient, PRODUCER, attributes
        )
        inject(task, trace.set_span_in_context(span, self._ambient))
        span.end()

    def _start(
        self, operation: str, attributes: Attributes, kind: SpanKind, links: list[Link]
    ) -> Span:
        name = operation if self._queue is None else f"{operation} {self._queue}"
        return self._instruments.tracer.start_span(name, self._ambient, kind, attributes, links)

    def end(self, error: BaseException | None) -> None:
        """End the span and count, unless nothing was sent; a span that never ends is not exported."""
        with self._instruments.quietly():
            if self._token is not None:
                contexts.detach(self._token)
            if self._span is None or self._sending.dropped:
                return
            failure = error if isinstance(error, Exception) else None
            self._count(failure)
            if failure is not None:
                self._span.record_exception(failure)
                fail(self._span, type(failure).__name__, str(failure))
            elif error is not None:
                self._span.set_attribute("rediq.cancelled", True)
            elif any(task.created is False for task in self._sending.tasks):
                created = sum(task.created is not False for task in self._sending.tasks)
                self._span.set_attribute("rediq.created", created)
            self._span.end()

    def _count(self, failure: Exception | None) -> None:
        shared, tasks = self._shared, self._sending.tasks
        seconds = time.perf_counter() - self._begun
        if failure is None and self._queue is not None:
            self._instruments.operation_duration.record(seconds, shared)
            self._instruments.sent.add(len(tasks), shared)
            return
        written: set[str] = set()
        if isinstance(failure, PartlyEnqueued):
            written = {handle.id for handle in failure.handles if handle is not None}
        failed = {} if failure is None else {"error.type": type(failure).__name__}
        self._instruments.operation_duration.record(seconds, {**shared, **failed})
        counted = Counter((task.queue, task.id not in written) for task in tasks)
        for (queue, unwritten), count in counted.items():
            of_queue = common("send", queue, self._sending.server)
            self._instruments.sent.add(count, {**of_queue, **(failed if unwritten else {})})


PRODUCER, CLIENT = SpanKind.PRODUCER, SpanKind.CLIENT


def _links(tasks: list[SentTask] | tuple[SentTask, ...]) -> list[Link]:
    """Return links to the contexts that tasks have already."""
    found = (span_context_in(extracted(task.metadata)) for task in tasks)
    return [Link(each) for each in found if each is not None]
