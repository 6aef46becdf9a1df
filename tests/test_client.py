"""What a user does with a client and a server, on the specification and on a real Redis."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from collections.abc import Callable
from typing import Any

import attrs
import pytest
import trio

import rediq_trio as rediq
from rediq_trio import MemoryStore, State
from tests.servers import Server


class Colour(enum.Enum):
    RED = "red"


@attrs.frozen
class Order:
    id: uuid.UUID
    at: dt.datetime
    colour: Colour
    parts: list[str]


app = rediq.App()


@app.task("add")
async def add(a: int, b: int = 1) -> int:
    return a + b


@app.task("order")
async def order(order: Order, note: str | None = None) -> Order:
    assert isinstance(order, Order)
    return order


@app.task("boom", max_retry=0)
async def boom() -> None:
    raise ValueError("boom")


@app.task("wait", timeout=100)
async def wait(seconds: float = 60) -> str:
    rediq.current_task().progress(1, "begun")
    await trio.sleep(seconds)
    rediq.current_task().progress(100, "ended")
    return "waited"


@app.task("any")
async def whatever(payload: object) -> object:
    return payload


@pytest.fixture(params=["memory", "redis"])
def where(
    request: pytest.FixtureRequest, start_server: Callable[[str], Server]
) -> tuple[Any, dict[str, Any]]:
    """Give what `serve` and `connect` open, with the keywords they take."""
    if request.param == "memory":
        return MemoryStore(), {}
    return start_server("redis-6.2").url, {"key_prefix": f"client-{uuid.uuid4().hex[:8]}"}


Where = tuple[Any, dict[str, Any]]


async def test_a_result_comes_back_in_the_type_the_handler_gives(where: Where) -> None:
    mine = Order(uuid.uuid4(), dt.datetime(2026, 1, 2, tzinfo=dt.UTC), Colour.RED, ["x"])
    async with rediq.serve(app, where[0], **where[1]) as server:
        handle = await server.client.enqueue(order.task(order=mine))
        assert await handle.result(timeout=10) == mine
        again = server.client.task(handle.id)
        assert (await again.result(timeout=10))["colour"] == "red"


async def test_a_payload_that_is_no_mapping_is_the_one_argument(where: Where) -> None:
    async with rediq.serve(app, where[0], **where[1]) as server:
        for payload in (b"raw", [1, 2], "text", None, 7):
            handle = await server.client.enqueue(rediq.Task("any", payload))
            assert await handle.result(timeout=10) == payload


async def test_a_failed_task_tells_why_and_can_be_tried_again(where: Where) -> None:
    async with rediq.serve(app, where[0], **where[1]) as server:
        handle = await server.client.enqueue(boom.task())
        with pytest.raises(rediq.TaskFailed, match="ValueError: boom") as failed:
            await handle.result(timeout=10)
        assert failed.value.state == "dead"
        dead = server.client.queue("default").dead
        assert [info.id for info in await dead.list()] == [handle.id]
        assert await dead.retry(handle.id) is True
        assert (await handle.wait(timeout=10)).deliveries == 2
        assert await dead.retry_all() == 1
        assert (await handle.wait(timeout=10)).deliveries == 3
        assert await dead.purge() == 1
        with pytest.raises(rediq.TaskNotFound):
            await handle.info()
        with pytest.raises(rediq.TaskNotFound):
            await dead.retry(handle.id)


async def test_a_task_that_did_not_die_is_left_alone_by_the_dead_letters(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        handle = await client.enqueue(add.task(1))
        assert await client.queue("default").dead.retry(handle.id) is False
        assert await handle.retry() is State.PENDING


async def test_a_waiting_task_is_cancelled_at_once_and_revived(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        handle = await client.enqueue(add.task(1))
        assert await handle.cancel() is State.CANCELLED
        with pytest.raises(rediq.TaskCancelled):
            await handle.result(timeout=10)
        assert await handle.retry() is State.PENDING
        assert await handle.delete() is True
        for call in (handle.cancel, handle.retry, handle.delete, handle.info, handle.wait):
            with pytest.raises(rediq.TaskNotFound):
                await call()


async def test_a_running_task_is_cancelled_within_a_second_and_not_deleted(where: Where) -> None:
    async with rediq.serve(app, where[0], **where[1]) as server:
        handle = await server.client.enqueue(wait.task())
        async for progress in handle.progress():
            assert progress.message == "begun"
            break
        assert await handle.delete() is False
        asked = trio.current_time()
        assert await handle.cancel() is State.ACTIVE
        assert (await handle.wait(timeout=10)).state is State.CANCELLED
        assert trio.current_time() - asked < 1.0


async def test_a_running_task_ends_at_its_deadline(where: Where) -> None:
    async with rediq.serve(app, where[0], **where[1]) as server:
        handle = await server.client.enqueue(wait.options(deadline=1.0).task())
        with pytest.raises(rediq.TaskFailed, match="is dead: deadline: "):
            await handle.result(timeout=10)
        info = await handle.info()
        assert info.deadline == info.created_at + dt.timedelta(seconds=1)


async def test_progress_is_told_until_the_end(where: Where) -> None:
    async with rediq.serve(app, where[0], progress_interval=0.01, **where[1]) as server:
        handle = await server.client.enqueue(wait.task(seconds=0.3))
        seen = [(p.percent, p.message) async for p in handle.progress()]
        assert seen == [(1, "begun"), (100, "ended")]
        with pytest.raises(rediq.TaskNotFound):
            async for _ in server.client.task("default/nobody").progress():
                pass


async def test_waiting_has_its_time(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        handle = await client.enqueue(add.task(1))
        for call in (handle.wait, handle.result):
            with pytest.raises(trio.TooSlowError):
                await call(timeout=0.05)


async def test_without_retention_only_who_waited_gets_the_result(where: Where) -> None:
    async with rediq.serve(app, where[0], **where[1]) as server:
        queue = server.client.queue("default")
        await queue.pause()
        waited, alone = await server.client.enqueue_many(
            [add.options(retention=0).task(1), add.options(retention=0).task(2)]
        )
        got: list[int] = []

        async def waiter() -> None:
            got.append(await waited.result(timeout=10))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(waiter)
            await trio.sleep(0.1)
            await queue.resume()
        await server.wait_idle()
        assert got == [2]
        with pytest.raises(rediq.TaskNotFound):
            await alone.result(timeout=10)


async def test_an_own_id_can_be_enqueued_once(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        first = await client.enqueue(add.options(id="mine").task(1))
        assert first.id == "default/mine"
        with pytest.raises(rediq.DuplicateTask) as duplicate:
            await client.enqueue(add.options(id="mine").task(2))
        assert duplicate.value.existing_id == first.id
        handles = await client.enqueue_many(
            [add.options(id="mine").task(3), add.options(id="other").task(3)]
        )
        assert [(h.id, h.created) for h in handles] == [
            ("default/mine", False),
            ("default/other", True),
        ]
        stats = await client.queue("default").stats()
        assert (stats.pending, stats.enqueued) == (2, 2)


async def test_many_tasks_of_many_queues_keep_their_order(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        tasks = [add.options(queue=f"q{n % 3}").task(n) for n in range(2500)]
        handles = await client.enqueue_many(tasks)
        assert [h.queue for h in handles] == [t.queue for t in tasks]
        assert [(await client.queue(f"q{n}").stats()).pending for n in range(3)] == [834, 833, 833]
        assert await client.queues() == ["q0", "q1", "q2"]
        assert await client.enqueue_many([]) == []


async def test_tasks_are_read_page_by_page(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        handles = await client.enqueue_many([add.task(n) for n in range(5)])
        queue = client.queue("default")
        page = await queue.tasks("pending", limit=3)
        rest = await queue.tasks(State.PENDING, after=page[-1].id)
        assert [info.id for info in page + rest] == [h.id for h in handles]
        assert await queue.flush() == 5
        assert await queue.check() == []


async def test_a_delayed_task_runs_at_its_time(where: Where) -> None:
    async with rediq.serve(app, where[0], **where[1]) as server:
        soon = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=0.3)
        handles = await server.client.enqueue_many(
            [add.options(delay=0.3).task(1), add.options(run_at=soon).task(1)]
        )
        for handle in handles:
            info = await handle.wait(timeout=10)
            assert info.started_at is not None
            assert 0 <= (info.started_at - info.run_at).total_seconds() < 1.0


async def test_priorities_decide_who_is_first(where: Where) -> None:
    ran: list[str] = []
    mine = rediq.App()

    @mine.task("note")
    async def note(name: str) -> None:
        ran.append(name)

    async with rediq.connect(where[0], **where[1]) as client:
        for name, priority in (("b", 50), ("c", 90), ("a", 0), ("b2", 50)):
            await client.enqueue(note.options(priority=priority).task(name))
    async with rediq.serve(mine, where[0], concurrency=1, burst=True, **where[1]) as server:
        await server.wait_stopped()
    assert ran == ["a", "b", "b2", "c"]


async def test_layers_are_an_onion_and_an_error_in_one_fails_the_attempt(where: Where) -> None:
    steps: list[str] = []
    mine = rediq.App()

    @mine.middleware
    async def outer(task: rediq.CurrentTask) -> Any:
        steps.append(f"outer {task.type}")
        yield
        steps.append("outer end")

    @mine.middleware
    async def inner(task: rediq.CurrentTask) -> Any:
        steps.append("inner")
        if task.metadata.get("break"):
            raise RuntimeError("in a layer")
        yield
        steps.append("inner end")

    @mine.task("work", max_retry=0)
    async def work() -> None:
        steps.append("work")

    async with rediq.serve(mine, where[0], **where[1]) as server:
        await (await server.client.enqueue(work.task())).result(timeout=10)
        assert steps == ["outer work", "inner", "work", "inner end", "outer end"]
        broken = await server.client.enqueue(work.options(metadata={"break": "yes"}).task())
        with pytest.raises(rediq.TaskFailed, match="RuntimeError: in a layer"):
            await broken.result(timeout=10)


async def test_workers_are_listed_while_they_live(where: Where) -> None:
    async with rediq.serve(app, where[0], name="me", concurrency=3, **where[1]) as server:
        with trio.fail_after(10):
            while not await server.client.workers():
                await trio.sleep(0.01)
        (info,) = await server.client.workers()
        assert (info.id, info.concurrency, info.queues) == ("me", 3, ("default",))
        assert info.version == server.info().version
        await server.stop()
        assert await server.client.workers() == []
        assert server.stats().held == 0


async def test_an_expired_task_is_dead_for_that_reason(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        past = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1)
        late, soon = await client.enqueue_many(
            [add.options(expires=past).task(1), add.options(expires=0.001).task(1)]
        )
        await trio.sleep(0.01)
    async with rediq.serve(app, where[0], **where[1]) as server:
        for handle in (late, soon):
            info = await server.client.task(handle.id).wait(timeout=10)
            assert (info.state, info.error, info.deliveries) == (State.DEAD, "expired", 0)


async def test_an_error_of_the_block_leaves_as_it_was_raised(where: Where) -> None:
    mine = KeyError("mine")
    with pytest.raises(KeyError) as caught:
        async with rediq.serve(app, where[0], **where[1]):
            raise mine
    assert caught.value is mine
    with pytest.raises(KeyError) as caught:
        async with rediq.connect(where[0], **where[1]):
            raise mine
    assert caught.value is mine
