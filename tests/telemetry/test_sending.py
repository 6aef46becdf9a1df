"""Middleware around sending: what it sees and changes, and what becomes of its errors."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

import rediq_trio as rediq
from rediq_trio.values.telemetry.sending import SENT_METADATA_MAX, SENT_TEXT_MAX

TENANT: ContextVar[str] = ContextVar("tenant", default="none")


class Seen:
    """An app whose middleware stamps each task, and keeps what it saw."""

    def __init__(self) -> None:
        self.app = app = rediq.App("seen")
        self.sendings: list[rediq.Sending] = []
        self.errors: list[BaseException | None] = []

        @app.sending
        def stamp(sending: rediq.Sending) -> Generator[None]:
            self.sendings.append(sending)
            for task in sending.tasks:
                task.metadata["tenant"] = TENANT.get()
            try:
                yield
            except BaseException as error:
                self.errors.append(error)
                raise
            self.errors.append(None)

        @app.task("ok", queue="work", retention=3600)
        async def ok() -> dict[str, str]:
            return dict(rediq.current_task().metadata)

        @app.task("parent", queue="work")
        async def parent() -> None:
            rediq.current_task().enqueue_after(a_task(id="child"))

    @property
    def routes(self) -> list[str]:
        return [sending.route for sending in self.sendings]


def a_task(**options: Any) -> rediq.Task[Any]:
    return rediq.Task("ok", queue="work", **options)


@pytest.mark.mock_clock
async def test_it_sees_each_way_on_which_tasks_are_sent() -> None:
    seen = Seen()
    seen.app.schedule("often", rediq.Every(100), a_task())
    flow: rediq.Workflow[Any] = rediq.Workflow("flow")
    flow.add(a_task())
    async with rediq.serve(seen.app, "memory://", queues=["work"], name="w") as server:
        client, token = server.client, TENANT.set("acme")
        await client.enqueue(a_task(id="a"))
        await client.acting(who="ops").enqueue(a_task())
        await client.enqueue_many([a_task(), a_task()])
        handle = await client.enqueue(flow)
        await client.enqueue(rediq.Task("parent", queue="work"))
        await client.schedules().trigger("often")
        await client.queue("work").pause()  # or the worker has it before it is cancelled
        again = await client.task("work/a").enqueue_again()
        await again.cancel()
        assert (await again.enqueue_again(replace=True)).created
        await client.queue("work").resume()
        TENANT.reset(token)
        await server.wait_idle()
        await trio.sleep(100)
        await server.wait_idle()
        assert await client.task("work/a").result() == {"tenant": "acme"}
        assert await client.task("work/child").result() == {"tenant": "none"}
    once = [route for route in seen.routes if route != "tick"]
    assert sorted(once) == [
        "enqueue", "enqueue", "enqueue", "enqueue_after", "enqueue_again", "enqueue_again",
        "enqueue_many", "trigger", "workflow",
    ]  # fmt: skip
    assert "tick" in seen.routes
    first = seen.sendings[0]
    assert [(t.id, t.type, t.queue, t.created) for t in first.tasks] == [
        ("work/a", "ok", "work", True)
    ]
    assert (first.client_id, first.name, first.server) == ("w", None, None)
    names = {sending.name for sending in seen.sendings if sending.route in ("tick", "trigger")}
    assert names == {"often"}
    (sent,) = (each for each in seen.sendings if each.route == "workflow")
    assert (sent.name, sent.workflow) == ("flow", handle.id)
    assert {each.workflow for each in seen.sendings if each is not sent} == {None}
    assert all(
        t.created for each in seen.sendings if each.route == "enqueue_again" for t in each.tasks
    )
    assert seen.errors == [None] * len(seen.routes)


async def test_a_client_of_an_app_has_it_too() -> None:
    seen = Seen()
    async with rediq.connect("memory://", app=seen.app) as client:
        handle = await client.enqueue(a_task())
        assert (await handle.info()).metadata == {"tenant": "none"}
    assert seen.routes == ["enqueue"]


async def test_the_first_registered_is_the_outermost() -> None:
    app, order = rediq.App("order"), list[str]()

    @contextmanager
    def around(name: str) -> Generator[None]:
        order.append(name)
        yield
        order.append(f"end of {name}")

    @app.sending
    def first(_: rediq.Sending) -> AbstractContextManager[None]:
        return around("first")

    outer = rediq.App("outer")
    outer.include(app)

    @outer.sending
    def second(_: rediq.Sending) -> AbstractContextManager[None]:
        return around("second")

    async with rediq.connect("memory://", app=outer) as client:
        await client.enqueue(a_task())
    assert order == ["first", "second", "end of second", "end of first"]


async def test_an_error_before_it_yields_sends_nothing() -> None:
    app = rediq.App("broken")

    @app.sending
    def broken(sending: rediq.Sending) -> Generator[None]:
        raise ValueError("no tenant")
        yield

    async with rediq.connect("memory://", app=app) as client:
        for call in (client.enqueue(a_task()), client.enqueue_many([a_task()])):
            with pytest.raises(ValueError, match="no tenant"):
                await call
        assert await client.queues() == []


async def test_it_sees_errors_and_cancellation_and_can_swallow_neither() -> None:
    app, seen = rediq.App("swallows"), list[type[BaseException]]()

    @app.sending
    def swallow(sending: rediq.Sending) -> Generator[None]:
        try:
            yield
        except BaseException as error:
            seen.append(type(error))

    async with rediq.connect("memory://", app=app) as client:
        await client.queue("work").limit(max_pending=1)
        await client.enqueue(a_task())
        for call in (client.enqueue(a_task()), client.enqueue_many([a_task()])):
            with pytest.raises(rediq.QueueFull):
                await call
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(client.enqueue, a_task(), wait=True))
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    assert seen == [rediq.QueueFull, rediq.QueueFull, trio.Cancelled]


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({f"k{n}": "" for n in range(SENT_METADATA_MAX + 1)}, "at most 80 entries"),
        ({"k": "x" * (SENT_TEXT_MAX + 1)}, "each at most 8,192 characters"),
        ({"k": 5}, "str to str after the middleware"),
    ],
)
async def test_bad_metadata_of_middleware_is_refused(metadata: dict[str, Any], said: str) -> None:
    app = rediq.App("bad")

    @app.sending
    def stamp(sending: rediq.Sending) -> Generator[None]:
        sending.tasks[0].metadata.update(metadata)
        yield

    async with rediq.connect("memory://", app=app) as client:
        with pytest.raises(rediq.ConfigError, match=said):
            await client.enqueue(a_task())
        assert await client.queues() == []


@pytest.mark.mock_clock
@pytest.mark.parametrize("late", [True, False])
async def test_a_tick_is_enqueued_whatever_middleware_raises(
    late: bool, caplog: pytest.LogCaptureFixture
) -> None:
    seen = Seen()

    @seen.app.sending
    def broken(sending: rediq.Sending) -> Generator[None]:
        if late:
            yield
        raise ValueError("no\ntenant")

    seen.app.schedule("often", rediq.Every(10), a_task())
    async with rediq.serve(seen.app, "memory://", queues=["work"]) as server:
        await trio.sleep(25)
        stats = await server.client.queue("work").stats()
        assert stats.completed >= 2
    said = [record.getMessage() for record in caplog.records if "middleware" in record.message]
    assert len(said) == 1
    assert said[0].endswith(r"ValueError: no\ntenant")


async def refused(sending: rediq.Sending) -> AsyncGenerator[None]:
    yield


@pytest.mark.parametrize("what", [5, refused, "text"])
def test_what_cannot_be_middleware_is_refused(what: Any) -> None:
    with pytest.raises(rediq.ConfigError, match="a plain generator function of the Sending"):
        rediq.App("a").sending(what)


def test_what_a_sending_says_cannot_be_replaced() -> None:
    sending = rediq.Sending("enqueue", (rediq.SentTask("work/a", "ok", "work", {}),))
    for name in ("route", "tasks", "name"):
        with suppress(AttributeError):
            setattr(sending, name, None)
            raise AssertionError(name)
