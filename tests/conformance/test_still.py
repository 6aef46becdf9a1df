"""Changes of what is still in its state: whatever has left it, or came into it later, is not touched."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import InState, Relations, Released, Requeued
from rediq_trio.spec.records import Record

from .bench import START, Bench, Q, failed, new

Change = Callable[[Bench, InState], Awaitable[Any]]


async def revive(bench: Bench, still: InState) -> Any:
    (state,) = await bench.store.revive(Q, ["t"], still=still)
    return state


async def delete(bench: Bench, still: InState) -> Any:
    (state,) = await bench.store.delete(Q, ["t"], still=still)
    return state


async def cancel(bench: Bench, still: InState) -> Any:
    return (await bench.store.cancel(Q, "t", still=still)).state


async def requeue(bench: Bench, still: InState) -> Any:
    seen = (await bench.record()).version
    task = new("new", relations=Relations(queue="other"))
    answer = await bench.store.requeue(Q, "t", seen=seen, task=task, still=still)
    assert answer.obstacle is None
    return answer.state


REFUSED = {revive: None, delete: None, cancel: None, requeue: Requeued().state}


async def in_state(bench: Bench, state: State) -> Record:
    """Bring a task into a state, 10 ms after it was enqueued, and 20 ms after the start of the test."""
    bench.clock.advance(10)
    match state:
        case State.PENDING:  # it was due before it was made ready
            await bench.add("t", delay_ms=7)
            bench.clock.advance(10)
            await bench.store.promote(Q, limit=1)
        case State.RETRY:
            await bench.add("t")
            bench.clock.advance(10)
            (lease,) = await bench.take()
            await bench.store.settle(Q, [failed(lease.fence)])
        case State.SCHEDULED:
            bench.clock.advance(10)
            await bench.add("t", delay_ms=1000)
        case _:
            await bench.add("t", delay_ms=9)
            bench.clock.advance(10)
            await bench.store.promote(Q, limit=1)
            (lease,) = await bench.take()
            await bench.store.settle(Q, [failed(lease.fence, final=True)])
    record = await bench.record()
    assert record.state is state
    return record


SINCE = {State.PENDING: 17, State.RETRY: 20, State.SCHEDULED: 20, State.DEAD: 20}
"""When a task entered its state, in ms after the start, as far as its record tells."""
CASES = [
    (revive, State.DEAD), (delete, State.DEAD), (requeue, State.DEAD),
    *((change, state) for change in (delete, cancel, requeue)
      for state in (State.PENDING, State.RETRY, State.SCHEDULED)),
]  # fmt: skip


@pytest.mark.parametrize(("change", "state"), CASES)
async def test_a_task_is_changed_if_it_entered_its_state_by_an_instant(
    bench: Bench, change: Change, state: State
) -> None:
    record = await in_state(bench, state)
    bench.clock.advance(5)
    since = START + SINCE[state]
    assert record.entered_ms == since
    before = await bench.dump()
    for still in (InState(state, since - 1), InState(State.GROUPED, since), InState(state, 1)):
        assert await change(bench, still) is None
        assert await bench.dump() == before
    assert await change(bench, InState(state, since)) is not None
    assert await bench.dump() != before


@pytest.mark.parametrize("change", [revive, delete])
async def test_a_task_that_died_again_is_not_the_one_that_was_meant(
    bench: Bench, change: Change
) -> None:
    await bench.ended("t", State.DEAD)
    still = InState(State.DEAD, bench.clock.now)
    bench.clock.advance(5)
    assert await bench.store.revive(Q, ["t"]) == (State.PENDING,)
    assert await change(bench, still) is None
    (lease,) = await bench.take()
    await bench.store.settle(Q, [failed(lease.fence, final=True)])
    before = await bench.dump()
    assert await change(bench, still) is None
    assert await bench.dump() == before


@pytest.mark.parametrize("change", [delete, cancel, requeue])
async def test_a_task_that_left_a_waiting_state_and_came_back_unstarted_is_reached(
    bench: Bench, change: Change
) -> None:
    await bench.add("t", delay_ms=1000)
    still = InState(State.SCHEDULED, START)
    bench.clock.advance(10)
    await bench.store.reschedule(Q, "t", delay_ms=0)
    assert (await bench.record()).state is State.PENDING
    bench.clock.advance(10)
    # Since when it waits for this time is not stored: it was there then, and has not started since.
    await bench.store.reschedule(Q, "t", delay_ms=500)
    assert await change(bench, still) is not REFUSED[change]


async def test_a_task_that_waits_again_after_an_attempt_is_not_reached(bench: Bench) -> None:
    await bench.add("t")
    still = InState(State.PENDING, START)
    bench.clock.advance(10)
    (lease,) = await bench.take()
    await bench.store.settle(Q, [Released(lease.fence)])
    assert (await bench.record()).state is State.PENDING
    assert await cancel(bench, still) is None


async def test_each_of_several_is_looked_at(bench: Bench) -> None:
    await bench.ended("old", State.DEAD)
    still = InState(State.DEAD, bench.clock.now)
    bench.clock.advance(1)
    await bench.ended("new", State.DEAD)
    ids = ["new", "none", "old"]
    assert await bench.store.revive(Q, ids, still=still) == (None, None, State.PENDING)
    assert await bench.store.delete(Q, ids, still=still) == (None, None, None)
    assert {r.id for r in (await bench.dump()).records.values()} == {"new", "old"}
