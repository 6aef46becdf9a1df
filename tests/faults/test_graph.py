"""A large graph on workers that are killed one after the other: each task completes once."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
import trio

import rediq_trio as rediq
from rediq_trio import State, Workflow, WorkflowHandle
from tests.faults.crew import WITHIN, Crew, check_sound, crew
from tests.faults.grapher import STARTS, call, node

LAYERS, WIDTH, NEEDS = 10, 100, 10
QUEUES = ("one", "two", "three")
CREW = 4
ALIVE = 1.0
"""Seconds between two kills."""
SHORT_LEASE = 1.5


def graph(seed: int = 7) -> Workflow[Any]:
    """Make layers of tasks, each of which needs ten of the layer before."""
    chance = random.Random(seed)
    made: Workflow[Any] = Workflow("layers")
    before: list[str] = []
    for layer in range(LAYERS):
        names = [f"{layer}-{place}" for place in range(WIDTH)]
        for name in names:
            task = node.options(queue=chance.choice(QUEUES)).task(chance.uniform(0.02, 0.08))
            made.add(task, name, after=chance.sample(before, NEEDS) if before else ())
        before = names
    return made


async def longest_calls(client: rediq.Client) -> list[float]:
    """Give the milliseconds of the server's slowest commands, the slowest first."""
    entries = await call(client, b"SLOWLOG", b"GET", b"128")
    return sorted((entry[2] / 1000 for entry in entries), reverse=True)


async def kill_one_after_the_other(us: Crew, client: rediq.Client, killed: list[int]) -> None:
    done = 0
    while True:
        await trio.sleep(ALIVE)
        # On a busy machine a worker may take longer to start than it would live.
        before, done = done, await counted(client, "completed_total")
        if done == before:
            continue
        victim = us.workers[-CREW]
        victim.kill()
        victim.wait()
        killed.append(victim.pid)
        hire(us)


def hire(us: Crew) -> None:
    us.hire("grapher:app", queues=",".join(QUEUES), concurrency=10, lease=SHORT_LEASE)


async def counted(client: rediq.Client, field: str) -> int:
    return sum([getattr(await client.queue(name).stats(), field) for name in QUEUES])


@pytest.mark.uncounted
async def test_a_graph_on_workers_that_are_killed_every_second_is_completed_once() -> None:
    with crew() as us:
        async with rediq.connect(us.server.url) as client:
            await call(client, b"CONFIG", b"SET", b"slowlog-log-slower-than", b"1000")
            handle: WorkflowHandle[Any] = await client.enqueue(graph())
            slowest = (await longest_calls(client))[0]
            for _ in range(CREW):
                hire(us)
            killed: list[int] = []
            begun = time.monotonic()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(kill_one_after_the_other, us, client, killed)
                while await counted(client, "completed_total") < LAYERS * WIDTH:
                    await trio.sleep(0.2)
                nursery.cancel_scope.cancel()
            took = time.monotonic() - begun
            info = await handle.wait(timeout=WITHIN)
            await check_outcome(client, info)
            print(
                f"enqueued in {slowest:.0f} ms; completed in {took:.0f} s, {len(killed)} killed; "
                f"{sum(task.crashes for task in info.tasks.values())} leases lapsed"
            )
            assert killed


async def check_outcome(client: rediq.Client, info: rediq.WorkflowInfo) -> None:
    """Check that each task counts once, and began again only where its lease lapsed."""
    assert info.counts[State.COMPLETED] == len(info.tasks) == LAYERS * WIDTH
    for field, count in (("completed_total", LAYERS * WIDTH), ("failed_total", 0), ("dead", 0)):
        assert await counted(client, field) == count
    flat = await call(client, b"HGETALL", STARTS)
    starts = {key.decode(): int(count) for key, count in zip(flat[::2], flat[1::2], strict=True)}
    for name, task in info.tasks.items():
        assert 1 <= starts[task.id] <= 1 + task.crashes
        assert task.deliveries == 1 + task.crashes
        # Its result came from the layer before: none was begun too early, or without its inputs.
        assert task.result == 1 + int(name.partition("-")[0])
    for name in QUEUES:
        await check_sound(client.queue(name))
