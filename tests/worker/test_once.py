"""once(): the steps of a handler, over attempts and between two servers."""

from __future__ import annotations

import dataclasses
from typing import Any

import trio

import rediq_trio as rediq
from tests.servers import Server
from tests.worker.twin import twins


@dataclasses.dataclass(frozen=True)
class Charge:
    customer: str
    cents: int


async def test_a_step_survives_retries_on_either_server(redis_server: Server) -> None:
    app = rediq.App()
    calls: list[str] = []
    seen: list[Any] = []

    async def charge(customer: str) -> Charge:
        calls.append("charge")
        return Charge(customer, 1250)

    def number() -> int:
        calls.append("number")
        return len(calls)

    @app.task("order", max_retry=5, backoff=rediq.Fixed(0.01))
    async def order(customer: str) -> list[Any]:
        task = rediq.current_task()
        paid = await task.once("charge", charge, customer)
        seen.append((task.attempt, paid, await task.once("number", number)))
        if task.attempt < 4:
            raise ValueError("the printer is out of paper")
        return [paid.customer, paid.cents]

    async with twins(app, redis_server) as (client, _):
        handle = await client.enqueue(order.task("ann"))
        assert await handle.result(timeout=10) == ["ann", 1250]
        assert calls == ["charge", "number"]
        assert seen == [(n, Charge("ann", 1250), 2) for n in range(1, 5)]


async def test_a_snooze_and_a_revival_keep_the_steps(redis_server: Server) -> None:
    app = rediq.App()
    calls = 0

    def step() -> int:
        nonlocal calls
        calls += 1
        return calls

    @app.task("t", max_retry=0)
    async def handler() -> int:
        task = rediq.current_task()
        found = await task.once("step", step)
        if task.fence == 1:
            raise rediq.Snooze(0)
        if task.fence == 2:
            raise ValueError("dead")
        return found

    async with twins(app, redis_server) as (client, _):
        handle = await client.enqueue(handler.task())
        await handle.wait(timeout=10)
        await handle.retry()
        assert await handle.result(timeout=10) == 1
        assert calls == 1


async def test_a_plain_handler_takes_its_steps_on_trios_thread(redis_server: Server) -> None:
    app = rediq.App()
    calls = 0

    async def step(n: int) -> int:
        nonlocal calls
        calls += 1
        return n + 1

    @app.task("t", max_retry=2, backoff=rediq.Fixed(0.01))
    def handler() -> int:
        task = rediq.current_task()
        found: int = trio.from_thread.run(task.once, "step", step, 6)
        if task.attempt == 1:
            raise ValueError
        return found

    async with twins(app, redis_server) as (client, _):
        assert await (await client.enqueue(handler.task())).result(timeout=10) == 7
        assert calls == 1


async def test_results_belong_to_the_delivery(redis_server: Server) -> None:
    app = rediq.App()

    @app.task("t", max_retry=0)
    async def handler() -> None:
        task = rediq.current_task()
        # Shielded, as a handler that is slow to notice that its lease is lost.
        with trio.CancelScope(shield=True):
            await task.client.queue("default").flush()
            await task.results()

    said: list[str] = []

    @app.middleware
    async def listen(task: rediq.CurrentTask) -> Any:
        try:
            yield
        except rediq.StaleLease as stale:
            said.append(str(stale))
            raise

    async with twins(app, redis_server) as (client, _):
        handle = await client.enqueue(handler.task())
        with trio.fail_after(10):
            while not said:
                await trio.sleep(0.01)
        assert said == [f"{handle.id} is gone: another worker has settled it, or it was flushed"]
