"""What a caller changes of a waiting task: when it is due, its payload and its options."""

from typing import Any

import attrs
import pytest

from rediq_trio.spec.lifecycle import WAITING, State
from rediq_trio.spec.messages import Completed, Relations, Rescheduled, Updated, Version
from rediq_trio.spec.records import GroupRule, QueueState, Record
from rediq_trio.store.broadcast import SignalKind

from .bench import LEASE, START, Bench, Q, failed, heard

RETIMED = [State.SCHEDULED, State.PENDING, State.RETRY]
WAITS = [state for state in State if state in WAITING]
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


NEW = Version(b"e" * 600, 7, 5, 4, 9_000)


@pytest.mark.parametrize("state", WAITS)
async def test_a_waiting_task_is_changed_in_place(bench: Bench, state: State) -> None:
    before = await bring(bench, state)
    bench.clock.advance(1)
    new = attrs.evolve(NEW, expires_ms=START + 700)
    assert await bench.store.update(Q, "t", seen=before.version, new=new) == Updated(state, True)
    after = attrs.evolve(before, **attrs.asdict(new))
    if state is State.PENDING:
        after = attrs.evolve(after, seq=(await bench.dump()).seq)
    assert await bench.record() == after
    back = attrs.evolve(before.version, expires_ms=0)
    assert await bench.store.update(Q, "t", seen=new, new=back) == Updated(state, True)
    assert (await bench.record()).version == back
    bench.clock.advance(1_000)
    assert (await bench.store.expire(Q, limit=1)).moved == 0


@pytest.mark.parametrize("state", [state for state in State if state not in WAITING])
async def test_a_task_that_runs_or_has_ended_is_not_changed(bench: Bench, state: State) -> None:
    record = await bring(bench, state)
    before = await bench.dump()
    answer = await bench.store.update(Q, "t", seen=record.version, new=NEW)
    assert answer == Updated(state, False)
    assert await bench.dump() == before


async def test_a_task_that_is_not_there_is_not_changed(bench: Bench) -> None:
    assert await bench.store.update(Q, "nobody", seen=NEW, new=NEW) == Updated(None, False)
    assert await bench.dump() == QueueState()


@pytest.mark.parametrize("field", [field.name for field in attrs.fields(Version)])
async def test_a_task_that_is_not_as_it_was_seen_is_not_changed(bench: Bench, field: str) -> None:
    record = await bring(bench, State.PENDING)
    before = await bench.dump()
    other: Any = b"other" if field == "envelope" else 1
    seen = attrs.evolve(record.version, **{field: other})
    assert await bench.store.update(Q, "t", seen=seen, new=NEW) == Updated(State.PENDING, False)
    assert await bench.dump() == before


async def test_a_change_that_comes_twice_is_made_once(bench: Bench) -> None:
    record = await bring(bench, State.PENDING)
    await bench.add("u", priority=7)
    change = {"seen": record.version, "new": NEW, "expires_in_ms": 50}
    assert await bench.store.update(Q, "t", **change) == Updated(State.PENDING, True)
    after = await bench.dump()
    assert await bench.store.update(Q, "t", **change) == Updated(State.PENDING, True)
    assert await bench.dump() == after
    assert await bench.ids(State.PENDING) == ["u", "t"]


@pytest.mark.parametrize(
    ("at", "within", "expires"),
    [(0, 0, 0), (0, 50, 50), (40, 50, 40), (60, 50, 50), (40, 0, 40)],
)
async def test_the_earlier_expiry_counts(bench: Bench, at: int, within: int, expires: int) -> None:
    record = await bring(bench, State.SCHEDULED)
    new = attrs.evolve(NEW, expires_ms=at and START + at)
    await bench.store.update(Q, "t", seen=record.version, new=new, expires_in_ms=within)
    assert (await bench.record()).expires_ms == (expires and START + expires)
    bench.clock.advance(100)
    assert (await bench.store.expire(Q, limit=1)).moved == bool(expires)


async def test_a_pending_task_keeps_its_place_unless_its_priority_changes(bench: Bench) -> None:
    await bench.add("t", "u")
    seen = (await bench.record()).version
    new = attrs.evolve(seen, envelope=b"other", max_retry=9)
    await bench.store.update(Q, "t", seen=seen, new=new)
    assert await bench.ids(State.PENDING) == ["t", "u"]
    [lease] = await bench.take()
    assert (lease.fence.id, lease.envelope, lease.max_retry) == ("t", b"other", 9)


@pytest.mark.parametrize("given", [{"max_retry": 0}, {"max_crashes": 0}])
async def test_a_task_gets_no_fewer_tries_than_it_has_used(
    bench: Bench, given: dict[str, int]
) -> None:
    await bench.active()
    bench.clock.advance(LEASE)
    await bench.store.reclaim(Q, limit=1)
    [lease] = await bench.take()
    await bench.store.settle(Q, [failed(lease.fence)])
    before = await bench.record()
    assert (before.attempt, before.crashes) == (1, 1)
    new = attrs.evolve(before.version, **given)
    answer = await bench.store.update(Q, "t", seen=before.version, new=new)
    assert answer == Updated(State.RETRY, False)
    assert await bench.record() == before
    new = attrs.evolve(before.version, max_retry=1, max_crashes=1)
    assert (await bench.store.update(Q, "t", seen=before.version, new=new)).done


async def test_a_task_with_a_limit_key_is_found_at_its_new_priority(bench: Bench) -> None:
    relations = Relations(limit_key="k", unique="u")
    await bench.add("t", "u", relations=Relations(limit_key="k"))
    await bench.add("v", priority=40, relations=relations)
    seen = (await bench.record("u")).version
    await bench.store.update(Q, "u", seen=seen, new=attrs.evolve(seen, priority=30))
    assert await bench.ids(State.PENDING) == ["u", "v", "t"]
    assert {*(await bench.dump()).locks} == {"u"}


async def test_a_batch_is_not_changed(bench: Bench) -> None:
    await bench.add("t", relations=Relations(group="g"))
    await bench.store.set_group_rules(Q, rules={"g": GroupRule(1)})
    await bench.store.batch(Q, ids=["b"])
    before = await bench.record("b")
    answer = await bench.store.update(Q, "b", seen=before.version, new=NEW)
    assert answer == Updated(State.PENDING, False)
    assert await bench.record("b") == before


async def test_the_history_has_the_options_after_a_change(bench: Bench) -> None:
    await bench.store.arrange(Q, history=10)
    record = await bring(bench, State.SCHEDULED)
    await bench.store.update(Q, "t", seen=record.version, new=NEW)
    [entry] = await bench.store.history(Q, after=2, limit=10)
    assert (entry.transition, entry.source, entry.target, entry.priority, entry.max_retry) == (
        "update", State.SCHEDULED, State.SCHEDULED, 7, 5
    )  # fmt: skip


@pytest.mark.parametrize("sizes", [(600, 5), (5, 600), (600, 700)])
async def test_nothing_is_left_of_a_payload_that_was_replaced(
    bench: Bench, sizes: tuple[int, int]
) -> None:
    before, after = (b"e" * size for size in sizes)
    await bench.add("t", envelope=before)
    seen = (await bench.record()).version
    await bench.store.update(Q, "t", seen=seen, new=attrs.evolve(seen, envelope=after))
    assert (await bench.record()).envelope == after
    await bench.store.delete(Q, ["t"])
    assert await bench.mentioned() == set()
