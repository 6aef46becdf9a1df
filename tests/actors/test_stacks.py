"""The tree of an attempt's tasks, in an order that does not differ from run to run."""

from __future__ import annotations

import trio

import rediq_trio as rediq
from rediq_trio import MemoryStore
from rediq_trio.worker.reporting.stacks import children_of

NAMES = [f"part {n:02}" for n in (7, 2, 11, 5, 9, 1, 8, 3, 10, 6, 4, 0)]


async def test_tasks_come_by_their_names_whatever_their_addresses_are() -> None:
    async with trio.open_nursery() as nursery:
        for name in NAMES:
            nursery.start_soon(trio.sleep_forever, name=name)
        here = trio.lowlevel.current_task()
        assert [task.name for task in children_of(here)] == sorted(NAMES)
        nursery.cancel_scope.cancel()


async def test_the_stacks_of_a_worker_list_them_so() -> None:
    app = rediq.App()
    begun = trio.Event()

    @app.task("many")
    async def many() -> None:
        async with trio.open_nursery() as nursery:
            for name in NAMES:
                nursery.start_soon(trio.sleep_forever, name=name)
            begun.set()

    async with rediq.serve(app, MemoryStore(), name="w", shutdown_grace=0) as server:
        await server.client.enqueue(many.task())
        await begun.wait()
        (text,) = (await server.client.worker("w").stacks()).values()
    shown = [line.strip() for line in text.splitlines() if line.strip().startswith("part ")]
    assert shown == sorted(NAMES)
