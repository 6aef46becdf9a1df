"""The order of tasks that an earlier version enqueued: it gave them no `seq` until they were ready."""

from __future__ import annotations

from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Completed, Relations
from tests.conformance.bench import Q
from tests.redis.conftest import Behind
from tests.stored import changed


async def write_as_before(behind: Behind, *ids: str) -> None:
    """Rewrite the records of waiting tasks as an earlier version has them."""
    for task_id in ids:
        raw = await behind.raw("HGET", "records", task_id)
        await behind.raw("HSET", "records", task_id, changed(raw, seq=0))
        assert (await behind.bench.record(task_id)).seq == 0


async def test_its_delayed_tasks_come_by_age_then_id_and_first_within_a_millisecond(
    behind: Behind,
) -> None:
    bench = behind.bench
    await bench.add("z", "y", delay_ms=10)
    await bench.add("c", delay_ms=10)
    bench.clock.advance(1)
    await bench.add("b", "a", delay_ms=9)
    bench.clock.advance(1)
    await bench.add("x", delay_ms=8)
    await write_as_before(behind, "y", "z", "x")
    bench.clock.advance(8)
    assert (await bench.store.promote(Q, limit=10)).moved == 6
    assert await bench.ids(State.PENDING) == ["y", "z", "c", "b", "a", "x"]
    await bench.check()


async def test_its_dependents_come_by_age_then_id_and_first_within_a_millisecond(
    behind: Behind,
) -> None:
    bench = behind.bench
    fence = await bench.active("s")
    needs = Relations(needs=("s",))
    await bench.add("z", "y", "c", relations=needs)
    bench.clock.advance(1)
    await bench.add("b", "a", relations=needs)
    bench.clock.advance(1)
    await bench.add("x", relations=needs)
    await write_as_before(behind, "y", "z", "x")
    await bench.store.settle(Q, [Completed(fence, b"\x01")])
    assert await bench.ids(State.PENDING) == ["y", "z", "c", "b", "a", "x"]
    await bench.check()
