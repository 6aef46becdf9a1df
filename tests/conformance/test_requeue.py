"""Moving a task to another queue: it is in exactly one of both, and nothing that needs it is lost."""

from typing import Any

import attrs
import pytest

from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import (
    Completed,
    Mail,
    MailKind,
    NewTask,
    Obstacle,
    Relations,
    Requeued,
    Until,
    Version,
)
from rediq_trio.spec.records import Counters, QueueState, Record
from rediq_trio.store.broadcast import SignalKind
from rediq_trio.store.relay import relay

from .bench import START, Bench, Q, failed, heard
from .test_changing import bring

MOVED = [State.SCHEDULED, State.PENDING, State.RETRY, State.DEAD, State.CANCELLED]
OTHER = "other"


def successor(record: Record) -> NewTask:
    """Return the task that a client sends in place of another."""
    seen = record.version
    relations = Relations(queue=OTHER, limit_key=record.limit_key)
    return NewTask(
        "new", b"new envelope", seen.priority, seen.max_retry, seen.max_crashes, seen.retention_ms,
        relations=relations,
    )  # fmt: skip


async def requeue(bench: Bench, task_id: str = "t", **stale: Any) -> Requeued:
    record = await bench.record(task_id)
    seen = attrs.evolve(record.version, **stale)
    return await bench.store.requeue(Q, task_id, seen=seen, task=successor(record))


@pytest.mark.parametrize("state", MOVED)
@pytest.mark.parametrize("limit_key", ["", "k"])
async def test_a_task_is_moved_in_one_step(bench: Bench, state: State, limit_key: str) -> None:
    before = await bring(bench, state, relations=Relations(limit_key=limit_key), priority=7)
    bench.clock.advance(1)
    assert await requeue(bench) == Requeued(state, None)
    assert await bench.mentioned() == set()
    found = await bench.dump()
    assert found.counters.deleted == 1
    timed = state in (State.SCHEDULED, State.RETRY)
    task = attrs.evolve(
        successor(before),
        run_at_ms=before.run_ms if timed else 0,
        expires_at_ms=0 if before.terminal else before.expires_ms,
        relations=Relations(limit_key=limit_key),
    )
    [mail] = found.outbox
    assert mail == Mail(mail.seq, OTHER, MailKind.TASK, task=task)
    for _ in range(2):
        await bench.store.receive(OTHER, Q, [mail])
    await relay(bench.store, Q)
    [record] = await bench.store.get(OTHER, ["new"])
    assert record is not None
    assert record.state is (State.SCHEDULED if timed else State.PENDING)
    assert (record.priority, record.attempt, record.limit_key) == (7, 0, limit_key)
    assert (await bench.store.dump(OTHER)).counters == Counters(enqueued=1)


async def refused(bench: Bench, obstacle: Obstacle, task_id: str = "t", **stale: Any) -> None:
    before = await bench.dump()
    state = before.records[task_id].state
    assert await requeue(bench, task_id, **stale) == Requeued(state, obstacle)
    assert await bench.dump() == before


@pytest.mark.parametrize("state", [state for state in State if state not in MOVED])
async def test_no_other_task_is_moved(bench: Bench, state: State) -> None:
    await bring(bench, state)
    await refused(bench, Obstacle.STATE)


@pytest.mark.parametrize("field", [field.name for field in attrs.fields(Version)])
async def test_a_task_that_is_not_as_it_was_seen_stays(bench: Bench, field: str) -> None:
    await bring(bench, State.PENDING)
    stale: Any = b"other" if field == "envelope" else 1
    await refused(bench, Obstacle.CHANGED, **{field: stale})


async def test_a_task_with_a_unique_key_or_of_a_group_stays(bench: Bench) -> None:
    relations = Relations(unique="u", until=Until.DONE)
    await bring(bench, State.PENDING, relations=relations)
    await refused(bench, Obstacle.UNIQUE_KEY)
    await bench.store.cancel(Q, "t")
    await refused(bench, Obstacle.UNIQUE_KEY)
    await bring(bench, State.GROUPED, "g")
    await bench.store.cancel(Q, "g")
    await refused(bench, Obstacle.GROUP, "g")


async def test_a_task_that_others_wait_for_stays_until_it_has_ended(bench: Bench) -> None:
    await bring(bench, State.PENDING)
    await bench.add("needs", relations=Relations(needs=("t",)))
    await bring(bench, State.PENDING, "watched")
    await bench.store.watch(Q, "watched")
    await refused(bench, Obstacle.DEPENDENTS)
    await refused(bench, Obstacle.WAITERS, "watched")
    for task_id in ("t", "watched"):
        await bench.store.cancel(Q, task_id)
        assert await requeue(bench, task_id) == Requeued(State.CANCELLED, None)


async def test_whoever_waited_for_a_dead_task_is_notified_that_it_is_gone(bench: Bench) -> None:
    await bring(bench, State.PENDING)
    await bench.store.watch(Q, "t")
    await bench.store.cancel(Q, "t")
    with bench.store.listen([(Q, "t")]) as signals:
        await heard(signals, SignalKind.RESYNC)
        await requeue(bench)
        await heard(signals, SignalKind.DONE, "t")


async def test_a_task_with_results_of_others_or_of_its_steps_stays(bench: Bench) -> None:
    fence = await bench.active("source")
    await bench.add("t", relations=Relations(needs=("source",)))
    await bench.store.settle(Q, [Completed(fence, b"\x07")])
    assert (await bench.record()).inputs
    await refused(bench, Obstacle.KEPT)
    await bench.store.delete(Q, ["t"])
    fence = await bench.active("steps")
    await bench.store.remember(Q, fence, ("one", b"\x01"))
    await bench.store.settle(Q, [failed(fence)])
    await refused(bench, Obstacle.KEPT, "steps")
    fence = await bench.active("source2")
    await bench.add("u", relations=Relations(needs=("source2",)))
    await bench.store.settle(Q, [failed(fence, final=True)])
    assert (await bench.record("u")).state is State.DEAD
    await refused(bench, Obstacle.KEPT, "u")


async def test_a_task_that_is_not_there_is_not_moved(bench: Bench) -> None:
    seen = Version(b"e", 1, 1, 1, 1)
    task = NewTask("new", b"e", relations=Relations(queue=OTHER))
    assert await bench.store.requeue(Q, "nobody", seen=seen, task=task) == Requeued(None, None)
    assert await bench.dump() == QueueState()


async def test_the_history_names_a_move(bench: Bench) -> None:
    await bench.store.arrange(Q, history=10)
    await bring(bench, State.SCHEDULED)
    await requeue(bench)
    [entry] = await bench.store.history(Q, after=2, limit=10)
    assert (entry.transition, entry.source, entry.target) == ("requeue", State.SCHEDULED, None)
    assert entry.now_ms == START
