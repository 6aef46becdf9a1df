"""What a caller changes of a waiting task: when it is due."""

from typing import Any

import attrs
import pytest

from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Completed, Relations, Rescheduled
from rediq_trio.spec.records import QueueState, Record
from rediq_trio.store.broadcast import SignalKind
from tests.conformance.bench import START, Bench, Q, failed, heard

RETIMED = [State.SCHEDULED, State.PENDING, State.RETRY]
OTHERS = [state for state in State if state not in RETIMED]


async def bring(bench: Bench, state: State, task_id: str = "t", **options: Any) -> Record:
    """Bring a task that expires into a state."""
    options = {"expires_in_ms": 900, "retention_ms": 70_000} | options
    match state:
        case State.ACTIVE | State.RETRY:
            fence = await bench.active(task_id, **options)
            if state is State.RETRY:
                await bench.store.settle(Q, [failed(fence, delay_ms=500)])
        case State.COMPLETED | State.DEAD | State.CANCELLED:
            await bench.ended(task_id, state, **options)
        case State.SCHEDULED:
            await bench.add(task_id, delay_ms=500, **options)
        case State.BLOCKED:
            relations = Relations(needs_later=("another",))
            await bench.add(task_id, **options | {"relations": relations})
        case State.GROUPED:
            await bench.add(task_id, **options | {"relations": Relations(group="g")})
        case _:
            await bench.add(task_id, **options)
    record = await bench.record(task_id)
    assert record.state is state
    return record


@pytest.mark.parametrize("state", RETIMED)
async def test_a_task_is_scheduled_again_with_its_counters(bench: Bench, state: State) -> None:
    before = await bring(bench, state)
    bench.clock.advance(1)
    answer = await bench.store.reschedule(Q, "t", delay_ms=200)
    assert answer == Rescheduled(state, State.SCHEDULED)
    after = attrs.evolve(before, state=State.SCHEDULED, run_ms=START + 201)
    assert await bench.record() == after
    assert await bench.store.reschedule(Q, "t", run_at_ms=START + 300) == Rescheduled(
        State.SCHEDULED, State.SCHEDULED
    )
    assert await bench.record() == attrs.evolve(after, run_ms=START + 300)
    bench.clock.now = START + 299
    assert (await bench.store.promote(Q, limit=10)).moved == 0
    bench.clock.now = START + 300
    assert (await bench.store.promote(Q, limit=10)).moved == 1


@pytest.mark.parametrize("state", [State.SCHEDULED, State.RETRY])
@pytest.mark.parametrize("at", [0, START - 5, START + 1])
async def test_a_task_that_is_due_by_then_is_ready_at_once(
    bench: Bench, state: State, at: int
) -> None:
    before = await bring(bench, state)
    await bench.add("another")
    bench.clock.advance(1)
    answer = await bench.store.reschedule(Q, "t", run_at_ms=at)
    assert answer == Rescheduled(state, State.PENDING)
    record = await bench.record()
    assert record == attrs.evolve(
        before, state=State.PENDING, run_ms=START + 1, seq=(await bench.dump()).seq
    )
    assert await bench.ids(State.PENDING) == ["another", "t"]


async def test_a_pending_task_keeps_its_place_when_it_is_to_run_now(bench: Bench) -> None:
    await bench.add("t", "u")
    before = await bench.dump()
    bench.clock.advance(1)
    answer = await bench.store.reschedule(Q, "t")
    assert answer == Rescheduled(State.PENDING, State.PENDING)
    assert await bench.dump() == before


@pytest.mark.parametrize("state", OTHERS)
async def test_no_other_task_is_rescheduled(bench: Bench, state: State) -> None:
    await bring(bench, state)
    before = await bench.dump()
    bench.clock.advance(1)
    for delay_ms in (0, 10):
        answer = await bench.store.reschedule(Q, "t", delay_ms=delay_ms)
        assert answer == Rescheduled(state, state)
    assert await bench.dump() == before


async def test_a_task_that_is_not_there_is_not_rescheduled(bench: Bench) -> None:
    assert await bench.store.reschedule(Q, "nobody", delay_ms=5) == Rescheduled(None, None)
    assert await bench.dump() == QueueState()


async def test_a_task_with_keys_keeps_them_while_it_is_rescheduled(bench: Bench) -> None:
    relations = Relations(limit_key="k", unique="u")
    await bring(bench, State.PENDING, relations=relations)
    assert set((await bench.dump()).turns) == {"k"}
    await bench.store.reschedule(Q, "t", delay_ms=5)
    found = await bench.dump()
    assert (set(found.turns), {*found.locks}) == (set(), {"u"})
    await bench.store.reschedule(Q, "t")
    assert set((await bench.dump()).turns) == {"k"}


async def test_a_rescheduled_task_expires_all_the_same(bench: Bench) -> None:
    await bring(bench, State.PENDING)
    await bench.store.reschedule(Q, "t", delay_ms=5_000)
    bench.clock.advance(900)
    assert (await bench.store.expire(Q, limit=1)).moved == 1


async def test_an_attempt_that_was_settled_is_settled_no_second_time(bench: Bench) -> None:
    fence = await bench.active()
    await bench.store.settle(Q, [failed(fence, delay_ms=500)])
    await bench.store.reschedule(Q, "t")
    assert await bench.store.settle(Q, [Completed(fence, b"r")]) == (State.PENDING,)
    assert (await bench.record()).state is State.PENDING


async def test_keepers_and_pollers_are_notified(bench: Bench) -> None:
    await bench.add("t", delay_ms=500)
    with bench.store.listen([(Q, "")]) as signals:
        await heard(signals, SignalKind.RESYNC)
        await bench.store.reschedule(Q, "t", delay_ms=50)
        await heard(signals, SignalKind.DUE)
        await bench.store.reschedule(Q, "t")
        await heard(signals, SignalKind.WAKE)


async def test_the_history_names_the_step(bench: Bench) -> None:
    await bench.store.arrange(Q, history=10)
    await bring(bench, State.SCHEDULED)
    await bench.store.reschedule(Q, "t")
    [entry] = await bench.store.history(Q, after=2, limit=10)
    assert (entry.transition, entry.source, entry.target) == (
        "reschedule", State.SCHEDULED, State.PENDING
    )  # fmt: skip
