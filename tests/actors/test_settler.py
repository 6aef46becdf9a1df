from __future__ import annotations

import math
from collections import Counter

import pytest
import trio

from rediq_trio import ConnectionLost, State
from rediq_trio.spec.messages import Completed, Failed, Released, Snoozed, Stopped
from rediq_trio.worker.leases import AttemptOutcome, HeldLease, LeaseTable, failed, released
from rediq_trio.worker.progress import ProgressFlusher
from rediq_trio.worker.settler import OutcomeCounts, Settler
from tests.actors.parts import Q, Watched, claim, new_task, record, states

pytestmark = pytest.mark.mock_clock


def completed(held: HeldLease) -> AttemptOutcome:
    return AttemptOutcome(held, Completed(held.fence, b"\xc0", tuple(held.children)))


class Settling:
    def __init__(self) -> None:
        self.store = Watched()
        self.lease_table = LeaseTable()
        self.outcome_counts = OutcomeCounts()
        self.flusher = ProgressFlusher(self.store, 0.5)
        self.send, receive = trio.open_memory_channel[AttemptOutcome](math.inf)
        self.settler = Settler(
            self.store, self.lease_table, self.flusher, receive, self.outcome_counts
        )

    async def hold(self, *ids: str, **options: int) -> None:
        await self.store.enqueue(Q, [new_task(id=one, **options) for one in ids])
        for held in await claim(self.store, self.lease_table):
            setattr(self, held.fence.id, held)

    def completed(self) -> int:
        return self.outcome_counts.settled[Completed]

    def __getattr__(self, name: str) -> object:
        raise AttributeError(name)


async def test_each_outcome_takes_its_task_where_it_belongs() -> None:
    at = Settling()
    await at.hold("done", "failed", "dead", "snoozed", "stopped", "back", "lost")
    await at.store.cancel(Q, "stopped")
    for outcome in (
        completed(at.done),
        failed(at.failed, "bad", 5.0),
        failed(at.dead, "bad", 5.0, final=True),
        AttemptOutcome(at.snoozed, Snoozed(at.snoozed.fence, 5000)),
        AttemptOutcome(at.stopped, Stopped(at.stopped.fence)),
        released(at.back),
        AttemptOutcome(at.lost, None),
    ):
        at.send.send_nowait(outcome)
    at.send.close()
    await at.settler.run()
    assert await states(at.store) == {
        "done": State.COMPLETED,
        "failed": State.RETRY,
        "dead": State.DEAD,
        "snoozed": State.SCHEDULED,
        "stopped": State.CANCELLED,
        "back": State.PENDING,
        "lost": State.ACTIVE,
    }
    # However they ended, one call writes them all.
    assert at.store.count("settle") == 1
    assert len(at.lease_table) == 0
    assert at.outcome_counts == OutcomeCounts(
        Counter({Completed: 1, Failed: 2, Snoozed: 1, Stopped: 1, Released: 1}), stale=1
    )
    assert at.outcome_counts.by_name() == {
        "completed": 1, "failed": 2, "snoozed": 1, "cancelled": 1, "released": 1, "stale": 1,
    }  # fmt: skip


async def test_what_waits_is_settled_in_one_call() -> None:
    at = Settling()
    await at.hold(*(f"t{n}" for n in range(20)))
    for held in at.lease_table:
        at.send.send_nowait(completed(held))
    at.send.close()
    await at.settler.run()
    assert at.store.count("settle") == 1


async def test_an_outcome_waits_for_redis_to_come_back() -> None:
    at = Settling()
    await at.hold("t")
    at.store.away = True
    at.send.send_nowait(completed(at.t))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(at.settler.run)
        await trio.sleep(20)
        assert len(at.lease_table) == 1
        at.store.away = False
        at.send.close()
    assert (await record(at.store, "t")).state is State.COMPLETED


async def test_an_outcome_whose_answer_was_lost_is_settled_once() -> None:
    at = Settling()
    await at.hold("t")
    at.store.deaf = 2
    at.send.send_nowait(completed(at.t))
    at.send.close()
    await at.settler.run()
    assert (await at.store.dump(Q)).counters.completed == 1
    assert (at.completed(), at.outcome_counts.stale) == (1, 0)


async def test_an_outcome_of_a_lapsed_lease_is_refused() -> None:
    at = Settling()
    await at.hold("t")
    await trio.sleep(31)
    await at.store.reclaim(Q, limit=10)
    at.send.send_nowait(completed(at.t))
    at.send.close()
    await at.settler.run()
    assert (await record(at.store, "t")).state is State.PENDING
    assert (at.completed(), at.outcome_counts.stale) == (0, 1)
    # Its place is free for another task.
    assert len(at.lease_table) == 0


async def test_the_last_progress_is_written_before_the_outcome() -> None:
    at = Settling()
    await at.hold("t")
    at.flusher.add(at.t, 99, "nearly")
    at.send.send_nowait(completed(at.t))
    at.send.close()
    await at.settler.run()
    assert b"nearly" in (await record(at.store, "t")).progress
    assert at.store.calls.index("report") < at.store.calls.index("settle")


async def test_a_report_that_is_refused_to_the_end_is_not_kept() -> None:
    at = Settling()
    await at.hold("t")
    at.store.away = True
    at.flusher.add(at.t, 99, "nearly")
    at.send.send_nowait(completed(at.t))
    at.send.close()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(at.settler.run)
        await trio.sleep(2)
        assert at.flusher.unwritten([at.t]) == [at.t]
        at.store.away = False
    assert at.completed() == 1
    assert at.flusher.unwritten([at.t]) == []


async def test_what_cannot_be_settled_in_time_is_given_up_and_counted() -> None:
    at = Settling()
    await at.hold("t")
    at.store.away = True
    at.send.send_nowait(completed(at.t))
    at.settler.limit(3)
    begun = trio.current_time()
    with trio.fail_after(60):
        await at.settler.run()
    assert trio.current_time() - begun == pytest.approx(3, abs=0.01)
    assert at.outcome_counts.unsettled == 1


async def test_children_go_with_the_completion_and_with_nothing_else() -> None:
    at = Settling()
    await at.hold("done", "failed")
    for held in at.lease_table:
        held.children.append(new_task(id=f"child-of-{held.fence.id}"))
        good = held.fence.id == "done"
        at.send.send_nowait(completed(held) if good else failed(held, "boom", 1.0))
    at.send.close()
    await at.settler.run()
    assert (await states(at.store)).keys() == {"done", "failed", "child-of-done"}


async def test_one_call_enqueues_no_more_children_than_it_may_carry() -> None:
    at = Settling()
    await at.hold("a", "b", "c", "d")
    for held, count in zip(at.lease_table, (1000, 499, 499, 0), strict=True):
        held.children += [new_task() for _ in range(count)]
        at.send.send_nowait(completed(held))
    at.send.close()
    await at.settler.run()
    assert at.store.count("settle") == 3
    assert at.completed() == 4
    assert (await at.store.dump(Q)).counters.enqueued == 4 + 1998


async def test_a_queue_that_cannot_be_written_to_holds_no_other_up() -> None:
    class Half(Watched):
        async def settle(self, queue: str, outcomes: object) -> object:
            if queue == "broken":
                raise ConnectionLost("away", sent=False)
            return await self.store.settle(queue, outcomes)

    at = Settling()
    at.store = at.settler.store = Half()
    for queue in ("broken", "sound"):
        await at.store.enqueue(queue, [new_task(id=queue)])
        claimed = await at.store.claim(
            queue, limit=1, lease_ms=30_000, worker="w", nonce=b"12345678"
        )
        (held,) = at.lease_table.add(
            queue, claimed.leases, asked_at=trio.current_time(), length=30.0
        )
        at.send.send_nowait(completed(held))
    at.settler.limit(5)
    await at.settler.run()
    assert (await record(at.store, "sound", "sound")).state is State.COMPLETED
    assert (at.completed(), at.outcome_counts.unsettled) == (1, 1)


async def test_outcomes_of_many_queues_are_written_at_once_and_all_are_counted() -> None:
    under_way, most = 0, 0

    class Slow(Watched):
        async def settle(self, queue: str, outcomes: object) -> object:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await trio.sleep(1)
            under_way -= 1
            return await self.store.settle(queue, outcomes)

    at = Settling()
    at.store = at.settler.store = Slow()
    for number in range(20):
        queue = f"q{number}"
        await at.store.enqueue(queue, [new_task()])
        claimed = await at.store.claim(
            queue, limit=1, lease_ms=30_000, worker="w", nonce=b"12345678"
        )
        (held,) = at.lease_table.add(
            queue, claimed.leases, asked_at=trio.current_time(), length=30.0
        )
        at.send.send_nowait(completed(held))
    at.send.close()
    await at.settler.run()
    assert (most, at.completed(), len(at.lease_table)) == (20, 20, 0)
