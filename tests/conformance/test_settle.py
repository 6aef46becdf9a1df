"""How an attempt ends: completed and failed, and batches of any outcomes."""

import attrs
import pytest

from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import (
    Completed,
    Failed,
    Outcome,
    Relations,
    Released,
    Report,
    Snoozed,
    Stopped,
)
from rediq_trio.spec.records import CANCELLED_GRACE_MS, Counters
from rediq_trio.spec.stored_format import UNSET_RETENTION_MS

from .bench import START, Bench, Q, failed, new


async def test_a_result_is_kept_for_the_retention(bench: Bench) -> None:
    fence = await bench.active(retention_ms=500)
    before = await bench.record()
    bench.clock.advance(7)
    assert await bench.store.settle(Q, [Completed(fence, b"\x00result")]) == (State.COMPLETED,)
    assert await bench.record() == attrs.evolve(
        before,
        state=State.COMPLETED,
        result=b"\x00result",
        lease_ms=0,
        finished_ms=START + 7,
        purge_ms=START + 507,
    )
    assert (await bench.dump()).counters == Counters(enqueued=1, completed=1)


async def test_a_completion_clears_the_error_of_an_earlier_attempt(bench: Bench) -> None:
    fence = await bench.active()
    await bench.store.settle(Q, [failed(fence, delay_ms=0)])
    await bench.store.promote(Q, limit=1)
    [lease] = await bench.take()
    assert (await bench.record()).error == "boom"
    await bench.store.settle(Q, [Completed(lease.fence, b"r")])
    assert (await bench.record()).error == ""


async def test_without_retention_a_completed_task_is_gone(bench: Bench) -> None:
    fence = await bench.active(retention_ms=0)
    await bench.store.report(Q, [Report(fence, b"p")])
    assert await bench.store.settle(Q, [Completed(fence, b"r")]) == (State.COMPLETED,)
    queue = await bench.dump()
    assert queue.records == {}
    assert queue.counters == Counters(enqueued=1, completed=1, purged=1)
    assert await bench.mentioned() == set()


async def test_a_repeated_completion_of_a_task_that_is_gone_is_stale(bench: Bench) -> None:
    fence = await bench.active(retention_ms=0)
    await bench.store.settle(Q, [Completed(fence, b"r")])
    before = await bench.dump()
    assert await bench.store.settle(Q, [Completed(fence, b"r")]) == (None,)
    assert await bench.dump() == before


@pytest.mark.parametrize(
    ("retention", "kept"), [(0, CANCELLED_GRACE_MS), (5, CANCELLED_GRACE_MS), (90_000, 90_000)]
)
async def test_a_task_that_someone_waits_for_is_kept_for_the_grace(
    bench: Bench, retention: int, kept: int
) -> None:
    fence = await bench.active(retention_ms=retention)
    assert await bench.store.watch(Q, "t") is State.ACTIVE
    await bench.store.settle(Q, [Completed(fence, b"r")])
    assert (await bench.record()).purge_ms == START + kept


async def test_a_completion_wins_over_a_cancel_that_was_asked(bench: Bench) -> None:
    fence = await bench.active()
    await bench.store.cancel(Q, "t")
    assert await bench.store.settle(Q, [Completed(fence, b"r")]) == (State.COMPLETED,)
    assert (await bench.record()).cancel


async def test_one_batch_completes_many(bench: Bench) -> None:
    await bench.add("a", "b", retention_ms=0)
    await bench.add("c")
    fences = [lease.fence for lease in await bench.take(3)]
    items = [Completed(fence, fence.id.encode()) for fence in (*fences, fences[2], fences[0])]
    states = await bench.store.settle(Q, items)
    assert states == (*[State.COMPLETED] * 4, None)
    queue = await bench.dump()
    assert queue.records["c"].result == b"c"
    assert queue.counters == Counters(enqueued=3, completed=3, purged=2)


async def test_a_failure_is_retried_after_its_delay(bench: Bench) -> None:
    fence = await bench.active()
    before = await bench.record()
    bench.clock.advance(3)
    assert await bench.store.settle(Q, [failed(fence, "wörst", 1000)]) == (State.RETRY,)
    assert await bench.record() == attrs.evolve(
        before, state=State.RETRY, error="wörst", run_ms=START + 1003, lease_ms=0
    )
    assert (await bench.dump()).counters == Counters(enqueued=1, failed=1)


async def test_a_final_failure_is_dead_whatever_is_left(bench: Bench) -> None:
    fence = await bench.active(max_retry=9)
    before = await bench.record()
    bench.clock.advance(3)
    assert await bench.store.settle(Q, [failed(fence, final=True)]) == (State.DEAD,)
    assert await bench.record() == attrs.evolve(
        before, state=State.DEAD, error="boom", lease_ms=0, finished_ms=START + 3
    )
    assert (await bench.dump()).counters == Counters(enqueued=1, failed=1, dead=1)


@pytest.mark.parametrize("max_retry", [0, 1, 2])
async def test_a_task_is_dead_after_its_retries(bench: Bench, max_retry: int) -> None:
    await bench.add("t", max_retry=max_retry)
    states: list[State | None] = []
    for _ in range(max_retry + 1):
        [lease] = await bench.take()
        states += await bench.store.settle(Q, [failed(lease.fence, delay_ms=0)])
        await bench.store.promote(Q, limit=1)
    assert states == [*[State.RETRY] * max_retry, State.DEAD]
    record = await bench.record()
    assert (record.attempt, record.deliveries) == (max_retry + 1, max_retry + 1)
    assert await bench.take() == []


async def test_a_failure_after_a_cancel_was_asked_cancels(bench: Bench) -> None:
    fence = await bench.active(retention_ms=90_000)
    await bench.store.cancel(Q, "t")
    before = await bench.record()
    assert await bench.store.settle(Q, [failed(fence)]) == (State.CANCELLED,)
    assert await bench.record() == attrs.evolve(
        before,
        state=State.CANCELLED,
        error="boom",
        lease_ms=0,
        finished_ms=START,
        purge_ms=START + 90_000,
    )
    assert (await bench.dump()).counters == Counters(enqueued=1, failed=1)


@pytest.mark.parametrize("final", [True, False])
async def test_a_last_failure_is_dead_also_when_a_cancel_was_asked(
    bench: Bench, final: bool
) -> None:
    fence = await bench.active(max_retry=9 if final else 0)
    await bench.store.cancel(Q, "t")
    assert await bench.store.settle(Q, [failed(fence, final=final)]) == (State.DEAD,)


async def test_one_batch_fails_many_each_by_its_own_rule(bench: Bench) -> None:
    await bench.add("a", "b")
    await bench.add("c", max_retry=0)
    a, b, c = [lease.fence for lease in await bench.take(3)]
    items = [
        failed(a, "ea", 5),
        failed(b, "eb", final=True),
        failed(c, "ec"),
        failed(a, "again"),
    ]
    states = await bench.store.settle(Q, items)
    assert states == (State.RETRY, State.DEAD, State.DEAD, State.RETRY)
    queue = await bench.dump()
    assert [queue.records[i].error for i in "abc"] == ["ea", "eb", "ec"]
    assert queue.counters == Counters(enqueued=3, failed=3, dead=2)


async def test_a_mixed_batch_is_answered_in_its_order(bench: Bench) -> None:
    await bench.add("done", "retry", "asleep", "back", "running", max_retry=5)
    await bench.add("dead", "stopped", "gone", retention_ms=0)
    fences = {lease.fence.id: lease.fence for lease in await bench.take(8)}
    await bench.store.cancel(Q, "stopped")
    stale = {name: attrs.evolve(fence, nonce=b"another!") for name, fence in fences.items()}
    batch: list[tuple[Outcome, State | None]] = [
        (Stopped(stale["stopped"]), None),
        (Released(fences["back"]), State.PENDING),
        (Completed(stale["done"], b"late"), None),
        (Completed(fences["gone"], b"g"), State.COMPLETED),
        (Failed(fences["retry"], "boom", 7), State.RETRY),
        (Snoozed(stale["asleep"], 9), None),
        (Completed(fences["done"], b"d"), State.COMPLETED),
        (Failed(fences["dead"], "final", 0, final=True), State.DEAD),
        (Snoozed(fences["asleep"], 9), State.SCHEDULED),
        (Stopped(fences["stopped"]), State.CANCELLED),
        (Released(stale["running"]), None),
        (Stopped(fences["running"]), State.ACTIVE),
        (Failed(stale["dead"], "late", 0), None),
        # The first of two outcomes counts, and the second is told what it led to.
        (Completed(fences["back"], b"late"), State.PENDING),
        (Released(fences["done"]), State.COMPLETED),
        (Failed(fences["gone"], "late", 0), None),
    ]
    assert await bench.store.settle(Q, [outcome for outcome, _ in batch]) == tuple(
        state for _, state in batch
    )
    queue = await bench.dump()
    assert {name: record.state for name, record in queue.records.items()} == {
        "back": State.PENDING, "retry": State.RETRY, "done": State.COMPLETED, "dead": State.DEAD,
        "asleep": State.SCHEDULED, "stopped": State.CANCELLED, "running": State.ACTIVE,
    }  # fmt: skip
    assert {name: record.attempt for name, record in queue.records.items()} == {
        "back": 0, "retry": 1, "done": 1, "dead": 1, "asleep": 0, "stopped": 0, "running": 1,
    }  # fmt: skip
    assert queue.counters == Counters(enqueued=8, completed=2, failed=2, dead=1, purged=1)


async def test_a_failure_brings_the_attempts_of_the_handler(bench: Bench) -> None:
    await bench.add("more", "fewer", "none", max_retry=3)
    await bench.add("as before", max_retry=0)
    fences = {lease.fence.id: lease.fence for lease in await bench.take(4)}
    batch = [
        Failed(fences["as before"], "boom", 5),
        Failed(fences["more"], "boom", 5, max_retry=9),
        Failed(fences["fewer"], "boom", 5, max_retry=1),
        Failed(fences["none"], "boom", 5, max_retry=0),
    ]
    dead, retry = State.DEAD, State.RETRY
    assert await bench.store.settle(Q, batch) == (dead, retry, retry, dead)
    records = (await bench.dump()).records
    assert {name: record.max_retry for name, record in records.items()} == {
        "as before": 0, "more": 9, "fewer": 1, "none": 0,
    }  # fmt: skip


async def test_attempts_that_were_made_were_allowed(bench: Bench) -> None:
    await bench.add("t", max_retry=5)
    for _ in range(2):
        [lease] = await bench.take(1)
        await bench.store.settle(Q, [Failed(lease.fence, "boom", 0)])
        await bench.store.promote(Q, limit=1)
    [lease] = await bench.take(1)
    assert await bench.store.settle(Q, [Failed(lease.fence, "boom", 0, max_retry=0)]) == (
        State.DEAD,
    )
    record = await bench.record()
    assert (record.attempt, record.max_retry) == (3, 2)


async def test_a_completion_brings_the_retention_of_the_handler(bench: Bench) -> None:
    await bench.add("unset", "gone", "as before")
    await bench.add("set", retention_ms=UNSET_RETENTION_MS + 1)
    fences = {lease.fence.id: lease.fence for lease in await bench.take(4)}
    batch = [
        Completed(fences["as before"], b"r"),
        Completed(fences["unset"], b"r", retention_ms=5),
        Completed(fences["gone"], b"r", retention_ms=0),
        Completed(fences["set"], b"r", retention_ms=5),
    ]
    assert await bench.store.settle(Q, batch) == (State.COMPLETED,) * 4
    records = (await bench.dump()).records
    assert {name: (r.retention_ms, r.purge_ms - r.finished_ms) for name, r in records.items()} == {
        "as before": (UNSET_RETENTION_MS, UNSET_RETENTION_MS),
        "unset": (5, 5),
        "set": (UNSET_RETENTION_MS + 1, UNSET_RETENTION_MS + 1),
    }


async def test_an_outcome_after_a_stop_that_nobody_asked_for_counts(bench: Bench) -> None:
    fence = await bench.active()
    outcomes = [Stopped(fence), Completed(fence, b"r")]
    assert await bench.store.settle(Q, outcomes) == (State.ACTIVE, State.COMPLETED)
    assert (await bench.record()).result == b"r"


async def test_children_of_a_mixed_batch_meet_what_came_before_them(bench: Bench) -> None:
    key = Relations(unique="k")
    await bench.add("parent", "done", retention_ms=0)
    await bench.add("holder", relations=key, max_retry=0)
    fences = {lease.fence.id: lease.fence for lease in await bench.take(3)}
    children = (
        new("keyed", relations=key),
        new("waits", relations=Relations(needs=("done",), run_on_dependency_failure=True)),
        new("doomed", relations=Relations(needs=("holder",))),
    )
    await bench.store.settle(
        Q,
        [
            Completed(fences["done"], b"r"),
            Failed(fences["holder"], "boom", 0),
            Completed(fences["parent"], b"r", children),
        ],
    )
    records = (await bench.dump()).records
    assert {name: record.state for name, record in records.items()} == {
        "holder": State.DEAD, "keyed": State.PENDING, "waits": State.PENDING, "doomed": State.DEAD,
    }  # fmt: skip


async def test_a_retry_keeps_its_expiry(bench: Bench) -> None:
    fence = await bench.active(expires_in_ms=50)
    await bench.store.settle(Q, [failed(fence, delay_ms=100)])
    bench.clock.advance(50)
    assert (await bench.store.expire(Q, limit=1)).moved == 1
    record = await bench.record()
    assert (record.state, record.error) == (State.DEAD, "expired")
