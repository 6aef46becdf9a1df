"""Removing a queue that is empty."""

from collections.abc import Mapping
from typing import Any

import pytest

from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import (
    Mail,
    MailKind,
    NewTask,
    Relations,
    Removal,
    Schedule,
    Until,
)
from rediq_trio.spec.records import PROPAGATED_AT_ONCE, QueueState

from .bench import Bench, Q, new

ARRIVED = [Mail(3, Q, MailKind.SUBSCRIBE, id="x", ref="none")]


async def left(bench: Bench, **expected: int) -> None:
    """Check that the queue stays, and what of it is counted."""
    before = await bench.dump()
    names = {name.replace("_", " "): size for name, size in expected.items()}
    for received in (None, {}):
        answer = await bench.store.remove_queue(Q, received=received)
        assert answer == Removal(False, names, before.received)
    assert await bench.dump() == before


async def used(bench: Bench) -> None:
    """Leave a queue with settings, counters and a history, and without tasks."""
    store = bench.store
    await store.arrange(Q, history=9, fair=True, max_pending=9)
    await store.limit(Q, key="k", concurrency=1, count=1, period_ms=9)
    await bench.add("t", relations=Relations(limit_key="k"))
    await bench.take()
    await store.pause(Q)
    await store.flush(Q)


async def test_an_empty_queue_goes_with_all_that_is_stored_of_it(bench: Bench) -> None:
    await used(bench)
    assert await bench.store.remove_queue(Q) == Removal(False)
    assert (await bench.dump()).counters.enqueued == 1
    assert await bench.store.queues() == (Q,)
    for _ in range(2):
        assert await bench.store.remove_queue(Q, received={}) == Removal(True)
        assert await bench.dump() == QueueState()
        assert await bench.store.queues() == ()
    await bench.add("t")
    assert await bench.store.queues() == (Q,)
    assert (await bench.dump()).counters.enqueued == 1


@pytest.mark.parametrize("state", [State.SCHEDULED, State.PENDING, State.DEAD])
async def test_a_queue_with_a_task_stays(bench: Bench, state: State) -> None:
    if state is State.DEAD:
        await bench.ended("t", state)
    else:
        await bench.add("t", delay_ms=5 if state is State.SCHEDULED else 0)
    await left(bench, tasks=1)


async def test_a_key_that_a_task_holds_counts_with_the_task(bench: Bench) -> None:
    await bench.add("t", relations=Relations(unique="u"))
    await left(bench, tasks=1)


async def test_a_queue_with_a_schedule_stays(bench: Bench) -> None:
    schedule = Schedule("s", b"when", NewTask("", b"e"))
    await bench.store.declare(Q, schedule=schedule)
    await left(bench, schedules=1)


async def test_a_queue_with_messages_stays_until_the_next_millisecond(bench: Bench) -> None:
    await bench.store.enqueue(Q, [new("t", relations=Relations(queue="other")) for _ in "ab"])
    await left(bench, messages=2)
    outbox = await bench.store.outbox(Q, limit=0)
    await bench.store.acknowledge(Q, outbox[-1].seq)
    await left(bench, messages=1)
    bench.clock.advance(1)
    assert await bench.store.remove_queue(Q, received={}) == Removal(True)
    await bench.store.enqueue(Q, [new("t", relations=Relations(queue="other"))])
    assert (await bench.store.outbox(Q, limit=0))[0].seq > outbox[-1].seq


async def test_a_queue_with_an_open_window_stays(bench: Bench) -> None:
    relations = Relations(unique="u", until=Until.EXPIRED, ttl_ms=10**6)
    await bench.ended("t", State.COMPLETED, retention_ms=1, relations=relations)
    bench.clock.advance(10)
    await bench.store.purge(Q, limit=9, dead_retention_ms=1, max_dead=0)
    await left(bench, unique_keys=1)
    bench.clock.advance(10**6)
    assert await bench.store.remove_queue(Q, received={}) == Removal(True)


async def test_a_queue_whose_dependents_are_not_notified_yet_stays(bench: Bench) -> None:
    ids = [f"n{n}" for n in range(PROPAGATED_AT_ONCE + 1)]
    await bench.add("source")
    await bench.add(*ids, relations=Relations(needs=("source",)))
    await bench.store.delete(Q, ["source"])
    found = await bench.dump()
    assert len(found.endings) == 1
    await left(bench, tasks=len(ids), endings=1)


@pytest.mark.parametrize("given", [None, {}, {"sender": 2}, {"another": 3}, {"sender": 3, "a": 1}])
async def test_a_queue_stays_that_has_received_more_than_its_caller_knows(
    bench: Bench, given: Mapping[str, int] | None
) -> None:
    await bench.store.receive(Q, "sender", ARRIVED)
    outbox: Any = await bench.store.outbox(Q, limit=0)
    await bench.store.acknowledge(Q, outbox[-1].seq)
    bench.clock.advance(1)
    before = await bench.dump()
    answer = await bench.store.remove_queue(Q, received=given)
    assert answer == Removal(False, {}, {"sender": 3})
    assert await bench.dump() == before
    for _ in range(2):  # the answer may be lost
        assert (await bench.store.remove_queue(Q, received=answer.received)).removed
    assert await bench.dump() == QueueState()
