"""A write about a task counts only with the token of its last delivery."""

from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest

from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Completed, Fence, Released, Report, Stopped, Verdict

from .bench import LEASE, Bench, Q, failed, snoozed

Speak = Callable[[Bench, Fence], Awaitable[Any]]


async def complete(bench: Bench, fence: Fence) -> Any:
    return await bench.store.settle(Q, [Completed(fence, b"late")])


async def fail(bench: Bench, fence: Fence) -> Any:
    return await bench.store.settle(Q, [failed(fence, "late")])


async def release(bench: Bench, fence: Fence) -> Any:
    return await bench.store.settle(Q, [Released(fence)])


async def snooze(bench: Bench, fence: Fence) -> Any:
    return await bench.store.settle(Q, [snoozed(fence)])


async def stop(bench: Bench, fence: Fence) -> Any:
    return await bench.store.settle(Q, [Stopped(fence)])


async def renew(bench: Bench, fence: Fence) -> Any:
    return await bench.store.renew(Q, [fence], lease_ms=9 * LEASE)


async def report(bench: Bench, fence: Fence) -> Any:
    return await bench.store.report(Q, [Report(fence, b"late")])


SETTLEMENTS = [complete, fail, release, snooze, stop]
STALE: dict[Speak, Any] = {
    **dict.fromkeys(SETTLEMENTS, (None,)), renew: (Verdict.LOST,), report: (False,),
}  # fmt: skip

every_speaker = pytest.mark.parametrize("speak", STALE, ids=lambda speak: speak.__name__)
every_settlement = pytest.mark.parametrize("speak", SETTLEMENTS, ids=lambda speak: speak.__name__)


async def refused(bench: Bench, speak: Speak, fence: Fence) -> None:
    before = await bench.dump()
    assert await speak(bench, fence) == STALE[speak]
    assert await bench.dump() == before


@every_speaker
async def test_another_nonce_is_stale(bench: Bench, speak: Speak) -> None:
    fence = await bench.active()
    await bench.store.cancel(Q, "t")
    await refused(bench, speak, attrs.evolve(fence, nonce=b"z" * 8))


@every_speaker
@pytest.mark.parametrize("by", [-1, 1])
async def test_another_delivery_is_stale(bench: Bench, speak: Speak, by: int) -> None:
    fence = await bench.active()
    await bench.store.cancel(Q, "t")
    await refused(bench, speak, attrs.evolve(fence, deliveries=fence.deliveries + by))


@every_speaker
async def test_an_unknown_task_is_stale(bench: Bench, speak: Speak) -> None:
    await refused(bench, speak, Fence("nobody", 1, b"z" * 8))


@every_speaker
async def test_a_task_that_was_never_claimed_is_held_by_nobody(bench: Bench, speak: Speak) -> None:
    await bench.add("t")
    await refused(bench, speak, Fence("t", 0, b"z" * 8))


@every_speaker
async def test_a_lease_that_was_reclaimed_is_stale(bench: Bench, speak: Speak) -> None:
    fence = await bench.active()
    bench.clock.advance(LEASE)
    assert (await bench.store.reclaim(Q, limit=1)).moved == 1
    await refused(bench, speak, fence)


@every_speaker
async def test_a_former_holder_is_stale_while_another_works(bench: Bench, speak: Speak) -> None:
    fence = await bench.active()
    bench.clock.advance(LEASE)
    await bench.store.reclaim(Q, limit=1)
    await bench.take(worker="other")
    await bench.store.cancel(Q, "t")
    await refused(bench, speak, fence)


@every_speaker
async def test_a_lease_on_a_flushed_task_is_stale(bench: Bench, speak: Speak) -> None:
    fence = await bench.active()
    await bench.store.flush(Q)
    await refused(bench, speak, fence)


@every_speaker
async def test_a_lease_from_before_a_revival_is_stale(bench: Bench, speak: Speak) -> None:
    fence = await bench.active()
    await bench.store.settle(Q, [failed(fence, final=True)])
    await bench.store.revive(Q, ["t"])
    await refused(bench, speak, fence)


@every_settlement
@pytest.mark.parametrize("settle", SETTLEMENTS[:4], ids=lambda settle: settle.__name__)
async def test_a_second_settlement_changes_nothing_and_gives_the_state(
    bench: Bench, settle: Speak, speak: Speak
) -> None:
    fence = await bench.active()
    [state] = await settle(bench, fence)
    before = await bench.dump()
    assert state in (State.COMPLETED, State.RETRY, State.PENDING, State.SCHEDULED)
    assert await speak(bench, fence) == (state,)
    assert await bench.dump() == before


@pytest.mark.parametrize("settle", SETTLEMENTS[:4], ids=lambda settle: settle.__name__)
async def test_a_settled_lease_cannot_be_renewed(bench: Bench, settle: Speak) -> None:
    fence = await bench.active()
    await settle(bench, fence)
    await refused(bench, renew, fence)


@pytest.mark.parametrize("settle", SETTLEMENTS[:4], ids=lambda settle: settle.__name__)
async def test_a_settled_attempt_reports_no_progress(bench: Bench, settle: Speak) -> None:
    fence = await bench.active()
    await settle(bench, fence)
    await refused(bench, report, fence)


@every_settlement
async def test_a_lease_that_lapsed_counts_until_it_is_reclaimed(bench: Bench, speak: Speak) -> None:
    fence = await bench.active()
    bench.clock.advance(10 * LEASE)
    [state] = await speak(bench, fence)
    assert state is not None


@every_settlement
async def test_good_and_stale_fences_in_one_batch_are_told_apart(
    bench: Bench, speak: Speak
) -> None:
    await bench.add("a", "b")
    fence_a, fence_b = [lease.fence for lease in await bench.take(2)]
    before = (await bench.dump()).records["a"]
    wrong = attrs.evolve(fence_a, nonce=b"z" * 8)
    assert await speak(bench, wrong) == (None,)
    [state] = await speak(bench, fence_b)
    records = (await bench.dump()).records
    assert records["a"] == before
    assert records["b"].state is state
