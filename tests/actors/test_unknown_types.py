"""What an attempt does with a task whose type has no handler, when something comes in between."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import attrs
import pytest
import trio

import rediq_trio as rediq
from rediq_trio.spec.messages import Fence, Released, Snoozed, Stopped, WorkerRecord
from rediq_trio.tasks.task_info import pack_worker_info
from rediq_trio.worker.leases import AttemptOutcome, HeldLease, Reason
from rediq_trio.worker.outcomes.unknown_types import RECORDS_FRESH, STEP, UnknownTypes
from tests.actors.parts import Bench, Q, new_task, record, until
from tests.worker.test_rolling import a_record

pytestmark = pytest.mark.mock_clock


def a_bench() -> Bench:
    bench = Bench(rediq.App("empty"))
    bench.executor.attempts.unknown_types = UnknownTypes(bench.store, 600.0)
    return bench


@asynccontextmanager
async def begun(bench: Bench, *, away: bool = False) -> AsyncGenerator[HeldLease]:
    """Let the executor begin with a task of an unknown type."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.executor.run)
        (held,) = await bench.give(new_task("unknown"))
        bench.store.away = away
        yield held
        nursery.cancel_scope.cancel()


async def the_outcome(bench: Bench) -> AttemptOutcome:
    found: list[AttemptOutcome] = []

    def ended() -> bool:
        found.extend(bench.over())
        return bool(found)

    await until(ended)
    return found[0]


async def test_the_task_is_snoozed_and_the_instant_is_kept_with_it() -> None:
    bench = a_bench()
    async with begun(bench) as held:
        outcome = await the_outcome(bench)
        assert isinstance(outcome.written, Snoozed)
        assert 400 <= outcome.written.delay_ms <= 500
        assert [name for name, _ in (await record(bench.store, held.fence.id)).steps] == [STEP]


@pytest.mark.parametrize(
    ("reason", "written"),
    [
        (Reason.CANCELLED, Stopped),
        (Reason.LEASE_LOST, type(None)),
        (Reason.SHUTDOWN, Released),
    ],
)
async def test_a_cancellation_while_the_store_is_away_ends_as_its_reason_says(
    reason: Reason, written: type[object]
) -> None:
    bench = a_bench()
    async with begun(bench, away=True) as held:
        await trio.sleep(5)
        assert bench.over() == []
        held.cancel(reason)
        assert isinstance((await the_outcome(bench)).written, written)


async def test_a_store_that_is_away_for_a_while_is_waited_for() -> None:
    bench = a_bench()
    async with begun(bench, away=True):
        await trio.sleep(5)
        bench.store.away = False
        assert isinstance((await the_outcome(bench)).written, Snoozed)


@pytest.mark.parametrize("what", ["claimed again", "deleted"])
async def test_a_stale_delivery_writes_nothing(what: str) -> None:
    bench = a_bench()
    unknown = UnknownTypes(bench.store, 600.0)
    (held,) = await bench.give(new_task("unknown"))
    if what == "deleted":
        await bench.store.flush(Q)
    else:
        later = Fence(held.fence.id, held.fence.deliveries + 1, b"another!")
        held = attrs.evolve(held, lease=attrs.evolve(held.lease, fence=later))
    outcome = await unknown.outcome(held, rediq.UnknownTaskType("no handler"))
    assert outcome.written is None
    assert bench.store.count("remember") == 0


async def test_the_records_of_workers_are_read_once_for_many_tasks() -> None:
    bench = a_bench()
    knowing = pack_worker_info(a_record(types=("unknown",), queues=(Q,)))
    await bench.store.register(WorkerRecord("knowing", knowing, 1_000_000))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.executor.run)
        await bench.give(*[new_task("unknown") for _ in range(50)])
        await until(lambda: bench.store.count("remember") == 50 and not bench.executor.running())
        assert bench.store.count("workers") == 1
        await trio.sleep(RECORDS_FRESH)
        await bench.give(new_task("unknown"))
        await until(lambda: bench.store.count("workers") == 2)
        nursery.cancel_scope.cancel()
