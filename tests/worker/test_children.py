"""enqueue_after: what a completion enqueues is enqueued once, whatever happens before."""

from __future__ import annotations

from typing import Any

import pytest
import trio

import rediq_trio as rediq
from rediq_trio import MemoryStore, State
from rediq_trio.testing.judge.invariants import violations
from tests.servers import Server
from tests.worker.story import Ticks, tell
from tests.worker.twin import check_sound, twins

Q = "default"


async def everything(client: rediq.Client, count: int, *queues: str) -> None:
    """Wait until so many tasks have completed."""
    with trio.fail_after(30):
        while True:
            done = [(await client.queue(q).stats()).completed_total for q in queues or (Q,)]
            if sum(done) >= count:
                return
            await trio.sleep(0.1)


async def test_the_children_of_a_failed_attempt_are_forgotten(redis_server: Server) -> None:
    app = rediq.App()
    ran: list[tuple[int, int]] = []

    @app.task("child")
    async def child(attempt: int, number: int) -> None:
        ran.append((attempt, number))

    @app.task("parent", backoff=rediq.Fixed(0.01))
    async def parent() -> list[str]:
        task = rediq.current_task()
        handles = [task.enqueue_after(child.task(task.attempt, n)) for n in range(task.attempt + 1)]
        if task.attempt < 3:
            raise ValueError("not yet")
        return [handle.id for handle in handles]

    async with twins(app, redis_server) as (client, _):
        handle = await client.enqueue(parent.task())
        children = await handle.result(timeout=10)
        await everything(client, 5)
        assert sorted(ran) == [(3, 0), (3, 1), (3, 2), (3, 3)]
        assert [(await client.task(i).info()).state for i in children] == [State.COMPLETED] * 4
        assert (await client.queue(Q).stats()).enqueued == 5
        await check_sound(client)


async def test_a_child_goes_into_another_queue_that_another_server_has(
    redis_server: Server,
) -> None:
    app = rediq.App()

    @app.task("child", queue="right")
    async def child(n: int) -> int:
        return n

    @app.task("parent", queue="left")
    async def parent() -> list[str]:
        task = rediq.current_task()
        before = task.enqueue_after(child.task(1))
        last = task.enqueue_after(child.options(queue="left", depends_on=before).task(2))
        return [before.id, last.id]

    async with twins(app, redis_server, (("left",), ("right",))) as (client, _):
        handles = [await client.enqueue(parent.task()) for _ in range(20)]
        for handle in handles:
            first, second = await handle.result(timeout=10)
            assert await client.task(second).result(timeout=10) == 2
            assert (await client.task(first).info()).state is State.COMPLETED
        assert (await client.queue("right").stats()).enqueued == 20
        assert (await client.queue("left").stats()).enqueued == 40
        await check_sound(client)


@pytest.mark.parametrize("queue", [Q, "other"])
async def test_a_thousand_children_are_one_step_and_one_more_is_refused(
    redis_server: Server, queue: str
) -> None:
    app = rediq.App()

    @app.task("child", queue=queue)
    async def child() -> None: ...

    @app.task("parent", max_retry=0)
    async def parent(count: int) -> None:
        for _ in range(count):
            rediq.current_task().enqueue_after(child.task())

    async with twins(app, redis_server, ((Q,), ("other",))) as (client, _):
        good = await client.enqueue(parent.task(1000))
        bad = await client.enqueue(parent.task(1001))
        with pytest.raises(rediq.TaskFailed, match=r"enqueue_after=.*at most 1,000 times"):
            await bad.result(timeout=10)
        await good.result(timeout=10)
        await everything(client, 1001, *{Q, queue})
        assert (await client.queue(queue).stats()).completed_total >= 1000
        await check_sound(client)


async def test_children_have_a_size(redis_server: Server) -> None:
    app = rediq.App()

    @app.task("parent", max_retry=0)
    async def parent() -> None:
        for _ in range(100):
            rediq.current_task().enqueue_after(rediq.Task("child", b"x" * 500_000, delay=60))

    async with twins(app, redis_server) as (client, _):
        with pytest.raises(rediq.TaskFailed, match=r"PayloadTooLarge: enqueue_after: .*16,777,216"):
            await (await client.enqueue(parent.task())).result(timeout=10)
        assert (await client.queue(Q).stats()).enqueued == 1


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (rediq.Task("child", object()), "PayloadError"),
        (rediq.Task("child", "x" * 600_000), "PayloadTooLarge"),
        ("child", "ConfigError: task='child'"),
    ],
)
async def test_a_bad_child_fails_the_attempt_where_it_is_named(bad: Any, said: str) -> None:
    app = rediq.App()

    @app.task("parent", max_retry=0)
    async def parent() -> None:
        rediq.current_task().enqueue_after(rediq.Task("good"))
        rediq.current_task().enqueue_after(bad)

    async with rediq.serve(app, MemoryStore()) as server:
        with pytest.raises(rediq.TaskFailed, match=said):
            await (await server.client.enqueue(parent.task())).result(timeout=10)
        assert (await server.client.queue(Q).stats()).enqueued == 1


async def test_a_child_is_dropped_while_its_key_has_a_holder_and_dies_without_its_needs(
    redis_server: Server,
) -> None:
    app = rediq.App()

    @app.task("parent")
    async def parent(needs: str) -> list[str]:
        task = rediq.current_task()
        held = rediq.Task("child", unique=rediq.Unique("key"), delay=60)
        lost = rediq.Task("child", depends_on=needs)
        return [task.enqueue_after(held).id, task.enqueue_after(lost).id]

    async with twins(app, redis_server) as (client, _):
        holder = await client.enqueue(rediq.Task("child", unique=rediq.Unique("key"), delay=60))
        for needs in ("default/nobody", "other/nobody"):
            handle = await client.enqueue(parent.task(needs))
            dropped, lost = await handle.result(timeout=10)
            with pytest.raises(rediq.TaskNotFound):
                await client.task(dropped).info()
            with pytest.raises(rediq.TaskFailed, match=r"nobody that it needs is gone"):
                await client.task(lost).result(timeout=10)
        assert (await holder.info()).state is State.SCHEDULED


def test_a_plain_function_names_children_too() -> None:
    app = rediq.App()

    @app.task("child")
    async def child() -> str:
        return "child"

    @app.task("parent")
    def parent() -> str:
        return rediq.current_task().enqueue_after(child.task()).id

    async def main() -> None:
        async with rediq.serve(app, MemoryStore()) as server:
            handle = await server.client.enqueue(parent.task())
            child_id = await handle.result(timeout=10)
            assert await server.client.task(child_id).result(timeout=10) == "child"

    trio.run(main)


# --- broken off at every step


def family() -> rediq.App:
    app = rediq.App()

    @app.task("child")
    async def child() -> None:
        await trio.lowlevel.checkpoint()

    @app.task("parent", max_retry=9, backoff=rediq.Fixed(0.1))
    async def parent() -> None:
        task = rediq.current_task()
        for queue in (Q, Q, "other"):
            task.enqueue_after(child.options(queue=queue).task())
        await task.once("wait", trio.sleep, 0.5)
        if task.attempt == 1:
            raise ValueError("once")

    return app


def broken_off(at: int) -> bool:
    """Tell the story of two parents, cancel it behind step `at`, finish it; say whether it came so far."""
    broke = False

    async def program() -> None:
        store = MemoryStore()
        settings: dict[str, Any] = {"queues": [Q, "other"], "lease": 30.0, "cleanup_grace": 2.0}
        async with rediq.connect(store) as client:
            await client.enqueue_many([rediq.Task("parent", max_retry=9) for _ in range(2)])
            around = trio.CancelScope()

            def step(number: int) -> None:
                nonlocal broke
                if number == at:
                    broke = True
                    around.cancel()

            ticks = Ticks(step)
            trio.lowlevel.add_instrument(ticks)
            try:
                with around:
                    async with rediq.serve(family(), store, **settings):
                        await everything(client, 8, Q, "other")
            finally:
                trio.lowlevel.remove_instrument(ticks)
            for queue in (Q, "other"):
                assert violations(await store.dump(queue)) == []
            async with rediq.serve(family(), store, **settings):
                await everything(client, 8, Q, "other")
        for queue, count in ((Q, 6), ("other", 2)):
            after = await store.dump(queue)
            assert violations(after) == []
            assert len(after.records) == after.counters.completed == count
            assert after.counters.enqueued == count
            assert after.outbox == ()

    tell(program, seed=at)
    return broke


@pytest.mark.uncounted
def test_broken_off_at_any_step_each_child_is_enqueued_once() -> None:
    at = 1
    while broken_off(at):
        at += 1
        assert at < 20_000
    assert at > 100


async def test_a_task_may_be_followed_by_one_with_its_own_id() -> None:
    app = rediq.App()
    ran: list[int] = []

    @app.task("poll", id="poller", unique=rediq.Unique("poller"))
    async def poll(n: int) -> int:
        ran.append(n)
        if n < 5:
            handle = rediq.current_task().enqueue_after(poll.task(n + 1))
            with pytest.raises(rediq.DuplicateTask):
                rediq.current_task().enqueue_after(poll.task(0))
            assert handle.created
        return n

    async with rediq.serve(app, MemoryStore()) as server:
        handle = await server.client.enqueue(poll.task(1))
        assert await handle.result(timeout=30) == 5
        assert ran == [1, 2, 3, 4, 5]
        assert server.stats().children_refused == 0


async def test_a_child_whose_id_or_key_is_taken_is_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = rediq.App()
    handles: list[rediq.TaskHandle[None]] = []

    @app.task("child", delay=60)
    async def child() -> None: ...

    def keyed(conflict: Any) -> rediq.Task[None]:
        return child.options(unique=rediq.Unique("k", on_conflict=conflict)).task()

    @app.task("parent")
    async def parent() -> None:
        after = rediq.current_task().enqueue_after
        ids = [child.options(id=own).task() for own in ("there", "new")]
        handles.extend(map(after, [*ids, keyed("reject"), keyed("return")]))

    async with rediq.serve(app, MemoryStore()) as server:
        await server.client.enqueue_many([child.options(id="there").task(), keyed("reject")])
        handle = await server.client.enqueue(parent.task())
        await handle.result(timeout=30)
        with trio.fail_after(30):
            while [each.created for each in handles] != [False, True, False, False]:
                await trio.sleep(0.01)
        refused = [each.id.removeprefix("default/") for each in handles if not each.created]
        info = await handle.info()
        assert info.error is not None
        assert info.error.endswith(f"taken: {', '.join(refused)}")
        assert server.stats().children_refused == 2
    [warning] = [r.getMessage() for r in caplog.records if "enqueue_after" in r.getMessage()]
    assert warning.startswith(f"task {handle.id} completed, and enqueue_after did not enqueue 2")
    assert warning.endswith(f": {', '.join(refused[:2])}")


async def test_a_child_that_another_queue_refuses_is_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = rediq.App()
    handles: list[rediq.TaskHandle[None]] = []

    @app.task("child", delay=60, queue="other")
    async def child() -> None: ...

    def keyed(conflict: Any) -> rediq.Task[None]:
        return child.options(unique=rediq.Unique("k", on_conflict=conflict)).task()

    @app.task("parent")
    async def parent() -> None:
        after = rediq.current_task().enqueue_after
        ids = [child.options(id=own).task() for own in ("there", "new")]
        handles.extend(map(after, [*ids, keyed("reject"), keyed("return")]))

    async with rediq.serve(app, MemoryStore()) as server:
        await server.client.enqueue_many([child.options(id="there").task(), keyed("reject")])
        handle = await server.client.enqueue(parent.task())
        await handle.result(timeout=30)
        with trio.fail_after(30):
            while (await server.client.queue("other").stats()).scheduled < 3:
                await trio.sleep(0.01)
            while (error := (await handle.info()).error or "").count("other/") < 3:
                await trio.sleep(0.01)
            while [each.created for each in handles] != [False, True, False, False]:
                await trio.sleep(0.01)
        assert server.stats().children_refused == 2
        assert error.endswith(f"is taken: other/there, {handles[2].id}, {handles[3].id}")
    warned = [r for r in caplog.records if "enqueue_after" in r.getMessage()]
    assert [(r.levelname, vars(r)["queue"], vars(r)["parent"]) for r in warned] == [
        ("WARNING", "other", handle.id)
    ] * 2
    assert vars(warned[0])["task_id"] == "other/there"
    assert vars(warned[1])["task_id"].startswith("other/")
