"""When a worker passes on what it has counted of its attempts, and what becomes of lost calls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from rediq_trio.admin.queue import Queue
from rediq_trio.spec.history.type_counts import TYPES_KEPT
from rediq_trio.spec.messages import Completed, Failed, Outcome
from rediq_trio.store.memory import MemoryStore
from rediq_trio.worker.leases import AttemptOutcome, HeldLease, LeaseTable
from rediq_trio.worker.reporting.attempt_times import AttemptTimes
from rediq_trio.worker.reporting.tallier import Tallier
from tests.actors.parts import Q, Watched, claim, new_task

pytestmark = pytest.mark.mock_clock
BEAT = 5.0


@asynccontextmanager
async def tallied(store: Watched) -> AsyncIterator[tuple[AttemptTimes, Tallier, HeldLease]]:
    """Run a tallier while the block lasts, with the lease of a task that has just begun."""
    await store.enqueue(Q, [new_task("mail", id="t")])
    (held,) = await claim(store, LeaseTable())
    held.type, held.started = "mail", trio.current_time()
    times = AttemptTimes()
    tallier = Tallier(store, times, BEAT)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tallier.run)
        yield times, tallier, held
        nursery.cancel_scope.cancel()


def end(times: AttemptTimes, held: HeldLease, outcome: Outcome | None = None) -> None:
    written = outcome or Completed(held.fence, b"")
    times.add(held, AttemptOutcome(held, written), trio.current_time())


async def counted(store: Watched) -> dict[str, int]:
    return {one.type: one.attempts for one in await Queue(store, Q).types()}


async def test_one_call_in_a_beat_carries_all_and_none_is_made_for_nothing() -> None:
    store = Watched()
    async with tallied(store) as (times, _, held):
        for _ in range(7):
            end(times, held)
        end(times, held, Failed(held.fence, "no", 0))
        assert store.count("tally") == 0
        await trio.sleep(BEAT + 1)
        assert store.count("tally") == 1
        await trio.sleep(BEAT * 100)
        assert store.count("tally") == 1
        end(times, held)
        await trio.sleep(BEAT)
        assert store.count("tally") == 2
    (mail,) = await Queue(store, Q).types()
    assert (mail.completed, mail.failed) == (8, 1)


@pytest.mark.parametrize("fault", ["answer lost", "away"])
async def test_a_lost_call_is_made_again_and_counted_once(fault: str) -> None:
    store = Watched()
    async with tallied(store) as (times, _, held):
        end(times, held)
        if fault == "away":
            store.away = True
        else:
            store.deaf = 1
        await trio.sleep(BEAT + 1)
        end(times, held)
        store.away = False
        await trio.sleep(BEAT)
        assert await counted(store) == {"mail": 1}
        await trio.sleep(BEAT)
        assert await counted(store) == {"mail": 2}
    assert store.count("tally") == 3


async def test_a_queue_that_hangs_does_not_hold_up_another() -> None:
    store = Watched()
    store.refused_after, store.away_queues = 60.0, {"other"}
    async with tallied(store) as (times, _, held):
        held.queue = "other"
        end(times, held)
        await trio.sleep(BEAT + 1)
        held.queue = Q
        end(times, held)
        await trio.sleep(BEAT)
        assert await counted(store) == {"mail": 1}
        await trio.sleep(BEAT * 5)
        assert store.count("tally") == 2


async def test_what_a_store_refuses_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    class Refusing(MemoryStore):
        async def tally(self, queue: str, **_: object) -> None:
            raise RuntimeError("it will not")

    store = Watched(Refusing())
    async with tallied(store) as (times, _, held):
        end(times, held)
        await trio.sleep(BEAT * 3)
    assert store.count("tally") == 1
    assert "queue work: its statistics by type were not written: it will not" in caplog.text


async def test_the_rest_is_passed_on_at_the_end_also_after_a_call_that_was_cut_off() -> None:
    store = Watched()
    store.delay = lambda name: 3.0 if name == "tally" else 0.0
    async with tallied(store) as (times, tallier, held):
        end(times, held)
        await trio.sleep(BEAT + 1)
        end(times, held)
    await tallier.finish()
    assert await counted(store) == {"mail": 2}
    assert store.count("tally") == 3
    await tallier.finish()
    assert store.count("tally") == 3


async def test_of_too_many_types_the_busiest_are_named() -> None:
    store = Watched()
    async with tallied(store) as (times, _, held):
        for n in range(TYPES_KEPT + 3):
            held.type = f"type-{n}"
            for _ in range(1 + (n > 2)):
                end(times, held)
        held.type = ""
        end(times, held)
        await trio.sleep(BEAT + 1)
    found = await counted(store)
    assert found.pop("(other)") == 4
    assert found == {f"type-{n}": 2 for n in range(3, TYPES_KEPT + 3)}


async def test_a_queue_that_is_forgotten_is_not_passed_on() -> None:
    store = Watched()
    async with tallied(store) as (times, _, held):
        end(times, held)
        times.forget(Q)
        await trio.sleep(BEAT * 2)
        assert store.count("tally") == 0
        end(times, held)
        await trio.sleep(BEAT + 1)
    assert await counted(store) == {"mail": 1}
