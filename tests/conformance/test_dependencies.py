"""Tasks that wait for others: when they go on, what they are handed, and how they die."""

from typing import Any

import attrs
import pytest

from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import (
    Answer,
    AnswerKind,
    Completed,
    Due,
    Fence,
    Mail,
    MailKind,
    Relations,
    Released,
    Stopped,
)
from rediq_trio.spec.records import ORDERED_AT_ONCE, PROPAGATED_AT_ONCE, Counters
from rediq_trio.spec.stored_format import NIL
from rediq_trio.spec.upkeep import ENDINGS
from rediq_trio.store.broadcast import Signal, SignalKind

from .bench import LEASE, START, Bench, Q, failed, heard, new

UUID7 = "018f3b2c-0000-7abc-8def-0123456789ab"
SLASHED = "018f3b2c-2f2f-7abc-8def-0123456789ab"
"""A UUIDv7 two bytes of which are those of slashes."""
ONE = b"\x01"
TWO = b"\x02"


def after(*needs: str, **more: Any) -> Relations:
    return Relations(needs=needs, **more)


async def state(bench: Bench, task_id: str = "t") -> State:
    return (await bench.record(task_id)).state


async def complete(bench: Bench, fence: Fence, result: bytes = ONE) -> None:
    assert await bench.store.settle(Q, [Completed(fence, result)]) != (None,)


async def die(bench: Bench, fence: Fence) -> None:
    assert await bench.store.settle(Q, [failed(fence, final=True)]) == (State.DEAD,)


async def source(bench: Bench, task_id: str = "s", **options: Any) -> Fence:
    """Give a task in hand, whatever else is ready."""
    return await bench.active(task_id, priority=0, **options)


def handed(*parts: tuple[str, bytes]) -> tuple[tuple[str, bytes], ...]:
    """Give references and results as a task that waited for them has them."""
    return parts


def reason(ref: str, how: str) -> str:
    return f"the task {ref} that it needs {how}"


# --- waiting


async def test_a_task_waits_for_one_that_has_not_ended(bench: Bench) -> None:
    await source(bench)
    [answer] = await bench.store.enqueue(Q, [new("t", relations=after("s"))])
    assert answer is State.BLOCKED
    record = await bench.record()
    assert (record.state, record.waits, record.seq) == (State.BLOCKED, 1, 2)
    queue = await bench.dump()
    assert (queue.needs, queue.edges) == ({"t": {"s"}}, {"s": {"t"}})
    assert (queue.records["s"].has_dependents, queue.locks) == (True, {})
    assert await bench.take() == []


@pytest.mark.parametrize(
    "options", [{}, {"delay_ms": 5}, {"relations": Relations(needs_later=("x",))}]
)
async def test_a_task_waits_for_one_that_itself_waits(
    bench: Bench, options: dict[str, Any]
) -> None:
    await bench.add("s", **options)
    await bench.add("t", relations=after("s"))
    assert await state(bench) is State.BLOCKED


@pytest.mark.parametrize("retention", [0, 1000])
async def test_a_task_goes_on_in_the_very_step_that_completes_the_last(
    bench: Bench, retention: int
) -> None:
    one = await source(bench, "s1", retention_ms=retention)
    two = await source(bench, "s2", retention_ms=retention)
    await bench.add("t", relations=after("s1", "s2"))
    assert (await bench.record()).waits == 2
    await complete(bench, one)
    assert await state(bench) is State.BLOCKED
    assert (await bench.record()).waits == 1
    await complete(bench, two)
    record = await bench.record()
    assert (record.state, record.waits, record.seq) == (State.PENDING, 0, 4)
    queue = await bench.dump()
    assert (queue.needs, queue.edges, queue.endings) == ({}, {}, ())


async def test_two_that_complete_in_one_call_ready_their_dependent_once(bench: Bench) -> None:
    one, two = await source(bench, "s1"), await source(bench, "s2")
    await bench.add("t", relations=after("s1", "s2"))
    items = [Completed(one, ONE), Completed(two, TWO)]
    await bench.store.settle(Q, items)
    assert await bench.ids(State.PENDING) == ["t"]
    assert (await bench.dump()).seq == 4


async def test_a_task_named_twice_is_waited_for_once(bench: Bench) -> None:
    fence = await source(bench)
    await bench.add("t", relations=after("s", "s"))
    await bench.add("u", relations=Relations(needs_later=("v", "v")))
    await bench.add("v", priority=0, relations=Relations(dependents=("u", "u")))
    assert (await bench.record()).waits == (await bench.record("u")).waits == 1
    await complete(bench, fence)
    await complete(bench, (await bench.take())[0].fence, TWO)
    assert await bench.ids(State.PENDING) == ["t", "u"]
    assert (await bench.record("u")).inputs == handed(("v", TWO))


async def test_one_that_ended_and_is_named_twice_is_handed_on_once(bench: Bench) -> None:
    await complete(bench, await source(bench))
    await bench.add("t", relations=after("s", "s"))
    assert (await bench.record()).inputs == handed(("s", ONE))


async def test_dependents_go_on_as_they_were_enqueued_behind_those_that_are_ready(
    bench: Bench,
) -> None:
    fence = await source(bench)
    await bench.add("ready")
    await bench.add("b", UUID7, "a", "cc", relations=after("s"))
    await complete(bench, fence)
    assert await bench.ids(State.PENDING) == ["ready", "b", UUID7, "a", "cc"]


async def test_of_more_dependents_a_step_orders_those_with_the_lowest_ids(bench: Bench) -> None:
    fence = await source(bench)
    names = [f"t{n:04}" for n in reversed(range(ORDERED_AT_ONCE + 2))]
    for start in range(0, len(names), 1000):
        await bench.add(*names[start : start + 1000], relations=after("s"))
    await complete(bench, fence)
    # A step looks at the lowest ids; `names` begins with the highest.
    assert await bench.ids(State.PENDING) == names[2 : 2 + PROPAGATED_AT_ONCE]
    while (await bench.store.unblock(Q, limit=1000)).moved:
        pass
    records = (await bench.dump()).records.values()
    ran = sorted((r for r in records if r.state is State.PENDING), key=lambda r: r.seq)
    assert [r.id for r in ran] == [*names[2:502], *names[:2], *names[502:]]


async def test_an_order_holds_from_step_to_step(bench: Bench) -> None:
    fence = await source(bench)
    names = [f"t{n:04}" for n in reversed(range(PROPAGATED_AT_ONCE + 7))]
    await bench.add(*names, relations=after("s"))
    await complete(bench, fence)
    assert await bench.ids(State.PENDING) == names[:PROPAGATED_AT_ONCE]
    await bench.store.unblock(Q, limit=3)
    await bench.store.unblock(Q, limit=1000)
    assert await bench.ids(State.PENDING) == names


async def test_a_dependent_keeps_its_priority(bench: Bench) -> None:
    fence = await source(bench)
    await bench.add("ready")
    await bench.add("t", priority=1, relations=after("s"))
    await complete(bench, fence)
    assert await bench.ids(State.PENDING) == ["t", "ready"]


async def test_a_dependent_that_is_not_due_is_scheduled(bench: Bench) -> None:
    fence = await source(bench)
    await bench.add("t", delay_ms=10, relations=after("s"))
    bench.clock.advance(9)
    await complete(bench, fence)
    record = await bench.record()
    assert (record.state, record.run_ms) == (State.SCHEDULED, START + 10)
    assert await bench.store.promote(Q, limit=5) == Due(0, 1)


async def test_a_dependent_that_has_become_due_is_pending(bench: Bench) -> None:
    fence = await source(bench)
    await bench.add("t", delay_ms=10, relations=after("s"))
    bench.clock.advance(10)
    await complete(bench, fence)
    assert await state(bench) is State.PENDING


async def test_a_dependent_with_a_limit_key_goes_on_in_its_lane(bench: Bench) -> None:
    fence = await source(bench)
    await bench.add("t", relations=after("s", limit_key="k"))
    assert (await bench.dump()).turns == {}
    await complete(bench, fence)
    assert [lease.fence.id for lease in await bench.take(5)] == ["t"]


async def test_a_dependent_that_goes_on_wakes(bench: Bench) -> None:
    fence = await source(bench)
    await bench.add("t", relations=after("s"))
    with bench.store.listen([(Q, "")]) as signals:
        await heard(signals, SignalKind.RESYNC)
        await complete(bench, fence)
        await heard(signals, SignalKind.WAKE)


@pytest.mark.parametrize("back", ["fail", "release", "reclaim", "snooze"])
async def test_an_attempt_that_is_no_end_tells_nobody(bench: Bench, back: str) -> None:
    fence = await source(bench)
    await bench.add("t", relations=after("s"))
    match back:
        case "fail":
            await bench.store.settle(Q, [failed(fence)])
        case "release" | "snooze":
            await bench.store.settle(Q, [Released(fence)])
        case _:
            bench.clock.advance(LEASE)
            await bench.store.reclaim(Q, limit=5)
    assert await state(bench) is State.BLOCKED


# --- what has ended already


async def test_one_that_completed_already_is_not_waited_for(bench: Bench) -> None:
    await complete(bench, await source(bench), b"\x07")
    assert await bench.store.enqueue(Q, [new("t", relations=after("s"))]) == (State.PENDING,)
    record = await bench.record()
    assert (record.waits, record.inputs, record.seq) == (0, handed(("s", b"\x07")), 3)
    queue = await bench.dump()
    assert (queue.needs, queue.edges) == ({}, {})


async def test_one_that_completed_already_lets_a_delayed_task_wait_for_its_time(
    bench: Bench,
) -> None:
    await complete(bench, await source(bench))
    answers = await bench.store.enqueue(Q, [new("t", delay_ms=5, relations=after("s"))])
    assert answers == (State.SCHEDULED,)


@pytest.mark.parametrize(
    ("end", "how"), [(State.DEAD, "is dead"), (State.CANCELLED, "was cancelled")]
)
async def test_one_that_failed_already_buries_the_task_at_once(
    bench: Bench, end: State, how: str
) -> None:
    await bench.ended("s", end)
    assert await bench.store.enqueue(Q, [new("t", relations=after("s"))]) == (State.DEAD,)
    record = await bench.record()
    assert (record.error, record.finished_ms) == (reason("s", how), START)
    assert (await bench.dump()).counters.dead == 1 + (end is State.DEAD)


async def test_a_task_that_is_not_there_is_missed_and_nothing_is_written(bench: Bench) -> None:
    await bench.add("s")
    before = await bench.dump()
    [answer] = await bench.store.enqueue(Q, [new("t", relations=after("s", UUID7))])
    assert answer == Answer(AnswerKind.MISSING, UUID7)
    assert await bench.dump() == before


@pytest.mark.parametrize("run_on_dependency_failure", [False, True])
async def test_one_in_a_group_is_missed(bench: Bench, run_on_dependency_failure: bool) -> None:
    await bench.add("s", relations=Relations(group="g"))
    [answer] = await bench.store.enqueue(
        Q, [new("t", relations=after("s", run_on_dependency_failure=run_on_dependency_failure))]
    )
    assert answer == Answer(AnswerKind.MISSING, "s")


async def test_a_task_in_the_same_batch_is_there_for_those_behind_it(bench: Bench) -> None:
    tasks = [new("t", relations=after("s")), new("s"), new("u", relations=after("s"))]
    assert await bench.store.enqueue(Q, tasks) == (
        Answer(AnswerKind.MISSING, "s"),
        State.PENDING,
        State.BLOCKED,
    )


async def test_of_several_some_may_have_ended(bench: Bench) -> None:
    await complete(bench, await source(bench, "s1"))
    fence = await source(bench, "s2")
    await bench.add("t", relations=after("s1", "s2"))
    assert (await bench.record()).waits == 1
    await complete(bench, fence, TWO)
    assert (await bench.record()).inputs == handed(("s1", ONE), ("s2", TWO))


# --- what is handed on


async def test_results_are_handed_on_in_the_order_in_which_they_came(bench: Bench) -> None:
    one, two = await source(bench, "s1"), await source(bench, UUID7)
    await bench.add("t", relations=after("s1", UUID7))
    await complete(bench, two, b"\xa3two")
    await complete(bench, one, b"\x93\x01\x02\x03")
    parts = handed((UUID7, b"\xa3two"), ("s1", b"\x93\x01\x02\x03"))
    assert (await bench.record()).inputs == parts


@pytest.mark.parametrize("length", [1, 31, 32, 100, 128])
async def test_references_of_any_length_are_packed_alike(bench: Bench, length: int) -> None:
    own = "s" * length
    await complete(bench, await source(bench, own))
    await bench.add("t", relations=after(own))
    assert (await bench.record()).inputs == handed((own, ONE))


@pytest.mark.parametrize("result", [NIL, b""])
async def test_nothing_is_not_handed_on(bench: Bench, result: bytes) -> None:
    fence = await source(bench)
    await bench.add("t", relations=after("s"))
    await complete(bench, fence, result)
    record = await bench.record()
    assert (record.state, record.inputs) == (State.PENDING, ())


async def test_a_result_reaches_the_task_though_its_source_is_not_kept(bench: Bench) -> None:
    fence = await source(bench, retention_ms=0)
    await bench.add("t", relations=after("s"))
    await complete(bench, fence, b"\x07")
    assert (await bench.record()).inputs == handed(("s", b"\x07"))
    assert await bench.mentioned() == {"t"}


async def test_what_was_handed_on_stays_for_a_retry_and_goes_with_completion(bench: Bench) -> None:
    fence = await source(bench)
    await bench.add("t", relations=after("s"))
    await complete(bench, fence)
    [lease] = await bench.take()
    await bench.store.settle(Q, [failed(lease.fence, delay_ms=0)])
    await bench.store.promote(Q, limit=5)
    assert (await bench.record()).inputs == handed(("s", ONE))
    [lease] = await bench.take()
    await complete(bench, lease.fence)
    assert (await bench.record()).inputs == ()


@pytest.mark.parametrize("end", ["complete without retention", "delete", "purge", "flush"])
async def test_what_was_handed_on_goes_with_the_task(bench: Bench, end: str) -> None:
    fence = await source(bench, retention_ms=0)
    await bench.add("t", relations=after("s"), retention_ms=0)
    await complete(bench, fence)
    match end:
        case "delete":
            await bench.store.delete(Q, ["t"])
        case "flush":
            await bench.store.flush(Q)
        case "purge":
            await bench.store.cancel(Q, "t")
            bench.clock.advance(60_000)
            await bench.store.purge(Q, limit=5, dead_retention_ms=1, max_dead=5)
        case _:
            await complete(bench, (await bench.take())[0].fence)
    assert await bench.mentioned() == set()


# --- failure


async def fail_source(bench: Bench, how: str) -> str:
    """End the task `s`, which is pending and can expire, other than well; say how."""
    store = bench.store
    match how:
        case "die":
            await die(bench, (await bench.take())[0].fence)
        case "cancel":
            await store.cancel(Q, "s")
            return "was cancelled"
        case "stop":
            [lease] = await bench.take()
            await store.cancel(Q, "s")
            await store.settle(Q, [Stopped(lease.fence)])
            return "was cancelled"
        case "delete":
            await store.delete(Q, ["s"])
            return "is gone"
        case "expire":
            bench.clock.advance(5 * LEASE)
            await store.expire(Q, limit=5)
        case "claim":
            bench.clock.advance(5 * LEASE)
            assert await bench.take() == []
        case _:
            await bench.take()
            bench.clock.advance(LEASE)
            await store.reclaim(Q, limit=5)
    return "is dead"


FAILURES = ("die", "cancel", "stop", "delete", "expire", "claim", "reclaim")


@pytest.mark.parametrize("how", FAILURES)
async def test_a_task_dies_with_the_one_that_it_needs(bench: Bench, how: str) -> None:
    await bench.add("s", expires_in_ms=5 * LEASE, max_crashes=0)
    await bench.add("t", relations=after("s"))
    said = await fail_source(bench, how)
    record = await bench.record()
    assert (record.state, record.error) == (State.DEAD, reason("s", said))
    assert (record.finished_ms, record.waits) == (bench.clock.now, 1)
    assert (await bench.dump()).edges == {}


@pytest.mark.parametrize("how", FAILURES)
async def test_a_lenient_task_runs_whatever_became_of_the_one_that_it_waited_for(
    bench: Bench, how: str
) -> None:
    await bench.add("s", expires_in_ms=5 * LEASE, max_crashes=0)
    await bench.add("t", relations=after("s", run_on_dependency_failure=True))
    await fail_source(bench, how)
    record = await bench.record()
    assert (record.state, record.inputs, record.waits) == (State.PENDING, (), 0)


async def test_a_lenient_task_waits_for_the_others_all_the_same(bench: Bench) -> None:
    one, two = await source(bench, "s1"), await source(bench, "s2")
    await bench.add("t", relations=after("s1", "s2", run_on_dependency_failure=True))
    await die(bench, one)
    assert await state(bench) is State.BLOCKED
    await complete(bench, two, TWO)
    record = await bench.record()
    assert (record.state, record.inputs) == (State.PENDING, handed(("s2", TWO)))


async def test_a_lenient_task_does_not_wait_for_what_failed_already(bench: Bench) -> None:
    await bench.ended("s", State.DEAD)
    [answer] = await bench.store.enqueue(
        Q, [new("t", relations=after("s", run_on_dependency_failure=True))]
    )
    assert answer is State.PENDING


async def test_death_goes_on_through_all_levels_in_one_step(bench: Bench) -> None:
    fence = await source(bench)
    await bench.add("a", relations=after("s"))
    await bench.add("b", relations=after("a"))
    await bench.add("c1", "c2", relations=after("b"))
    await bench.add("d", relations=after("c1", "c2", run_on_dependency_failure=True))
    await die(bench, fence)
    records = (await bench.dump()).records
    assert [records[i].error for i in ("a", "b", "c1", "c2")] == [
        reason("s", "is dead"),
        reason("a", "is dead"),
        reason("b", "is dead"),
        reason("b", "is dead"),
    ]
    assert records["d"].state is State.PENDING
    assert (await bench.dump()).counters.dead == 5


@pytest.mark.parametrize("own", [UUID7, SLASHED, "sixteen.letters.", "a"])
async def test_a_reason_names_a_task_as_people_write_it(bench: Bench, own: str) -> None:
    await bench.add(own)
    await bench.add("t", relations=after(own))
    await bench.store.cancel(Q, own)
    assert (await bench.record()).error == reason(own, "was cancelled")


async def test_a_uuid7_with_the_byte_of_a_slash_is_waited_for_and_waits_like_any_other(
    bench: Bench,
) -> None:
    fence = await source(bench, SLASHED)
    other = SLASHED.replace("ab", "cd")
    await bench.add(other, relations=after(SLASHED))
    await complete(bench, fence)
    record = await bench.record(other)
    assert (record.state, record.inputs) == (State.PENDING, handed((SLASHED, ONE)))
    assert await bench.store.outbox(Q, limit=0) == ()


async def test_whoever_waits_for_a_task_hears_that_it_died_of_another(bench: Bench) -> None:
    fence = await source(bench)
    await bench.add("t", relations=after("s"))
    await bench.store.watch(Q, "t")
    with bench.store.listen([(Q, "t")]) as signals:
        await heard(signals, SignalKind.RESYNC)
        await die(bench, fence)
        assert await heard(signals, SignalKind.DONE, "t") == Signal(Q, SignalKind.DONE, "t")


async def test_a_task_that_dies_of_another_frees_its_key(bench: Bench) -> None:
    fence = await source(bench)
    await bench.add("t", relations=after("s", unique="k"))
    await die(bench, fence)
    assert (await bench.dump()).locks == {}


async def test_a_blocked_task_that_died_of_another_does_not_expire(bench: Bench) -> None:
    fence = await source(bench)
    await bench.add("t", relations=after("s"), expires_in_ms=10)
    await die(bench, fence)
    bench.clock.advance(10)
    assert await bench.store.expire(Q, limit=5) == Due(0, None)


async def test_a_flush_takes_all_that_wait(bench: Bench) -> None:
    await source(bench)
    await bench.add("t", relations=after("s"))
    await bench.store.flush(Q)
    queue = await bench.dump()
    assert (queue.records, queue.edges, queue.needs, queue.endings) == ({}, {}, {}, ())
    assert (queue.counters.dead, queue.counters.deleted) == (0, 2)


# --- ends of the task that waits


@pytest.mark.parametrize("how", ["cancel", "expire", "delete"])
async def test_a_task_that_no_longer_waits_is_not_told(bench: Bench, how: str) -> None:
    fence = await source(bench)
    await bench.add("t", relations=after("s"), expires_in_ms=10)
    match how:
        case "cancel":
            await bench.store.cancel(Q, "t")
        case "delete":
            await bench.store.delete(Q, ["t"])
            assert (await bench.dump()).needs == {}
        case _:
            bench.clock.advance(10)
            await bench.store.expire(Q, limit=5)
    before = (await bench.dump()).records.get("t")
    await complete(bench, fence)
    queue = await bench.dump()
    assert queue.records.get("t") == before
    assert queue.edges == {}


async def test_a_new_task_of_an_id_that_waited_before_is_told_of_what_it_needs_only(
    bench: Bench,
) -> None:
    one, two = await source(bench, "s1"), await source(bench, "s2")
    await bench.add("t", relations=after("s1"))
    await bench.store.delete(Q, ["t"])
    await bench.add("t", relations=after("s2"))
    await die(bench, one)
    assert await state(bench) is State.BLOCKED
    await complete(bench, two)
    assert await state(bench) is State.PENDING


# --- revival


async def test_a_task_is_not_revived_while_one_that_it_needs_is_dead(bench: Bench) -> None:
    await die(bench, await source(bench))
    await bench.add("t", relations=after("s"))
    before = await bench.dump()
    assert await bench.store.revive(Q, ["t"]) == (State.DEAD,)
    assert await bench.dump() == before


@pytest.mark.parametrize("how", ["cancel", "delete", "group"])
async def test_a_task_is_not_revived_while_one_that_it_needs_is_out_of_reach(
    bench: Bench, how: str
) -> None:
    await bench.add("s")
    await bench.add("t", relations=after("s"))
    await (bench.store.cancel(Q, "s") if how == "cancel" else bench.store.delete(Q, ["s"]))
    if how == "group":
        await bench.add("s", relations=Relations(group="g"))
    assert await bench.store.revive(Q, ["t"]) == (State.DEAD,)


async def test_a_task_revived_behind_the_one_that_it_needs_waits_again(bench: Bench) -> None:
    await die(bench, await source(bench))
    await bench.add("t", relations=after("s"), delay_ms=0)
    assert await bench.store.revive(Q, ["s", "t"]) == (State.PENDING, State.BLOCKED)
    record = await bench.record()
    assert (record.error, record.finished_ms, record.waits) == ("", 0, 1)
    [lease] = await bench.take(5)
    assert lease.fence.id == "s"
    await complete(bench, lease.fence)
    record = await bench.record()
    assert (record.state, record.inputs) == (State.PENDING, handed(("s", ONE)))


async def test_a_task_revived_in_front_of_the_one_that_it_needs_stays_dead(bench: Bench) -> None:
    await die(bench, await source(bench))
    await bench.add("t", relations=after("s"))
    assert await bench.store.revive(Q, ["t", "s"]) == (State.DEAD, State.PENDING)


async def test_a_task_that_is_revived_goes_on_at_once_when_all_have_completed(
    bench: Bench,
) -> None:
    fence = await source(bench)
    await bench.add("t", relations=after("s"))
    await bench.store.cancel(Q, "t")
    await complete(bench, fence)
    assert await bench.store.revive(Q, ["t"]) == (State.PENDING,)
    assert (await bench.record()).inputs == handed(("s", ONE))


async def test_a_revived_task_waits_only_for_what_it_had_not_been_told_of(bench: Bench) -> None:
    one, two = await source(bench, "s1"), await source(bench, "s2")
    await bench.add("t", relations=after("s1", "s2"))
    await complete(bench, one)
    await die(bench, two)
    assert await bench.store.revive(Q, ["s2", "t"]) == (State.PENDING, State.BLOCKED)
    record = await bench.record()
    assert (record.waits, record.inputs) == (1, handed(("s1", ONE)))
    assert (await bench.dump()).needs == {"t": {"s2"}}


async def test_a_lenient_task_is_revived_whatever_it_waited_for(bench: Bench) -> None:
    fence = await source(bench)
    await bench.add("t", relations=after("s", run_on_dependency_failure=True))
    await bench.store.cancel(Q, "t")
    await die(bench, fence)
    assert await bench.store.revive(Q, ["t"]) == (State.PENDING,)


async def test_a_task_that_waits_for_nothing_more_is_revived_to_pending(bench: Bench) -> None:
    await complete(bench, await source(bench))
    await bench.add("t", relations=after("s"))
    await die(bench, (await bench.take())[0].fence)
    await bench.store.delete(Q, ["s"])
    assert await bench.store.revive(Q, ["t"]) == (State.PENDING,)
    assert (await bench.record()).inputs == handed(("s", ONE))


async def test_a_revived_source_tells_those_that_wait_for_it_again(bench: Bench) -> None:
    await die(bench, await source(bench))
    await bench.store.revive(Q, ["s"])
    await bench.add("t", relations=after("s"))
    await complete(bench, (await bench.take())[0].fence)
    assert await state(bench) is State.PENDING


async def test_a_revived_task_in_a_group_is_grouped_behind_the_others(bench: Bench) -> None:
    for task_id in "tu":
        await bench.add(task_id, relations=Relations(group="g"))
    await bench.store.cancel(Q, "t")
    assert await bench.store.revive(Q, ["t"]) == (State.GROUPED,)
    assert await bench.ids(State.GROUPED) == ["u", "t"]


# --- many


async def many(bench: Bench, count: int) -> Fence:
    fence = await source(bench)
    names = [f"t{n:04}" for n in range(count)]
    await bench.store.enqueue(Q, [new(name, relations=after("s")) for name in names])
    return fence


async def test_more_than_one_step_tells_are_told_by_the_keeper(bench: Bench) -> None:
    await complete(bench, await many(bench, PROPAGATED_AT_ONCE + 1))
    assert len(await bench.ids(State.PENDING)) == PROPAGATED_AT_ONCE
    assert await bench.ids(State.BLOCKED) == [f"t{PROPAGATED_AT_ONCE:04}"]
    assert [ending.id for ending in (await bench.dump()).endings] == ["s"]
    assert await bench.store.unblock(Q, limit=1000) == Due(1, None)
    assert await bench.ids(State.BLOCKED) == []
    assert await bench.store.unblock(Q, limit=1000) == Due(0, None)
    queue = await bench.dump()
    assert (queue.endings, queue.edges, queue.needs) == ((), {}, {})
    assert queue.seq == 3 + 2 * PROPAGATED_AT_ONCE


async def test_those_that_are_left_hear_of_the_end_though_the_task_is_deleted_then(
    bench: Bench,
) -> None:
    await complete(bench, await many(bench, PROPAGATED_AT_ONCE + 1))
    await bench.store.delete(Q, ["s"])
    assert await bench.ids(State.BLOCKED) == [f"t{PROPAGATED_AT_ONCE:04}"]
    assert await bench.store.unblock(Q, limit=1000) == Due(1, None)
    assert len(await bench.ids(State.PENDING)) == PROPAGATED_AT_ONCE + 1


async def test_dependents_of_another_queue_are_notified_first(bench: Bench) -> None:
    fence = await many(bench, PROPAGATED_AT_ONCE)
    here = await bench.ids(State.BLOCKED)
    mail = [Mail(n, Q, MailKind.SUBSCRIBE, id=name, ref="s") for n, name in enumerate("ba", 1)]
    await bench.store.receive(Q, "other", mail)
    await complete(bench, fence)
    assert [message.id for message in (await bench.dump()).outbox] == ["a", "b"]
    assert await bench.ids(State.BLOCKED) == here[-2:]


async def test_that_some_are_left_is_signalled(bench: Bench) -> None:
    fence = await many(bench, PROPAGATED_AT_ONCE + 1)
    with bench.store.listen([(Q, "")]) as signals:
        await heard(signals, SignalKind.RESYNC)
        await complete(bench, fence)
        await heard(signals, SignalKind.MAIL)


async def test_those_that_are_left_are_handed_the_result_though_it_is_kept_nowhere(
    bench: Bench,
) -> None:
    fence = await source(bench, retention_ms=0)
    names = [f"t{n:04}" for n in range(PROPAGATED_AT_ONCE + 1)]
    await bench.store.enqueue(Q, [new(name, relations=after("s")) for name in names])
    await complete(bench, fence, b"\x07")
    await bench.store.unblock(Q, limit=1000)
    assert (await bench.record(names[-1])).inputs == handed(("s", b"\x07"))


async def test_unblocking_has_its_limit(bench: Bench) -> None:
    await complete(bench, await many(bench, PROPAGATED_AT_ONCE + 3))
    assert await bench.store.unblock(Q, limit=2) == Due(2, 0)
    assert len(await bench.ids(State.BLOCKED)) == 1
    assert await bench.store.unblock(Q, limit=2) == Due(1, None)


async def test_of_those_that_are_left_the_first_ended_are_told_first(bench: Bench) -> None:
    for name in ("b", "a"):
        fence = await source(bench, name)
        names = [f"{name}{n:04}" for n in range(PROPAGATED_AT_ONCE + 1)]
        await bench.store.enqueue(Q, [new(each, relations=after(name)) for each in names])
        await complete(bench, fence)
    assert await bench.store.unblock(Q, limit=1) == Due(1, 0)
    assert await bench.ids(State.BLOCKED) == [f"a{PROPAGATED_AT_ONCE:04}"]


async def test_only_so_many_that_ended_are_looked_at_in_one_step(bench: Bench) -> None:
    fence = await source(bench, "s")
    names = [f"t{n:04}" for n in range(PROPAGATED_AT_ONCE)]
    await bench.store.enqueue(Q, [new(each, relations=after("s")) for each in names])
    below = [new(f"u{n:04}", relations=after(names[n])) for n in range(PROPAGATED_AT_ONCE)]
    await bench.store.enqueue(Q, below)
    await die(bench, fence)
    # The step told all that waited for `s`; each of them ended, and none was told of that.
    assert len((await bench.dump()).endings) == PROPAGATED_AT_ONCE + 1
    due = await bench.store.unblock(Q, limit=1000)
    assert (due.moved, due.next_in_ms, len(due.deaths)) == (ENDINGS - 1, 0, ENDINGS - 1)
    while (await bench.store.unblock(Q, limit=1000)).next_in_ms is not None:
        pass
    assert (await bench.dump()).counters.dead == 1 + 2 * PROPAGATED_AT_ONCE


async def test_a_flush_tells_those_that_are_left_nothing_that_stays(bench: Bench) -> None:
    await complete(bench, await many(bench, PROPAGATED_AT_ONCE + 1))
    await bench.store.flush(Q)
    queue = await bench.dump()
    assert (queue.records, queue.endings, queue.edges) == ({}, (), {})


async def test_a_second_unblock_tells_nobody_again(bench: Bench) -> None:
    await die(bench, await many(bench, PROPAGATED_AT_ONCE + 1))
    await bench.store.revive(Q, ["s"])
    due = await bench.store.unblock(Q, limit=1000)
    assert (due.moved, due.next_in_ms, len(due.deaths)) == (1, None, 1)
    before = await bench.dump()
    assert await bench.store.unblock(Q, limit=1000) == Due(0, None)
    assert await bench.dump() == before
    assert before.counters.dead == 1 + PROPAGATED_AT_ONCE + 1


async def test_a_settlement_that_comes_twice_tells_once(bench: Bench) -> None:
    fence = await source(bench)
    await bench.add("t", relations=after("s"))
    for _ in range(2):
        await complete(bench, fence)
    assert (await bench.record()).inputs == handed(("s", ONE))
    assert (await bench.dump()).seq == 3


# --- graphs in one call


def graph() -> list[Any]:
    """Give a diamond: a, then b and c, then d; those that wait come first."""
    return [
        new("d", relations=Relations(needs_later=("b", "c"))),
        new("c", relations=Relations(needs_later=("a",), dependents=("d",))),
        new("b", relations=Relations(needs_later=("a",), dependents=("d",))),
        new("a", relations=Relations(dependents=("b", "c"))),
    ]


async def test_a_graph_is_enqueued_in_one_step(bench: Bench) -> None:
    answers = await bench.store.enqueue(Q, graph(), atomic=True)
    assert answers == (State.BLOCKED, State.BLOCKED, State.BLOCKED, State.PENDING)
    queue = await bench.dump()
    assert queue.edges == {"a": {"b", "c"}, "b": {"d"}, "c": {"d"}}
    assert queue.needs == {"d": {"b", "c"}, "b": {"a"}, "c": {"a"}}
    assert queue.counters == Counters(enqueued=4)


async def test_a_graph_runs_level_by_level(bench: Bench) -> None:
    await bench.store.enqueue(Q, graph(), atomic=True)
    ran: list[list[str]] = []
    while leases := await bench.take(10):
        ran.append([lease.fence.id for lease in leases])
        await bench.store.settle(Q, [Completed(lease.fence, ONE) for lease in leases])
    assert ran == [["a"], ["c", "b"], ["d"]]


async def test_a_graph_dies_with_its_root(bench: Bench) -> None:
    await bench.store.enqueue(Q, graph(), atomic=True)
    await die(bench, (await bench.take())[0].fence)
    assert sorted(await bench.ids(State.DEAD)) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("place", range(4))
async def test_an_id_that_exists_keeps_a_whole_out(bench: Bench, place: int) -> None:
    tasks = graph()
    await bench.add(tasks[place].id)
    before = await bench.dump()
    answers = await bench.store.enqueue(Q, tasks, atomic=True)
    withheld = Answer(AnswerKind.WITHHELD)
    assert answers == tuple(None if n == place else withheld for n in range(4))
    assert await bench.dump() == before


async def test_an_id_that_comes_twice_keeps_a_whole_out(bench: Bench) -> None:
    before = await bench.dump()
    answers = await bench.store.enqueue(Q, [new("a"), new("b"), new("a")], atomic=True)
    withheld = Answer(AnswerKind.WITHHELD)
    assert answers == (withheld, withheld, None)
    assert await bench.dump() == before


async def test_a_missing_task_keeps_a_whole_out(bench: Bench) -> None:
    tasks = [new("a"), new("b", relations=after("nobody"))]
    answers = await bench.store.enqueue(Q, tasks, atomic=True)
    assert answers == (Answer(AnswerKind.WITHHELD), Answer(AnswerKind.MISSING, "nobody"))
    assert (await bench.dump()).records == {}


async def test_a_task_of_a_whole_may_need_one_in_front_of_it_and_none_behind(
    bench: Bench,
) -> None:
    withheld = Answer(AnswerKind.WITHHELD)
    tasks = [new("a"), new("b", relations=after("a"))]
    assert await bench.store.enqueue(Q, tasks[::-1], atomic=True) == (
        Answer(AnswerKind.MISSING, "a"),
        withheld,
    )
    assert await bench.store.enqueue(Q, tasks, atomic=True) == (State.PENDING, State.BLOCKED)


async def test_one_of_a_whole_that_goes_into_a_group_cannot_be_needed(bench: Bench) -> None:
    tasks = [new("a", relations=Relations(group="g")), new("b", relations=after("a"))]
    answers = await bench.store.enqueue(Q, tasks, atomic=True)
    assert answers == (Answer(AnswerKind.WITHHELD), Answer(AnswerKind.MISSING, "a"))


async def test_a_key_that_is_taken_keeps_a_whole_out(bench: Bench) -> None:
    await bench.add("t", relations=Relations(unique="k"))
    before = await bench.dump()
    tasks = [new("a"), new("b", relations=Relations(unique="k", replace=True))]
    answers = await bench.store.enqueue(Q, tasks, atomic=True)
    assert answers == (Answer(AnswerKind.WITHHELD), Answer(AnswerKind.TAKEN, "t"))
    assert await bench.dump() == before


async def test_a_key_that_comes_twice_keeps_a_whole_out(bench: Bench) -> None:
    keyed = Relations(unique="k", replace=True)
    tasks = [new("a", relations=keyed), new("b", relations=keyed), new("c", relations=keyed)]
    answers = await bench.store.enqueue(Q, tasks, atomic=True)
    taken = Answer(AnswerKind.TAKEN, "a")
    assert answers == (Answer(AnswerKind.WITHHELD), taken, taken)
    assert (await bench.dump()).records == {}


async def test_one_of_a_whole_that_goes_elsewhere_is_in_nobodys_way(bench: Bench) -> None:
    await bench.store.arrange(Q, max_pending=1)
    tasks = [
        new("a", relations=Relations(queue="other", unique="k")),
        new("b", relations=Relations(unique="k")),
    ]
    answers = await bench.store.enqueue(Q, tasks, atomic=True)
    assert answers == (Answer(AnswerKind.SENT), State.PENDING)


async def test_one_of_a_whole_that_goes_elsewhere_is_not_there_to_be_needed(bench: Bench) -> None:
    tasks = [new("a", relations=Relations(queue="other")), new("b", relations=after("a"))]
    answers = await bench.store.enqueue(Q, tasks, atomic=True)
    assert answers == (Answer(AnswerKind.WITHHELD), Answer(AnswerKind.MISSING, "a"))


async def test_a_whole_for_which_there_is_no_room_is_kept_out(bench: Bench) -> None:
    await bench.store.arrange(Q, max_pending=2)
    tasks = [new("a"), new("b"), new("c")]
    answers = await bench.store.enqueue(Q, tasks, atomic=True)
    withheld = Answer(AnswerKind.WITHHELD)
    assert answers == (withheld, withheld, Answer(AnswerKind.FULL))
    assert (await bench.dump()).records == {}
    assert await bench.store.enqueue(Q, tasks[:2], atomic=True) == (State.PENDING,) * 2
    assert await bench.store.enqueue(Q, [tasks[2]]) == (Answer(AnswerKind.FULL),)


async def test_a_step_without_room_for_all_is_kept_out(bench: Bench) -> None:
    await bench.store.arrange(Q, max_pending=3)
    await bench.add("t", relations=Relations(unique="k"))
    before = await bench.dump()
    tasks = [
        new("a"), new("later", delay_ms=5), new("t"), new("u", relations=Relations(unique="k")),
        new("b"), new("c"),
    ]  # fmt: skip
    answers = await bench.store.enqueue(Q, tasks, step=True)
    assert answers == (*[Answer(AnswerKind.WITHHELD)] * 5, Answer(AnswerKind.FULL))
    assert await bench.dump() == before
    assert await bench.store.enqueue(Q, tasks[:-1], step=True) == (
        State.PENDING, State.SCHEDULED, None, Answer(AnswerKind.TAKEN, "t"), State.PENDING,
    )  # fmt: skip


@pytest.mark.parametrize("bound", [0, 9])
async def test_a_missing_task_keeps_a_step_out(bench: Bench, bound: int) -> None:
    await bench.store.arrange(Q, max_pending=bound)
    tasks = [new("a"), new("b", relations=after("nobody")), new("c", relations=after("a"))]
    answers = await bench.store.enqueue(Q, [*tasks, new("d")], step=True)
    withheld = Answer(AnswerKind.WITHHELD)
    assert answers == (withheld, Answer(AnswerKind.MISSING, "nobody"), withheld, withheld)
    assert (await bench.dump()).records == {}
    assert await bench.store.enqueue(Q, tasks[::2], step=True) == (State.PENDING, State.BLOCKED)


async def test_what_a_step_does_not_add_is_not_there_to_be_needed(bench: Bench) -> None:
    await bench.add("t", relations=Relations(unique="k"))
    tasks = [new("a", relations=Relations(unique="k")), new("b", relations=after("a"))]
    answers = await bench.store.enqueue(Q, tasks, step=True)
    assert answers == (Answer(AnswerKind.WITHHELD), Answer(AnswerKind.MISSING, "a"))


@pytest.mark.parametrize("bound", [0, 9])
async def test_a_key_or_an_id_that_is_taken_keeps_no_step_out(bench: Bench, bound: int) -> None:
    await bench.store.arrange(Q, max_pending=bound)
    keyed = Relations(unique="k", replace=True)
    await bench.add("t", relations=keyed)
    await bench.add("u")
    tasks = [
        new("a"), new("u", relations=keyed), new("a"), new("b", priority=1, relations=keyed),
        new("c"),
    ]  # fmt: skip
    replaced = Answer(AnswerKind.REPLACED, "t", State.PENDING)
    assert await bench.store.enqueue(Q, tasks, step=True) == (
        State.PENDING, None, None, replaced, State.PENDING,
    )  # fmt: skip
    assert (await bench.record()).priority == 1


async def test_one_of_a_step_that_goes_elsewhere_may_have_an_id_that_exists_here(
    bench: Bench,
) -> None:
    await bench.add("t")
    tasks = [new("a"), new("t", relations=Relations(queue="other"))]
    answers = await bench.store.enqueue(Q, tasks, step=True)
    assert answers == (State.PENDING, Answer(AnswerKind.SENT))


async def test_those_of_a_whole_that_wait_take_no_room(bench: Bench) -> None:
    await bench.store.arrange(Q, max_pending=1)
    tasks = [
        *graph(),
        new("later", delay_ms=5),
        new("grouped", relations=Relations(group="g")),
        new("after", relations=after("a")),
        new("elsewhere", relations=Relations(queue="other")),
    ]
    answers = await bench.store.enqueue(Q, tasks, atomic=True)
    assert answers.count(State.PENDING) == 1
    assert (await bench.dump()).counters.enqueued == 7


async def test_one_of_a_whole_that_goes_elsewhere_may_have_the_id_of_one_that_does_not(
    bench: Bench,
) -> None:
    await bench.store.arrange(Q, max_pending=1)
    keyed = Relations(unique="k")
    tasks = [new("a", relations=attrs.evolve(keyed, queue="other")), new("a", relations=keyed)]
    assert await bench.store.enqueue(Q, tasks, atomic=True) == (
        Answer(AnswerKind.SENT),
        State.PENDING,
    )


async def test_tasks_with_a_limit_key_take_room_too(bench: Bench) -> None:
    await bench.store.arrange(Q, max_pending=1)
    await bench.add("a", relations=Relations(limit_key="k"))
    assert await bench.store.enqueue(Q, [new("b")]) == (Answer(AnswerKind.FULL),)


async def test_a_task_that_waits_for_one_that_comes_later_may_come_in_another_call(
    bench: Bench,
) -> None:
    await bench.add("t", relations=Relations(needs_later=("s",)))
    fence = await source(bench, relations=Relations(dependents=("t",)))
    assert (await bench.record("s")).has_dependents
    await complete(bench, fence)
    assert await state(bench) is State.PENDING


async def test_a_task_may_wait_for_old_and_new_ones(bench: Bench) -> None:
    fence = await source(bench, "old")
    tasks = [
        new("t", relations=Relations(needs=("old",), needs_later=("new",))),
        new("new", priority=0, relations=Relations(dependents=("t",))),
    ]
    assert await bench.store.enqueue(Q, tasks, atomic=True) == (State.BLOCKED, State.PENDING)
    assert (await bench.record()).waits == 2
    await complete(bench, fence)
    await complete(bench, (await bench.take())[0].fence, TWO)
    assert (await bench.record()).inputs == handed(("old", ONE), ("new", TWO))


async def test_a_blocked_task_is_listed_by_its_age(bench: Bench) -> None:
    await source(bench)
    for task_id in ("b", "c", "a"):
        await bench.add(task_id, relations=after("s"))
        bench.clock.advance(1)
    assert await bench.ids(State.BLOCKED) == ["b", "c", "a"]
    assert await bench.store.list(Q, State.BLOCKED, limit=1, after="b") == ("c",)


async def test_a_task_that_is_looked_at_shows_nothing_of_those_that_wait_for_it(
    bench: Bench,
) -> None:
    before = await source_record(bench)
    await bench.add("t", relations=after("s"))
    assert await bench.record("s") == attrs.evolve(before, has_dependents=True)


async def source_record(bench: Bench) -> Any:
    await source(bench)
    return await bench.record("s")


@pytest.mark.parametrize("how", ["dead", "cancelled", "gone", "grouped"])
async def test_a_revival_changes_nothing_while_what_it_needs_did_not_complete(
    bench: Bench, how: str
) -> None:
    fence = await source(bench, "s")
    await bench.add("t", relations=after("s"))
    match how:
        case "dead":
            await bench.store.settle(Q, [failed(fence, final=True)])
        case "cancelled":
            await bench.store.cancel(Q, "s")
            await bench.store.settle(Q, [Stopped(fence)])
        case _:
            await bench.store.settle(Q, [Released(fence)])
            await bench.store.delete(Q, ["s"])
    if how == "grouped":
        await bench.add("s", relations=Relations(group="g"))
    before = await bench.dump()
    assert await bench.store.revive(Q, ["t"]) == (State.DEAD,)
    assert await bench.dump() == before


async def test_a_claim_that_buries_counts_whom_it_unblocked_as_remaining(bench: Bench) -> None:
    await bench.add("s", expires_in_ms=10)
    await bench.add("t", relations=after("s", run_on_dependency_failure=True))
    bench.clock.advance(10)
    claimed = await bench.store.claim(Q, limit=1, lease_ms=1, worker="w", nonce=b"n" * 8)
    assert (claimed.leases, claimed.remaining) == ((), 1)
    assert [lease.fence.id for lease in await bench.take()] == ["t"]
