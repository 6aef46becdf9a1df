from __future__ import annotations

import pytest
import trio

from rediq_trio.store.port import BATCH
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


async def test_a_report_made_while_an_older_one_is_refused_wins() -> None:
    store = Watched()
    store.away, store.refused_after = True, 0.5
    flusher = ProgressFlusher(store, 0.5)
    await store.store.enqueue(Q, [new_task(id="t")])
    (held,) = await claim(store.store, LeaseTable())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(flusher.run)
        flusher.add(held, 1, None)
        await trio.sleep(0.2)
        flusher.add(held, 2, None)
        await trio.sleep(0.4)
        store.away = False
        await trio.sleep(5)
        nursery.cancel_scope.cancel()
    assert await percent(store, "t") == 2


async def test_a_report_that_is_being_written_is_not_written_yet() -> None:
    store = Watched()
    store.delay = lambda name: 1.0 if name == "report" else 0.0
    flusher = ProgressFlusher(store, 0.5)
    await store.enqueue(Q, [new_task(id="t")])
    (held,) = await claim(store, LeaseTable())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(flusher.run)
        flusher.add(held, 1, None)
        await trio.sleep(0.5)
        assert flusher.unwritten([held]) == [held]
        await flusher.flush([held])  # waits for the write that is under way
        assert trio.current_time() == pytest.approx(1.0)
        assert flusher.unwritten([held]) == []
        nursery.cancel_scope.cancel()


async def test_more_reports_than_one_call_carries_are_all_written() -> None:
    store, lease_table = Watched(), LeaseTable()
    flusher = ProgressFlusher(store, 0.5)
    for _ in range(2):
        await store.enqueue(Q, [new_task() for _ in range(BATCH)])
        await claim(store, lease_table, limit=BATCH)
    for held in lease_table:
        flusher.add(held, 1, None)
    await flusher.flush(list(lease_table))
    assert store.count("report") == 2
    found = [one.progress for one in (await store.dump(Q)).records.values()]
    assert len([each for each in found if each]) == 2 * BATCH
