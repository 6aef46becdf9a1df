"""Which spans there are for each way that a task can go."""

from __future__ import annotations

import contextvars
import functools
import gc
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
import trio
from opentelemetry import baggage, trace
from opentelemetry import context as contexts
from opentelemetry.trace import format_trace_id

import rediq_trio as rediq
from rediq_trio.values.telemetry.port import BegunAttempt, EndedAttempt
from tests.telemetry.traced import Row, Traced, context_of, links_of

SENT = Row("send work", "PRODUCER")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def make_app(traced: Traced, **options: Any) -> rediq.App:
    app = rediq.App("spans", telemetry=traced.telemetry, **options)

    @app.task("ok", queue="work", retention=60)
    async def ok() -> None: ...

    @app.task("fails_once", queue="work", backoff=rediq.Fixed(0))
    async def fails_once() -> None:
        if rediq.current_task().attempt == 1:
            raise ValueError("not yet")

    @app.task("dies", queue="work", max_retry=0)
    async def dies() -> None:
        raise ValueError("secret")

    @app.task("waits", queue="work", max_retry=0)
    async def waits(seconds: float = 1e6) -> None:
        await trio.sleep(seconds)

    @app.task("snoozes", queue="work")
    async def snoozes() -> None:
        if rediq.current_task().fence == 1:
            raise rediq.Snooze(0)

    @app.task("rejects", queue="work")
    async def rejects() -> None:
        raise rediq.Reject("no")

    @app.task("parent", queue="work")
    async def parent() -> None:
        rediq.current_task().enqueue_after(rediq.Task("ok", queue="work"))

    return app


async def run_tasks(app: rediq.App, *tasks: rediq.Task[Any], **options: Any) -> None:
    async with rediq.serve(app, "memory://", queues=["work"], **options) as server:
        for task in tasks:
            await server.client.enqueue(task)
        await server.wait_idle()


def process(outcome: str, error: str | None = None) -> Row:
    return Row("process work", "CONSUMER", 1, outcome, error)


TABLE = {
    "ok": [SENT, process("completed")],
    "fails_once": [SENT, process("retry", "ValueError"), process("completed")],
    "dies": [SENT, process("dead", "ValueError")],
    "rejects": [SENT, process("dead", "Reject")],
    "snoozes": [SENT, process("snoozed"), process("completed")],
    "nobody": [SENT, process("dead", "UnknownTaskType")],
    "parent": [
        SENT,
        Row("create work", "PRODUCER", child=True),
        process("completed"),
        process("completed"),
    ],
}


@pytest.mark.mock_clock
@pytest.mark.parametrize("name", TABLE)
async def test_each_way_of_a_task_has_its_spans(name: str) -> None:
    traced = Traced()
    task: rediq.Task[None] = rediq.Task(name, queue="work", backoff=rediq.Fixed(0))
    await run_tasks(make_app(traced), task, unknown_type_patience=0)
    assert traced.rows() == TABLE[name]


@pytest.mark.mock_clock
async def test_an_attempt_links_to_what_sent_its_task_and_is_a_trace_of_its_own() -> None:
    traced = Traced()
    await run_tasks(make_app(traced), rediq.Task("fails_once", queue="work"))
    send, first, second = traced.spans()
    assert links_of(first) == links_of(second) == [context_of(send)]
    assert len({context_of(span)[0] for span in (send, first, second)}) == 3
    assert first.attributes is not None
    assert first.attributes["rediq.task.attempt"] == 1
    assert [event.name for event in first.events] == ["exception"]


@pytest.mark.mock_clock
async def test_the_tasks_of_a_workflow_and_their_children_are_one_conversation() -> None:
    traced = Traced()
    flow = rediq.chain(rediq.Task("ok", queue="work"), rediq.Task("parent", queue="work"))
    async with rediq.serve(make_app(traced), "memory://", queues=["work"]) as server:
        handle = await server.client.enqueue(flow)
        await server.wait_idle()
    spans = [*traced.spans("create work"), *traced.spans("process work")]
    found = [(span.attributes or {})["messaging.message.conversation_id"] for span in spans]
    assert found == [handle.id] * 6


@pytest.mark.mock_clock
async def test_with_parent_an_attempt_is_a_child() -> None:
    traced = Traced({"parent": True})
    await run_tasks(make_app(traced), rediq.Task("ok", queue="work"))
    send, attempt = traced.spans()
    assert attempt.parent is not None
    assert (attempt.parent.trace_id, attempt.parent.span_id) == context_of(send)
    assert links_of(attempt) == []


@pytest.mark.mock_clock
async def test_a_timeout_and_a_deadline_are_errors() -> None:
    traced = Traced()
    tasks: list[rediq.Task[None]] = [
        rediq.Task("waits", queue="work", timeout=1, max_retry=0),
        rediq.Task("waits", queue="work", deadline=2),
    ]
    await run_tasks(make_app(traced), *tasks)
    assert [row for row in traced.rows() if row != SENT] == [
        process("dead", "timeout"),
        process("dead", "deadline"),
    ]


@pytest.mark.mock_clock
async def test_a_cancelled_task_and_one_that_is_released_are_no_errors() -> None:
    traced = Traced()
    async with rediq.serve(
        make_app(traced), "memory://", queues=["work"], shutdown_grace=0
    ) as server:
        handle = await server.client.enqueue(rediq.Task("waits", queue="work"))
        await trio.sleep(1)
        await handle.cancel()
        await trio.sleep(1)
        await server.client.enqueue(rediq.Task("waits", queue="work"))
        await trio.sleep(1)
    assert traced.rows() == [SENT, process("cancelled"), SENT, process("released")]


@pytest.mark.mock_clock
async def test_a_revived_task_links_to_what_sent_it_first() -> None:
    traced = Traced()
    async with rediq.serve(make_app(traced), "memory://", queues=["work"]) as server:
        handle = await server.client.enqueue(rediq.Task("dies", queue="work", max_retry=0))
        await server.wait_idle()
        await server.client.queue("work").dead.retry(handle.id)
        await server.wait_idle()
    send, first, second = traced.spans()
    assert links_of(first) == links_of(second) == [context_of(send)]


@pytest.mark.mock_clock
async def test_a_child_links_to_its_creation_and_belongs_to_its_root() -> None:
    traced = Traced()
    await run_tasks(make_app(traced), rediq.Task("parent", queue="work", id="root"))
    create, (parent, child) = traced.span("create work"), traced.spans("process work")
    assert create.parent is not None
    assert (create.parent.trace_id, create.parent.span_id) == context_of(parent)
    assert links_of(child) == [context_of(create)]
    for span in (create, child):
        assert span.attributes is not None
        assert span.attributes["messaging.message.conversation_id"] == "work/root"


@pytest.mark.mock_clock
async def test_each_tick_is_a_trace_of_its_own() -> None:
    traced = Traced()
    app = make_app(traced)
    app.schedule("often", rediq.Every(10), rediq.Task("ok", queue="work"))
    async with rediq.serve(app, "memory://", queues=["work"]) as server:
        await trio.sleep(25)
        await server.wait_idle()
    sends, attempts = traced.spans("send work"), traced.spans("process work")
    assert len(sends) == len(attempts) >= 2
    assert [links_of(each) for each in attempts] == [[context_of(each)] for each in sends]
    assert len({context_of(span)[0] for span in (*sends, *attempts)}) == 2 * len(sends)
    assert sends[0].attributes is not None
    assert sends[0].attributes["rediq.schedule"] == "often"


@pytest.mark.mock_clock
@pytest.mark.parametrize("parent", [True, False])
async def test_a_batch_links_to_each_of_its_members(parent: bool) -> None:
    traced = Traced({"parent": parent})
    app = make_app(traced)

    @app.aggregator("daily", max_size=3, grace_period=1)
    async def join(tasks: list[rediq.Task[Any]]) -> rediq.Task[Any]:
        return rediq.Task("ok", queue="work")

    tasks: list[rediq.Task[None]] = [rediq.Task("ok", queue="work", group="daily")] * 3
    async with rediq.serve(app, "memory://", queues=["work"]) as server:
        for task in tasks:
            await server.client.enqueue(task)
        await trio.sleep(5)
        await server.wait_idle()
    batch, child = traced.spans("process work")
    assert links_of(batch) == [context_of(span) for span in traced.spans("send work")]
    assert batch.attributes is not None
    assert batch.attributes["messaging.batch.message_count"] == 3
    assert len(child.links) == (0 if parent else 1)
    assert traced.metrics("messaging.client.consumed.messages").popitem()[1] == 4


@pytest.mark.mock_clock
async def test_the_span_is_current_in_tasks_and_threads_of_the_handler() -> None:
    traced = Traced()
    app = rediq.App("current", telemetry=traced.telemetry)
    seen: list[tuple[str, int, object]] = []

    def note(where: str) -> None:
        context = trace.get_current_span().get_span_context()
        seen.append((where, context.span_id, baggage.get_baggage("tenant")))

    @app.task("async", queue="work")
    async def in_trio() -> None:
        note("handler")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, functools.partial(note, "thread"))

    @app.task("sync", queue="work")
    def in_thread() -> None:
        assert threading.current_thread() is not threading.main_thread()
        note("sync")

    token = contexts.attach(baggage.set_baggage("tenant", "acme"))
    await run_tasks(app, in_trio.task(), in_thread.task(), concurrency=1)
    contexts.detach(token)
    first, second = (context_of(span)[1] for span in traced.spans("process work"))
    assert sorted(seen) == sorted(
        [("handler", first, "acme"), ("thread", first, "acme"), ("sync", second, "acme")]
    )
    assert not trace.get_current_span().get_span_context().is_valid


def test_an_attempt_that_ended_keeps_nothing_that_leads_back_to_it() -> None:
    begun = BegunAttempt("work/a", "work", "ok", 1, "worker-1", {}, None, None)
    observed = Traced().telemetry.attempt(begun)
    assert any(isinstance(each, contextvars.Token) for each in gc.get_referents(observed))
    observed.end(EndedAttempt("completed"))
    assert not any(isinstance(each, contextvars.Token) for each in gc.get_referents(observed))


@pytest.mark.mock_clock
async def test_the_trace_id_of_the_log_is_that_of_the_span(
    caplog: pytest.LogCaptureFixture,
) -> None:
    traced = Traced()
    app = rediq.App("logs", telemetry=traced.telemetry)

    @app.task("says", queue="work", max_retry=0)
    async def says() -> None:
        logging.getLogger("shop").warning("said")
        raise ValueError

    caplog.handler.addFilter(rediq.logging_filter())
    await run_tasks(app, says.task())
    found = {getattr(record, "trace_id", None) for record in caplog.records}
    assert found == {format_trace_id(context_of(traced.span("process"))[0])}


@pytest.mark.mock_clock
async def test_the_error_in_a_span_is_redacted() -> None:
    traced = Traced()

    def redact(text: rediq.ErrorText) -> rediq.ErrorText:
        return rediq.ErrorText(text.type, "hidden")

    await run_tasks(make_app(traced, redact=redact), rediq.Task("dies", queue="work", max_retry=0))
    span = traced.span("process")
    assert span.status.description == "hidden"
    assert "secret" not in span.to_json()


@pytest.mark.mock_clock
async def test_writing_outcomes_has_spans_only_where_asked_for() -> None:
    traced = Traced({"settle_spans": True})
    await run_tasks(make_app(traced), rediq.Task("ok", queue="work"))
    settle = traced.span("settle work")
    assert settle.kind.name == "CLIENT"
    assert links_of(settle) == [context_of(traced.span("process"))]
    durations = traced.metrics("messaging.client.operation.duration")
    names = sorted(str(dict(key)["messaging.operation.name"]) for key in durations)
    assert names == ["send", "settle"]


def fails(*_: object, **__: object) -> None:
    raise RuntimeError("broken")


@pytest.mark.mock_clock
@pytest.mark.parametrize("part", ["start_span", "end"])
async def test_what_fails_in_it_fails_no_task_and_is_logged_once(
    part: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from opentelemetry.sdk.trace import Span, Tracer

    broken: Callable[..., None] = fails
    monkeypatch.setattr(Tracer if part == "start_span" else Span, part, broken)
    traced = Traced()
    async with rediq.serve(make_app(traced), "memory://", queues=["work"]) as server:
        handles = [
            await server.client.enqueue(rediq.Task("ok", queue="work", retention=60)) for _ in "12"
        ]
        await server.wait_idle()
        assert {(await handle.info()).state for handle in handles} == {rediq.State.COMPLETED}
    assert traced.rows() == []
    assert len([r for r in caplog.records if "OpenTelemetry failed" in r.message]) == 1


@pytest.mark.mock_clock
async def test_attributes_and_scope_are_those_of_the_conventions() -> None:
    traced = Traced()
    await run_tasks(make_app(traced), rediq.Task("ok", queue="work", id="a"), name="worker-1")
    send, attempt = traced.spans()
    assert send.attributes == {
        "messaging.system": "rediq",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": "work",
        "messaging.client.id": "worker-1",
        "messaging.message.id": "work/a",
        "rediq.task.type": "ok",
    }
    assert attempt.attributes == {
        "messaging.system": "rediq",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "work",
        "messaging.client.id": "worker-1",
        "messaging.message.id": "work/a",
        "rediq.task.type": "ok",
        "rediq.task.attempt": 1,
        "rediq.outcome": "completed",
    }
    for span in (send, attempt):
        scope = span.instrumentation_scope
        assert scope is not None
        assert (scope.name, scope.version) == ("rediq_trio", rediq.__version__)
        assert scope.schema_url == "https://opentelemetry.io/schemas/1.44.0"
    shared = {"messaging.system": "rediq", "messaging.destination.name": "work"}
    sent = {**shared, "messaging.operation.name": "send"}
    processed = {**shared, "messaging.operation.name": "process"}
    for name, attributes in {
        "messaging.client.sent.messages": sent,
        "messaging.client.consumed.messages": processed,
        "messaging.process.duration": processed,
    }.items():
        assert traced.metrics(name) == {frozenset(attributes.items()): 1}
