"""Steps of a task, whose results are kept with it until it completes."""

import attrs
import pytest

from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Completed, Fence, Relations, Released, Stopped

from .bench import LEASE, Bench, Q, failed, snoozed

ONE, TWO = ("one", b"\x01"), ("two", b"\x02")


async def test_the_result_of_a_step_is_kept_with_the_running_task(bench: Bench) -> None:
    fence = await bench.active()
    before = await bench.record()
    assert await bench.store.remember(Q, fence, ONE)
    assert await bench.record() == attrs.evolve(before, steps=(ONE,), has_steps=True)


async def test_steps_are_kept_in_the_order_in_which_they_were_done(bench: Bench) -> None:
    fence = await bench.active()
    assert await bench.store.remember(Q, fence, ONE)
    assert await bench.store.remember(Q, fence, TWO)
    assert (await bench.record()).steps == (ONE, TWO)


async def test_each_task_has_its_own(bench: Bench) -> None:
    await bench.add("s", "t")
    leases = await bench.take(2)
    await bench.store.remember(Q, leases[0].fence, ONE)
    await bench.store.remember(Q, leases[1].fence, TWO)
    assert (await bench.record("s")).steps == (ONE,)
    assert (await bench.record("t")).steps == (TWO,)


@pytest.mark.parametrize("twist", ["nonce", "deliveries", "id"])
async def test_a_stale_lease_keeps_nothing(bench: Bench, twist: str) -> None:
    fence = await bench.active()
    stale = {
        "nonce": attrs.evolve(fence, nonce=b"another!"),
        "deliveries": attrs.evolve(fence, deliveries=2),
        "id": attrs.evolve(fence, id="nobody"),
    }[twist]
    before = await bench.dump()
    assert not await bench.store.remember(Q, stale, ONE)
    assert await bench.dump() == before


async def give_back(bench: Bench, fence: Fence, how: str) -> None:
    """Let an attempt end so that the task will run again."""
    match how:
        case "retry":
            await bench.store.settle(Q, [failed(fence, delay_ms=0)])
            await bench.store.promote(Q, limit=5)
        case "release":
            await bench.store.settle(Q, [Released(fence)])
        case "snooze":
            await bench.store.settle(Q, [snoozed(fence, delay_ms=0)])
            await bench.store.promote(Q, limit=5)
        case "reclaim":
            bench.clock.advance(LEASE)
            await bench.store.reclaim(Q, limit=5)
        case "revive the dead":
            await bench.store.settle(Q, [failed(fence, final=True)])
            await bench.store.revive(Q, ["t"])
        case _:
            await bench.store.cancel(Q, "t")
            await bench.store.settle(Q, [Stopped(fence)])
            await bench.store.revive(Q, ["t"])


AGAIN = ("retry", "release", "snooze", "reclaim", "revive the dead", "revive the cancelled")


@pytest.mark.parametrize("how", AGAIN)
async def test_steps_are_there_for_a_later_attempt(bench: Bench, how: str) -> None:
    fence = await bench.active()
    await bench.store.remember(Q, fence, ONE)
    await give_back(bench, fence, how)
    assert not await bench.store.remember(Q, fence, TWO)
    [lease] = await bench.take()
    assert (await bench.record()).steps == (ONE,)
    assert await bench.store.remember(Q, lease.fence, TWO)
    assert (await bench.record()).steps == (ONE, TWO)


async def test_steps_go_with_completion(bench: Bench) -> None:
    fence = await bench.active()
    await bench.store.remember(Q, fence, ONE)
    await bench.store.settle(Q, [Completed(fence, b"r")])
    record = await bench.record()
    assert (record.state, record.steps, record.has_steps) == (State.COMPLETED, (), False)
    assert not await bench.store.remember(Q, fence, TWO)


@pytest.mark.parametrize("relations", [Relations(), Relations(unique="k")], ids=["plain", "tied"])
@pytest.mark.parametrize("end", ["no retention", "delete", "purge", "flush"])
async def test_steps_go_with_the_task(bench: Bench, end: str, relations: Relations) -> None:
    fence = await bench.active(retention_ms=0, relations=relations)
    await bench.store.remember(Q, fence, ONE)
    match end:
        case "delete":
            await bench.store.settle(Q, [Released(fence)])
            await bench.store.delete(Q, ["t"])
        case "purge":
            await bench.store.settle(Q, [failed(fence, final=True)])
            await bench.store.purge(Q, limit=5, dead_retention_ms=1, max_dead=0)
        case "flush":
            await bench.store.flush(Q)
        case _:
            await bench.store.settle(Q, [Completed(fence, b"r")])
    assert await bench.mentioned() == set()


async def test_other_marks_of_a_task_outlive_its_steps(bench: Bench) -> None:
    fence = await bench.active()
    await bench.store.watch(Q, "t")
    await bench.add("w", relations=Relations(needs=("t",)))
    await bench.store.remember(Q, fence, ONE)
    record = await bench.record()
    assert (record.has_waiters, record.has_dependents, record.has_steps) == (True, True, True)
    await bench.store.settle(Q, [Completed(fence, b"\x07")])
    record = await bench.record()
    assert (record.has_waiters, record.has_dependents, record.has_steps) == (True, True, False)
