"""Attempts without an outcome: release, snooze, stop; and leases that go on: renew, report."""

import attrs
import pytest

from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Released, Report, Stopped, Verdict
from rediq_trio.spec.records import CANCELLED_GRACE_MS, Counters

from .bench import LEASE, START, Bench, Q, snoozed


async def test_a_released_task_goes_back_to_its_place_uncharged(bench: Bench) -> None:
    await bench.add("t", "u", "v")
    before = await bench.record()
    [lease] = await bench.take()
    assert await bench.store.settle(Q, [Released(lease.fence)]) == (State.PENDING,)
    assert await bench.record() == attrs.evolve(
        before, deliveries=1, nonce=lease.fence.nonce, worker="w", started_ms=START
    )
    assert (await bench.dump()).seq == 3
    assert await bench.ids(State.PENDING) == ["t", "u", "v"]


async def test_released_tasks_keep_their_order_whatever_the_order_of_their_release(
    bench: Bench,
) -> None:
    await bench.add("b", priority=1)
    await bench.add("a", "c", priority=0)
    a, c, b = [lease.fence for lease in await bench.take(3)]
    await bench.add("d", priority=0)
    assert (
        await bench.store.settle(Q, [Released(b), Released(c), Released(a)]) == (State.PENDING,) * 3
    )
    assert await bench.ids(State.PENDING) == ["a", "c", "d", "b"]


async def test_a_release_keeps_the_expiry(bench: Bench) -> None:
    fence = await bench.active(expires_in_ms=50)
    await bench.store.settle(Q, [Released(fence)])
    bench.clock.advance(50)
    assert (await bench.store.expire(Q, limit=1)).moved == 1


async def test_a_snoozed_task_is_scheduled_uncharged(bench: Bench) -> None:
    fence = await bench.active(expires_in_ms=900)
    before = await bench.record()
    bench.clock.advance(2)
    assert await bench.store.settle(Q, [snoozed(fence, 300)]) == (State.SCHEDULED,)
    assert await bench.record() == attrs.evolve(
        before, state=State.SCHEDULED, attempt=0, snoozes=1, run_ms=START + 302, lease_ms=0
    )


async def test_a_snooze_of_no_time_is_due_at_once(bench: Bench) -> None:
    fence = await bench.active()
    await bench.store.settle(Q, [snoozed(fence, 0)])
    assert (await bench.store.promote(Q, limit=1)).moved == 1


async def test_a_task_may_be_snoozed_more_often_than_it_may_fail(bench: Bench) -> None:
    await bench.add("t", max_retry=0)
    for _ in range(3):
        [lease] = await bench.take()
        assert lease.attempt == 1
        assert await bench.store.settle(Q, [snoozed(lease.fence, 0)]) == (State.SCHEDULED,)
        await bench.store.promote(Q, limit=1)
    record = await bench.record()
    assert (record.snoozes, record.deliveries, record.attempt) == (3, 3, 0)


async def test_a_stop_cancels_what_was_asked_to_be_cancelled(bench: Bench) -> None:
    fence = await bench.active(retention_ms=0)
    await bench.store.cancel(Q, "t")
    before = await bench.record()
    bench.clock.advance(4)
    assert await bench.store.settle(Q, [Stopped(fence)]) == (State.CANCELLED,)
    assert await bench.record() == attrs.evolve(
        before,
        state=State.CANCELLED,
        attempt=0,
        lease_ms=0,
        finished_ms=START + 4,
        purge_ms=START + 4 + CANCELLED_GRACE_MS,
    )
    assert (await bench.dump()).counters == Counters(enqueued=1)


async def test_a_stop_that_nobody_asked_for_leaves_the_task_active(bench: Bench) -> None:
    fence = await bench.active()
    before = await bench.dump()
    assert await bench.store.settle(Q, [Stopped(fence)]) == (State.ACTIVE,)
    assert await bench.dump() == before


async def test_a_repeated_stop_gives_the_state(bench: Bench) -> None:
    fence = await bench.active()
    await bench.store.cancel(Q, "t")
    answers = await bench.store.settle(Q, [Stopped(fence), Stopped(fence)])
    assert answers == (State.CANCELLED, State.CANCELLED)
    assert (await bench.record()).attempt == 0


@pytest.mark.parametrize(("how", "snoozes"), [("release", 0), ("snooze", 1)])
async def test_giving_back_after_a_cancel_was_asked_cancels(
    bench: Bench, how: str, snoozes: int
) -> None:
    fence = await bench.active(retention_ms=70_000, expires_in_ms=900)
    await bench.store.cancel(Q, "t")
    before = await bench.record()
    if how == "release":
        answer = await bench.store.settle(Q, [Released(fence)])
    else:
        answer = await bench.store.settle(Q, [snoozed(fence)])
    assert answer == (State.CANCELLED,)
    assert await bench.record() == attrs.evolve(
        before,
        state=State.CANCELLED,
        attempt=0,
        snoozes=snoozes,
        lease_ms=0,
        finished_ms=START,
        purge_ms=START + 70_000,
    )


async def test_many_are_snoozed_and_stopped_in_one_batch(bench: Bench) -> None:
    await bench.add("a", "b")
    a, b = [lease.fence for lease in await bench.take(2)]
    await bench.store.cancel(Q, "b")
    assert await bench.store.settle(Q, [Stopped(a), Stopped(b)]) == (State.ACTIVE, State.CANCELLED)
    assert await bench.store.settle(Q, [snoozed(b, 1), snoozed(a, 2)]) == (
        State.CANCELLED,
        State.SCHEDULED,
    )
    assert (await bench.record("a")).run_ms == START + 2


async def test_a_renewal_prolongs_the_lease_from_now_on(bench: Bench) -> None:
    fence = await bench.active()
    before = await bench.record()
    bench.clock.advance(100)
    assert await bench.store.renew(Q, [fence], lease_ms=500) == (Verdict.KEPT,)
    assert await bench.record() == attrs.evolve(before, lease_ms=START + 600)


async def test_a_lapsed_lease_that_nobody_reclaimed_is_renewed(bench: Bench) -> None:
    fence = await bench.active()
    bench.clock.advance(2 * LEASE)
    assert await bench.store.renew(Q, [fence], lease_ms=LEASE) == (Verdict.KEPT,)
    assert (await bench.store.reclaim(Q, limit=1)).moved == 0


async def test_a_renewal_tells_of_a_cancel_and_keeps_the_lease(bench: Bench) -> None:
    await bench.add("a", "b", "c")
    fences = [lease.fence for lease in await bench.take(3)]
    await bench.store.cancel(Q, "b")
    await bench.store.settle(Q, [Released(fences[2])])
    bench.clock.advance(5)
    verdicts = await bench.store.renew(Q, fences, lease_ms=LEASE)
    assert verdicts == (Verdict.KEPT, Verdict.CANCEL, Verdict.LOST)
    assert (await bench.record("b")).lease_ms == START + 5 + LEASE


async def test_progress_is_kept_with_the_task_and_the_newest_wins(bench: Bench) -> None:
    fence = await bench.active()
    before = await bench.record()
    items = [Report(fence, b"1"), Report(fence, b"\x00\xff2")]
    assert await bench.store.report(Q, items) == (True, True)
    assert await bench.record() == attrs.evolve(before, progress=b"\x00\xff2")


async def test_progress_outlives_its_attempt(bench: Bench) -> None:
    fence = await bench.active()
    await bench.store.report(Q, [Report(fence, b"half")])
    await bench.store.settle(Q, [Released(fence)])
    assert (await bench.record()).progress == b"half"
