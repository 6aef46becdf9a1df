"""Schedules while the workers that keep them are killed, started again, or live shorter than a period."""

from __future__ import annotations

import datetime as dt
import signal
from itertools import pairwise

import trio

import rediq_trio as rediq
from rediq_trio import State
from tests.faults.crew import check_sound, crew, until
from tests.faults.timekeeper import PERIOD, QUEUE

APP = "timekeeper:app"


async def made_ticks(client: rediq.Client) -> list[dt.datetime]:
    """Give the instants of the ticks whose tasks are in the queue, in order.

    The states are listed one after the other while tasks go from one to the next: a task that is
    seen in two of them counts once, and one that went back in between is seen the second time.
    """
    queue = client.queue(QUEUE)
    tasks = {
        task.id: task for _ in range(2) for state in State for task in await queue.tasks(state, limit=1000)
    }
    return sorted(dt.datetime.fromisoformat(task.metadata["rediq.tick"]) for task in tasks.values())


def check_each_once(ticks: list[dt.datetime]) -> None:
    """Check that no tick is there twice, and that none is missing between the first and the last."""
    assert {later - sooner for sooner, later in pairwise(ticks)} == {dt.timedelta(seconds=PERIOD)}


async def test_while_schedulers_are_killed_and_replaced_each_tick_is_made_once() -> None:
    with crew() as us:
        for _ in range(3):
            us.hire(APP, queues=QUEUE)
        async with rediq.connect(us.server.url) as client:
            for killed in range(4):
                before = len(await made_ticks(client)) + 3

                async def some_more(count: int = before) -> bool:
                    return len(await made_ticks(client)) >= count

                await until(some_more)
                us.workers[killed].send_signal(signal.SIGKILL)
                us.hire(APP, queues=QUEUE)
            ticks = await made_ticks(client)
            check_each_once(ticks)
            assert len(ticks) >= 12
            # All of them run, those of the killed workers too.
            stats = client.queue(QUEUE)

            async def all_run() -> bool:
                return (await stats.stats()).completed_total >= len(ticks)

            await until(all_run)
            await check_sound(stats)


async def test_a_worker_that_dies_as_soon_as_it_serves_makes_up_for_each_tick() -> None:
    with crew() as us:
        async with rediq.connect(us.server.url) as client:
            ticks: list[dt.datetime] = []
            for _ in range(4):
                worker = us.hire(APP, queues=QUEUE)
                before = len(ticks)

                async def it_ticked(count: int = before) -> bool:
                    return len(await made_ticks(client)) > count

                # Killed at its first tick, it never lives to see the next.
                await until(it_ticked)
                worker.send_signal(signal.SIGKILL)
                worker.wait()
                ticks = await made_ticks(client)
                await trio.sleep(2 * PERIOD)  # these ticks are made up for by the next worker
            check_each_once(ticks)
            assert ticks[-1] - ticks[0] >= dt.timedelta(seconds=3 * 2 * PERIOD)
            await check_sound(client.queue(QUEUE))
