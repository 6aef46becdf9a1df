"""What reaches Sentry: read at a local ingest, to which the SDK sends it over HTTP."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
import sentry_sdk
import trio
from sentry_sdk.integrations.logging import LoggingIntegration

import rediq_trio as rediq
from rediq_trio.handlers.failed_attempt import FailedAttempt
from rediq_trio.schedules.declare import ScheduleDeclaration
from rediq_trio.sentry import SentryIntegration
from rediq_trio.sentry.check_ins import SLUG_MAX, monitor_config, slug_of
from rediq_trio.sentry.events import kind_of, tag
from rediq_trio.sentry.spans import add_trace
from rediq_trio.values.observed.attempt import ErrorText
from tests.sentry.ingest import Ingest, running_ingest

WITHIN = 30.0
SECRET = "card 4111-1111"


@pytest.fixture
def ingest() -> Iterator[Ingest]:
    with running_ingest() as ingest:
        sentry_sdk.init(
            dsn=ingest.dsn, traces_sample_rate=1.0, default_integrations=False,
            auto_enabling_integrations=False, integrations=[LoggingIntegration()],
        )  # fmt: skip
        try:
            yield ingest
        finally:
            sentry_sdk.get_client().close(timeout=5)
            sentry_sdk.get_global_scope().set_client(None)


def made(*, redact: Any = None, **options: bool) -> tuple[rediq.App, SentryIntegration]:
    app = rediq.App("shop", redact=redact)
    sentry = SentryIntegration(**options)
    sentry.install(app)
    return app, sentry


async def ended(client: rediq.Client, task: rediq.Task[Any], **options: Any) -> str:
    """Enqueue a task, wait for its end, and send what there is; return its id."""
    handle = await client.enqueue(task, **options)
    await handle.wait(timeout=WITHIN)
    await flushed()
    return handle.id


async def flushed() -> None:
    await trio.to_thread.run_sync(lambda: sentry_sdk.flush(timeout=10))


async def test_a_task_that_is_dead_is_an_event_with_all_that_is_known(ingest: Ingest) -> None:
    app, _ = made()

    @app.task("pay", max_retry=1, backoff=rediq.Exponential(first=0.01))
    async def pay(card: str) -> None:
        sentry_sdk.set_tag("shop", "tea")
        raise ValueError(f"refused {card}")

    async with rediq.serve(app, "memory://", name="w1") as server:
        task_id = await ended(server.client, pay.task("x"))
        (kind,) = await server.client.queue("default").failures()
    (event,) = ingest.events  # of two attempts, and of the log's records none
    (error,) = event["exception"]["values"]
    assert (error["type"], error["value"]) == ("ValueError", "refused x")
    assert error["stacktrace"]["frames"][-1]["function"] == "pay"
    assert error["mechanism"] == {"type": "rediq", "handled": False}
    assert (event["level"], event["transaction"]) == ("error", "pay")
    assert event["fingerprint"] == ["rediq", kind.kind]
    assert event["contexts"]["rediq"] == {
        "task_id": task_id, "type": "pay", "queue": "default", "attempt": 2, "worker": "w1",
        "final": True, "kind": kind.kind, "max_retry": 1,
    }  # fmt: skip
    assert event["tags"] == {
        "rediq.task_id": task_id, "rediq.type": "pay", "rediq.queue": "default",
        "rediq.attempt": "2", "rediq.worker": "w1", "rediq.final": "true",
        "rediq.kind": kind.kind, "shop": "tea",
    }  # fmt: skip
    last = ingest.transactions[-1]["contexts"]["trace"]
    assert event["contexts"]["trace"]["trace_id"] == last["trace_id"]


async def test_failures_that_are_retried_are_sent_if_asked_for(ingest: Ingest) -> None:
    app, _ = made(only_final=False)

    @app.task("flaky", max_retry=2, backoff=rediq.Exponential(first=0.01))
    async def flaky() -> None:
        if rediq.current_task().attempt < 3:
            raise ValueError

    async with rediq.serve(app, "memory://") as server:
        await ended(server.client, flaky.task())
    found = [(one["level"], one["tags"]["rediq.attempt"], one["tags"]["rediq.final"])
             for one in ingest.events]  # fmt: skip
    assert found == [("warning", "1", "false"), ("warning", "2", "false")]


async def test_what_ends_without_an_exception_is_an_event_too(ingest: Ingest) -> None:
    app, _ = made()

    @app.task("slow", max_retry=0, timeout=0.05)
    async def slow() -> None:
        await trio.sleep_forever()

    @app.task("picky", max_retry=0)
    async def picky(number: int) -> None: ...

    async with rediq.serve(app, "memory://", unknown_type_patience=0) as server:
        await ended(server.client, slow.task())
        await ended(server.client, rediq.Task("picky", {"other": 1}))
        await ended(server.client, rediq.Task("nobody"))
    late, unfit, unknown = ingest.events
    (value,) = late["exception"]["values"]
    assert value["value"] == "timeout: it took longer than 0.05 s"
    assert "sleep_forever" in late["extra"]["traceback"]
    assert "has no 'number'" in unfit["exception"]["values"][0]["value"]
    assert unknown["tags"]["rediq.type"] == unknown["transaction"] == "nobody"


async def test_of_a_redacted_error_nothing_else_is_sent(ingest: Ingest) -> None:
    app, _ = made(redact=lambda text: ErrorText(text.type, "hidden"), only_final=False)

    @app.task("pay", max_retry=1, backoff=rediq.Exponential(first=0.01))
    async def pay() -> None:
        card = SECRET
        raise ValueError(card)

    @app.task("other", max_retry=0)
    def other() -> None:
        raise KeyError(SECRET) from RuntimeError(SECRET)

    async with rediq.serve(app, "memory://") as server:
        await ended(server.client, pay.task())
        await ended(server.client, other.task())
        sentry_sdk.capture_message("afterwards, with the breadcrumbs of the worker")
        await flushed()
    *failures, _ = ingest.events
    assert [one["exception"]["values"][0]["value"] for one in failures] == ["hidden"] * 3
    assert not any("extra" in one for one in failures)
    assert ingest.raw
    assert not any(SECRET.encode() in body for body in ingest.raw)


async def test_each_attempt_has_a_scope_of_its_own_in_tasks_and_threads(ingest: Ingest) -> None:
    app, _ = made()
    arrived: list[str] = []

    def meet(name: str) -> None:
        """Wait until all have set their tags: only then does anybody send."""
        arrived.append(name)
        give_up = time.monotonic() + WITHIN
        while len(arrived) < 4 and time.monotonic() < give_up:
            time.sleep(0.001)

    @app.task("plain")
    def plain(name: str) -> None:
        sentry_sdk.set_tag(name, name)
        sentry_sdk.add_breadcrumb(message=name)
        meet(name)
        sentry_sdk.capture_message(name)

    @app.task("nested")
    async def nested(name: str) -> None:
        async def child() -> None:
            await trio.to_thread.run_sync(meet, name)
            await trio.to_thread.run_sync(sentry_sdk.capture_message, name)

        sentry_sdk.set_tag(name, name)
        sentry_sdk.add_breadcrumb(message=name)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)

    async with rediq.serve(app, "memory://", concurrency=4) as server:
        tasks = [kind.task(name) for kind, name in
                 ((plain, "a"), (plain, "b"), (nested, "c"), (nested, "d"))]  # fmt: skip
        for handle in await server.client.enqueue_many(tasks):
            await handle.result(timeout=WITHIN)
        sentry_sdk.capture_message("outside")
        await flushed()
    found = {event["message"]: event for event in ingest.events}
    assert found.keys() == {"a", "b", "c", "d", "outside"}
    spans = set[str]()
    for name in "abcd":
        event = found[name]
        assert event["tags"] == {name: name}
        assert [crumb["message"] for crumb in event["breadcrumbs"]["values"]] == [name]
        spans.add(event["contexts"]["trace"]["span_id"])
    assert len(spans) == 4
    assert "tags" not in found["outside"]


async def test_a_task_continues_the_trace_of_its_producer(ingest: Ingest) -> None:
    app, _ = made()

    @app.task("work")
    async def work(text: str) -> None:
        sentry_sdk.capture_message("in work")

    async with rediq.serve(app, "memory://") as server:
        client = server.client
        with sentry_sdk.start_transaction(name="checkout"):
            handle = await client.enqueue(work.options(delay=0.2).task("tea"))
        await handle.result(timeout=WITHIN)
        metadata = (await handle.info()).metadata
        await flushed()
    assert metadata.keys() == {"sentry-trace", "baggage"}
    found = {one["transaction"]: one for one in ingest.transactions}
    (sent,) = found["checkout"]["spans"]
    (received,) = found["work"]["spans"]
    assert (sent["op"], received["op"]) == ("queue.publish", "queue.process")
    assert found["work"]["contexts"]["trace"]["op"] == "queue.task.rediq"
    assert found["work"]["contexts"]["trace"]["parent_span_id"] == sent["span_id"]
    assert found["work"]["contexts"]["trace"]["trace_id"] == sent["trace_id"]
    (event,) = ingest.events
    assert event["contexts"]["trace"]["span_id"] == received["span_id"]
    for span in (sent, received):
        data = span["data"]
        assert data["messaging.system"] == "rediq"
        assert data["messaging.message.id"] == handle.id
        assert data["messaging.destination.name"] == "default"
    assert received["data"]["messaging.message.body.size"] == len(b"\x81\xa4text\xa3tea")
    assert received["data"]["messaging.message.retry.count"] == 0
    # In milliseconds, from when it was due, so the delay is no part of it.
    assert 0 <= received["data"]["messaging.message.receive.latency"] < WITHIN * 1000
    assert "messaging.message.receive.latency" not in sent["data"]


async def test_tasks_that_are_sent_together_have_one_span_and_its_trace(ingest: Ingest) -> None:
    app, _ = made()

    @app.task("work", retention=60)
    async def work() -> None: ...

    async with rediq.connect("memory://", app=app) as client:
        with sentry_sdk.start_transaction(name="checkout") as transaction:
            many = await client.enqueue_many([work.task(), work.task()])
            flow = await client.enqueue(rediq.chain(work.task(), work.task()))
            again = await many[0].enqueue_again()
        kept = {(await handle.info()).metadata["sentry-trace"] for handle in many}
        mine = await client.enqueue(work.options(metadata={"sentry-trace": "mine"}).task())
        assert (await mine.info()).metadata == {"sentry-trace": "mine"}
        await flushed()
    (found,) = ingest.transactions
    first, second, third = found["spans"]
    assert {each["op"] for each in found["spans"]} == {"queue.publish"}
    assert [each["data"].get("messaging.batch.message_count") for each in found["spans"]] == [
        2,
        2,
        None,
    ]
    assert third["data"]["messaging.message.id"] == again.id
    assert kept == {f"{transaction.trace_id}-{first['span_id']}-1"}
    assert (first["description"], second["description"], len(flow.handles)) == ("work", "work", 2)


async def test_a_program_that_lives_long_has_a_trace_for_each_call_outside_of_a_request(
    ingest: Ingest,
) -> None:
    app, _ = made()

    @app.task("work")
    async def work() -> None: ...

    async def trace_of(client: rediq.Client) -> str:
        handle = await client.enqueue(work.task())
        return (await handle.info()).metadata["sentry-trace"].partition("-")[0]

    async with rediq.connect("memory://", app=app) as client:
        before = sentry_sdk.get_isolation_scope().get_active_propagation_context().trace_id
        apart = [await trace_of(client) for _ in range(3)]
        assert len({before, *apart}) == 4
        many = await client.enqueue_many([work.task()] * 2)
        assert len({(await one.info()).metadata["sentry-trace"] for one in many}) == 1
        with sentry_sdk.isolation_scope() as request:
            request.set_new_propagation_context()
            theirs = request.get_active_propagation_context().trace_id
            assert [await trace_of(client) for _ in range(2)] == [theirs] * 2
        with sentry_sdk.isolation_scope():
            incoming = {"sentry-trace": f"{'a' * 32}-{'b' * 16}-1"}
            sentry_sdk.continue_trace(incoming)
            assert await trace_of(client) == "a" * 32
        # What is sent changes nothing of the program's own trace.
        after = sentry_sdk.get_isolation_scope().get_active_propagation_context().trace_id
        assert after == before


async def test_a_handler_and_a_tick_publish_too(ingest: Ingest) -> None:
    app, _ = made(check_ins=False)

    @app.task("parent")
    async def parent() -> None:
        rediq.current_task().enqueue_after(child.task())

    @app.task("child")
    async def child() -> None: ...

    app.schedule("often", rediq.Every(0.2), parent.task())
    async with rediq.serve(app, "memory://") as server:
        with trio.fail_after(WITHIN):
            while server.stats().completed < 4:  # of two ticks
                await trio.sleep(0.01)
    await flushed()
    ticks, parents, children = (
        [one for one in ingest.transactions if one["transaction"] == name]
        for name in ("often", "parent", "child")
    )
    traces = [one["contexts"]["trace"]["trace_id"] for one in ticks]
    assert len({*traces}) == len(traces) >= 2
    for one in parents:
        about = one["contexts"]["trace"]
        (tick,) = (
            each for each in ticks if each["contexts"]["trace"]["trace_id"] == about["trace_id"]
        )
        assert about["parent_span_id"] == tick["spans"][0]["span_id"]
        assert [each["op"] for each in one["spans"]] == ["queue.process", "queue.publish"]
    sent = {one["spans"][1]["span_id"] for one in parents}
    assert {one["contexts"]["trace"]["parent_span_id"] for one in children} <= sent


async def test_a_tick_that_another_worker_has_made_is_not_sent(ingest: Ingest) -> None:
    app, _ = made()
    for name, dropped in (("theirs", True), ("ours", False)):
        sending = rediq.Sending("tick", (rediq.SentTask("q/a", "t", "q", {}),), name)
        with app._sending[0](sending):
            sending.dropped = dropped
    await flushed()
    assert [one["transaction"] for one in ingest.transactions] == ["ours"]


async def test_what_does_not_fit_is_left_out(ingest: Ingest) -> None:
    def with_trace(metadata: dict[str, str]) -> dict[str, str]:
        task = rediq.SentTask("q/a", "t", "q", metadata)
        add_trace(task, None)
        return task.metadata

    full = {f"k{n}": "" for n in range(80)}
    assert with_trace(dict(full)) == full
    assert with_trace({"k": ""}).keys() == {"k", "sentry-trace", "baggage"}
    found = with_trace({"baggage": "mine=1"})["baggage"]
    assert found.startswith("mine=1,sentry-trace_id=")
    assert with_trace({"baggage": "x" * 8192})["baggage"] == "x" * 8192
    assert not ingest.items


async def test_a_task_that_is_dead_without_an_attempt_is_an_event(ingest: Ingest) -> None:
    app, _ = made()

    @app.task("nightly")
    async def nightly() -> None: ...

    app.schedule("good", rediq.Every(3600), nightly.task())
    metadata = {"rediq.schedule": "good", "rediq.tick": "2026-01-01T02:00:00.000+00:00"}
    late = nightly.options(metadata=metadata, delay=60, expires=0.1).task()
    async with rediq.serve(app, "memory://", name="w1") as server:
        task_id = await ended(server.client, late)
    await flushed()  # what is left is reported when the worker ends
    (event,) = ingest.events
    assert event["exception"]["values"][0]["value"] == "expired"
    assert event["fingerprint"] == ["rediq", "nightly", "expired"]
    assert event["contexts"]["rediq"] == {
        "task_id": task_id, "type": "nightly", "queue": "default", "attempt": 0, "worker": "w1",
        "final": True, "kind": "", "max_retry": 3,
    }  # fmt: skip
    assert [(one["monitor_slug"], one["status"]) for one in ingest.check_ins] == [
        ("default-good", "error")
    ]


def test_deaths_for_one_reason_have_one_fingerprint() -> None:
    def of(reason: str, kind: str = "") -> tuple[str, ...]:
        about: dict[str, Any] = {
            "id": "q/a",
            "queue": "q",
            "type": "t",
            "worker": "w",
            "error": None,
        }
        text = ErrorText("", reason)
        return kind_of(
            FailedAttempt(
                **about, attempt=0, max_retry=0, metadata={}, final=True, kind=kind, text=text
            )
        )

    assert of("its worker died under it 4 times") == of("its worker died under it 3 times")
    assert of("expired") == ("t", "expired")
    assert of("no", "abc") == ("abc",)


async def test_a_schedule_checks_in_once_for_all_attempts_of_a_task(ingest: Ingest) -> None:
    app, _ = made()

    @app.task("nightly", max_retry=1, backoff=rediq.Exponential(first=0.01), timeout=90)
    async def nightly(fails: int) -> None:
        if rediq.current_task().attempt <= fails:
            raise ValueError

    line = rediq.Cron("0 2 * * *", timezone="Europe/Berlin")
    app.schedule("good", line, nightly.task(1))
    app.schedule("bad", rediq.Every(3600), nightly.task(2))
    app.schedule("often", rediq.Every(1), nightly.task(0))
    async with rediq.serve(app, "memory://") as server:
        for name in ("good", "bad", "often", "of nobody"):
            metadata = {"rediq.schedule": name, "rediq.tick": "2026-01-01T02:00:00.000+00:00"}
            fails = {"good": 1, "bad": 2}.get(name, 0)
            await ended(server.client, nightly.options(metadata=metadata).task(fails))
        await ended(server.client, nightly.options(metadata={"rediq.schedule": "good"}).task(0))
    seen = [(one["monitor_slug"], one["status"]) for one in ingest.check_ins]
    assert seen == [
        ("default-good", "in_progress"), ("default-good", "ok"),
        ("default-bad", "in_progress"), ("default-bad", "error"),
    ]  # fmt: skip
    ids = [one["check_in_id"] for one in ingest.check_ins]
    assert ids[0] == ids[1] != ids[2] == ids[3]
    assert ingest.check_ins[0]["monitor_config"] == {
        "schedule": {"type": "crontab", "value": "0 2 * * *"}, "timezone": "Europe/Berlin",
        "checkin_margin": 5, "max_runtime": 2,
    }  # fmt: skip
    every = ingest.check_ins[2]["monitor_config"]["schedule"]
    assert every == {"type": "interval", "value": 60, "unit": "minute"}


async def test_without_check_ins_nobody_checks_in(ingest: Ingest) -> None:
    app, _ = made(check_ins=False)

    @app.task("nightly")
    async def nightly() -> None: ...

    app.schedule("good", rediq.Every(3600), nightly.task())
    metadata = {"rediq.schedule": "good", "rediq.tick": "2026-01-01T02:00:00.000+00:00"}
    async with rediq.serve(app, "memory://") as server:
        await ended(server.client, nightly.options(metadata=metadata).task())
    assert ingest.transactions
    assert not ingest.check_ins


def test_a_tag_is_short_and_has_no_control_characters() -> None:
    assert tag("\x1b[31m\n") == "\\x1b[31m\\n"
    assert tag("x" * 999) == "x" * 200
    assert tag(True) == "true"


def test_slugs_are_short_and_stay_apart() -> None:
    assert slug_of("default", "nightly_1") == "default-nightly_1"
    found = {slug_of("q", name) for name in ("A.b", "a:b", "a-b", "x" * 60, "x" * 61)}
    assert len(found) == 5
    assert max(map(len, found)) <= SLUG_MAX


@pytest.mark.parametrize("seconds", [30, 90, 60.5])
def test_an_interval_that_is_no_whole_minutes_has_no_monitor(seconds: float) -> None:
    declared = ScheduleDeclaration("s", rediq.Every(seconds), rediq.Task("t"))
    assert monitor_config(declared) is None


async def test_the_middleware_of_the_app_runs_inside_the_scope(ingest: Ingest) -> None:
    app = rediq.App()

    @app.middleware
    async def tagging(task: rediq.CurrentTask) -> Any:
        sentry_sdk.set_tag("layer", task.type)
        yield

    SentryIntegration().install(app)

    @app.task("fails", max_retry=0)
    async def fails() -> None:
        raise ValueError

    async with rediq.serve(app, "memory://") as server:
        await ended(server.client, fails.task())
    (event,) = ingest.events
    assert event["tags"]["layer"] == "fails"


async def test_what_an_app_had_before_runs_inside_the_scope_and_the_span(ingest: Ingest) -> None:
    app = rediq.App()
    seen = dict[str, Any]()

    @app.middleware
    async def looking(task: rediq.CurrentTask) -> Any:
        span = sentry_sdk.get_current_span()
        seen["span"] = None if span is None else span.op
        sentry_sdk.set_tag("layer", task.type)
        yield

    @app.sending
    def sending(sending: rediq.Sending) -> Iterator[None]:
        seen["sent"] = "sentry-trace" in sending.tasks[0].metadata
        yield

    SentryIntegration().install(app)

    @app.task("works")
    async def works() -> None: ...

    async with rediq.serve(app, "memory://") as server:
        await ended(server.client, works.task())
        sentry_sdk.capture_message("outside")
        await flushed()
    assert seen == {"span": "queue.process", "sent": True}
    assert "tags" not in ingest.events[-1]


async def test_an_attempt_does_not_have_the_breadcrumbs_of_the_program(ingest: Ingest) -> None:
    app, _ = made()

    @app.task("fails", max_retry=0)
    async def fails() -> None:
        sentry_sdk.add_breadcrumb(message="of the attempt")
        raise ValueError

    with sentry_sdk.isolation_scope():
        sentry_sdk.add_breadcrumb(message="of the program")
        async with rediq.serve(app, "memory://") as server:
            await ended(server.client, fails.task())
            sentry_sdk.capture_message("outside")
            await flushed()
    inside, outside = (
        [crumb["message"] for crumb in event["breadcrumbs"]["values"]] for event in ingest.events
    )
    assert inside == ["of the attempt"]
    assert "of the program" in outside


async def test_an_included_app_brings_its_integration(ingest: Ingest) -> None:
    other, _ = made()

    @other.task("fails", max_retry=0)
    async def fails() -> None:
        raise ValueError

    app = rediq.App()
    app.include(other)
    async with rediq.serve(app, "memory://") as server:
        await ended(server.client, fails.task())
    assert len(ingest.events) == 1


async def test_a_reporter_that_fails_does_not_fail_the_worker(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = rediq.App()

    def broken(_: object) -> None:
        raise SystemExit

    app._failure_reporters.append(broken)

    @app.task("fails", max_retry=1, backoff=rediq.Exponential(first=0.01))
    async def fails() -> None:
        raise ValueError

    async with rediq.serve(app, "memory://") as server:
        handle = await server.client.enqueue(fails.task())
        await handle.wait(timeout=WITHIN)
        assert (await handle.info()).attempt == 2
    texts = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    assert texts.count("a failure could not be reported: SystemExit") == 2


async def test_without_init_nothing_is_done() -> None:
    app, _ = made(only_final=False)

    @app.task("work", max_retry=0)
    async def work(fails: bool) -> str:
        if fails:
            raise ValueError
        return "done"

    async with rediq.serve(app, "memory://") as server:
        await ended(server.client, work.task(True))
        handle = await server.client.enqueue(work.task(False))
        assert await handle.result(timeout=WITHIN) == "done"


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(rediq.ConfigError, match="only_final='no': must be True or False"):
        SentryIntegration(only_final="no")  # type: ignore[arg-type]
    with pytest.raises(rediq.ConfigError, match="app=3: must be an App"):
        SentryIntegration().install(3)  # type: ignore[arg-type]
    app, _ = made()
    with pytest.raises(rediq.ConfigError, match="has a SentryIntegration already"):
        SentryIntegration().install(app)
    assert (len(app.layers), len(app.sending_layers), len(app._failure_reporters)) == (1, 1, 1)


def test_without_the_sdk_the_error_names_the_extra() -> None:
    program = "import sys; sys.modules['sentry_sdk'] = None; import rediq_trio.sentry"
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert found.returncode == 1
    assert "pip install 'rediq-trio[sentry]'" in found.stderr
