"""When finished tasks go."""

import pytest

from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Completed, Due, Report
from rediq_trio.spec.records import CANCELLED_GRACE_MS, Counters

from .bench import Bench, Q

DEAD_FOR = 1000


async def purge(bench: Bench, limit: int = 100, max_dead: int = 100) -> Due:
    return await bench.store.purge(Q, limit=limit, dead_retention_ms=DEAD_FOR, max_dead=max_dead)


async def test_a_completed_task_goes_after_its_retention_and_not_before(bench: Bench) -> None:
    fence = await bench.active(retention_ms=10)
    await bench.store.report(Q, [Report(fence, b"p")])
    await bench.store.settle(Q, [Completed(fence, b"r")])
    bench.clock.advance(9)
    assert await purge(bench) == Due(0, 1)
    assert (await bench.record()).result == b"r"
    bench.clock.advance(1)
    assert await purge(bench) == Due(1, None)
    assert await bench.mentioned() == set()
    assert (await bench.dump()).counters == Counters(enqueued=1, completed=1, purged=1)


async def test_a_cancelled_task_goes_after_the_grace_and_not_before(bench: Bench) -> None:
    await bench.ended("t", State.CANCELLED, retention_ms=0)
    bench.clock.advance(CANCELLED_GRACE_MS - 1)
    assert await purge(bench) == Due(0, 1)
    bench.clock.advance(1)
    assert await purge(bench) == Due(1, None)
    assert await bench.mentioned() == set()


async def test_a_dead_task_goes_after_its_retention_and_not_before(bench: Bench) -> None:
    await bench.ended("t", State.DEAD)
    bench.clock.advance(DEAD_FOR - 1)
    assert await purge(bench) == Due(0, 1)
    bench.clock.advance(1)
    assert await purge(bench) == Due(1, None)
    assert await bench.mentioned() == set()


async def test_the_oldest_dead_go_when_they_are_too_many(bench: Bench) -> None:
    for task_id in "cab":
        await bench.ended(task_id, State.DEAD)
        bench.clock.advance(1)
    assert await purge(bench, max_dead=2) == Due(1, DEAD_FOR - 2)
    assert await bench.ids(State.DEAD) == ["a", "b"]
    assert await purge(bench, max_dead=0) == Due(2, None)


async def test_dead_tasks_that_are_few_and_young_stay(bench: Bench) -> None:
    await bench.ended("t", State.DEAD)
    assert await purge(bench, max_dead=1) == Due(0, DEAD_FOR)
    assert await bench.ids(State.DEAD) == ["t"]


async def test_dead_tasks_go_in_bounded_batches(bench: Bench) -> None:
    for task_id in "abc":
        await bench.ended(task_id, State.DEAD)
    bench.clock.advance(DEAD_FOR)
    assert await purge(bench, limit=2) == Due(2, 0)
    assert await bench.ids(State.DEAD) == ["c"]


async def test_too_many_dead_go_in_bounded_batches(bench: Bench) -> None:
    for task_id in "abc":
        await bench.ended(task_id, State.DEAD)
    assert (await purge(bench, limit=2, max_dead=0)).moved == 2


@pytest.mark.parametrize("state", [State.COMPLETED, State.CANCELLED])
async def test_finished_tasks_go_in_bounded_batches_the_first_due_first(
    bench: Bench, state: State
) -> None:
    for task_id, retention in [("a", 90_002), ("b", 90_000), ("c", 90_001)]:
        await bench.ended(task_id, state, retention_ms=retention)
    bench.clock.advance(100_000)
    assert await purge(bench, limit=2) == Due(2, 0)
    assert await bench.ids(state) == ["a"]
    assert await purge(bench, limit=2) == Due(1, None)


async def test_each_terminal_state_has_the_limit_to_itself(bench: Bench) -> None:
    for state in (State.COMPLETED, State.DEAD, State.CANCELLED):
        for n in range(2):
            await bench.ended(f"{state}{n}", state, retention_ms=CANCELLED_GRACE_MS)
    bench.clock.advance(CANCELLED_GRACE_MS)
    assert await purge(bench, limit=1) == Due(3, 0)
    assert (await bench.dump()).counters.purged == 3


async def test_a_purge_tells_when_the_next_of_any_kind_may_go(bench: Bench) -> None:
    await bench.ended("c", State.COMPLETED, retention_ms=5000)
    assert await purge(bench) == Due(0, 5000)
    await bench.ended("d", State.DEAD)
    assert await purge(bench) == Due(0, DEAD_FOR)
    bench.clock.advance(DEAD_FOR)
    assert await purge(bench) == Due(1, 5000 - DEAD_FOR)
    await bench.ended("x", State.CANCELLED, retention_ms=0)
    bench.clock.advance(5000 - DEAD_FOR)
    assert await purge(bench) == Due(1, CANCELLED_GRACE_MS - 5000 + DEAD_FOR)


async def test_what_has_not_ended_stays(bench: Bench) -> None:
    await bench.active("active", retention_ms=1)
    await bench.add("pending", retention_ms=1)
    await bench.add("scheduled", retention_ms=1, delay_ms=5)
    before = await bench.dump()
    bench.clock.advance(10**9)
    assert await purge(bench, max_dead=0) == Due(0, None)
    assert await bench.dump() == before


async def test_the_id_of_a_purged_task_is_free_again(bench: Bench) -> None:
    await bench.ended("t", State.DEAD)
    await purge(bench, max_dead=0)
    await bench.add("t")
    assert (await bench.record()).deliveries == 0
