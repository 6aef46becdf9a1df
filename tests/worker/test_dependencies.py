"""Dependencies between queues that different servers serve."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
import trio

import rediq_trio as rediq
from rediq_trio import State
from rediq_trio.store.opening import open_store
from rediq_trio.store.relay import relay, relay_some
from tests.servers import Server
from tests.worker.twin import check_sound, twins

APART = (("left",), ("right",))
"""Each server has a queue of its own."""

app = rediq.App()


@app.task("give")
async def give(value: Any, after: float = 0) -> Any:
    await trio.sleep(after)
    return value


@app.task("collect")
async def collect() -> dict[str, Any]:
    return await rediq.current_task().results()


@app.task("boom", max_retry=0)
async def boom() -> None:
    raise ValueError("boom")


async def test_a_task_gets_the_results_of_those_in_its_queue_and_in_another(
    redis_server: Server,
) -> None:
    async with twins(app, redis_server, APART) as (client, other):
        left = await client.enqueue(give.options(queue="left").task({"n": 1}, after=0.1))
        right = await other.enqueue(give.options(queue="right", id="own").task([2], after=0.2))
        none = await other.enqueue(give.options(queue="right").task(None))
        for queue in ("left", "right"):
            after = collect.options(queue=queue, depends_on=[right, none, left])
            handle = await client.enqueue(after.task())
            assert await handle.result(timeout=10) == {
                left.id: {"n": 1}, right.id: [2], none.id: None,
            }  # fmt: skip
        await check_sound(client)


async def test_results_outlast_the_tasks_that_gave_them(redis_server: Server) -> None:
    async with twins(app, redis_server, APART) as (client, _):
        made = [give.options(queue=q, retention=0).task(q, after=0.2) for q in ("left", "right")]
        before = await client.enqueue_many(made)
        handle = await client.enqueue(collect.options(queue="left", depends_on=before).task())
        assert await handle.result(timeout=10) == {h.id: h.queue for h in before}
        for gone in before:
            with pytest.raises(rediq.TaskNotFound):
                await gone.info()


@pytest.mark.parametrize("queue", ["left", "right"])
async def test_a_failure_goes_on_to_all_that_come_after(redis_server: Server, queue: str) -> None:
    async with twins(app, redis_server, APART) as (client, _):
        await client.queue("left").pause()
        root = await client.enqueue(boom.options(queue="left").task())
        last: rediq.TaskHandle[Any] = root
        chained = []
        for n in range(6):
            at = queue if n % 2 else "left"
            last = await client.enqueue(give.options(queue=at, depends_on=last).task(n))
            chained.append(last)
        run_on_dependency_failure = collect.options(
            queue=queue, depends_on=last, on_dependency_failure="run"
        )
        end = await client.enqueue(run_on_dependency_failure.task())
        await client.queue("left").resume()
        assert await end.result(timeout=10) == {last.id: None}
        for handle, before in zip(chained, [root, *chained], strict=False):
            info = await handle.info()
            assert (info.state, info.deliveries) == (State.DEAD, 0)
            ref = before.id if before.queue != handle.queue else before.id.partition("/")[2]
            assert info.error == f"the task {ref} that it needs is dead"
        await check_sound(client)


@pytest.mark.parametrize(
    ("how", "said"), [("cancel", "was cancelled"), ("delete", "is gone"), ("flush", "is gone")]
)
@pytest.mark.parametrize("queue", ["left", "nobodys"])
async def test_what_a_client_ends_is_told_in_other_queues_too(
    redis_server: Server, queue: str, how: str, said: str
) -> None:
    async with twins(app, redis_server, APART) as (client, _):
        before = await client.enqueue(give.options(queue=queue, delay=60).task(1))
        handle = await client.enqueue(give.options(queue="right", depends_on=before).task(2))
        if how == "flush":
            await client.queue(queue).flush()
        else:
            await getattr(before, how)()
        info = await handle.wait(timeout=5)
        assert (info.state, info.error) == (
            State.DEAD, f"the task {before.id} that it needs {said}",
        )  # fmt: skip


async def test_a_task_in_a_queue_that_nobody_serves_is_waited_for(redis_server: Server) -> None:
    prefix = f"nobody-{uuid.uuid4().hex[:8]}"
    async with twins(app, redis_server, APART, key_prefix=prefix) as (client, _):
        before = await client.enqueue(give.options(queue="nobodys").task("late"))
        handle = await client.enqueue(collect.options(queue="left", depends_on=before).task())
        await trio.sleep(0.3)
        assert (await handle.info()).state is State.BLOCKED
        async with rediq.serve(app, redis_server.url, queues=["nobodys"], key_prefix=prefix):
            assert await handle.result(timeout=10) == {before.id: "late"}
        await check_sound(client)


async def test_what_ended_in_a_queue_that_nobody_serves_any_more_is_known(
    redis_server: Server,
) -> None:
    prefix = f"nobody-{uuid.uuid4().hex[:8]}"
    async with rediq.connect(redis_server.url, key_prefix=prefix) as client:
        before = await client.enqueue(give.options(queue="nobodys").task("early"))
        async with rediq.serve(app, redis_server.url, queues=["nobodys"], key_prefix=prefix):
            await before.wait(timeout=10)
        after = collect.options(queue="left", depends_on=before)
        async with rediq.serve(app, redis_server.url, queues=["left"], key_prefix=prefix):
            handle = await client.enqueue(after.task())
            assert await handle.result(timeout=5) == {before.id: "early"}
        await check_sound(client)


async def test_a_burst_is_over_when_the_ends_of_tasks_have_been_told(redis_server: Server) -> None:
    prefix = f"burst-{uuid.uuid4().hex[:8]}"
    queues = ["left", "right"]
    async with rediq.connect(redis_server.url, key_prefix=prefix) as client:
        last = await client.enqueue(give.options(queue="left").task(0))
        for n in range(1, 10):
            here = give.options(queue=queues[n % 2], depends_on=last)
            last = await client.enqueue(here.task(n))
        async with rediq.serve(
            app, redis_server.url, queues=queues, key_prefix=prefix, burst=True
        ) as server:
            await server.wait_stopped()
        assert (await last.info()).state is State.COMPLETED
        await check_sound(client)


async def test_many_relays_at_once_deliver_each_message_once(redis_server: Server) -> None:
    prefix = f"relays-{uuid.uuid4().hex[:8]}"
    from rediq_trio.spec.messages import NewTask, Relations

    async with (
        open_store(redis_server.url, key_prefix=prefix) as one,
        open_store(redis_server.url, key_prefix=prefix) as two,
    ):
        for first in range(0, 900, 300):
            away = [
                NewTask(f"t{n}", b"", relations=Relations(queue=f"to-{n % 3}"))
                for n in range(first, first + 300)
            ]
            await one.enqueue("from", away)
        async with trio.open_nursery() as nursery:
            for n in range(8):
                nursery.start_soon(relay, (one, two)[n % 2], "from")
                nursery.start_soon(
                    lambda store=(one, two)[n % 2]: relay_some(store, "from", limit=7)
                )
        assert await one.outbox("from", limit=0) == ()
        for n in range(3):
            queue = await one.dump(f"to-{n}")
            assert queue.counters.enqueued == len(queue.records) == 300
            order = sorted(queue.records, key=lambda own: queue.records[own].seq)
            assert order == [f"t{number}" for number in range(n, 900, 3)]


async def test_servers_of_both_queues_race_to_unblock(redis_server: Server) -> None:
    both = (("left", "right"), ("left", "right"))
    ran: list[str] = []
    mine = rediq.App()

    @mine.task("note")
    async def note() -> None:
        ran.append(rediq.current_task().id)
        await rediq.current_task().results()

    async with twins(mine, redis_server, both) as (client, other):
        layer = await client.enqueue_many(
            [note.options(queue=("left", "right")[n % 2]).task() for n in range(20)]
        )
        handles = list(layer)
        for _ in range(4):
            made = [
                note.options(queue=("left", "right")[n % 2], depends_on=layer).task()
                for n in range(20)
            ]
            layer = await other.enqueue_many(made)
            handles += layer
        for handle in handles:
            assert (await handle.wait(timeout=20)).state is State.COMPLETED
        assert sorted(ran) == sorted(handle.id for handle in handles)
        await check_sound(client)
