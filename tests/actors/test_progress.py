from __future__ import annotations

import pytest
import trio

from rediq_trio.tasks.task_info import read_progress
from rediq_trio.worker.leases import LeaseTable
from rediq_trio.worker.progress import ProgressFlusher
from tests.actors.parts import Q, Watched, claim, new_task, record

pytestmark = pytest.mark.mock_clock


async def percent(store: Watched, task_id: str) -> float | None:
    progress = read_progress((await record(store, task_id)).progress)
    return None if progress is None else progress.percent


async def test_many_reports_become_few_writes_and_the_last_is_among_them() -> None:
    store = Watched()
    flusher = ProgressFlusher(store, 0.5)
    await store.enqueue(Q, [new_task(id="t")])
    (held,) = await claim(store, LeaseTable())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(flusher.run)
        for n in range(101):
            flusher.add(held, n, None)
            await trio.sleep(0.05)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert await percent(store, "t") == 100
    assert store.count("report") == pytest.approx(11, abs=1)


async def test_the_reports_of_many_tasks_share_one_write() -> None:
    store = Watched()
    flusher = ProgressFlusher(store, 0.5)
    await store.enqueue(Q, [new_task() for _ in range(50)])
    for held in await claim(store, LeaseTable()):
        flusher.add(held, 1, "x")
    with trio.move_on_after(1):
        await flusher.run()
    assert store.count("report") == 1


async def test_a_report_that_could_not_be_written_is_not_lost_and_a_newer_one_wins() -> None:
    store = Watched()
    flusher = ProgressFlusher(store, 0.5)
    await store.enqueue(Q, [new_task(id="a"), new_task(id="b")])
    first, second = await claim(store, LeaseTable())
    flusher.add(first, 1, None)
    flusher.add(second, 1, None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(flusher.run)
        store.away = True
        await trio.sleep(0.2)
        flusher.add(second, 2, None)
        await trio.sleep(10)
        store.away = False
        await trio.sleep(1.5)
        nursery.cancel_scope.cancel()
    assert (await percent(store, "a"), await percent(store, "b")) == (1, 2)


async def test_reports_behind_the_end_of_an_attempt_do_not_count() -> None:
    store = Watched()
    flusher = ProgressFlusher(store, 0.5)
    await store.enqueue(Q, [new_task(id="t")])
    (held,) = await claim(store, LeaseTable())
    held.settled = True
    flusher.add(held, 50, None)
    assert flusher.unwritten([held]) == []
