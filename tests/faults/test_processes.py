"""Real workers, really killed, stopped and cut off. What each test allows is what is promised."""

from __future__ import annotations

import signal

import trio

import rediq_trio as rediq
from rediq_trio import State
from tests.faults.crew import LEASE, WITHIN, check_sound, completed, crew, until
from tests.faults.laborer import labor


async def test_the_tasks_of_a_killed_worker_are_completed_by_another_once() -> None:
    with crew() as us:
        first = us.hire()
        async with rediq.connect(us.server.url) as client:
            queue = client.queue("default")
            handles = await client.enqueue_many(
                [labor.task(seconds=300, again=1.0) for _ in range(50)]
            )

            async def all_begun() -> bool:
                return len(us.lines("begin")) == 50

            await until(all_begun)
            us.hire()

            async def both_there() -> bool:
                return len(await client.workers()) == 2

            await until(both_there)
            first.kill()
            first.wait()

            async def all_again() -> bool:
                return len(us.lines("begin")) == 100

            took = await until(all_again)
            assert took <= LEASE + 5.0
            for handle in handles:
                info = await handle.wait(timeout=WITHIN)
                assert (info.state, info.attempt, info.crashes) == (State.COMPLETED, 1, 1)
            assert us.counted("end") == dict.fromkeys([h.id for h in handles], 1)
            stats = await queue.stats()
            assert (stats.completed_total, stats.failed_total) == (50, 0)
            await check_sound(queue)


async def test_a_terminated_worker_gives_its_tasks_back_uncharged() -> None:
    with crew() as us:
        worker = us.hire(concurrency=10, grace=0.5)
        async with rediq.connect(us.server.url) as client:
            queue = client.queue("default")
            handles = await client.enqueue_many([labor.task(seconds=60) for _ in range(20)])

            async def ten_begun() -> bool:
                return len(us.lines("begin")) >= 10

            await until(ten_begun)
            worker.send_signal(signal.SIGTERM)

            async def gone() -> bool:
                return worker.poll() is not None

            # The grace, the clean-up, and Python's own way out on a busy machine.
            assert await until(gone) <= 0.5 + 1.0 + 5.0
            assert worker.returncode == 0
            for handle in handles:
                info = await handle.info()
                assert (info.state, info.attempt, info.crashes) == (State.PENDING, 0, 0)
            assert await client.workers() == []
            await check_sound(queue)


async def test_what_a_worker_says_after_it_was_frozen_past_its_lease_is_refused() -> None:
    with crew() as us:
        frozen = us.hire(concurrency=5)
        async with rediq.connect(us.server.url) as client:
            queue = client.queue("default")
            # Over before the others have ended, which begin once the lease has lapsed.
            handles = await client.enqueue_many(
                [labor.task(seconds=LEASE + 1, again=1.5) for _ in range(5)]
            )

            async def begun() -> bool:
                return len(us.lines("begin")) == 5

            await until(begun)
            frozen.send_signal(signal.SIGSTOP)
            us.hire()

            async def done() -> bool:
                return await completed(queue, 5)

            await until(done)
            before = [await handle.info() for handle in handles]
            frozen.send_signal(signal.SIGCONT)
            # It is awake when it serves again; then what it had to say has been said.
            probes = [labor.task(seconds=0.3) for _ in range(60)]
            await client.enqueue_many(probes)

            async def awake() -> bool:
                pids = {line[2] for line in us.lines("begin")[10:]}
                return str(frozen.pid) in pids and await completed(queue, 65)

            await until(awake)
            after = [await handle.info() for handle in handles]
            assert after == before
            assert {info.state for info in after} == {State.COMPLETED}
            assert {info.deliveries for info in after} == {2}
            assert (await queue.stats()).completed_total == 65
            await check_sound(queue)


async def test_a_server_restarted_under_load_loses_nothing_and_the_worker_goes_on() -> None:
    with crew() as us:
        worker = us.hire(concurrency=20)
        async with rediq.connect(us.server.url) as client:
            queue = client.queue("default")
            acknowledged: list[str] = []
            restarted = trio.Event()

            async def produce() -> None:
                # However late the worker comes up, there are tasks between the restarts.
                while len(acknowledged) < 300 or not restarted.is_set():
                    handle = await client.enqueue(labor.task(seconds=0.05))
                    acknowledged.append(handle.id)
                    await trio.sleep(0.01)

            async def begun_some() -> bool:
                return bool(us.lines("begin"))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(produce)
                # A worker that has not come up yet rightly says that there is no server.
                await until(begun_some)
                for _ in range(2):

                    async def some_more(count: int = len(acknowledged) + 60) -> bool:
                        return len(acknowledged) >= count

                    await until(some_more)
                    us.server.kill()
                    await trio.sleep(0.3)
                    us.server.start()
                restarted.set()

            async def done() -> bool:
                try:
                    stats = await queue.stats()
                except rediq.ConnectionLost:
                    return False
                return stats.completed == len(acknowledged)

            await until(done)
            assert worker.poll() is None
            assert len(set(acknowledged)) == len(acknowledged) >= 300
            # An outcome whose answer was lost in a restart may have been settled twice over,
            # but an extra beginning has to be explained by a lapse.
            infos = [await client.task(task_id).info() for task_id in acknowledged]
            assert {info.state for info in infos} == {State.COMPLETED}
            begun = us.counted("begin")
            for info in infos:
                assert begun[info.id] <= info.deliveries
                assert info.deliveries == 1 + info.crashes
            await check_sound(queue)


async def test_the_batch_of_a_killed_worker_is_aggregated_by_another_and_goes_on_once() -> None:
    with crew() as us:
        first = us.hire()
        async with rediq.connect(us.server.url) as client:
            queue = client.queue("default")
            grouped = labor.options(group="heaps", max_crashes=1)
            await client.enqueue_many([grouped.task(seconds=0.4) for _ in range(10)])

            async def both_begun() -> bool:
                return len(us.lines("begin")) == 2

            await until(both_begun)
            us.hire()
            first.kill()
            first.wait()

            async def all_done() -> bool:
                return await completed(queue, 4)

            await until(all_done)
            infos = await queue.tasks("completed")
            batches = [info for info in infos if info.members]
            assert [(len(b.members), b.crashes, b.attempt) for b in batches] == [(5, 1, 1)] * 2
            assert {b.result for b in batches} == {i.id for i in infos if not i.members}
            stats = await queue.stats()
            assert (stats.enqueued, stats.batched, stats.completed_total) == (14, 10, 4)
            await check_sound(queue)
