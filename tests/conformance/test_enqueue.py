"""What becomes of a new task."""

import pytest

from rediq_trio._errors import RediqError
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Completed, Fence, Released, Report, Stopped
from rediq_trio.spec.records import Counters, Record
from rediq_trio.store.port import BATCH

from .bench import START, Bench, Q, failed, new, snoozed

UUID7 = "018f3b2c-0000-7abc-8def-0123456789ab"


async def test_a_task_that_is_due_is_pending(bench: Bench) -> None:
    assert await bench.store.enqueue(Q, [new("t")]) == (State.PENDING,)
    assert await bench.record() == Record(
        id="t",
        envelope=b"envelope of t",
        state=State.PENDING,
        priority=50,
        max_retry=3,
        max_crashes=3,
        retention_ms=3_600_000,
        created_ms=START,
        run_ms=START,
        seq=1,
    )


async def test_every_option_is_kept(bench: Bench) -> None:
    options = {"priority": 7, "max_retry": 1, "max_crashes": 2, "retention_ms": 5}
    await bench.add("t", **options, expires_at_ms=START + 9)
    record = await bench.record()
    assert {name: getattr(record, name) for name in options} == options
    assert record.expires_ms == START + 9


async def test_a_delayed_task_is_scheduled_and_has_its_rank_among_all(bench: Bench) -> None:
    assert await bench.store.enqueue(Q, [new("t", delay_ms=1)]) == (State.SCHEDULED,)
    record = await bench.record()
    assert (record.run_ms, record.seq) == (START + 1, 1)
    assert (await bench.dump()).seq == 1


async def test_a_task_with_an_instant_ahead_is_scheduled(bench: Bench) -> None:
    assert await bench.store.enqueue(Q, [new("t", run_at_ms=START + 1)]) == (State.SCHEDULED,)
    assert (await bench.record()).run_ms == START + 1


@pytest.mark.parametrize("ago", [0, 1])
async def test_an_instant_that_has_come_or_passed_is_now(bench: Bench, ago: int) -> None:
    assert await bench.store.enqueue(Q, [new("t", run_at_ms=START - ago)]) == (State.PENDING,)
    assert (await bench.record()).run_ms == START


async def test_expiry_counts_from_the_enqueue(bench: Bench) -> None:
    await bench.add("t", expires_in_ms=10, delay_ms=5)
    assert (await bench.record()).expires_ms == START + 10


async def test_an_instant_of_expiry_goes_before_a_span(bench: Bench) -> None:
    await bench.add("t", expires_at_ms=START + 3, expires_in_ms=10)
    assert (await bench.record()).expires_ms == START + 3


async def test_an_id_that_exists_changes_nothing(bench: Bench) -> None:
    await bench.add("t")
    before = await bench.dump()
    assert await bench.store.enqueue(Q, [new("t", priority=1, delay_ms=5)]) == (None,)
    assert await bench.dump() == before


@pytest.mark.parametrize("state", [State.COMPLETED, State.DEAD, State.CANCELLED])
async def test_an_id_that_ended_and_is_kept_exists(bench: Bench, state: State) -> None:
    await bench.ended("t", state)
    assert await bench.store.enqueue(Q, [new("t")]) == (None,)


async def test_a_duplicate_within_one_batch_is_refused(bench: Bench) -> None:
    tasks = [new("a"), new("b", delay_ms=5), new("a", priority=3), new("b"), new("c")]
    answers = await bench.store.enqueue(Q, tasks)
    assert answers == (State.PENDING, State.SCHEDULED, None, None, State.PENDING)
    queue = await bench.dump()
    assert (queue.seq, queue.counters) == (3, Counters(enqueued=3))
    assert queue.records["a"].priority == 50
    assert queue.records["c"].seq == 3


async def test_an_empty_batch_changes_nothing(bench: Bench) -> None:
    before = await bench.dump()
    assert await bench.store.enqueue(Q, []) == ()
    assert await bench.dump() == before


async def test_a_full_batch_is_taken(bench: Bench) -> None:
    tasks = [new(f"t{n:04}") for n in range(BATCH)]
    assert await bench.store.enqueue(Q, tasks) == (State.PENDING,) * BATCH
    leases = await bench.take(BATCH)
    assert [lease.fence.id for lease in leases] == [task.id for task in tasks]
    items = [Completed(lease.fence, b"r") for lease in leases]
    assert await bench.store.settle(Q, items) == (State.COMPLETED,) * BATCH


async def test_a_batch_above_the_bound_is_refused_and_changes_nothing(bench: Bench) -> None:
    many, fence = BATCH + 1, Fence("t", 1, b"n" * 8)
    before = await bench.dump()
    for call in (
        bench.store.enqueue(Q, [new(f"t{n}") for n in range(many)]),
        bench.store.renew(Q, [fence] * many, lease_ms=1),
        bench.store.settle(Q, [Completed(fence, b"r")] * many),
        bench.store.settle(Q, [failed(fence)] * many),
        bench.store.settle(Q, [Released(fence)] * many),
        bench.store.settle(Q, [snoozed(fence)] * many),
        bench.store.settle(Q, [Stopped(fence)] * many),
        bench.store.report(Q, [Report(fence, b"p")] * many),
        bench.store.revive(Q, ["t"] * many),
        bench.store.delete(Q, ["t"] * many),
    ):
        with pytest.raises(RediqError, match="1001 items"):
            await call
    assert await bench.dump() == before
    assert await bench.store.queues() == ()


async def test_ids_of_either_kind_come_back_as_they_were(bench: Bench) -> None:
    ids = [UUID7, UUID7.upper(), "a" * 16, "0" * 36, "1.b:c_d-e", "x" * 128]
    await bench.add(*ids)
    assert [lease.fence.id for lease in await bench.take(10)] == ids


async def test_an_envelope_of_any_bytes_comes_back(bench: Bench) -> None:
    envelope = bytes(range(256)) * 10
    task = new("t")
    await bench.store.enqueue(Q, [task.__class__("t", envelope)])
    [lease] = await bench.take()
    assert lease.envelope == envelope


async def test_queues_are_apart_and_known_by_name(bench: Bench) -> None:
    assert await bench.store.queues() == ()
    await bench.store.enqueue("b", [new("t")])
    await bench.store.enqueue("a", [new("t", priority=1)])
    await bench.store.enqueue("a", [new("u")])
    assert await bench.store.queues() == ("a", "b")
    assert await bench.store.list("a", State.PENDING, limit=10) == ("t", "u")
    assert await bench.store.list("b", State.PENDING, limit=10) == ("t",)
