"""Which spans there are of what is sent, and what travels with it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing
from opentelemetry import trace
from opentelemetry.trace import SpanKind

import rediq_trio as rediq
from rediq_trio.telemetry import OpenTelemetry
from tests.servers import Server
from tests.telemetry.traced import Row, Traced, context_of, links_of

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def traceparent(span: Any) -> str:
    trace_id, span_id = context_of(span)
    return f"00-{trace_id:032x}-{span_id:016x}-{span.context.trace_flags:02x}"


def a_task(**options: Any) -> rediq.Task[None]:
    return rediq.Task("ok", queue="work", **options)


async def metadata_of(handle: rediq.TaskHandle[Any]) -> dict[str, str]:
    return dict((await handle.info()).metadata)


async def test_a_task_carries_the_context_of_its_send() -> None:
    traced = Traced()
    async with rediq.connect("memory://", telemetry=traced.telemetry) as client:
        with traced.provider.get_tracer("shop").start_as_current_span("request") as request:
            handle = await client.enqueue(a_task(metadata={"tenant": "acme"}))
        found = await metadata_of(handle)
    send = traced.span("send work")
    assert found == {"tenant": "acme", "traceparent": traceparent(send)}
    assert send.parent is not None
    assert send.parent.span_id == request.get_span_context().span_id


async def test_tasks_that_are_sent_together_have_a_context_each() -> None:
    traced = Traced()
    async with rediq.connect("memory://", telemetry=traced.telemetry) as client:
        handles = await client.enqueue_many([a_task(), a_task()])
        found = [(await metadata_of(handle))["traceparent"] for handle in handles]
    creates, send = traced.spans("create work"), traced.span("send work")
    assert traced.rows() == [*[Row("create work", "PRODUCER")] * 2, Row("send work", "CLIENT", 2)]
    assert found == [traceparent(span) for span in creates]
    assert links_of(send) == [context_of(span) for span in creates]
    assert send.attributes is not None
    assert send.attributes["messaging.batch.message_count"] == 2
    assert traced.metrics("messaging.client.sent.messages").popitem()[1] == 2


async def test_without_create_spans_they_share_that_of_the_whole() -> None:
    traced = Traced({"create_spans": False})
    async with rediq.connect("memory://", telemetry=traced.telemetry) as client:
        handles = await client.enqueue_many([a_task(), rediq.Task("ok", queue="other")])
        found = {(await metadata_of(handle))["traceparent"] for handle in handles}
    send = traced.span("send")
    assert traced.rows() == [Row("send", "PRODUCER")]  # two queues, so it names none
    assert found == {traceparent(send)}
    assert len(traced.metrics("messaging.client.sent.messages")) == 2


async def test_a_workflow_is_one_conversation() -> None:
    traced = Traced()
    async with rediq.connect("memory://", telemetry=traced.telemetry) as client:
        handle = await client.enqueue(rediq.chain(a_task(), a_task()))
    creates = traced.spans("create work")
    assert [row.kind for row in traced.rows()] == ["PRODUCER", "PRODUCER", "CLIENT"]
    ids = {(each.attributes or {})["messaging.message.conversation_id"] for each in creates}
    assert ids == {handle.id}


@pytest.mark.parametrize("many", [True, False])
async def test_a_context_that_the_user_set_is_left_alone(many: bool) -> None:
    traced = Traced()
    mine = {"traceparent": PARENT}
    async with rediq.connect("memory://", telemetry=traced.telemetry) as client:
        task = a_task(metadata=mine)
        (handle,) = await client.enqueue_many([task]) if many else [await client.enqueue(task)]
        assert await metadata_of(handle) == mine
    assert traced.rows() == [Row("send work", "CLIENT", 1)]
    assert f"{links_of(traced.span('send'))[0][0]:032x}" == TRACE


async def test_a_failure_is_an_error_and_a_cancellation_is_none() -> None:
    traced = Traced()
    async with rediq.connect("memory://", telemetry=traced.telemetry) as client:
        await client.enqueue(a_task(id="a"))
        with pytest.raises(rediq.DuplicateTask):
            await client.enqueue(a_task(id="a"))
        await client.queue("work").limit(max_pending=1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(client.enqueue, a_task(), wait=True))
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        with pytest.raises(rediq.ConfigError):
            await client.enqueue("no task")  # type: ignore[call-overload]
    assert traced.rows() == [
        Row("send work", "PRODUCER"),
        Row("send work", "PRODUCER", error="DuplicateTask"),
        Row("send work", "PRODUCER"),
    ]
    assert (traced.spans()[2].attributes or {})["rediq.cancelled"] is True
    failed = [
        dict(key).get("error.type") for key in traced.metrics("messaging.client.sent.messages")
    ]
    assert sorted(map(str, failed)) == ["DuplicateTask", "None"]


async def test_what_was_not_created_says_so() -> None:
    traced = Traced()
    task = a_task(unique=rediq.Unique("k", on_conflict="return"))
    async with rediq.connect("memory://", telemetry=traced.telemetry) as client:
        assert (await client.enqueue(task)).created
        assert not (await client.enqueue(task)).created
    assert [(s.attributes or {}).get("rediq.created") for s in traced.spans()] == [None, 0]


async def test_context_counts_against_no_limit_of_the_user() -> None:
    traced = Traced()
    full = {f"k{n}": "v" for n in range(64)}
    async with rediq.connect("memory://", telemetry=traced.telemetry) as client:
        handle = await client.enqueue(a_task(metadata=full))
        assert (await metadata_of(handle)).keys() > full.keys()
        again = await handle.enqueue_again()
        assert await metadata_of(again) == await metadata_of(handle)
        first, second = traced.rows()
        assert (first.kind, second.kind, second.links) == ("PRODUCER", "CLIENT", 1)
        await handle.update(priority=3)
        assert (await metadata_of(handle)).keys() > full.keys()


async def test_a_trigger_has_a_span() -> None:
    traced = Traced()
    async with rediq.connect("memory://", telemetry=traced.telemetry) as client:
        await client.schedules().add("often", rediq.Every(3600), a_task())
        handle = await client.schedules().trigger("often")
        found = await metadata_of(handle)
    send = traced.span("send work")
    assert found == {"rediq.schedule": "often", "traceparent": traceparent(send)}


def test_a_blocking_client_sends_in_the_context_of_its_thread(redis_server: Server) -> None:
    traced = Traced()
    tracer = traced.provider.get_tracer("shop")
    with rediq.connect_sync(redis_server.url, telemetry=traced.telemetry) as client:
        with tracer.start_as_current_span("request", kind=SpanKind.SERVER) as request:
            client.enqueue(a_task())
            client.enqueue_many([a_task()])
            assert trace.get_current_span() is request
        client.enqueue(a_task())
    *inside, outside = (span for span in traced.spans() if span.name != "request")
    assert [row.name for row in traced.rows()] == [
        "send work", "create work", "send work", "request", "send work",
    ]  # fmt: skip
    parents = {span.parent.span_id for span in inside if span.parent is not None}
    assert parents == {request.get_span_context().span_id}
    assert outside.parent is None


async def test_the_address_is_that_of_the_server(redis_server: Server) -> None:
    traced = Traced()
    async with rediq.connect(redis_server.url, telemetry=traced.telemetry) as client:
        await client.enqueue(a_task())
    attributes = dict(traced.span("send").attributes or {})
    assert (
        attributes["server.address"] == redis_server.url.removeprefix("unix://").partition("?")[0]
    )
    assert "server.port" not in attributes


def run_python(text: str) -> str:
    found = subprocess.run(
        [sys.executable, "-c", text], check=True, capture_output=True, text=True, timeout=60
    )
    return found.stdout.strip()


def test_without_the_package_the_error_names_the_extra() -> None:
    text = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "import rediq_trio as rediq\n"
        "from rediq_trio.telemetry import OpenTelemetry\n"
        "try: OpenTelemetry()\n"
        "except rediq.ConfigError as error: print(error)\n"
    )
    expected = "OpenTelemetry() needs the extra `otel`: pip install 'rediq-trio[otel]'"
    assert run_python(text) == expected


def test_the_library_alone_does_not_import_it() -> None:
    text = (
        "import sys, rediq_trio, rediq_trio.telemetry; rediq_trio.App(); "
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    assert run_python(text) == "[]"


WITHOUT_SDK = """
import sys
sys.modules["opentelemetry.sdk"] = None
import trio
import rediq_trio as rediq
from rediq_trio.telemetry import OpenTelemetry

app = rediq.App("quiet", telemetry=OpenTelemetry(settle_spans=True))

@app.task("ok", retention=60)
async def ok() -> None:
    task = rediq.current_task()
    print(task.trace_id, dict(task.metadata))

async def main() -> None:
    async with rediq.serve(app, "memory://", burst=True) as server:
        await server.client.enqueue(ok.task())
        await server.client.enqueue_many([ok.task()])
        await server.wait_stopped()

trio.run(main)
"""


def test_without_an_sdk_nothing_is_recorded() -> None:
    assert run_python(WITHOUT_SDK) == "None {}\nNone {}"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"parent": 1}, "parent=1: must be True or False"),
        ({"tracer_provider": 5}, "tracer_provider=5: must be an object with get_tracer(), or None"),
        ({"meter_provider": 5}, "meter_provider=5: must be an object with get_meter(), or None"),
    ],
)
def test_a_bad_argument_is_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(rediq.ConfigError) as caught:
        OpenTelemetry(**options)
    assert str(caught.value) == said


async def test_what_is_no_telemetry_is_refused() -> None:
    with pytest.raises(rediq.ConfigError, match="telemetry=5: must be an OpenTelemetry, or None"):
        rediq.App(telemetry=5)  # type: ignore[arg-type]
    with pytest.raises(rediq.ConfigError, match="telemetry=5: must be"):
        async with rediq.connect("memory://", telemetry=5):  # type: ignore[arg-type]
            raise AssertionError
    with pytest.raises(rediq.ConfigError, match="app=5: must be an App, or None"):
        async with rediq.connect("memory://", app=5):  # type: ignore[arg-type]
            raise AssertionError


def test_a_client_for_asyncio_sends_in_the_context_of_its_task(redis_server: Server) -> None:
    traced = Traced()
    tracer = traced.provider.get_tracer("shop")

    async def send(client: rediq.asyncio.AsyncioClient, name: str) -> None:
        with tracer.start_as_current_span(name):
            await asyncio.sleep(0)
            await client.enqueue(rediq.Task("ok", queue=name))

    async def main() -> None:
        opened = rediq.asyncio.connect(redis_server.url, telemetry=traced.telemetry)
        async with opened as client:
            await asyncio.gather(send(client, "first"), send(client, "second"))

    asyncio.run(main())
    for name in ("first", "second"):
        (parent,) = (span for span in traced.spans() if span.name == name)
        sent = traced.span(f"send {name}")
        assert sent.parent is not None
        assert (sent.parent.trace_id, sent.parent.span_id) == context_of(parent)


async def test_the_context_crosses_a_server(redis_server: Server) -> None:
    traced = Traced()
    app = rediq.App("crosses", telemetry=traced.telemetry)

    @app.task("ok", queue="crosses")
    async def ok() -> None: ...

    async with rediq.connect(redis_server.url, telemetry=traced.telemetry) as client:
        await client.enqueue(ok.task())
    async with rediq.serve(app, redis_server.url, queues=["crosses"], burst=True) as server:
        await server.wait_stopped()
    assert links_of(traced.span("process")) == [context_of(traced.span("send"))]
