"""A queue that is away, or damaged, is away or stopped alone: the others of its worker go on."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import trio

import rediq_trio as rediq
from rediq_trio import ConnectionLost, StoreError
from rediq_trio.worker.availability.outages import Outages
from rediq_trio.worker.health import REDIS_AWAY_MAX
from tests.actors.parts import PLAIN, Watched

pytestmark = pytest.mark.mock_clock

ORDERS: list[Sequence[str] | Mapping[str, float]] = [["a", "b"], ["b", "a"], {"a": 1, "b": 1}]


def app() -> rediq.App:
    made = rediq.App()

    @made.task("sleep", queue="a", timeout=math.inf)
    async def sleep(seconds: float) -> None:
        rediq.current_task().progress(1)
        await trio.sleep(seconds)

    return made


def tasks(queue: str, count: int, seconds: float = 0.1) -> list[rediq.Task[Any]]:
    task = rediq.Task("sleep", {"seconds": seconds}, queue=queue, timeout=math.inf)
    return [task] * count


def records(caplog: pytest.LogCaptureFixture, level: int = logging.WARNING) -> list[str]:
    # Those about attempts, and about queues that nobody serves, are of other modules.
    of_attempts = ("task ", "tasks of ")
    found = [record.message for record in caplog.records if record.levelno >= level]
    return [text for text in found if " its " in text or not text.startswith(of_attempts)]


@pytest.mark.parametrize("queues", ORDERS)
@pytest.mark.parametrize("refused_after", [0.0, 5.0])
async def test_a_queue_that_is_away_takes_nothing_from_the_others(
    queues: Sequence[str] | Mapping[str, float], refused_after: float
) -> None:
    store = Watched()
    async with rediq.serve(app(), store, queues=queues, concurrency=4, lease=6.0) as server:
        (held,) = await server.client.enqueue_many(tasks("b", 1, 100.0))
        await trio.sleep(1)
        await server.client.enqueue_many(tasks("a", 20, 1.0))
        await trio.sleep(1.5)
        store.refused_after = refused_after
        store.away_queues.add("a")
        for _ in range(50):
            await server.client.enqueue_many(tasks("b", 1))
            await trio.sleep(1)
        await trio.sleep(20)
        stats = await server.client.queue("b").stats()
        assert (stats.completed, stats.active, stats.pending) == (50, 1, 0)
        info = await held.info()
        assert (info.crashes, info.deliveries) == (0, 1)
        store.away_queues.clear()
        with trio.fail_after(60):
            await server.wait_idle()
        assert (await server.client.queue("a").stats()).completed == 20


async def test_a_task_of_another_queue_starts_soon_although_many_do_not_answer() -> None:
    store = Watched()
    queues = [*(f"away{n}" for n in range(100)), "b"]
    async with rediq.serve(app(), store, queues=queues) as server:
        await trio.sleep(30)
        store.refused_after = 10.0
        store.away_queues.update(queues[:-1])
        await trio.sleep(15)
        for _ in range(30):
            (handle,) = await server.client.enqueue_many(tasks("b", 1))
            await handle.wait(timeout=2.5)
            await trio.sleep(1)
        begun = trio.current_time()
        store.away_queues.clear()
        (handle,) = await server.client.enqueue_many(tasks("away7", 1))
        await handle.wait(timeout=30)
        assert trio.current_time() - begun <= 15


async def test_a_queue_that_is_away_has_its_own_reason_in_health() -> None:
    store = Watched()
    async with rediq.serve(app(), store, queues=["a", "b"]) as server:
        await trio.sleep(10)
        store.away_queues.add("a")
        await trio.sleep(REDIS_AWAY_MAX + 10)
        health = server.health()
        assert (health.alive, health.ready, health.connected) == (True, False, False)
        (reason,) = health.reasons
        assert reason.startswith("Redis has not answered for queue a for ")
        store.away_queues.clear()
        await trio.sleep(20)
        assert server.health().ready


class Damaged(Watched):
    """A store in which calls of some queues will never be taken."""

    def __init__(self) -> None:
        super().__init__()
        self.damaged: dict[str, tuple[str, Exception]] = {}
        """For a call, the queue in which it fails and the error."""

    def __getattr__(self, name: str) -> Any:
        method = super().__getattr__(name)
        if name in PLAIN:
            return method

        async def call(*args: Any, **kwargs: Any) -> Any:
            queue, error = self.damaged.get(name, ("", None))
            if error is not None and queue in (args[0] if args else "", ""):
                await trio.lowlevel.checkpoint()
                raise error
            return await method(*args, **kwargs)

        return call


CALLS = ("claim", "renew", "settle", "report", "promote", "reclaim", "purge", "agenda", "outbox")


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("error", [StoreError("WRONGTYPE: damaged"), KeyError("decoded wrongly")])
async def test_a_damaged_queue_is_stopped_alone_and_loudly(
    name: str, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    store = Damaged()
    store.damaged[name] = ("a", error)
    async with rediq.serve(app(), store, queues=["a", "b"], shutdown_grace=1) as server:
        await server.client.enqueue_many(tasks("a", 5, 15.0) + tasks("b", 5, 15.0))
        await trio.sleep(100)
        assert (await server.client.queue("b").stats()).completed == 5
        await server.client.enqueue_many(tasks("b", 5))
        await trio.sleep(1)
        assert (await server.client.queue("b").stats()).completed == 10
        health = server.health()
        assert (health.alive, health.ready) == (True, False)
        assert [reason for reason in health.reasons if reason.startswith("queue a is stopped: ")]
        assert str(error) in " ".join(health.reasons)
    (said,) = records(caplog, logging.ERROR)
    assert said.startswith("queue a is stopped in this worker: ")


async def test_a_queue_that_is_stopped_is_not_away_as_well() -> None:
    outages = Outages()
    outages.stop("a", StoreError("WRONGTYPE"))
    for _ in range(100):
        outages.record_failure("a", ConnectionLost("away"))
        await trio.sleep(1)
    assert outages.failing == frozenset()
    now = trio.current_time()
    assert list(outages.reasons(now, REDIS_AWAY_MAX)) == [
        "queue a is stopped: StoreError: WRONGTYPE"
    ]


async def test_a_record_that_cannot_be_written_stops_no_queue() -> None:
    store = Damaged()
    store.damaged["register"] = ("", StoreError("WRONGTYPE"))
    store.damaged["unregister"] = ("", StoreError("WRONGTYPE"))
    async with rediq.serve(app(), store, queues=["a"]) as server:
        await server.client.enqueue_many(tasks("a", 5))
        store.damaged["partitions"] = ("", StoreError("WRONGTYPE"))
        await trio.sleep(100)
        assert server.stats().completed == 5
        assert "the worker's record is stopped: StoreError: WRONGTYPE" in server.health().reasons


async def test_what_one_damaged_task_costs_is_its_own() -> None:
    class OneDamaged(Watched):
        async def settle(self, queue: str, outcomes: Sequence[Any]) -> object:
            if any(outcome.fence.id == "bad" for outcome in outcomes):
                raise StoreError("damaged")
            return await self.store.settle(queue, outcomes)

        async def renew(self, queue: str, fences: Sequence[Any], *, lease_ms: int) -> object:
            if any(fence.id == "bad" for fence in fences):
                raise StoreError("damaged")
            return await self.store.renew(queue, fences, lease_ms=lease_ms)

    async with rediq.serve(app(), OneDamaged(), queues=["a"], concurrency=30) as server:
        many = [*tasks("a", 10, 90.0), *tasks("a", 10, 60.0)]
        many.insert(
            7, rediq.Task("sleep", {"seconds": 90.0}, queue="a", id="bad", timeout=math.inf)
        )
        await server.client.enqueue_many(many)
        await trio.sleep(100)
        assert server.stats().completed == 20
        assert server.stats().held == 0


async def test_an_outage_is_told_once_and_ended_once(caplog: pytest.LogCaptureFixture) -> None:
    store = Watched()
    async with rediq.serve(app(), store, queues=["a", "b"], lease=600.0) as server:
        await server.client.enqueue_many(tasks("a", 3, 500.0))
        await trio.sleep(30)
        store.away = True
        await trio.sleep(10)
        (begun,) = records(caplog)
        assert "has not answered for" in begun
        assert "away" in begun
        assert begun.endswith("Leases in hand: 3")
        await trio.sleep(185)
        reminders = records(caplog)[1:]
        assert len(reminders) == 3
        assert all(
            said.startswith("Redis still has not answered for queues a, b") for said in reminders
        )
        store.away = False
        await trio.sleep(60)
        (ended,) = records(caplog)[4:]
        assert ended.startswith("Redis answers again for queues a, b, after ")


@pytest.mark.parametrize("call", ["claim", "renew", "promote", "settle"])
async def test_a_server_that_refuses_some_calls_and_answers_others_is_one_outage(
    call: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = Damaged()
    async with rediq.serve(app(), store, queues=["a", "b"], lease=60.0) as server:
        await server.client.enqueue_many(tasks("a", 1, 25.0) + tasks("a", 1, 300.0))
        await trio.sleep(20)
        store.damaged[call] = ("a", rediq.ServerRefused("MISCONF disk full", sent=False))
        await server.client.enqueue_many(tasks("a", 1))
        await trio.sleep(35)
        assert any("has refused commands for queue a" in r for r in server.health().reasons)
        del store.damaged[call]
        await trio.sleep(20)
        assert server.health().ready
        begun, ended = records(caplog)
        assert "MISCONF disk full" in begun
        assert "Redis answers again for queue a" in ended


async def test_an_outage_that_comes_and_goes_does_not_flood_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = Watched()
    async with rediq.serve(app(), store, queues=["a", "b"]):
        for _ in range(120):
            store.away = True
            await trio.sleep(4)
            store.away = False
            await trio.sleep(7)
    assert len(records(caplog)) <= 22 * 2 * 11 + 20


@pytest.mark.parametrize("how", ["cancelled", "lost"])
async def test_a_lease_that_is_lost_is_told_once(
    how: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = Damaged()
    async with rediq.serve(app(), store, queues=["a"], lease=10.0, shutdown_grace=1) as server:
        (handle,) = await server.client.enqueue_many(tasks("a", 1, 1000.0))
        await trio.sleep(5)
        if how == "cancelled":
            store.damaged["settle"] = ("a", ConnectionLost("away", sent=False))
            await handle.cancel()
            await trio.sleep(1)
        store.away = True
        await trio.sleep(60)
        said = [text for text in records(caplog) if "its lease is" in text]
        assert len(said) == 1
        store.away = False


async def test_many_lost_leases_make_few_records(caplog: pytest.LogCaptureFixture) -> None:
    store = Watched()
    async with rediq.serve(
        app(), store, queues=["a"], lease=10.0, concurrency=500, shutdown_grace=1
    ) as server:
        await server.client.enqueue_many(tasks("a", 500, 1000.0))
        await trio.sleep(5)
        store.away = True
        await trio.sleep(100)
        said = [text for text in records(caplog) if "lease is lost" in text]
        assert len(said) == 11
        assert said[-1].startswith(
            "490 more records like this one were left out in 60 s: task %s/%s"
        )
        store.away = False


async def test_a_lost_answer_is_no_outage(caplog: pytest.LogCaptureFixture) -> None:
    store = Watched()
    async with rediq.serve(app(), store, queues=["a"]):
        await trio.sleep(5)
        store.deaf = 3
        await trio.sleep(60)
    assert records(caplog) == []
    assert ConnectionLost("x").sent
