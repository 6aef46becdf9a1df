"""What a caller or an operator does: cancel, revive, delete, flush, watch."""

from typing import Any

import attrs
import pytest

from rediq_trio.spec.lifecycle import TERMINAL, WAITING, State
from rediq_trio.spec.messages import Cancelling, Completed, Relations, Released, Report, Stopped
from rediq_trio.spec.records import CANCELLED_GRACE_MS, Counters, QueueState

from .bench import START, Bench, Q, failed

ENDS = sorted(TERMINAL)
WAITS = sorted(WAITING)


async def waiting(bench: Bench, state: State) -> None:
    """Bring a mortal task into a waiting state."""
    options: dict[State, dict[str, Any]] = {
        State.SCHEDULED: {"delay_ms": 500},
        State.BLOCKED: {"relations": Relations(needs_later=("another",))},
        State.GROUPED: {"relations": Relations(group="g")},
    }
    await bench.add("t", expires_in_ms=900, retention_ms=70_000, **options.get(state, {}))
    if state is State.RETRY:
        [lease] = await bench.take()
        await bench.store.settle(Q, [failed(lease.fence, delay_ms=500)])
    assert (await bench.record()).state is state


@pytest.mark.parametrize("state", WAITS)
async def test_a_waiting_task_is_cancelled_at_once(bench: Bench, state: State) -> None:
    await waiting(bench, state)
    before = await bench.record()
    bench.clock.advance(1)
    assert (await bench.store.cancel(Q, "t")).state is State.CANCELLED
    assert await bench.record() == attrs.evolve(
        before, state=State.CANCELLED, finished_ms=START + 1, purge_ms=START + 70_001
    )


async def test_a_cancelled_task_is_kept_for_the_grace_at_least(bench: Bench) -> None:
    await bench.add("t", retention_ms=1)
    await bench.store.cancel(Q, "t")
    assert (await bench.record()).purge_ms == START + CANCELLED_GRACE_MS


async def test_an_active_task_is_asked_to_stop_and_stays_active(bench: Bench) -> None:
    await bench.active()
    before = await bench.record()
    assert (await bench.store.cancel(Q, "t")).state is State.ACTIVE
    assert await bench.record() == attrs.evolve(before, cancel=True)
    assert (await bench.store.cancel(Q, "t")).state is State.ACTIVE


@pytest.mark.parametrize("state", ENDS)
async def test_a_cancel_of_an_ended_task_changes_nothing(bench: Bench, state: State) -> None:
    await bench.ended("t", state)
    before = await bench.dump()
    bench.clock.advance(5)
    assert (await bench.store.cancel(Q, "t")).state is state
    assert await bench.dump() == before


async def test_there_is_nothing_to_do_with_an_unknown_task(bench: Bench) -> None:
    assert await bench.store.cancel(Q, "nobody") == Cancelling(None)
    assert await bench.store.watch(Q, "nobody") is None
    assert await bench.store.revive(Q, ["nobody"]) == (None,)
    assert await bench.store.delete(Q, ["nobody"]) == (None,)
    assert await bench.store.get(Q, ["nobody"]) == (None,)
    assert await bench.dump() == QueueState()


@pytest.mark.parametrize("state", [State.DEAD, State.CANCELLED])
async def test_a_revived_task_is_as_if_new_but_for_its_deliveries(
    bench: Bench, state: State
) -> None:
    await bench.ended("t", state, priority=3, expires_in_ms=50)
    await bench.store.watch(Q, "t")
    before = await bench.record()
    bench.clock.advance(100)
    assert await bench.store.revive(Q, ["t"]) == (State.PENDING,)
    assert await bench.record() == attrs.evolve(
        before,
        state=State.PENDING,
        seq=2,
        run_ms=START + 100,
        expires_ms=0,
        attempt=0,
        nonce=b"",
        cancel=False,
        error="",
        finished_ms=0,
        purge_ms=0,
    )
    [lease] = await bench.take()
    assert (lease.fence.deliveries, lease.attempt) == (2, 1)


async def test_a_revival_forgets_crashes_and_snoozes(bench: Bench) -> None:
    await bench.add("t", max_crashes=0)
    assert len(await bench.take(lease_ms=1)) == 1
    bench.clock.advance(1)
    await bench.store.reclaim(Q, limit=1)
    assert (await bench.record()).crashes == 1
    await bench.store.revive(Q, ["t"])
    record = await bench.record()
    assert (record.crashes, record.snoozes, record.attempt) == (0, 0, 0)


async def test_a_revived_task_stands_behind_those_that_are_ready(bench: Bench) -> None:
    await bench.ended("t", State.DEAD)
    await bench.add("u")
    await bench.store.revive(Q, ["t"])
    assert await bench.ids(State.PENDING) == ["u", "t"]


async def test_a_revival_leaves_every_other_state_alone(bench: Bench) -> None:
    await bench.ended("completed", State.COMPLETED)
    await bench.active("active")
    await bench.add("pending")
    await bench.add("scheduled", delay_ms=5)
    before = await bench.dump()
    ids = ["completed", "active", "pending", "scheduled"]
    answers = await bench.store.revive(Q, ids)
    assert answers == tuple(map(State, ids))
    assert await bench.dump() == before


async def test_a_task_named_twice_is_revived_once(bench: Bench) -> None:
    await bench.ended("t", State.DEAD)
    assert await bench.store.revive(Q, ["t", "t"]) == (State.PENDING, State.PENDING)
    assert (await bench.dump()).seq == 2


@pytest.mark.parametrize("state", WAITS)
async def test_a_waiting_task_is_deleted_with_all_that_is_left_of_it(
    bench: Bench, state: State
) -> None:
    await waiting(bench, state)
    assert await bench.store.delete(Q, ["t"]) == (state,)
    assert await bench.mentioned() == set()
    assert (await bench.dump()).counters.deleted == 1


@pytest.mark.parametrize("state", ENDS)
async def test_an_ended_task_is_deleted_with_all_that_is_left_of_it(
    bench: Bench, state: State
) -> None:
    fence = await bench.active()
    await bench.store.report(Q, [Report(fence, b"p")])
    await bench.store.settle(Q, [Released(fence)])
    [lease] = await bench.take()
    if state is State.COMPLETED:
        await bench.store.settle(Q, [Completed(lease.fence, b"r")])
    elif state is State.DEAD:
        await bench.store.settle(Q, [failed(lease.fence, final=True)])
    else:
        await bench.store.cancel(Q, "t")
        await bench.store.settle(Q, [Stopped(lease.fence)])
    assert await bench.store.delete(Q, ["t"]) == (state,)
    assert await bench.mentioned() == set()
    assert (await bench.dump()).counters.deleted == 1


async def test_a_task_in_hand_is_not_deleted(bench: Bench) -> None:
    await bench.active()
    before = await bench.dump()
    assert await bench.store.delete(Q, ["t"]) == (State.ACTIVE,)
    assert await bench.dump() == before


async def test_a_task_named_twice_is_deleted_once(bench: Bench) -> None:
    await bench.add("t")
    assert await bench.store.delete(Q, ["t", "t"]) == (State.PENDING, None)
    assert (await bench.dump()).counters == Counters(enqueued=1, deleted=1)


async def test_a_flush_removes_every_task_and_keeps_totals_place_and_pause(bench: Bench) -> None:
    for state in ENDS:
        await bench.ended(state, state)
    fence = await bench.active("active")
    await bench.store.report(Q, [Report(fence, b"p")])
    await bench.add("retry")
    [lease] = await bench.take()
    await bench.store.settle(Q, [failed(lease.fence)])
    await bench.add("pending", expires_in_ms=5)
    await bench.add("scheduled", delay_ms=5, expires_in_ms=5)
    await bench.add("blocked", relations=Relations(unique="k", ttl_ms=9, needs_later=("another",)))
    await bench.add("grouped", relations=Relations(group="g"))
    await bench.add("keyed", relations=Relations(limit_key="l"))
    await bench.store.pause(Q)
    before = await bench.dump()
    assert await bench.store.flush(Q) == 10
    after = await bench.dump()
    counters = attrs.evolve(before.counters, deleted=10)
    assert after == QueueState({}, before.seq, True, counters, paused_since_ms=START)
    assert await bench.mentioned() == set()


async def test_a_flush_of_an_empty_queue_changes_nothing(bench: Bench) -> None:
    assert await bench.store.flush(Q) == 0
    assert await bench.dump() == QueueState()


async def test_an_id_from_before_a_flush_is_free_and_its_old_lease_stale(bench: Bench) -> None:
    fence = await bench.active()
    await bench.store.flush(Q)
    again = await bench.active()
    assert again.deliveries == fence.deliveries
    assert await bench.store.settle(Q, [Completed(fence, b"r")]) == (None,)


@pytest.mark.parametrize("state", WAITS)
async def test_a_watch_notes_that_someone_waits(bench: Bench, state: State) -> None:
    await waiting(bench, state)
    before = await bench.record()
    assert await bench.store.watch(Q, "t") is state
    assert await bench.record() == attrs.evolve(before, has_waiters=True)
    assert await bench.store.watch(Q, "t") is state


async def test_an_active_task_can_be_watched(bench: Bench) -> None:
    await bench.active()
    before = await bench.record()
    assert await bench.store.watch(Q, "t") is State.ACTIVE
    assert await bench.record() == attrs.evolve(before, has_waiters=True)


@pytest.mark.parametrize("state", ENDS)
async def test_a_watch_of_an_ended_task_changes_nothing(bench: Bench, state: State) -> None:
    await bench.ended("t", state)
    before = await bench.dump()
    assert await bench.store.watch(Q, "t") is state
    assert await bench.dump() == before
