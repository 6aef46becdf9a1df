"""What a keeper makes of schedules, by the store's clock, which runs with Trio's here."""

from __future__ import annotations

import datetime as dt
import logging
from typing import Any

import attrs
import pytest
import trio

import rediq_trio as rediq
from rediq_trio import MemoryStore, State
from rediq_trio.schedules.declare import TICK_METADATA, declare, pack_schedule
from rediq_trio.spec.messages import Schedule
from rediq_trio.wire.envelope import open_envelope
from rediq_trio.worker.keeping import ticker as ticking
from rediq_trio.worker.keeping.keeper import Keeper
from tests.actors.parts import Q, Watched, new_task

pytestmark = pytest.mark.mock_clock

DAY = 86_400.0
MIDNIGHT = dt.datetime(2026, 3, 28, tzinfo=dt.UTC)


def store_at(start: dt.datetime = MIDNIGHT) -> Watched:
    """Give a store whose clock shows this instant now."""
    begin = round((start.timestamp() - trio.current_time()) * 1000)
    return Watched(MemoryStore(clock=lambda: begin + round(trio.current_time() * 1000)))


def keeper(store: Watched) -> Keeper:
    return Keeper(store, (Q,), dead_retention=300.0, max_dead=100)


async def declared(
    store: Watched, when: rediq.Every | rediq.Cron, name: str = "s", **options: Any
) -> Schedule:
    task: rediq.Task[Any] = rediq.Task("noop", {"x": 1}, queue=Q, **options)
    schedule = pack_schedule(name, when, task, 1000)
    await declare(store, Q, (schedule,))
    return schedule


async def ticks(store: Watched, name: str = "s") -> list[str]:
    """Give the ticks whose tasks are there, in the order of their tasks."""
    records = (await store.dump(Q)).records.values()
    found = [open_envelope(r.envelope).metadata for r in sorted(records, key=lambda r: r.seq)]
    return [m[TICK_METADATA] for m in found if m["rediq.schedule"] == name]


async def keep_for(store: Watched, seconds: float, keepers: int = 1) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(keepers):
            nursery.start_soon(keeper(store).run)
        await trio.sleep(seconds)
        nursery.cancel_scope.cancel()


async def test_a_task_is_made_at_each_tick() -> None:
    store = store_at()
    await declared(store, rediq.Every(60))
    await keep_for(store, 180.5)
    minutes = [f"2026-03-28T00:0{minute}:00.000+00:00" for minute in (1, 2, 3)]
    assert await ticks(store) == minutes


async def test_a_task_is_what_its_schedule_says() -> None:
    store = store_at()
    options: dict[str, Any] = {
        "priority": 3,
        "timeout": 7.0,
        "metadata": {"a": "b"},
        "max_retry": 9,
    }
    await declared(store, rediq.Every(60), **options)
    await keep_for(store, 61)
    [record] = (await store.dump(Q)).records.values()
    envelope = open_envelope(record.envelope)
    assert (record.priority, record.max_retry) == (3, 9)
    assert (envelope.type, envelope.timeout, envelope.payload) == ("noop", 7.0, b"\x81\xa1x\x01")
    tick = "2026-03-28T00:01:00.000+00:00"
    assert envelope.metadata == {"a": "b", "rediq.schedule": "s", "rediq.tick": tick}


async def test_however_many_look_after_it_each_tick_makes_one_task() -> None:
    store = store_at()
    await declared(store, rediq.Every(1))
    await keep_for(store, 60.5, keepers=5)
    found = await ticks(store)
    assert len(found) == len({*found}) == 60


async def test_a_schedule_that_is_new_is_seen_at_once() -> None:
    store = store_at()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper(store).run)
        await trio.sleep(1)
        await declared(store, rediq.Every(2))
        await trio.sleep(1.1)
        assert len(await ticks(store)) == 1
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("catch_up", "expected"), [("skip", 1), ("once", 1), ("all", 24)])
async def test_after_a_day_away_the_ticks_are_caught_up_with(catch_up: Any, expected: int) -> None:
    store = store_at()
    await declared(store, rediq.Every(3600, catch_up=catch_up))
    await trio.sleep(DAY + 30)
    await keep_for(store, 20)
    found = await ticks(store)
    assert len(found) == expected
    assert found[-1] == "2026-03-29T00:00:00.000+00:00"


@pytest.mark.parametrize(("catch_up", "expected"), [("skip", 0), ("once", 1), ("all", 24)])
async def test_what_is_missed_is_not_what_is_late(catch_up: Any, expected: int) -> None:
    store = store_at()
    await declared(store, rediq.Every(3600, catch_up=catch_up))
    await trio.sleep(DAY + 61)
    await keep_for(store, 20)
    assert len(await ticks(store)) == expected


async def test_many_missed_ticks_are_made_up_for_in_bounded_steps() -> None:
    store = store_at()
    await declared(store, rediq.Every(60, catch_up="all"))
    await trio.sleep(DAY)
    await keep_for(store, 10)
    found = await ticks(store)
    assert found == sorted({*found})
    assert len(found) == 1440
    assert store.count("tick") == -(-1440 // ticking.TICKS_PER_STEP)


async def test_what_must_not_overlap_waits_for_the_end_of_the_last_task() -> None:
    store = store_at()
    await declared(store, rediq.Every(60, overlap="skip"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper(store).run)
        await trio.sleep(200)
        assert await ticks(store) == ["2026-03-28T00:01:00.000+00:00"]
        [task_id] = (await store.dump(Q)).records
        await store.cancel(Q, task_id)
        await trio.sleep(60)
        assert (await ticks(store))[1:] == ["2026-03-28T00:04:00.000+00:00"]
        nursery.cancel_scope.cancel()


@pytest.mark.uncounted
async def test_the_clocks_of_a_country_are_followed() -> None:
    store = store_at()
    await declared(store, rediq.Cron("30 2 * * *", "Europe/Paris"))
    for _ in range(3):
        await keep_for(store, 7200)  # all the times that can be meant
        await trio.sleep(DAY - 7200)
    assert await ticks(store) == [
        "2026-03-28T01:30:00.000+00:00",
        "2026-03-29T01:00:00.000+00:00",
        "2026-03-30T00:30:00.000+00:00",
    ]


async def test_a_clock_that_goes_back_makes_no_tick_twice() -> None:
    now = [1_700_000_000_000]
    store = Watched(MemoryStore(clock=lambda: now[0]))
    await declared(store, rediq.Every(60))
    for at in (60, 30, 0, 90, 120, 59, 180):
        now[0] = 1_700_000_000_000 + at * 1000
        await ticking.Ticker(store).tick(Q)
    found = await ticks(store)
    assert len(found) == len({*found}) == 3


async def test_a_paused_schedule_makes_nothing() -> None:
    store = store_at()
    await declared(store, rediq.Every(60))
    await store.suspend(Q, name="s")
    await keep_for(store, 200)
    assert await ticks(store) == []


@pytest.mark.parametrize("when", [b"\xc1", b"\x01", b"\x92\xa5lunar\x01"])
async def test_one_that_cannot_be_read_is_reported_once_and_stops_no_other(
    when: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    store = store_at()
    odd = await declared(store, rediq.Every(60), name="odd")
    await declared(store, rediq.Every(60))
    now = (await store.agenda(Q)).now_ms
    await store.declare(Q, schedule=attrs.evolve(odd, when=when, next_ms=now + 1000))
    with caplog.at_level(logging.WARNING, "rediq_trio"):
        await keep_for(store, 180.5)
    assert len(await ticks(store)) == 3
    assert await ticks(store, "odd") == []
    assert len(caplog.records) == 1
    assert "schedule odd of queue work" in caplog.text
    assert "odd" in (await store.dump(Q)).schedules


async def test_one_whose_task_cannot_be_read_is_reported_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = store_at()
    odd = await declared(store, rediq.Every(60))
    broken = attrs.evolve(odd, template=attrs.evolve(odd.template, envelope=b"\xc1"))
    await store.declare(Q, schedule=broken)
    with caplog.at_level(logging.WARNING, "rediq_trio"):
        await keep_for(store, 180)
    assert len(caplog.records) == 1


async def test_large_tasks_come_in_fewer_at_a_time() -> None:
    store = store_at()
    task: rediq.Task[Any] = rediq.Task("noop", {"x": b"x" * 1_500_000}, queue=Q)
    schedule = pack_schedule("s", rediq.Every(60, catch_up="all"), task, 2_000_000)
    await declare(store, Q, (schedule,))
    await trio.sleep(300)
    await ticking.Ticker(store).tick(Q)
    assert len(await ticks(store)) == 2


async def test_queues_that_it_does_not_keep_are_ticked_and_no_more() -> None:
    store = store_at()
    await declared(store, rediq.Every(60))
    await store.enqueue(Q, [new_task(id="later", delay_ms=1000)])
    at = Keeper(store, ("other",), dead_retention=300.0, max_dead=100, schedule_queues=(Q,))
    with trio.move_on_after(90):
        await at.run()
    states = {r.id: r.state for r in (await store.dump(Q)).records.values()}
    assert states.pop("later") is State.SCHEDULED
    assert [*states.values()] == [State.PENDING]


async def test_it_goes_on_when_redis_comes_back() -> None:
    store = store_at()
    await declared(store, rediq.Every(60))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper(store).run)
        await trio.sleep(30)
        store.away = True
        await trio.sleep(40)
        store.away = False
        await trio.sleep(1)
        assert len(await ticks(store)) == 1
        nursery.cancel_scope.cancel()


async def test_an_answer_that_is_lost_makes_no_second_task() -> None:
    store = store_at()
    await declared(store, rediq.Every(60))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper(store).run)
        await trio.sleep(59.9)
        store.deaf = 2
        await trio.sleep(30)
        assert len(await ticks(store)) == 1
        nursery.cancel_scope.cancel()
