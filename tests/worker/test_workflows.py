"""Workflows over queues that two servers serve."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import trio

import rediq_trio as rediq
from rediq_trio import State, chain, gather
from tests.servers import Server
from tests.worker.twin import check_sound, twins

QUEUES = (("one", "two"), ("two", "three"))
"""The servers race for the middle one."""

app = rediq.App()
begun: Counter[str] = Counter()


@app.task("add")
async def add(n: int, after: float = 0) -> int:
    begun[rediq.current_task().id] += 1
    await trio.sleep(after)
    return n + sum(value or 0 for value in (await rediq.current_task().results()).values())


@app.task("boom", max_retry=0)
async def boom() -> int:
    raise ValueError("boom")


def on(queue: str, n: int, after: float = 0, **options: Any) -> rediq.Task[int]:
    return add.options(queue=queue, **options).task(n, after)


async def test_results_flow_through_three_queues(redis_server: Server) -> None:
    made = chain(
        on("one", 1),
        gather(on("two", 10), chain(on("three", 20), on("one", 30)), on("two", 40)),
        on("three", 100),
    )
    async with twins(app, redis_server, QUEUES) as (client, other):
        handles = [await (client, other)[n % 2].enqueue(made) for n in range(10)]
        for handle in handles:
            assert await handle.result(timeout=20) == 100 + 11 + (30 + 21) + 41
            info = await handle.info()
            assert (info.state, info.done, info.failed) == ("completed", True, None)
            assert [begun[task.id] for task in info.tasks.values()] == [1] * 6
        await check_sound(client)


async def test_one_root_that_fails_takes_the_rest_with_it(redis_server: Server) -> None:
    made = rediq.Workflow("broken")
    roots = [made.add(on("one", n), f"root {n}") for n in range(3)]
    bad = made.add(boom.options(queue="two").task(), "bad")
    join = made.add(on("three", 1), "join", after=[*roots, bad])
    made.add(on("one", 1), "sink", after=join)
    made.add(on("two", 7, on_dependency_failure="run"), "report", after=join)
    async with twins(app, redis_server, QUEUES) as (client, _):
        handle = await client.enqueue(made)
        with pytest.raises(rediq.TaskFailed, match="ValueError: boom") as failed:
            await handle.result(timeout=20)
        assert failed.value.task_id == handle.handles["bad"].id
        info = await handle.wait(timeout=20)
        assert (info.state, info.failed) == ("dead", "bad")
        said = {name: info.tasks[name].error for name in ("join", "sink")}
        needs = {"join": handle.handles["bad"].id, "sink": handle.handles["join"].id}
        assert said == {
            name: f"the task {ref} that it needs is dead" for name, ref in needs.items()
        }
        assert info.states["report"] is State.COMPLETED
        assert info.tasks["report"].result == 7
        assert [info.states[node.name] for node in roots] == [State.COMPLETED] * 3
        assert not begun[handle.handles["join"].id]
        await check_sound(client)


async def test_cancelled_as_a_whole_nothing_of_it_begins(redis_server: Server) -> None:
    async with twins(app, redis_server, QUEUES) as (client, _):
        brief, long = (
            gather(*(on(f"{q}", 1, after=seconds) for q in ("one", "two", "three") * 4))
            for seconds in (0, 600)
        )
        handle = await client.enqueue(chain(brief, long, *[brief] * 4))
        with trio.fail_after(20):
            # All of the second layer run, so that what begins later can be of a later one only.
            while sum(begun[h.id] for h in handle.handles.values()) < 24:
                await trio.sleep(0.01)
        await handle.cancel()
        before = {h.id for h in handle.handles.values() if begun[h.id]}
        info = await handle.wait(timeout=20)
        assert info.state == "cancelled"
        ended = info.counts[State.CANCELLED] + info.counts[State.COMPLETED]
        assert ended == len(handle.handles) == 72
        await trio.sleep(0.3)
        assert {h.id for h in handle.handles.values() if begun[h.id]} == before
        await check_sound(client)


async def test_a_thousand_nodes_over_three_queues_complete_once(redis_server: Server) -> None:
    made = rediq.Workflow("wide")
    root = made.add(on("one", 1), "root")
    middle = [
        made.add(on(("one", "two", "three")[n % 3], 1), f"m{n}", after=root) for n in range(998)
    ]
    made.add(on("two", 0), "sink", after=middle)
    async with twins(app, redis_server, QUEUES, concurrency=50) as (client, _):
        handle = await client.enqueue(made)
        assert await handle.result(timeout=40) == 998 * 2
        assert [begun[h.id] for h in handle.handles.values()] == [1] * 1000
        totals = [(await client.queue(q).stats()).completed_total for q in ("one", "two", "three")]
        assert sum(totals) == 1000
        await check_sound(client)
