"""What can be read of a queue, and who works on it."""

import attrs
import pytest

from rediq_trio._errors import TaskNotFound
from rediq_trio.spec.check.task import RecordView, task_target
from rediq_trio.spec.check.totals import QueueTotals
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Relations, WorkerRecord
from rediq_trio.spec.records import Counters, QueueState
from rediq_trio.store.port import Stats

from .bench import START, Bench, Q, failed


async def test_tasks_are_read_in_the_order_asked_for(bench: Bench) -> None:
    await bench.add("a", "b")
    records = await bench.store.get(Q, ["b", "nobody", "a", "b"])
    assert [record and record.id for record in records] == ["b", None, "a", "b"]


async def test_more_tasks_than_a_batch_can_be_read(bench: Bench) -> None:
    ids = [f"t{n:04}" for n in range(1000)]
    await bench.add(*ids)
    records = await bench.store.get(Q, [*ids, "nobody", "t0000"])
    assert [record and record.id for record in records] == [*ids, None, "t0000"]


async def test_a_list_is_read_page_by_page(bench: Bench) -> None:
    await bench.add("c", "a", "e", "b", "d")
    assert await bench.store.list(Q, State.PENDING, limit=2) == ("c", "a")
    assert await bench.store.list(Q, State.PENDING, limit=2, after="a") == ("e", "b")
    assert await bench.store.list(Q, State.PENDING, limit=2, after="b") == ("d",)
    assert await bench.store.list(Q, State.PENDING, limit=2, after="d") == ()


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
async def test_pages_go_on_from_tasks_without_a_limit_key_to_those_with_one(
    bench: Bench, size: int
) -> None:
    await bench.add("p", "q")
    for task_id, key in (("b1", "b"), ("a1", "a"), ("a2", "a")):
        await bench.add(task_id, relations=Relations(limit_key=key))
    assert await pages(bench, State.PENDING, size) == ["p", "q", "a1", "a2", "b1"]


@pytest.mark.parametrize("size", [1, 2, 3])
async def test_grouped_tasks_are_listed_group_by_group(bench: Bench, size: int) -> None:
    for task_id, group in (("h1", "h"), ("g1", "g"), ("g2", "g")):
        await bench.add(task_id, relations=Relations(group=group))
    assert await pages(bench, State.GROUPED, size) == ["g1", "g2", "h1"]


async def pages(bench: Bench, state: State, size: int) -> list[str]:
    """Read a state's list page by page, each of which but the last is full."""
    found: list[str] = []
    while True:
        after = found[-1] if found else None
        page = await bench.store.list(Q, state, limit=size, after=after)
        assert len(page) <= size
        found += page
        if len(page) < size:
            return found


async def test_each_state_has_its_list(bench: Bench) -> None:
    for state in (State.COMPLETED, State.DEAD, State.CANCELLED):
        await bench.ended(state, state)
    await bench.active("active")
    await bench.add("retry")
    [lease] = await bench.take()
    await bench.store.settle(Q, [failed(lease.fence)])
    await bench.add("pending")
    await bench.add("scheduled", delay_ms=5)
    for state in State:
        expected = () if state in (State.BLOCKED, State.GROUPED) else (state.value,)
        assert await bench.store.list(Q, state, limit=5) == expected


@pytest.mark.parametrize("state", [State.SCHEDULED, State.BLOCKED])
async def test_a_page_after_a_task_in_another_state_is_refused(bench: Bench, state: State) -> None:
    await bench.add("t")
    with pytest.raises(TaskNotFound, match="q/t"):
        await bench.store.list(Q, state, limit=5, after="t")


async def test_a_page_after_an_unknown_task_is_refused(bench: Bench) -> None:
    with pytest.raises(TaskNotFound, match="q/nobody"):
        await bench.store.list(Q, State.PENDING, limit=5, after="nobody")


async def test_an_empty_queue_has_nothing_to_count(bench: Bench) -> None:
    assert await bench.store.stats(Q) == Stats(QueueState(), {}, -1)


async def test_stats_count_states_and_totals(bench: Bench) -> None:
    for state in (State.COMPLETED, State.DEAD, State.CANCELLED):
        await bench.ended(state, state)
    await bench.active("active")
    await bench.add("retry")
    [lease] = await bench.take()
    await bench.store.settle(Q, [failed(lease.fence)])
    await bench.add("p1", "p2")
    await bench.add("scheduled", delay_ms=5)
    await bench.add("deleted")
    await bench.store.delete(Q, ["deleted"])
    await bench.store.pause(Q)
    bench.clock.advance(4)
    stats = await bench.store.stats(Q)
    assert stats.sizes == {
        State.SCHEDULED: 1,
        State.PENDING: 2,
        State.ACTIVE: 1,
        State.RETRY: 1,
        State.COMPLETED: 1,
        State.DEAD: 1,
        State.CANCELLED: 1,
    }
    counters = Counters(enqueued=9, completed=1, failed=2, dead=1, deleted=1)
    assert stats.queue == QueueState({}, 9, True, counters, paused_since_ms=START)
    assert stats.oldest_pending_age_ms == 4


async def test_the_age_is_that_of_the_longest_waiting_head_of_a_priority(bench: Bench) -> None:
    await bench.add("low", priority=90)
    bench.clock.advance(10)
    await bench.add("high", priority=1)
    bench.clock.advance(10)
    await bench.add("low2", priority=90)
    assert (await bench.store.stats(Q)).oldest_pending_age_ms == 20
    await bench.store.delete(Q, ["low"])
    assert (await bench.store.stats(Q)).oldest_pending_age_ms == 10


async def test_the_age_counts_from_when_a_task_was_due_not_from_its_promotion(bench: Bench) -> None:
    await bench.add("t", delay_ms=5)
    bench.clock.advance(20)
    assert (await bench.store.stats(Q)).oldest_pending_age_ms == -1
    await bench.store.promote(Q, limit=1)
    assert (await bench.store.stats(Q)).oldest_pending_age_ms == 15


async def test_only_the_heads_count_for_the_age(bench: Bench) -> None:
    await bench.add("due", delay_ms=1)
    bench.clock.advance(10)
    await bench.add("head")
    await bench.store.promote(Q, limit=1)
    bench.clock.advance(5)
    assert await bench.ids(State.PENDING) == ["head", "due"]
    assert (await bench.store.stats(Q)).oldest_pending_age_ms == 5


async def test_a_view_shows_a_task_and_what_lists_it(bench: Bench) -> None:
    await bench.add("t", delay_ms=7, expires_in_ms=9)
    record = attrs.evolve(await bench.record(), envelope=b"")
    assert await bench.task_views("nobody", "t") == [
        RecordView(task_target("nobody"), None, {}, None, False),
        RecordView(task_target("t"), record, {State.SCHEDULED: START + 7}, START + 9, True),
    ]


async def test_totals_are_sizes_and_counters(bench: Bench) -> None:
    await bench.add("a", expires_in_ms=5)
    await bench.add("b", delay_ms=5)
    await bench.ended("d", State.DEAD, priority=0)
    sizes = {State.PENDING: 1, State.SCHEDULED: 1, State.DEAD: 1}
    counters = Counters(enqueued=3, failed=1, dead=1)
    assert await bench.store.totals(Q) == QueueTotals(3, sizes, 1, 3, counters)


async def test_every_mentioned_id_is_found_in_bounded_scans(bench: Bench) -> None:
    ids = [f"t{n}" for n in range(1000)]
    await bench.add(*ids)
    await bench.add(*[f"u{n}" for n in range(1000)], delay_ms=5)
    assert await bench.mentioned() == {*ids, *[f"u{n}" for n in range(1000)]}


async def test_a_worker_is_on_the_roster_until_it_falls_silent(bench: Bench) -> None:
    assert await bench.store.workers() == ()
    await bench.store.register(WorkerRecord("w2", b"\x00two", 50))
    await bench.store.register(WorkerRecord("w1", b"one", 100))
    assert await bench.store.workers() == (b"one", b"\x00two")
    bench.clock.advance(49)
    assert await bench.store.workers() == (b"one", b"\x00two")
    bench.clock.advance(1)
    assert await bench.store.workers() == (b"one",)


async def test_a_worker_says_something_new_with_each_beat(bench: Bench) -> None:
    worker = WorkerRecord("w", b"1", 50)
    await bench.store.register(worker)
    bench.clock.advance(40)
    await bench.store.register(attrs.evolve(worker, data=b"2"))
    bench.clock.advance(40)
    assert await bench.store.workers() == (b"2",)


async def test_a_beat_forgets_workers_that_fell_silent(bench: Bench) -> None:
    await bench.store.register(WorkerRecord("w1", b"1", 50))
    bench.clock.advance(50)
    await bench.store.register(WorkerRecord("w2", b"2", 50))
    assert await bench.store.workers() == (b"2",)
    await bench.store.register(WorkerRecord("w1", b"again", 50))
    assert await bench.store.workers() == (b"again", b"2")


async def test_a_worker_that_leaves_is_forgotten_at_once(bench: Bench) -> None:
    await bench.store.register(WorkerRecord("w1", b"1", 50))
    await bench.store.register(WorkerRecord("w2", b"2", 50))
    await bench.store.unregister("w1")
    await bench.store.unregister("nobody")
    assert await bench.store.workers() == (b"2",)
